"""HBase's own Java client, `Table.put(List)`: PutList.java beside this file, run from its source.

It needs a Java development kit (the compiler is in it) and the jars that the servers run on.
"""

from pathlib import Path
from typing import Final

from ops.bench.peers.child_writer import ChildWriter
from ops.bench.peers.writer import PeerFailed, PeerMissing
from ops.stack.hbase import OPENED
from ops.stack.jars import class_path
from ops.stack.java import Java

SOURCE: Final = Path(__file__).with_name("PutList.java")
ROWS_A_CALL = 5_000
THREADS = 2
HEAP_MB = 768


class JavaClient(ChildWriter):
    """The Java client as a `Writer` into a table of a cell's HBase.

    `zookeeper` is "host:port", `znode_parent` where in it the cell's HBase keeps its state, and
    `jars` the folder of the HBase jars (`ops.stack.jars`).
    """

    def __init__(
        self,
        java: Java,
        jars: Path,
        zookeeper: str,
        znode_parent: str,
        table: str,
        *,
        rows_a_call: int = ROWS_A_CALL,
        threads: int = THREADS,
    ) -> None:
        """Compile and start it, and wait until it knows the table's regions.

        Raises PeerMissing without a compiler, PeerFailed.
        """
        argv = (
            java.program,
            f"-Xmx{HEAP_MB}m",
            "-XX:+UseParallelGC",
            *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in OPENED),
            "-cp",
            class_path(jars),
            str(SOURCE),
            zookeeper,
            znode_parent,
            table,
            str(rows_a_call),
            str(threads),
        )
        try:
            super().__init__("HBase's Java client", argv)
        except PeerFailed as error:
            if "jdk.compiler" in str(error):
                raise PeerMissing(
                    f"{java.program} has no compiler: install a JDK (Debian: apt-get install "
                    "openjdk-17-jdk-headless)"
                ) from error
            raise
