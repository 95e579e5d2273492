"""A consumer commits what is done, and nothing of a partition that was taken away."""

from collections.abc import Collection, Mapping

import pytest

from firehose.checkpoint import Polled
from firehose.consumer import Consumer
from firehose.log import Record
from idgen.errors import Conflict, Unavailable


def record(partition: int, offset: int) -> Record:
    return Record(partition, offset, 0, b"")


class ScriptedMember:
    """Gives the polls it was told; refuses commits for partitions lost without a word."""

    def __init__(self, *polls: Polled) -> None:
        self._polls = list(polls)
        self.lost: set[int] = set()
        self.away = False
        self.committed: dict[int, int] = {}
        self.left = False

    @property
    def owned(self) -> frozenset[int]:
        return frozenset((0, 1))

    def poll(self, limit: int, timeout_ms: int) -> Polled:
        return self._polls.pop(0)

    def commit(self, offsets: Mapping[int, int]) -> None:
        if self.away:
            raise Unavailable("the server is away")
        if self.lost & set(offsets):
            raise Conflict("not owned")
        self.committed.update(offsets)

    def seek(self, partition: int, offset: int) -> None:
        raise AssertionError("a consumer does not seek")

    def pause(self, partitions: Collection[int]) -> None:
        raise AssertionError("a consumer does not pause")

    def resume(self, partitions: Collection[int]) -> None:
        raise AssertionError("a consumer does not resume")

    def leave(self) -> None:
        self.left = True


NONE: frozenset[int] = frozenset()


def test_polling_commits_nothing_and_done_commits_the_highest() -> None:
    records = [record(0, 5), record(1, 2), record(0, 6)]
    member = ScriptedMember(Polled(records, frozenset((0, 1)), NONE))
    consumer = Consumer(member)
    assert consumer.poll(10, 0).records == records
    assert member.committed == {}
    consumer.done(records[:1])
    assert member.committed == {0: 6}
    consumer.done(reversed(records))
    assert member.committed == {0: 7, 1: 3}
    assert consumer.dropped == 0


def test_records_of_a_revoked_partition_can_no_longer_be_done() -> None:
    old = [record(0, 5), record(1, 5)]
    member = ScriptedMember(
        Polled(old, frozenset((0, 1)), NONE),
        Polled([record(0, 3)], frozenset((0,)), frozenset((0,))),
    )
    consumer = Consumer(member)
    consumer.poll(10, 0)
    consumer.poll(10, 0)
    consumer.done(old)
    assert member.committed == {1: 6}
    assert consumer.dropped == 1


def test_a_partition_lost_unnoticed_costs_the_others_nothing() -> None:
    records = [record(0, 5), record(1, 5)]
    member = ScriptedMember(Polled(records, NONE, NONE))
    member.lost.add(0)
    consumer = Consumer(member)
    consumer.poll(10, 0)
    consumer.done(records)
    assert member.committed == {1: 6}
    assert consumer.dropped == 1


def test_a_store_that_is_away_is_told_and_may_be_tried_again() -> None:
    records = [record(0, 5)]
    member = ScriptedMember(Polled(records, NONE, NONE))
    consumer = Consumer(member)
    consumer.poll(10, 0)
    member.away = True
    with pytest.raises(Unavailable):
        consumer.done(records)
    member.away = False
    consumer.done(records)
    assert member.committed == {0: 6}


def test_leaving_leaves() -> None:
    member = ScriptedMember()
    Consumer(member).leave()
    assert member.left
