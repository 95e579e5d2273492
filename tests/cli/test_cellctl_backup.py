"""Backups by cellctl, at an embedded platform of two cells in a process of its own."""

from pathlib import Path

import pytest

from idgen.ids import spread
from tests.cli.shell import Shell
from tests.contract.patience import until

pytestmark = pytest.mark.slow
PATIENCE_S = 60.0
READERS = range(1, 8)


@pytest.fixture(scope="module")
def lived(shell: Shell) -> Shell:
    """With something in both cells."""
    for author in (88, 89):
        for reader in READERS:
            shell.done("follow", str(reader), str(author))
        shell.done("publish", str(author), "hello")
    return shell


def refused(shell: Shell, code: int, *words: str) -> str:
    ended = shell.run(*words)
    assert ended.returncode == code, (words, ended.stdout, ended.stderr)
    return ended.stderr


def pages(shell: Shell, token: str) -> list[list[int]]:
    found = [shell.json("page", str(r), "--at-least", token) for r in READERS]
    return [[entry["id"] for entry in page["entries"]] for page in found]


def test_a_cell_is_lost_and_comes_back(lived: Shell, tmp_path: Path) -> None:
    shell, folder = lived, tmp_path / "backup of a"
    until("all is applied", shell.caught_up, PATIENCE_S)
    taken = shell.json("backup-cell", "a", str(folder))
    assert (taken["cell"], taken["whole"], taken["finished"]) == ("a", True, True)
    assert taken["rows"] > 0
    assert "[not_empty]" in refused(shell, 5, "backup-cell", "a", str(folder))
    token = shell.json("publish", "88", "after the backup")["token"]
    was = pages(shell, token)
    assert "[not_empty]" in refused(shell, 5, "restore-cell", str(folder), "--execute")

    shell.done("down")
    for file in shell.folder.glob("cell-a.db*"):
        file.unlink()
    shell.done("up", "--detach")
    assert "restore-cell" in shell.run("status").stdout
    plan = shell.json("restore-cell", str(folder))
    assert (plan["into"], plan["events_to_apply"], plan["executed"]) == ("a", 1, False)
    assert shell.json("describe-cell", "a")["state"] == "active"
    done = shell.json("restore-cell", str(folder), "--execute")
    assert (done["executed"], done["caught_up"], done["restored_before"]) == (True, True, False)
    assert pages(shell, token) == was
    assert shell.json("restore-cell", str(folder), "--execute")["restored_before"]


def test_a_damaged_file_is_told_and_nothing_is_changed(lived: Shell, tmp_path: Path) -> None:
    shell, folder = lived, tmp_path / "backup"
    shell.done("backup-cell", "b", str(folder))
    file = min(folder.glob("*.z"))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))
    for words in ((), ("--execute",)):
        said = refused(shell, 5, "restore-cell", str(folder), *words)
        assert "[damaged]" in said
        assert str(file) in said
        assert "take another backup" in said
    assert shell.json("describe-cell", "b")["state"] == "active"
    (folder / "manifest.json").unlink()
    assert "is no backup" in refused(shell, 5, "restore-cell", str(folder))


def test_a_slice_is_restored_while_its_cell_goes_on(lived: Shell, tmp_path: Path) -> None:
    shell, folder = lived, tmp_path / "slice"
    token = shell.json("publish", "88", "before the slice")["token"]
    was = pages(shell, token)
    cell = shell.json("page", "5")["cell"]
    place = f"{spread(5):016x}"
    taken = shell.json("backup-cell", cell, str(folder), "--slice", f"{place}-{place}")
    assert (taken["whole"], taken["posts"], taken["slice"]) == (False, False, f"{place}-{place}")
    assert "slice" in shell.done("restore-cell", str(folder))
    done = shell.json("restore-cell", str(folder), "--execute")
    assert (done["into"], done["caught_up"]) == (cell, True)
    until("they are the same", lambda: pages(shell, token) == was, PATIENCE_S)
    assert shell.json("page", "5")["epoch"] > 1


@pytest.mark.parametrize(
    ("code", "words", "said"),
    [
        (3, ("backup-cell", "zz", "nowhere"), "no cell 'zz'"),
        (2, ("restore-cell", "/no/such/folder"), "does not exist"),
        (2, ("backup-cell", "a", "nowhere", "--slice", "ff-00"), "is no slice"),
        (5, ("backup-cell", "a", "/proc/nothing"), "is no backup"),
    ],
)
def test_what_cannot_be_is_told(lived: Shell, code: int, words: tuple[str, ...], said: str) -> None:
    assert said in refused(lived, code, *words)


def test_an_embedded_platform_begins_again_above_another(lived: Shell, tmp_path: Path) -> None:
    """Both cells into a new platform, with other partitions and a new log."""
    shell, new = lived, Shell(tmp_path / "new")
    token = shell.json("publish", "88", "the last one")["token"]
    was = pages(shell, token)
    until("all is applied", shell.caught_up, PATIENCE_S)
    for cell in "ab":
        base = shell.json("backup-cell", cell, str(tmp_path / cell))["log_base_above"]
    new.folder.mkdir()
    (new.folder / "dashcell.toml").write_text("[platform]\npartitions = 3\n")
    new.done("up", "--detach", "--cells", "2", "--log-base", str(base))
    try:
        for cell in "ab":
            assert new.json("restore-cell", str(tmp_path / cell), "--execute")["new_log"]
        assert [[e["id"] for e in new.json("page", str(r))["entries"]] for r in READERS] == was
        post = new.json("publish", "89", "in the new platform")
        assert all(found[0] == post["id"] for found in pages(new, post["token"]))
        new.done("down")
        ended = new.run("up", "--detach", "--log-base", str(base + 1))
        assert ended.returncode == 4, ended.stderr
        assert "log_base" in ended.stderr
        new.done("up", "--detach")  # as it was made
        assert pages(new, post["token"])
    finally:
        new.done("down")
