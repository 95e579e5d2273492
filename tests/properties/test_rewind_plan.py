"""A plan of a rewind beside an oracle that reads a log event by event."""

from random import Random

import pytest

from firehose.log import Span
from firehose.rewind import aimed, aimed_in_time, next_offsets, steps

SEEDS = range(300)


def read(span: Span, at: int) -> list[int]:
    """The events that whoever goes on at `at` comes to, of all that were ever there."""
    return [offset for offset in range(span.start, span.end) if offset >= at]


@pytest.mark.parametrize("block", range(3))
def test_a_plan_replays_and_skips_what_an_oracle_counts(block: int) -> None:
    for seed in SEEDS[block::3]:
        rnd = Random(seed)
        spans = [Span(start, start + rnd.randrange(9)) for start in rnd.choices(range(7), k=3)]
        committed = {p: rnd.randrange(18) for p in range(3) if rnd.random() < 0.8}
        wanted = {p: rnd.randrange(-3, 20) for p in range(3) if rnd.random() < 0.8}
        applied = {p: rnd.randint(*span) for p, span in enumerate(spans)}
        is_cell = rnd.random() < 0.5
        before = next_offsets(committed, spans)
        plan = steps(before, aimed(wanted, spans), spans, applied if is_cell else None)
        assert [step.partition for step in plan] == sorted(wanted), seed
        for step in plan:
            p, span = step.partition, spans[step.partition]
            was, now = read(span, step.before), read(span, step.offset)
            assert span.start <= step.offset <= span.end, seed
            assert step.replayed == len(set(now) - set(was)), seed
            assert step.skipped == len(set(was) - set(now)), seed
            assert step.before == committed.get(p, span.start), seed
            came_to = max(step.before, applied[p]) if is_cell else step.before
            assert step.gone == len(range(came_to, span.start)), seed
            assert bool(step.clamped) == (step.offset != wanted[p]), seed
            if is_cell:
                assert set(range(span.start, span.end)) - set(range(applied[p])) <= set(now), seed
                assert not step.skipped, seed
            else:
                assert now == read(span, wanted[p]), seed


@pytest.mark.parametrize(
    ("found", "future", "clamped"),
    [(3, False, "oldest"), (4, False, ""), (9, False, ""), (9, True, "newest")],
)
def test_a_time_beyond_the_window_is_said_to_be(found: int, future: bool, clamped: str) -> None:
    assert aimed_in_time({0: found}, [Span(3, 9)], future=future)[0] == (found, clamped)


def test_at_the_start_of_a_log_that_has_forgotten_nothing_nothing_is_clamped() -> None:
    assert aimed_in_time({0: 0}, [Span(0, 9)], future=False)[0] == (0, "")
