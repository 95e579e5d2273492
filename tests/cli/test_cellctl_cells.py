"""Cells by cellctl: added, activated, given up; at an embedded platform in a process of its own."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops import addresses
from tests.cli.shell import Shell
from tests.contract.patience import until

pytestmark = pytest.mark.slow
PATIENCE_S = 60.0
READERS = range(101, 109)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A platform with a few posts, and readers of them in both cells."""
    found = Shell(tmp_path_factory.mktemp("cells") / "site")
    found.done("up", "--detach", "--cells", "2")
    try:
        for reader in READERS:
            found.done("follow", str(reader), "88")
        for number in range(5):
            found.done("publish", "88", f"post {number}")
        until("both cells hold them", found.caught_up, PATIENCE_S)
        yield found
    finally:
        found.done("down")


def refused(site: Shell, code: int, *words: str) -> str:
    ended = site.run(*words)
    assert ended.returncode == code, (words, ended.stdout, ended.stderr)
    return ended.stderr


def cells(site: Shell) -> dict[str, str]:
    return {each["cell"]: each["state"] for each in site.json("list-cells")}


def kill(folder: Path) -> None:
    os.kill(addresses.read(folder).pid, signal.SIGKILL)


def test_a_cell_is_added_compared_and_activated(site: Shell) -> None:
    plan = site.json("add-cell", "c", "--donor", "b")
    assert (plan["donor"], plan["posts"], plan["blockers"]) == ("b", 5, [])
    assert cells(site) == {"a": "active", "b": "active"}
    added = site.json("add-cell", "c", "--execute", "--wait", "--dark-sample", "50%")
    assert (added["state"], added["bootstrap"]["posts"]) == ("dark", 5)
    assert added["bootstrap"]["stage"] == "verified"
    rehearsals = added["bootstrap"]["rehearsals"]
    assert added["moves_arriving"] == rehearsals != []
    assert "[rehearsal]" in refused(site, 5, "switch-move", str(rehearsals[0]), "--execute")
    assert "[not_active]" in refused(site, 5, "rehome-user", "101", "--to", "c")
    assert {site.json("page", str(reader))["cell"] for reader in READERS} <= {"a", "b"}

    site.done("activate-cell", "c")
    assert cells(site)["c"] == "dark"
    site.done("activate-cell", "c", "--execute")
    until("its sample has left", lambda: not site.json("list-moves"), PATIENCE_S)
    (move,) = site.json("rehome-user", "101", "--to", "c", "--execute", "--wait", "--keep", "0")
    assert move["state"] == "completed"
    page = until("it is home", lambda: _page_of(site, 101, "c"), PATIENCE_S)
    assert len(page["entries"]) == 5
    assert [each["state"] for each in site.json("describe-cell", "c")["history"]] == [
        "provisioning",
        "bootstrapping",
        "dark",
        "active",
    ]
    assert "not_empty" not in site.done("verify-cell", "c")
    assert site.run("diff-cells", "a", "c").returncode == 0


def _page_of(site: Shell, reader: int, cell: str) -> dict[str, object] | None:
    page = site.json("page", str(reader))
    return page if page["cell"] == cell else None


def test_what_cannot_be_is_told_with_a_remedy(site: Shell) -> None:
    assert "[name_taken]" in refused(site, 4, "add-cell", "a")
    assert "no cell 'x'" in refused(site, 3, "add-cell", "d", "--donor", "x")
    assert "1 to 32 of a-z" in refused(site, 2, "add-cell", "D")
    assert "write it as 50%" in refused(site, 2, "add-cell", "d", "--dark-sample", "much")
    assert "0.01% to 100%" in refused(site, 2, "add-cell", "d", "--dark-sample", "0")
    assert "KIND=HOST:PORT" in refused(site, 2, "add-cell", "d", "--endpoint", "redis")
    given = [f"--endpoint={kind}=h:1" for kind in ("hbase-thrift1", "hbase-thrift2", "redis")]
    assert "keeps a cell in a file" in refused(site, 2, "add-cell", "d", *given)
    assert "or none to have them started" in refused(site, 2, "add-cell", "d", *given[:2])
    assert "each kind once" in refused(site, 2, "add-cell", "d", *given, given[0])
    site.done("cordon-cell", "b", "--execute")
    assert site.json("add-cell", "d")["donor"] == "a"
    site.done("cordon-cell", "b", "--undo", "--execute")
    assert "d" not in cells(site)


def test_a_cell_that_is_being_added_outlives_the_platform(site: Shell) -> None:
    site.done("add-cell", "d", "--execute")
    kill(site.folder)
    site.done("up", "--detach")
    verified = until("it is verified", lambda: _verified(site, "d"), PATIENCE_S)
    assert verified["bootstrap"]["posts"] == 5
    site.done("retire-cell", "d", "--execute")
    until("its sample ends", lambda: not site.json("list-moves"), PATIENCE_S)
    assert cells(site) == {"a": "active", "b": "active", "c": "active", "d": "retired"}
    assert "was retired" in refused(site, 4, "add-cell", "d")
    assert "[retired]" in refused(site, 5, "activate-cell", "d", "--execute")
    site.done("down")
    site.done("up", "--detach")
    served = site.json("status")["status"]["services"]
    assert {each["cell"] for each in served if each["cell"]} == {"a", "b", "c"}


def _verified(site: Shell, cell: str) -> dict[str, dict[str, object]] | None:
    described: dict[str, dict[str, object]] = site.json("describe-cell", cell)
    return described if described["bootstrap"]["verified_ms"] else None
