"""The service Firehose over real Kafka: what many append is read once, live and afterwards."""

import threading
import uuid
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import pytest

from firehose.log_kafka import KafkaLog
from idgen.clock import SystemClock
from idgen.errors import CursorTooOld
from idgen.ids import compose
from tests.contract.patience import together, until
from tests.unit.firehose_service_world import (
    PARTITIONS,
    READER,
    WRITER,
    World,
    post,
    wire,
)

pytestmark = pytest.mark.stack
WRITERS, BATCHES, BATCH = 4, 20, 50
PATIENCE_S = 60.0
CONTEXT = wire.context.Context(deadline_ms=20_000)


@pytest.fixture
def world(kafka_address: str) -> Iterator[World]:
    settings, topic = {"bootstrap.servers": kafka_address}, f"thrift-{uuid.uuid4().hex}"
    found = World(lambda _: KafkaLog(settings, topic, PARTITIONS), SystemClock())
    yield found
    found.close()


def walk(world: World, start: str, **asked: Any) -> list[Any]:
    found: list[Any] = []
    while True:
        answer = world.read(start, limit=1_000, context=CONTEXT, **asked)
        found += answer.events
        start = answer.next_cursor
        if answer.at_end:
            return found


def places(events: list[Any]) -> list[tuple[int, int, int]]:
    return sorted((event.partition, event.offset, event.id) for event in events)


def write(world: World, writer: int) -> list[Any]:
    receipts: list[Any] = []
    for batch in range(BATCHES):
        first = writer * 10_000 + batch * BATCH + 1
        events = [
            post(author) if author % 3 else wire.NewEvent(liked=wire.Liked(author, 7, author))
            for author in range(first, first + BATCH)
        ]
        request = wire.AppendManyRequest(token=WRITER, events=events, context=CONTEXT)
        receipts += world.call("append_many", request)
    return receipts


def test_what_many_append_is_read_once_live_and_afterwards(world: World) -> None:
    begin = world.read("earliest", context=CONTEXT).next_cursor
    live: list[Any] = []
    written = threading.Event()

    def follow() -> None:
        start = begin
        while True:
            last = written.is_set()
            answer = world.read(start, limit=300, wait_ms=200, context=CONTEXT)
            live.extend(answer.events)
            start = answer.next_cursor
            if last and answer.at_end:
                return

    reader = threading.Thread(target=follow)
    reader.start()
    try:
        by_writer = together([partial(write, world, n) for n in range(WRITERS)])
    finally:
        written.set()
    receipts = [receipt for each in by_writer for receipt in each]
    until("the reader has come to the end", lambda: not reader.is_alive(), PATIENCE_S)
    assert len(receipts) == WRITERS * BATCHES * BATCH
    assert places(live) == places(receipts)
    for events in (live, *by_writer):
        for partition in range(PARTITIONS):
            offsets = [e.offset for e in events if e.partition == partition]
            assert all(a < b for a, b in pairwise(offsets)), "in the order of offsets"
    assert places(walk(world, "earliest")) == places(receipts)
    likes = {e.id for e in live if e.liked is not None}
    assert likes == {e.id for e in walk(world, begin, kinds=[5])}
    shares = [walk(world, begin, partitions=f"{n}/3") for n in range(3)]
    assert places([event for share in shares for event in share]) == places(receipts)
    times = sorted(receipt.appended_ms for receipt in receipts)
    middle = times[len(times) // 2]
    since = walk(world, str(middle))
    assert places(since) == places([r for r in receipts if r.appended_ms >= middle])

    window = world.call("window", wire.WindowRequest(token=READER, context=CONTEXT))
    assert (window.oldest_ms, window.newest_ms) == (times[0], times[-1])
    spans = world.call("positions", wire.PositionsRequest(token=READER, context=CONTEXT))
    ends = dict.fromkeys(range(PARTITIONS), 0)
    for receipt in receipts:
        ends[receipt.partition] = max(ends[receipt.partition], receipt.offset + 1)
    assert {span.partition: span.end_offset for span in spans} == ends


def test_a_retry_is_the_same_event_and_what_is_forgotten_is_told(world: World) -> None:
    begin = world.read("earliest", context=CONTEXT).next_cursor
    brought = compose(SystemClock().now_ms(), 1, 1)
    for _ in range(2):
        request = wire.AppendRequest(token=WRITER, event=post(5, "x", brought), context=CONTEXT)
        assert world.call("append", request).id == brought
    found = walk(world, begin)
    assert [(event.id, event.post_created.brought) for event in found] == [(brought, True)] * 2
    world.log.trim(found[-1].appended_ms + 1)
    receipt = world.call("append", wire.AppendRequest(token=WRITER, event=post(5), context=CONTEXT))
    with pytest.raises(CursorTooOld) as gone:
        walk(world, begin)
    floor = gone.value.floor.decode()
    assert [event.id for event in walk(world, floor)] == [receipt.id]
