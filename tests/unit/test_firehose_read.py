"""Reading over Thrift, held against a list of what was appended."""

import random
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from firehose.codec import Kind, encode, seal
from firehose.event import PostRemoved
from firehose.log import RECORD_BYTES_MAX
from firehose.reads import BYTES_MAX, KEPT_MAX, KEPT_MS
from idgen.clock import SystemClock
from idgen.errors import BadRequest, CursorTooOld, Throttled
from idgen.ids import partition_of
from tests.contract.patience import until
from tests.unit.firehose_service_world import (
    BOTH,
    PARTITIONS,
    READER,
    WEEK_MS,
    WRITER,
    World,
    dash,
    hosted,
    post,
    wire,
)
from tests.unit.firehose_world import NOW_MS

KINDS = {
    1: "post_created", 2: "post_removed", 3: "followed", 4: "unfollowed", 5: "liked", 6: "unliked",
    7: "marked_read",
}  # fmt: skip
BLOCKED = seal(9, b"of a later program")
DAMAGED = b"\xdc\x0e\x01\x05 no envelope"


@dataclass(frozen=True)
class Kept:
    """What the oracle knows of an event: where it is, when it came, its kind, whom it names."""

    partition: int
    offset: int
    at_ms: int
    kind: int
    author: int
    event: Any


class Oracle:
    """Appends events, and knows them by itself."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.random = random.Random(seed)
        self.all: list[Kept] = []
        self._ends: defaultdict[int, int] = defaultdict(int)

    def append(self, count: int) -> None:
        news = [self._new() for _ in range(count)]
        self.world.append(*(event for event, _, _, _ in news))
        for event, kind, author, key in news:
            self._note(partition_of(key, PARTITIONS), kind, author, getattr(event, KINDS[kind]))

    def append_bytes(self, partition: int, value: bytes) -> None:
        self.world.log.append([(partition, value)])
        self._note(partition, 0, 0, value)

    def _note(self, partition: int, kind: int, author: int, event: Any) -> None:
        offset = self._ends[partition]
        self._ends[partition] += 1
        self.all.append(Kept(partition, offset, self.world.hand.ms, kind, author, event))

    def _new(self) -> tuple[Any, int, int, int]:
        kind, a, b, n = (self.random.randint(1, each) for each in (7, 9, 9, 10**6))
        b += 9
        made = {
            1: wire.PostCreated(author=a, draft=dash.Draft(kind=2, body=f"post {n}", tags=["x"])),
            2: wire.PostRemoved(a, n),
            3: wire.Followed(b, a, n % 1_001),
            4: wire.Unfollowed(b, a),
            5: wire.Liked(b, a, n),
            6: wire.Unliked(b, a, n),
            7: wire.MarkedRead(b, 1 + n % 2, n),
        }[kind]
        key = b if kind in (5, 6, 7) else a
        author = 0 if kind == 7 else a
        return wire.NewEvent(**{KINDS[kind]: made}), kind, author, key

    def partitions(self, wanted: Any) -> dict[int, list[Kept]]:
        found: dict[int, list[Kept]] = {}
        for kept in self.all:
            if wanted(kept):
                found.setdefault(kept.partition, []).append(kept)
        return found


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with hosted(tmp_path_factory.mktemp("empty")) as found:
        yield found


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with hosted(tmp_path) as found:
        yield found


def walk(world: World, start: str, **asked: Any) -> list[Any]:
    """All events from a place to the end, answer by answer."""
    found: list[Any] = []
    while True:
        answer = world.read(start, **asked)
        found += answer.events
        start = answer.next_cursor
        if answer.at_end:
            return found


def check(found: list[Any], wanted: dict[int, list[Kept]]) -> None:
    """Exactly these, in their order in each partition."""
    by_partition: dict[int, list[Any]] = {}
    for event in found:
        by_partition.setdefault(event.partition, []).append(event)
    assert {p: [e.offset for e in events] for p, events in by_partition.items()} == {
        p: [k.offset for k in kept] for p, kept in wanted.items()
    }
    for partition, events in by_partition.items():
        for event, kept in zip(events, wanted[partition], strict=True):
            _check_one(event, kept)


def _check_one(event: Any, kept: Kept) -> None:
    assert event.appended_ms == kept.at_ms
    told = {name: getattr(event, name) for name in (*KINDS.values(), "unreadable")}
    told = {name: value for name, value in told.items() if value is not None}
    if kept.kind:
        assert told == {KINDS[kept.kind]: kept.event}
        assert event.authored_ms == NOW_MS
    else:
        assert told["unreadable"].bytes == kept.event
        assert (event.id, event.authored_ms) == (None, None)


@pytest.mark.slow
def test_everything_is_read_once_from_any_place_with_any_filter(world: World) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    oracle = Oracle(world, seed)
    for _ in range(12):
        oracle.append(oracle.random.randint(1, 60))
        oracle.append_bytes(oracle.random.randrange(PARTITIONS), BLOCKED)
        world.hand.ms += oracle.random.choice((0, 1, 1_000))
    oracle.append_bytes(1, DAMAGED)
    for _ in range(25):
        kinds = oracle.random.sample(sorted(KINDS), oracle.random.choice((0, 0, 1, 3)))
        authors = oracle.random.sample(range(1, 10), oracle.random.choice((0, 0, 1, 4)))
        of = oracle.random.choice((1, 1, 2, PARTITIONS))
        index = oracle.random.randrange(of)
        since = oracle.random.choice((0, NOW_MS, oracle.random.randint(NOW_MS, world.hand.ms)))

        def wanted(
            kept: Kept, i: int = index, of: int = of, since: int = since, k: Any = kinds,
            a: Any = authors,
        ) -> bool:  # fmt: skip
            chosen = (not k or kept.kind in k) and (not a or kept.author in a)
            return kept.partition % of == i and kept.at_ms >= since and (not kept.kind or chosen)

        found = walk(
            world,
            str(since) if since else "earliest",
            kinds=kinds or None,
            authors=authors or None,
            partitions=f"{index}/{of}",
            limit=oracle.random.choice((1, 7, 100, 1_000)),
        )
        check(found, oracle.partitions(wanted))


def test_what_cannot_be_read_says_why_and_of_which_kind(world: World) -> None:
    gone = seal(Kind.GONE, b"\x00")
    poison = encode(PostRemoved(5, 6, 7))[:12] + bytes(3)
    for value in (BLOCKED, DAMAGED, b"\x01", gone, poison):
        world.log.append([(0, value)])
    found = world.read("earliest", kinds=[5], authors=[3]).events
    why = wire.WhyUnreadable
    assert [(e.unreadable.why, e.unreadable.kind, e.unreadable.bytes) for e in found] == [
        (why.UNKNOWN, 9, BLOCKED),
        (why.DAMAGED, 5, DAMAGED),
        (why.DAMAGED, None, b"\x01"),
        (why.UNKNOWN, 128, gone),
        (why.DAMAGED, 2, poison),
    ]


def test_the_authors_own_time_is_told(world: World) -> None:
    (receipt,) = world.append(post(5, at_ms=1_341_100_000_000))
    (event,) = world.read("earliest").events
    assert (event.id, event.partition, event.offset) == (receipt.id, receipt.partition, 0)
    assert (event.authored_ms, event.appended_ms) == (1_341_100_000_000, receipt.appended_ms)
    assert event.post_created.brought is None


def test_a_brought_post_says_so(world: World) -> None:
    (receipt,) = world.append(post(5))
    world.append(post(5, brought_id=receipt.id))
    assert [e.post_created.brought for e in world.read("earliest").events] == [None, True]


def test_latest_begins_with_what_comes(world: World) -> None:
    world.append(post(1), post(2))
    answer = world.read("latest")
    assert (answer.events, answer.at_end) == ([], True)
    (receipt,) = world.append(post(3))
    (event,) = world.read(answer.next_cursor).events
    assert event.id == receipt.id


def test_a_read_waits_for_the_first_event(tmp_path: Path) -> None:
    with hosted(tmp_path, SystemClock()) as world:
        cursor = world.read("earliest").next_cursor
        nothing = world.read(cursor, wait_ms=30)
        assert (nothing.events, nothing.next_cursor, nothing.at_end) == ([], cursor, True)
        answers: list[Any] = []
        context = wire.context.Context(deadline_ms=15_000)
        waiting = threading.Thread(
            target=lambda: answers.append(world.read(cursor, wait_ms=15_000, context=context))
        )
        waiting.start()
        (receipt,) = world.append(post(4))
        waiting.join(20)
        assert [event.id for event in answers[0].events] == [receipt.id]


@pytest.mark.slow
def test_an_answer_is_bounded_in_bytes_and_loses_nothing(world: World) -> None:
    big = [seal(9, bytes(RECORD_BYTES_MAX - 100)) for _ in range(11)]
    for n, value in enumerate(big):
        world.log.append([(n % 2, value)])
    sizes, offsets, start = [], set(), "earliest"
    while True:
        answer = world.read(start, limit=1_000)
        sizes.append(sum(len(e.unreadable.bytes) for e in answer.events))
        offsets |= {(e.partition, e.offset) for e in answer.events}
        start = answer.next_cursor
        if answer.at_end:
            break
    assert max(sizes) < BYTES_MAX + RECORD_BYTES_MAX
    assert sum(sizes) == sum(map(len, big)), "nothing twice"
    assert offsets == {(n % 2, n // 2) for n in range(11)}


def test_a_cursor_before_the_window_is_told_the_oldest_that_is_left(world: World) -> None:
    cursor = world.read("earliest").next_cursor
    world.append(*[post(author) for author in range(1, 30)])
    world.hand.ms += 1_000
    (kept,) = world.append(post(5))
    # A pass that stands there is kept, and one that is opened anew: both are told the same.
    world.log.trim(NOW_MS + 1)
    for _ in range(2):
        with pytest.raises(CursorTooOld) as gone:
            world.read(cursor)
        floor = gone.value.floor.decode()
        assert [event.id for event in world.read(floor).events] == [kept.id]


@pytest.mark.parametrize(
    ("field", "asked"),
    [
        ("start", {"start": ""}),
        ("start", {"start": "1341403200"}),
        ("start", {"start": "2012-07-04T12:00:00"}),
        ("start", {"start": "2012-07-04T12:00:00 02:00"}),
        ("start", {"start": "c1.AAAA"}),
        ("start", {"start": "soon"}),
        ("limit", {"limit": 0}),
        ("limit", {"limit": 1_001}),
        ("wait_ms", {"wait_ms": -1}),
        ("kinds[1]", {"kinds": [1, 8]}),
        ("authors", {"authors": [1, 0]}),
        ("authors", {"authors": list(range(1, 1_002))}),
        ("partitions", {"partitions": "4/4"}),
        ("partitions", {"partitions": "5/6"}),
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_refused(empty: World, field: str, asked: dict[str, Any]) -> None:
    with pytest.raises(BadRequest) as refused:
        empty.read(**{"start": "earliest", **asked})
    assert refused.value.field == field


def test_a_cursor_of_another_share_or_log_is_refused(world: World, tmp_path: Path) -> None:
    half = world.read("earliest", partitions="0/2").next_cursor
    with pytest.raises(BadRequest, match="says nothing of partition 1"):
        world.read(half)
    (tmp_path / "other").mkdir()
    with hosted(tmp_path / "other") as other, pytest.raises(BadRequest, match="another firehose"):
        other.read(half, partitions="0/2")


def test_reads_of_one_client_at_once_are_bounded(tmp_path: Path) -> None:
    with hosted(tmp_path, SystemClock()) as world:
        world.gate.clients[READER] = replace(world.gate.clients[READER], streams_max=1)
        cursor = world.read("latest").next_cursor
        context = wire.context.Context(deadline_ms=55_000)
        answers: list[Any] = []
        waiting = threading.Thread(
            target=lambda: answers.append(world.read(cursor, wait_ms=55_000, context=context))
        )
        waiting.start()
        until("the other one has begun", world.handler._reads._reading.total, 10)
        with pytest.raises(Throttled, match="1 times at once"):
            world.read("earliest")
        world.read("earliest", token=BOTH)
        world.append(post(4))
        waiting.join(60)
        assert len(answers[0].events) == 1
        world.read("earliest")


def test_passes_are_kept_for_who_goes_on_and_not_for_ever(world: World) -> None:
    kept = world.handler._reads._kept._readings
    cursor = world.read("earliest").next_cursor
    assert world.read(cursor).next_cursor == cursor
    assert len(kept) == 1, "the same pass was taken and given back"
    for author in range(1, KEPT_MAX + 5):
        world.read("earliest", authors=[author])
    assert len(kept) == KEPT_MAX
    world.hand.ms += KEPT_MS + 1
    world.read("earliest")
    assert len(kept) == 1


def test_positions_and_window(world: World) -> None:
    def spans() -> list[tuple[int, int, int]]:
        found = world.call("positions", wire.PositionsRequest(token=READER))
        return [(span.partition, span.start_offset, span.end_offset) for span in found]

    def window() -> Any:
        return world.call("window", wire.WindowRequest(token=READER))

    assert spans() == [(p, 0, 0) for p in range(PARTITIONS)]
    empty = window()
    assert (empty.oldest_ms, empty.newest_ms, empty.retention_ms) == (None, None, WEEK_MS)
    assert empty.oldest_cursor == empty.newest_cursor
    oracle = Oracle(world, 7)
    for _ in range(5):
        oracle.append(40)
        world.hand.ms += 1_000
    cut = NOW_MS + 2_000
    world.log.trim(cut)
    left = [kept for kept in oracle.all if kept.at_ms >= cut]
    ends = {p: sum(kept.partition == p for kept in oracle.all) for p in range(PARTITIONS)}
    starts = {p: ends[p] - sum(kept.partition == p for kept in left) for p in range(PARTITIONS)}
    assert spans() == [(p, starts[p], ends[p]) for p in range(PARTITIONS)]
    found = window()
    assert (found.oldest_ms, found.newest_ms) == (cut, NOW_MS + 4_000)
    assert found.now_ms == world.hand.ms
    check(walk(world, found.oldest_cursor), oracle.partitions(lambda kept: kept.at_ms >= cut))
    assert world.read(found.newest_cursor).events == []
    assert not walk(world, "latest", token=BOTH)
    assert WRITER not in (READER, BOTH)
