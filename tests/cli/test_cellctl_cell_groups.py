"""A cell is added behind a relay, and the relay looked at, as docs/groups.md tells: by cellctl, at
an embedded platform in a process of its own, which is killed."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops import addresses
from ops.config import load_config
from ops.wiring.embedded import EmbeddedSeams
from tests.cli.shell import Shell
from tests.contract.patience import until

pytestmark = pytest.mark.slow
PATIENCE_S = 60.0
READERS = range(101, 109)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A platform made with a cell at the root and one behind a relay."""
    folder = tmp_path_factory.mktemp("groups") / "site"
    folder.mkdir()
    config = '[platform]\ncells = ["a", "b"]\n[platform.groups]\neast = ["b"]\n'
    (folder / "dashcell.toml").write_text(config)
    found = Shell(folder)
    found.done("up", "--detach")
    (folder / "dashcell.toml").unlink()  # for the making alone: a cell is added
    try:
        for reader in READERS:
            found.done("follow", str(reader), "88")
        yield found
    finally:
        found.done("down")


def refused(site: Shell, code: int, *words: str) -> str:
    ended = site.run(*words)
    assert ended.returncode == code, (words, ended.stdout, ended.stderr)
    return ended.stderr


def pages(site: Shell, token: str) -> dict[int, list[int]]:
    """Of all readers, with this write; those of both cells hold the same."""
    found = {r: site.json("page", str(r), "--at-least", token) for r in READERS}
    assert {page["cell"] for page in found.values()} == {"a", "b"}
    return {r: [entry["id"] for entry in page["entries"]] for r, page in found.items()}


def groups(site: Shell) -> dict[str, str]:
    return {each["cell"]: each["group"] for each in site.json("list-cells")}


def test_writes_are_read_behind_the_relay_also_after_a_kill(site: Shell) -> None:
    assert groups(site) == {"a": "", "b": "east"}
    token = ""
    for number in range(5):
        token = site.json("publish", "88", f"post {number}")["token"]
    was = pages(site, token)
    assert all(len(page) == 5 for page in was.values())
    assert (site.folder / "group-east.db").exists()
    os.kill(addresses.read(site.folder).pid, signal.SIGKILL)
    site.done("up", "--detach")
    assert pages(site, token) == was
    token = site.json("publish", "88", "after")["token"]
    assert all(len(page) == 6 for page in pages(site, token).values())


def test_a_cell_is_added_to_the_group(site: Shell) -> None:
    plan = site.json("add-cell", "c", "--group", "east")
    assert (plan["group"], plan["beside"]) == ("east", ["b"])
    assert "group east, with cells b" in site.done("add-cell", "c", "--group", "east")
    assert "group west, a new one" in site.done("add-cell", "c", "--group", "west")
    assert "no group's name" in refused(site, 2, "add-cell", "c", "--group", "East")
    added = site.json("add-cell", "c", "--group", "east", "--execute", "--wait")
    assert (added["state"], added["group"]) == ("dark", "east")
    site.done("activate-cell", "c", "--execute")
    assert groups(site) == {"a": "", "b": "east", "c": "east"}
    assert "behind the relay of group east" in site.done("describe-cell", "c")
    until("all have applied all", site.caught_up, PATIENCE_S)
    assert site.json("diff-cells", "a", "c")["found"] == 0


def test_the_relay_is_told_by_status_and_as_a_group_of_the_firehose(site: Shell) -> None:
    until("all have applied all", site.caught_up, PATIENCE_S)
    (group,) = site.json("status")["status"]["groups"]
    assert (group["name"], group["cells"], group["relays"]) == ("east", ["b", "c"], 1)
    assert (group["events"], group["lag_s"]) == (0, 0)
    assert "events to bring" in site.done("status")
    listed = {row["group"]: row for row in site.json("firehose", "groups")}
    assert listed["relay-east"]["relay"] == "east"
    assert [listed[f"cell-{name}"]["cell"] for name in "abc"] == ["a", "b", "c"]
    assert "relay of east" in site.done("firehose", "groups")
    told = [site.json("firehose", "describe", name) for name in ("cell-a", "cell-b", "relay-east")]
    first, *others = [[p["end"] for p in each["partitions"]] for each in told]
    assert all(ends == first for ends in others), "all of them in the root's offsets"
    assert told[1]["events"] == 0
    for words, why in (
        (("rewind", "relay-east", "--to-earliest"), "rewind the cells instead"),
        (("delete", "relay-east"), "live members"),
    ):
        assert why in refused(site, 5, "firehose", *words)
    done = site.json("firehose", "rewind", "cell-b", "--to-earliest", "--pause", "--execute")
    assert done["replayed"] == sum(first)


def test_a_damaged_log_is_told_and_made_anew(site: Shell) -> None:
    config = load_config(overrides={"platform.data": str(site.folder)})
    seams = EmbeddedSeams(config)
    seams.group_log("east").append([(p, b"of somebody else") for p in range(8)])
    seams.close()
    token = site.json("publish", "88", "meanwhile")["token"]

    def red() -> bool:
        (router,) = (s for s in services(site) if s["name"] == "router")
        return all(word in router["detail"] for word in ("ingest of cell b", "relay of group east"))

    until("it is red", red, PATIENCE_S)
    assert "delete the topic" in site.run("status").stdout
    listed = {row["group"]: row for row in site.json("firehose", "groups")}
    assert "was not written by a relay" in listed["cell-b"]["trouble"]
    assert (listed["cell-b"]["events"], listed["cell-a"]["trouble"]) == (None, "")
    assert "unknown" in site.done("firehose", "groups")
    site.done("down")
    for file in site.folder.glob("group-east.db*"):
        file.unlink()
    site.done("up", "--detach")
    pages(site, token)
    until("all have applied all", site.caught_up, PATIENCE_S)
    assert site.json("diff-cells", "a", "b")["found"] == 0


def services(site: Shell) -> list[dict[str, str]]:
    return json.loads(site.run("status", "--json").stdout)["status"]["services"]


def test_a_group_with_a_cell_that_there_is_not_is_told(tmp_path: Path) -> None:
    config = '[platform]\n[platform.groups]\neast = ["x"]\n'
    (tmp_path / "dashcell.toml").write_text(config)
    said = refused(Shell(tmp_path), 2, "up", "--detach")
    assert "x is none of the cells a" in said
