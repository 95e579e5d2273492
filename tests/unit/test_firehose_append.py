"""Appending over Thrift: who may, what is refused, what is written, and the same again."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from firehose.codec import decode
from firehose.event import (
    Draft,
    Followed,
    Lane,
    Liked,
    MarkedRead,
    PostCreated,
    PostKind,
    PostRef,
    PostRemoved,
    Unfollowed,
    Unliked,
)
from firehose.position import Need, parse_token
from idgen.errors import (
    BadRequest,
    Corrupt,
    PermissionDenied,
    Throttled,
    Unauthenticated,
)
from idgen.ids import compose, partition_of
from ops.bench.measures.appends import Appends, check
from tests.unit.firehose_service_world import (
    BOTH,
    PARTITIONS,
    READER,
    WRITER,
    World,
    dash,
    hosted,
    post,
    wire,
)
from tests.unit.firehose_world import NOW_MS

BROUGHT = compose(NOW_MS - 1000, 9, 9)
OLD, SOON = compose(NOW_MS - 901_000, 1, 1), compose(NOW_MS + 901_000, 1, 1)
FIRST = compose(NOW_MS, 1, 0)
KEYS = ("author", "follower", "actor", "reader")


@pytest.fixture(scope="module")
def unwritten(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One for all tests that write nothing."""
    with hosted(tmp_path_factory.mktemp("unwritten")) as found:
        yield found


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with hosted(tmp_path) as found:
        yield found


def written(world: World) -> dict[tuple[int, int], Any]:
    return {
        (p, r.offset): decode(r.value)
        for p in range(PARTITIONS)
        for r in world.log.read(p, 0, 10_000)
    }


def new(**kind: Any) -> Any:
    return wire.NewEvent(**kind)


def one_of_each() -> list[Any]:
    draft = dash.Draft(
        kind=3, title="t", body="grüße", tags=["a", "b"], mentions=[9, 8, 9],
        reblog_of=dash.PostRef(4, 5), reply_to=dash.PostRef(6, 7), at_ms=8,
    )  # fmt: skip
    return [
        new(post_created=wire.PostCreated(author=11, draft=draft)),
        new(post_removed=wire.PostRemoved(author=12, post_id=77)),
        new(followed=wire.Followed(follower=13, author=14)),
        new(followed=wire.Followed(follower=13, author=15, backfill=0)),
        new(unfollowed=wire.Unfollowed(follower=13, author=14)),
        new(liked=wire.Liked(actor=16, author=17, post_id=78)),
        new(unliked=wire.Unliked(actor=16, author=17, post_id=78)),
        new(marked_read=wire.MarkedRead(reader=18, lane=2, event_id=79)),
    ]


def test_a_batch_of_all_kinds_is_written_in_its_order(world: World) -> None:
    receipts = world.append(*one_of_each())
    draft = Draft(PostKind.QUOTE, "t", "grüße", ("a", "b"), (9, 8), PostRef(4, 5), PostRef(6, 7), 8)
    wanted = [
        PostCreated(FIRST, 11, draft),
        PostRemoved(FIRST + 1, 12, 77),
        Followed(FIRST + 2, 13, 14, 7),
        Followed(FIRST + 3, 13, 15, 0),
        Unfollowed(FIRST + 4, 13, 14),
        Liked(FIRST + 5, 16, 17, 78),
        Unliked(FIRST + 6, 16, 17, 78),
        MarkedRead(FIRST + 7, 18, Lane.NOTICES, 79),
    ]
    events = written(world)
    assert [events[r.partition, r.offset] for r in receipts] == wanted
    assert len(events) == len(wanted)
    assert [r.id for r in receipts] == [event.id for event in wanted]
    assert {r.appended_ms for r in receipts} == {NOW_MS}
    keys = (11, 12, 14, 15, 14, 16, 16, 18)
    assert [r.partition for r in receipts] == [partition_of(key, PARTITIONS) for key in keys]
    for receipt in receipts:
        needs = parse_token(receipt.token, PARTITIONS).needs
        assert needs == {receipt.partition: Need(0, frozenset((receipt.offset,)))}


def test_one_event_by_itself(world: World) -> None:
    receipt = world.call("append", wire.AppendRequest(token=BOTH, event=post(5, "alone")))
    assert written(world) == {
        (receipt.partition, receipt.offset): PostCreated(FIRST, 5, Draft(body="alone"))
    }


def test_a_brought_id_makes_a_retry_the_same_event(world: World) -> None:
    first = world.append(post(5, "a", BROUGHT), new(liked=wire.Liked(1, 2, 3), brought_id=BROUGHT))
    again = world.append(post(5, "a", BROUGHT), new(liked=wire.Liked(1, 2, 3), brought_id=BROUGHT))
    assert [r.id for r in first + again] == [BROUGHT] * 4
    assert world.ids.asked == []
    assert sorted(map(repr, written(world).values())) == sorted(
        2 * [repr(PostCreated(BROUGHT, 5, Draft(body="a"), True)), repr(Liked(BROUGHT, 1, 2, 3))]
    )


REFUSED: list[tuple[str, Any]] = [
    ("post_created.author", post(0)),
    ("post_created.author", wire.NewEvent(post_created=wire.PostCreated(draft=dash.Draft()))),
    ("post_created.draft", wire.NewEvent(post_created=wire.PostCreated(author=1))),
    ("post_created.draft.kind", post(1, kind=9)),
    ("post_created.draft.title", post(1, title="x" * 1_025)),
    ("post_created.draft.body", post(1, "x" * 65_537)),
    ("post_created.draft.tags", post(1, tags=["x"] * 31)),
    ("post_created.draft.tags[1]", post(1, tags=["x", "ü" * 71])),
    ("post_created.draft.mentions", post(1, mentions=list(range(1, 52)))),
    ("post_created.draft.mentions[0]", post(1, mentions=[-1])),
    ("post_created.draft.reblog_of.id", post(1, reblog_of=dash.PostRef(author=1))),
    ("post_created.draft.reblog_of.author", post(1, reblog_of=dash.PostRef(0, 1))),
    ("post_created.draft.reply_to.id", post(1, reply_to=dash.PostRef(1, 0))),
    ("post_created.draft.at_ms", post(1, at_ms=-1)),
    ("brought_id", post(1, brought_id=OLD)),
    ("brought_id", post(1, brought_id=SOON)),
    ("brought_id", post(1, brought_id=0)),
    ("post_removed.author", new(post_removed=wire.PostRemoved(-1, 2))),
    ("post_removed.post_id", new(post_removed=wire.PostRemoved(1, 0))),
    ("post_removed.post_id", new(post_removed=wire.PostRemoved(author=1))),
    ("brought_id", new(post_removed=wire.PostRemoved(1, 2), brought_id=OLD)),
    ("followed.author", new(followed=wire.Followed(4, 4))),
    ("followed.follower", new(followed=wire.Followed(author=4))),
    ("followed.backfill", new(followed=wire.Followed(4, 5, 1_001))),
    ("followed.backfill", new(followed=wire.Followed(4, 5, -1))),
    ("unfollowed.author", new(unfollowed=wire.Unfollowed(4, 4))),
    ("brought_id", new(unfollowed=wire.Unfollowed(4, 5), brought_id=SOON)),
    ("liked.actor", new(liked=wire.Liked(0, 1, 1))),
    ("liked.author", new(liked=wire.Liked(1, 0, 1))),
    ("liked.post_id", new(liked=wire.Liked(1, 1, 0))),
    ("unliked.post_id", new(unliked=wire.Unliked(1, 1))),
    ("unliked.actor", new(unliked=wire.Unliked(-3, 1, 1))),
    ("marked_read.reader", new(marked_read=wire.MarkedRead(0, 1, 1))),
    ("marked_read.lane", new(marked_read=wire.MarkedRead(1, 3, 1))),
    ("marked_read.lane", new(marked_read=wire.MarkedRead(reader=1, event_id=1))),
    ("marked_read.event_id", new(marked_read=wire.MarkedRead(1, 1, 0))),
    ("marked_read.event_id", new(marked_read=wire.MarkedRead(1, 1, SOON))),
    ("", wire.NewEvent()),
    ("", wire.NewEvent(liked=wire.Liked(1, 2, 3), unliked=wire.Unliked(1, 2, 3))),
]


@pytest.mark.parametrize(("field", "bad"), REFUSED, ids=lambda value: str(value)[:60])
def test_what_is_refused_is_named_and_nothing_is_written(
    unwritten: World, field: str, bad: Any
) -> None:
    world = unwritten
    path = f".{field}" if field else ""
    with pytest.raises(BadRequest) as refused:
        world.append(post(1), post(2), bad, post(3))
    assert refused.value.field == f"events[2]{path}"
    with pytest.raises(BadRequest) as refused:
        world.call("append", wire.AppendRequest(token=WRITER, event=bad))
    assert refused.value.field == f"event{path}"
    assert written(world) == {}
    assert world.ids.asked == []


def test_every_kind_is_refused_something() -> None:
    kinds = {spec[1] for spec in wire.NewEvent.thrift_spec.values()} - {"brought_id"}
    assert {field.partition(".")[0] for field, _ in REFUSED} >= kinds


def test_at_most_a_thousand_at_once(world: World) -> None:
    likes = [new(liked=wire.Liked(1, 2, n)) for n in range(1, 1_002)]
    with pytest.raises(BadRequest, match="1001 entries") as refused:
        world.append(*likes)
    assert refused.value.field == "events"
    assert len(world.append(*likes[:1_000])) == 1_000
    assert world.append() == []
    with pytest.raises(BadRequest, match="events: is missing"):
        world.call("append_many", wire.AppendManyRequest(token=WRITER))
    with pytest.raises(BadRequest, match="event: is missing"):
        world.call("append", wire.AppendRequest(token=WRITER))


METHODS: dict[str, tuple[Any, str]] = {
    "append": (wire.AppendRequest, READER),
    "append_many": (wire.AppendManyRequest, READER),
    "read": (wire.ReadRequest, WRITER),
    "positions": (wire.PositionsRequest, WRITER),
    "window": (wire.WindowRequest, WRITER),
}


@pytest.mark.parametrize("method", METHODS)
def test_nobody_is_told_anything_before_their_token(unwritten: World, method: str) -> None:
    """Requests that are wrong in everything else."""
    world = unwritten
    request, other_role = METHODS[method]
    for token in (None, "", "guessed"):
        with pytest.raises(Unauthenticated):
            world.call(method, request(token=token))
    with pytest.raises(PermissionDenied):
        world.call(method, request(token=other_role))
    assert set(METHODS) == set(wire.Firehose.thrift_services)


def test_a_token_that_is_no_text_is_nobodys(unwritten: World) -> None:
    request = wire.PositionsRequest(token=b"\xff\xfe")
    with pytest.raises(Unauthenticated):
        unwritten.call("positions", request)


def test_a_client_appends_no_more_than_its_quota(world: World) -> None:
    gate = world.gate.clients
    gate[WRITER] = replace(gate[WRITER], events_per_s=100)
    world.append(*[post(1)] * 60)
    with pytest.raises(Throttled) as throttled:
        world.append(*[post(1)] * 60)
    assert throttled.value.retry_after_ms == 200
    world.append(post(1), token=BOTH)  # another client is not felt by it
    world.hand.ms += throttled.value.retry_after_ms
    world.append(*[post(1)] * 60)
    # What is above a second's worth is let in when the bucket is full, and paid off afterwards.
    world.hand.ms += 1_000
    world.append(*[post(1)] * 300)
    with pytest.raises(Throttled) as throttled:
        world.append(post(1))
    assert throttled.value.retry_after_ms == 2_010
    assert len(written(world)) == 421
    # Who was silent for long has saved up a second's worth, and no more.
    world.hand.ms += 60_000
    world.append(*[post(1)] * 60)
    with pytest.raises(Throttled):
        world.append(*[post(1)] * 60)
    gate[WRITER] = replace(gate[WRITER], events_per_s=0)
    with pytest.raises(PermissionDenied, match="0 events/s"):
        world.append(post(1))


# -- what the bench asks -------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 10, 1_000])
def test_the_benchs_calls_are_answered_and_looked_at(world: World, count: int) -> None:
    call = Appends(world.address, WRITER, count)()
    for number in range(2):
        call(number)
    assert len(written(world)) == 3 * count


def test_an_error_is_no_answer_of_the_bench(world: World) -> None:
    with pytest.raises(Unauthenticated):
        Appends(world.address, "guessed")()
    call = Appends(world.address, WRITER)()
    world.gate.clients.clear()
    with pytest.raises(Unauthenticated):
        call(1)


@pytest.mark.parametrize("offsets", [[(0, 1)], [(0, 1), (0, 1)], [(0, 2), (1, 0), (0, 1)]])
def test_receipts_that_are_missing_or_out_of_order_are_no_figure(
    offsets: list[tuple[int, int]],
) -> None:
    check([wire.Receipt(1, p, o) for p, o in ((0, 1), (1, 0), (0, 2))], 3)
    with pytest.raises(Corrupt):
        check([wire.Receipt(1, *place) for place in offsets], max(2, len(offsets)))
