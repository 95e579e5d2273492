"""Class archives of the servers (AppCDS): made once per machine, they halve a stack's start.

A JVM spends most of its start on parsing and verifying the same classes. `-XX:SharedArchiveFile`
lets it map them instead (measured on two cores, two cells: 15 s instead of 30). An archive fits one
build of Java and one class path; one that does not fit is ignored by the JVM, so it is never wrong,
only useless. They are made by a training run: a small stack that is started and stopped.
"""

import shutil
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from ops.stack.child import ChildSpec
from ops.stack.disk import disk_full_is_clear
from ops.stack.hbase import CONFIGURATION_FOLDER
from ops.stack.jars import JarSets, Progress, one_at_a_time
from ops.stack.java import Java, archive_folder
from ops.stack.servers import Planner, Programs
from ops.stack.supervisor import Supervisor

TRAINING_CELL = "a"
READY_TIMEOUT_S = 240.0
STOP_TIMEOUT_S = 90.0
"""An archive is written while its server stops, which takes some seconds."""


def ensure_archives(cache: Path, java: Java, jars: JarSets, progress: Progress) -> Path:
    """The folder of archives for this Java and these jars, made first if it is not there.

    Takes half a minute and 1.5 GiB of memory the first time; two callers at once are safe. Raises
    StackError when the training run fails: the servers start without archives too, but slower.
    """
    folder = archive_folder(cache, java, (jars.hbase, jars.kafka, jars.zookeeper))
    if folder.is_dir():
        return folder
    with disk_full_is_clear(cache):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with one_at_a_time(folder.parent / ".lock"):
            if not folder.is_dir():
                progress("preparing a quicker start of the servers (once, half a minute)")
                _train(folder, Programs(java, jars, redis=""))
    return folder


def _train(folder: Path, programs: Programs) -> None:
    work = Path(tempfile.mkdtemp(prefix=".training-", dir=folder.parent))
    written = work / "archives"
    written.mkdir()
    planner = Planner(work, programs)
    try:
        with Supervisor(work) as supervisor:
            own, zookeeper_address = planner.plan_zookeeper()
            log, _ = planner.plan_kafka()
            cell, _ = planner.plan_hbase(TRAINING_CELL, zookeeper_address, "")
            supervisor.start_all(_training(spec, written) for spec in (*own, *log, *cell))
            supervisor.wait_ready(timeout_s=READY_TIMEOUT_S)
        written.rename(folder)
    finally:
        planner.close()
        shutil.rmtree(work, ignore_errors=True)


def _training(spec: ChildSpec, written: Path) -> ChildSpec:
    """The same child, writing its archive when it stops.

    A class path with a folder on it cannot be archived, so HBase's configuration is packed into
    a jar for this once.
    """
    archive = written / f"{spec.archive}.jsa"
    packed = spec.folder / f"{spec.archive}-conf.jar"
    plain = str(spec.folder / CONFIGURATION_FOLDER)
    program, *rest = (text.replace(plain, str(packed)) for text in spec.argv)
    return replace(
        spec,
        argv=(program, f"-XX:ArchiveClassesAtExit={archive}", *rest),
        prepare=partial(_pack, spec.prepare, Path(plain), packed),
        stop_timeout_s=STOP_TIMEOUT_S,
    )


def _pack(prepare: Callable[[], None] | None, plain: Path, packed: Path) -> None:
    if prepare is not None:
        prepare()
    with zipfile.ZipFile(packed, "w") as jar:
        for file in sorted(plain.glob("*")):
            jar.write(file, file.name)
