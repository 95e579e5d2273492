"""What is stored already stays readable: golden bytes of every format, and a platform's files as
v0.1.0 wrote them; by today's program and by that of v0.1.0 itself."""

import lzma
import tarfile
from io import BytesIO
from pathlib import Path
from typing import get_args

import pytest

from cell import commands
from cell.dashboard import Context
from cell.keys import NEWER
from firehose.codec import Kind
from firehose.event import (
    Event,
    Followed,
    Liked,
    MarkedRead,
    PostCreated,
    PostRef,
    PostRemoved,
    Unfollowed,
    Unliked,
)
from ops.embedded import Embedded
from router.moves import Move
from tests.contract.patience import until
from tests.golden import formats, later, life, released
from tests.golden.formats import Golden, differences, unpacked, with_a_new_field
from tests.higgs.driver import DEADLINE_MS, Ids, asker, send
from tests.oracle import operations as told
from tests.oracle.compare import compare
from tests.oracle.model import Model

READERS = (1, 2, 3, 4)
WAIT_S = 30.0
ROWS = Path(life.__file__).with_name(f"life-{released.RELEASE}.txt")


@pytest.fixture(scope="module")
def v0_1_0(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return released.checked_out(tmp_path_factory.mktemp("released"))


def test_every_format_of_v0_1_0_is_read_and_written_as_it_was() -> None:
    assert formats.all_differences() == []


def test_every_later_format_is_read_and_written_as_it_was() -> None:
    assert differences(later.VERSION, later.FORMATS) == []


def test_what_is_run_beside_today_is_v0_1_0(v0_1_0: Path) -> None:
    assert released.origin(v0_1_0) == v0_1_0
    assert not (v0_1_0 / "router" / "moves.py").exists()


def test_the_archive_of_v0_1_0_is_what_its_tag_has() -> None:
    tagged = released.tagged(released.RELEASE)
    if tagged is None:
        pytest.skip("a clone without its tags, or without git")
    archive = lzma.decompress(released.archive_of(released.RELEASE).read_bytes())
    assert _files(archive) == _files(tagged)


def _files(tar: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=BytesIO(tar)) as archive:
        members = [member for member in archive if member.isfile()]
        return {member.name: archive.extractfile(member).read() for member in members}


def test_v0_1_0_reads_and_writes_what_is_written_down_of_it(v0_1_0: Path) -> None:
    assert released.run(v0_1_0, "tests.golden.formats").strip() == ""


def test_there_are_golden_bytes_of_every_event_command_and_field() -> None:
    values = [each.value for each in (*formats.FORMATS, *later.FORMATS)]
    for kind in (*get_args(Event), *get_args(commands.Command), Move):
        found = [value for value in values if type(value) is kind]
        assert found, f"no golden bytes of {kind.__name__}"
    (full,) = (v for v in values if isinstance(v, PostCreated) and v.brought)
    assert all(getattr(full.draft, name) for name in full.draft.__slots__)
    (move,) = (v for v in values if isinstance(v, Move))
    assert all(getattr(move, name) for name in Move.__struct_fields__)
    written = {Kind(data[3]) for data in _sealed()}
    reserved = {Kind.POST_EDITED, Kind.BLOCKED, Kind.UNBLOCKED, Kind.USER_ERASED}
    assert written == set(Kind) - reserved


def _sealed() -> list[bytes]:
    data = formats.written_down(formats.VERSION).values()
    return [each for each in data if each.startswith(b"\xdc\x0e")]


@pytest.mark.parametrize("golden", formats.FORMATS, ids=lambda golden: golden.name)
def test_a_damaged_byte_is_told(golden: Golden) -> None:
    """The check notices what it is there to notice."""
    data = formats.written_down(formats.VERSION)[golden.name]
    if golden.write is None:
        return
    assert golden.differences(data) == []
    written = golden.write
    changed = Golden(golden.name, golden.value, golden.read, lambda v: written(v)[:-1] + b"?")
    assert changed.differences(data) != []


def test_new_fields_are_really_there() -> None:
    data = formats.written_down(formats.VERSION)
    newer = {name: with_a_new_field(each) for name, each in data.items()}
    grown = [name for name, each in newer.items() if each]
    assert {"event: post", "cell", "head of routes", "command: arrived"} <= set(grown)
    assert all(newer[name] != data[name] for name in grown)


def test_the_same_events_make_the_rows_that_they_made(tmp_path: Path) -> None:
    rows = [line for line in life.play(tmp_path) if line.split()[0] not in NEWER]
    assert rows == ROWS.read_text().splitlines()


def test_there_are_golden_rows_of_every_table() -> None:
    tables = {line.split()[0] for line in ROWS.read_text().splitlines()}
    assert tables == set(life.keys.TABLES) - {life.keys.CELL, *NEWER}
    assert all(unpacked(bytes.fromhex(line.split()[1])) for line in ROWS.read_text().splitlines())


def test_a_platform_that_v0_1_0_has_written_goes_on(v0_1_0: Path, tmp_path: Path) -> None:
    """Its files are opened by today's program: pages are as the model says, and grow."""
    folder = tmp_path / "platform"
    folder.mkdir()
    released.run(v0_1_0, "tests.golden.life", str(folder))
    assert (folder / "rows.txt").read_text() == ROWS.read_text()
    model = Model()
    model.apply_all(_operation(event) for event in life.EVENTS)
    ids = Ids()
    with Embedded(folder, 1) as platform:
        cell = platform.cells[life.CELL]
        until("today's worker has taken over", lambda: not cell.trouble(), WAIT_S)
        ask = asker(platform.dashboard)
        for reader in READERS:
            assert compare(model, ask, reader) == ""
        for operation in (
            told.Published(ids.take(), 1, told.Content(body="fifth")),
            told.Removed(ids.take(), 1, life.ID + 16),
            told.Followed(ids.take(), 4, 1),
            told.Unfollowed(ids.take(), 3, 1),
            told.Liked(ids.take(), 3, 1, life.ID + 7),
        ):
            model.apply(operation)
            token = send(platform.dashboard, Context(DEADLINE_MS), operation).token
        for reader in READERS:
            assert compare(model, ask, reader, at_least=(token,)) == ""


def _operation(event: Event) -> told.Operation:
    """An event in the model's words."""
    match event:
        case PostCreated(id=id_, author=author, draft=draft):
            content = told.Content(
                int(draft.kind),
                draft.title,
                draft.body,
                draft.tags,
                draft.mentions,
                _ref(draft.reblog_of),
                _ref(draft.reply_to),
                draft.at_ms,
            )
            return told.Published(id_, author, content)
        case PostRemoved(id=id_, author=author, post_id=post):
            return told.Removed(id_, author, post)
        case Followed(id=id_, follower=follower, author=author, backfill=backfill):
            return told.Followed(id_, follower, author, backfill)
        case Unfollowed(id=id_, follower=follower, author=author):
            return told.Unfollowed(id_, follower, author)
        case Liked(id=id_, actor=actor, author=author, post_id=post):
            return told.Liked(id_, actor, author, post)
        case Unliked(id=id_, actor=actor, author=author, post_id=post):
            return told.Unliked(id_, actor, author, post)
        case MarkedRead(id=id_, reader=reader, lane=lane, event_id=upto):
            return told.Marked(id_, reader, int(lane), upto)


def _ref(ref: PostRef | None) -> told.Ref | None:
    return None if ref is None else (ref.author, ref.id)
