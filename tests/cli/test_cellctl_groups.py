"""Consumer groups by cellctl, at an embedded platform of two cells in a process of its own."""

import json
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import pytest

from cell.dashboard import Context
from firehose.cursor import cursor_of
from firehose.event import Draft
from ops.cellctl.firehose import COMMANDS, command
from ops.cellctl.plain import to_text
from ops.config import Config, load_config
from ops.platform import discover
from ops.table_hash import table_hash
from ops.wiring.embedded import EmbeddedSeams
from tests.cli.shell import Shell
from tests.contract.patience import until

pytestmark = pytest.mark.slow
PATIENCE_S = 60.0
CTX = Context(5_000)
READERS = range(1, 6)
REWIND = ("firehose", "rewind")


@pytest.fixture(scope="module")
def lived(shell: Shell) -> Shell:
    """With something in both cells."""
    for reader in READERS:
        shell.done("follow", str(reader), "88", "89")
    for n in range(5):
        shell.done("publish", "88", f"hello {n}")
        shell.done("publish", "89", f"hello {n}")
    return shell


def configured(shell: Shell) -> Config:
    return load_config(overrides={"platform.data": str(shell.folder)})


@pytest.fixture
def seams(lived: Shell) -> Iterator[EmbeddedSeams]:
    """The platform's files, opened beside it."""
    found = EmbeddedSeams(configured(lived))
    yield found
    found.close()


def refused(shell: Shell, code: int, *words: str) -> str:
    ended = shell.run(*words)
    assert ended.returncode == code, (words, ended.stdout, ended.stderr)
    return ended.stderr


def settled(seams: EmbeddedSeams, cell: str) -> None:
    stores = seams.cell(cell)
    until("all is applied", lambda: not stores.behind(stores.ends()), PATIENCE_S)


def pages(shell: Shell, token: str) -> list[list[int]]:
    found = [shell.json("page", str(r), "--at-least", token) for r in READERS]
    return [[entry["id"] for entry in page["entries"]] for page in found]


def stop(seams: EmbeddedSeams, group: str) -> None:
    """A group of others that has read two events of each partition, and is gone."""
    member = seams.checkpoints().join(group, "reporter")
    member.poll(1, 1_000)
    member.commit({p: min(2, span.end) for p, span in enumerate(seams.firehose().spans())})
    member.leave()


@pytest.mark.parametrize("writing", [False, True])
def test_a_cell_rewound_by_an_hour_serves_and_changes_no_row(
    lived: Shell, seams: EmbeddedSeams, writing: bool
) -> None:
    shell, tables = lived, seams.cell("a").tables
    token = shell.json("publish", "88", "before")["token"]
    was = pages(shell, token)
    settled(seams, "a")
    before = table_hash(tables)
    enough, written = Event(), list[str]()

    def write() -> None:
        platform = discover(configured(shell), None)
        while not enough.wait(0.01):
            receipt = platform.dashboard().publish(CTX, 90, Draft(body="meanwhile"), None)
            written.append(to_text(receipt.token))
        platform.close()

    writer = Thread(target=write)
    if writing:
        writer.start()
    try:
        assert "live members" in refused(
            shell, 5, *REWIND, "cell-a", "--by-duration", "1h", "--execute"
        )
        plan = shell.json(*REWIND, "cell-a", "--by-duration", "1h")
        assert (plan["executed"], plan["skipped"], plan["cell"]) == (False, 0, "a")
        ends = sum(span.end for span in seams.firehose().spans())
        assert 0 < plan["replayed"] <= ends
        done = shell.json(*REWIND, "cell-a", "--by-duration", "1h", "--pause", "--execute")
        assert done["executed"]
        assert all(step["offset"] == 0 for step in done["partitions"])
        assert pages(shell, token) == was
        if writing:
            until("something is written meanwhile", lambda: len(written) > 2, PATIENCE_S)
            shell.done("page", "90", "--at-least", written[-1])
    finally:
        enough.set()
        if writing:
            writer.join()
    if writing:
        shell.done("page", "90", "--at-least", written[-1])
        settled(seams, "a")
        before = table_hash(tables)
        shell.done(*REWIND, "cell-a", "--to-earliest", "--pause", "--execute")
    settled(seams, "a")
    assert table_hash(tables) == before
    assert pages(shell, token) == was


def test_groups_are_listed_described_and_rewound(
    lived: Shell, seams: EmbeddedSeams, tmp_path: Path
) -> None:
    shell = lived
    stop(seams, "reports")
    ends = [span.end for span in seams.firehose().spans()]
    listed = {row["group"]: row for row in shell.json("firehose", "groups")}
    assert {"cell-a", "cell-b", "reports"} <= listed.keys()
    assert (listed["cell-b"]["cell"], listed["cell-b"]["members"]) == ("b", 1)
    assert listed["reports"]["events"] == sum(max(0, end - 2) for end in ends)
    lag = {row["group"]: row for row in shell.json("firehose", "lag")}
    assert lag["reports"]["seconds"] > 0
    for words in (("groups",), ("lag",), ("lag", "reports"), ("describe", "reports")):
        assert "reports" in shell.done("firehose", *words)
    kept = shell.done("firehose", "describe", "reports", "--json")
    described = json.loads(kept)
    assert [row["offset"] for row in described["partitions"]] == [min(2, end) for end in ends]

    assert "would" not in shell.done(*REWIND, "reports", "--to-latest")
    assert shell.json("firehose", "describe", "reports")["events"] > 0
    done = shell.json(*REWIND, "reports", "--to-latest", "--execute")
    assert done["skipped"] == listed["reports"]["events"]
    assert shell.json("firehose", "describe", "reports")["events"] == 0
    file = tmp_path / "before.json"
    file.write_text(kept)
    back = ("--from-file", str(file)), ("--to-cursor", described["cursor"])
    for words in back:
        shell.done(*REWIND, "reports", *words, "--execute")
        again = shell.json("firehose", "describe", "reports")
        assert again["partitions"] == [
            row | {"seconds": again["partitions"][p]["seconds"]}
            for p, row in enumerate(described["partitions"])
        ]
    (step,) = shell.json(*REWIND, "reports", "--shift-by", "-9", "--partition", "1")["partitions"]
    assert (step["partition"], step["offset"], step["clamped"]) == (1, 0, "oldest")
    late = shell.json(*REWIND, "reports", "--to-datetime", "2100-01-01T00:00:00Z")
    assert {step["clamped"] for step in late["partitions"]} == {"newest"}
    assert "to the newest" in shell.done(*REWIND, "reports", "--to-datetime", "2100-01-01T00Z")

    assert "would forget" in shell.done("firehose", "delete", "reports")
    shell.done("firehose", "delete", "reports", "--execute")
    assert "firehose groups" in refused(shell, 3, "firehose", "describe", "reports")


def test_a_cell_skips_nothing(lived: Shell, seams: EmbeddedSeams) -> None:
    settled(seams, "b")
    plan = lived.json(*REWIND, "cell-b", "--shift-by", "1000000", "--pause", "--execute")
    assert (plan["skipped"], plan["replayed"]) == (0, 0)


def test_a_group_that_others_run_is_left_alone(lived: Shell, seams: EmbeddedSeams) -> None:
    shell = lived
    member = seams.checkpoints().join("foreign", "theirs")
    member.poll(1, 1_000)
    member.commit({0: 1})
    words = (*REWIND, "foreign", "--to-earliest")
    assert "theirs" in shell.done(*words)
    for options in (("--execute",), ("--pause", "--execute")):
        assert "theirs" in refused(shell, 5, *words, *options)
    assert "theirs" in refused(shell, 5, "firehose", "delete", "foreign", "--execute")
    assert seams.checkpoints().committed("foreign") == {0: 1}
    member.leave()
    shell.done("firehose", "delete", "foreign", "--execute")


@pytest.mark.parametrize(
    ("code", "words", "said"),
    [
        (3, ("nobody", "--to-earliest"), "no group 'nobody'"),
        (2, ("cell-a",), "exactly one of --to-datetime"),
        (2, ("cell-a", "--to-latest", "--shift-by", "1"), "--to-latest and --shift-by"),
        (2, ("cell-a", "--to-datetime", "2012-07-04T12:00:00"), "zone"),
        (2, ("cell-a", "--to-datetime", "1341403200"), "seconds"),
        (2, ("cell-a", "--to-datetime", "earliest"), "--to-earliest"),
        (2, ("cell-a", "--by-duration", "1x"), "no duration"),
        (2, ("cell-a", "--to-cursor", "c1.x"), "cut short"),
        (2, ("cell-a", "--to-cursor", cursor_of("x", 8, {0: 1}).text()), "another firehose"),
        (2, ("cell-a", "--to-earliest", "--partition", "99"), "no partition 99"),
    ],
)
def test_what_cannot_be_is_told(lived: Shell, code: int, words: tuple[str, ...], said: str) -> None:
    assert said in refused(lived, code, *REWIND, *words)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"partitions": [\n{"partition": 0,\n "offset": }]}', "line 3"),
        ('{"partitions": [{"partition": 0, "offset": -1}]}', "$.partitions[0].offset"),
        ('{"partitions": [{"offset": 1}]}', "`partition`"),
        ('{"partitions": []}', "partitions"),
        ('{"partitions": [{"partition": 9, "offset": 1}]}', "no partition 9"),
        (
            '{"partitions": [{"partition": 0, "offset": 1}, {"partition": 0, "offset": 2}]}',
            "twice",
        ),
    ],
)
def test_a_bad_file_is_told(lived: Shell, tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "offsets.json"
    file.write_text(text)
    found = refused(lived, 2, *REWIND, "cell-a", "--from-file", str(file))
    assert "--from-file" in found
    assert said in found


def test_a_cells_group_is_not_forgotten(lived: Shell) -> None:
    assert "retire-cell a" in refused(lived, 5, "firehose", "delete", "cell-a", "--execute")


def test_the_list_of_commands_says_what_their_own_help_says() -> None:
    for name, line in COMMANDS.items():
        inner = command.get_command(None, name)  # type: ignore[arg-type]
        assert inner is not None
        assert (inner.help or "").splitlines()[0] == line
