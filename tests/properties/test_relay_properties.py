"""What is behind a relay is the root exactly: whoever is killed, overtaken or doubled, and wherever
reading begins. A life is a seed."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firehose.checkpoint_relayed import RelayedCheckpoints
from firehose.log import Record, Span
from firehose.log_relayed import RelayedLog
from firehose.relayed import RelayGap
from idgen.errors import CursorTooOld, Unavailable
from tests.sim.cell_world import Group
from tests.sim.relay_world import RelayWorld

seeds = st.integers(0, 2**32 - 1)


def begun(behind: RelayedLog) -> list[Span]:
    try:
        return behind.spans()
    except Unavailable:
        return []


def check_reads(world: RelayWorld, behind: RelayedLog) -> None:
    """Reads at random places give what the root holds there, as far as it was relayed."""
    for p, (span, end) in enumerate(zip(begun(behind), world.ends(), strict=False)):
        records = world.root.records[p]
        assert span.end == end <= len(records)
        for offset in {world.rnd.randint(span.start, len(records)) for _ in range(3)}:
            limit = world.rnd.choice([1, 2, 50])
            found = behind.read(p, offset, limit)
            assert found == records[offset : offset + len(found)]
            assert bool(found) == (offset < span.end), (p, offset, span)
        if span.start:
            with pytest.raises(CursorTooOld) as caught:
                behind.read(p, span.start - 1, 1)
            assert caught.value.floor == span.start.to_bytes(8)


def check_times(world: RelayWorld, behind: RelayedLog) -> None:
    spans = begun(behind)
    if not spans:
        return
    times = [record.at_ms for records in world.root.records for record in records]
    for time_ms in world.rnd.sample(times, min(3, len(times))):
        expected = [
            next(
                (r.offset for r in world.root.records[p][s.start : s.end] if r.at_ms >= time_ms),
                s.end,
            )
            for p, s in enumerate(spans)
        ]
        assert behind.offsets_at(time_ms) == expected


@settings(max_examples=120)
@given(seeds)
def test_what_is_behind_is_the_root_whatever_happens_to_relays(seed: int) -> None:
    rnd = Random(seed)
    world = RelayWorld(rnd, batch=rnd.choice([1, 2, 5]))
    with world.bounds():
        for _ in range(rnd.choice([1, 1, 2, 3])):
            world.start()
        world.share()
        lasting = world.behind()
        for _ in range(rnd.choice([5, 20, 40])):
            what = rnd.random()
            if what < 0.4:
                world.write(rnd.randrange(8))
            elif what < 0.9:
                world.any_step()
            else:
                world.share()
            if rnd.random() < 0.3:
                check_reads(world, rnd.choice([lasting, world.behind()]))
        world.catch_up()
        for behind in (lasting, world.behind()):
            assert behind.spans() == world.root.spans()
            check_reads(world, behind)
            check_times(world, behind)
            assert [behind.read(p, 0, 10_000) for p in range(2)] == world.root.records


def cut(world: RelayWorld) -> None:
    """Retention, which lets the root forget what lies below its relay, and the topic anything."""
    (one,) = world.running
    one.step()
    p = world.rnd.randrange(2)
    start, end = world.topic.spans()[p]
    if not one.relay._next or start == end:
        return
    world.topic.starts[p] = world.rnd.choice([end, world.rnd.randint(start, end)])
    one.step()
    assert world.topic.spans()[p].start < world.topic.spans()[p].end, "it was not begun again"
    world.root.starts[p] = world.rnd.randint(world.root.starts[p], one.relay._next[p])
    if world.rnd.random() < 0.5:
        world.catch_up()


@settings(max_examples=80)
@given(seeds)
def test_what_retention_leaves_is_the_root_from_there_on(seed: int) -> None:
    """One relay at a time; the topic is cut anywhere, also empty, and the root below it."""
    rnd = Random(seed)
    world = RelayWorld(rnd, batch=rnd.choice([1, 3]))
    with world.bounds():
        world.start()
        world.share()
        lasting = world.behind()
        for _ in range(rnd.choice([5, 30])):
            what = rnd.random()
            if what < 0.4:
                world.write(rnd.randrange(8))
            elif what < 0.8:
                world.any_step(at_once=False)
            else:
                cut(world)
            check_reads(world, rnd.choice([lasting, world.behind()]))
            check_times(world, rnd.choice([lasting, world.behind()]))
        world.catch_up()
        assert [s.end for s in lasting.spans()] == [s.end for s in world.root.spans()]
        check_reads(world, lasting)


@settings(max_examples=80)
@given(seeds)
def test_retention_that_cuts_through_relays_at_once_never_hides_a_gap(seed: int) -> None:
    """Readers are given what the root holds, in order; or are told."""
    rnd = Random(seed)
    world = RelayWorld(rnd, batch=rnd.choice([1, 3]))
    with world.bounds():
        for _ in range(3):
            world.start()
        world.share()
        for _ in range(30):
            if rnd.random() < 0.4:
                world.write(rnd.randrange(8))
            world.any_step()
            if rnd.random() < 0.2:
                p = rnd.randrange(2)
                world.topic.starts[p] = rnd.randint(*world.topic.spans()[p])
            for p, span in enumerate(begun(behind := world.behind())):
                offset = rnd.randint(span.start, max(span))
                try:
                    found = behind.read(p, offset, 50)
                except (RelayGap, CursorTooOld):
                    continue
                assert found == world.root.records[p][offset : offset + len(found)]


@settings(max_examples=120)
@given(seeds)
def test_members_behind_are_given_each_root_record_in_order(seed: int) -> None:
    """Members come and go; each goes on where its predecessor committed, in root offsets."""
    rnd = Random(seed)
    world = RelayWorld(rnd, batch=rnd.choice([1, 2, 5]))
    with world.bounds():
        for _ in range(rnd.choice([1, 2, 3])):
            world.start()
        world.share()
        world.any_step(at_once=False)
        world.catch_up()
        world.start()
        world.share()
        topic = Group(world.topic)
        behind = world.behind()
        groups = RelayedCheckpoints(topic, world.topic, behind)
        member, expected, told = groups.join("cell", "one"), [0, 0], [0, 0]
        topic.assign(dict.fromkeys(range(2), member._inner))  # type: ignore[arg-type]
        for step in range(60):
            what = rnd.random()
            if what < 0.2:
                world.write(rnd.randrange(8))
            elif what < 0.5 and world.running and step < 40:
                world.any_step()
            elif what < 0.6 and member.owned:
                p = rnd.randrange(2)
                expected[p] = rnd.randint(0, expected[p])
                member.seek(p, expected[p])
            elif what < 0.7 and member.owned:
                p = rnd.randrange(2)
                told[p] = rnd.randint(0, expected[p])
                member.commit({p: told[p]})
                assert groups.committed("cell")[p] == told[p]
            elif what < 0.75:
                groups.rewind("cell", dict(enumerate(told)))
                known = groups.committed("cell")
                member, expected = groups.join("cell", "two"), [known[p] for p in range(2)]
                assert expected == told
                topic.assign(dict.fromkeys(range(2), member._inner))  # type: ignore[arg-type]
            else:
                given_to(world, member.poll(rnd.choice([1, 4, 50]), 0).records, expected)
        world.catch_up()
        for _ in range(3 * sum(len(r) for r in world.topic.records)):
            given_to(world, member.poll(5, 0).records, expected)
        assert expected == [len(records) for records in world.root.records]


def given_to(world: RelayWorld, records: list[Record], expected: list[int]) -> None:
    for record in records:
        assert record == world.root.records[record.partition][expected[record.partition]]
        expected[record.partition] += 1
