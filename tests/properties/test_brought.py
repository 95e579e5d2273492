"""What is brought to another cell: the same events as in switches, below the position."""

from hypothesis import given
from hypothesis import strategies as st

from cell.brought import PARTS_MAX, Below, brought, repartitioned
from cell.coverage import OPEN, Brought, Covered, Span, Stamps, decode, encode, pulled_events
from idgen.ids import spread

PARTITIONS = 3
AT_MAX = 30
SWITCHES = 8

ats = st.integers(1, AT_MAX)


@st.composite
def spans(draw: st.DrawFn) -> tuple[Span, ...]:
    named = sorted(draw(st.sets(st.integers(0, SWITCHES - 1), max_size=6)))
    pairs = list(zip(named[::2], named[1::2], strict=False))
    found = [Span(since, until) for since, until in pairs]
    if len(named) % 2:
        found.append(Span(named[-1], OPEN))
    return tuple(found)


@st.composite
def rows(draw: st.DrawFn) -> Covered:
    vectors = st.tuples(*[st.integers(0, AT_MAX)] * PARTITIONS)
    before = draw(st.lists(st.builds(Brought, vectors, vectors), max_size=3))
    return Covered(spans=draw(spans()), brought=tuple(before))


@st.composite
def stamped(draw: st.DrawFn) -> list[dict[int, int]]:
    """By partition the stamps of all switches, which never fall."""
    lists = st.lists(ats, min_size=SWITCHES, max_size=SWITCHES).map(sorted)
    return [dict(enumerate(draw(lists))) for _ in range(PARTITIONS)]


positions = st.lists(ats, min_size=PARTITIONS, max_size=PARTITIONS)


def contained(covered: Covered, stamps: list[Stamps], partition: int) -> set[int]:
    events = pulled_events(covered, stamps)
    return {at for at in range(AT_MAX + 2) if events.contain(partition, at)}


@given(st.lists(rows(), max_size=3), stamped(), positions)
def test_it_is_what_the_spans_have_below_the_position_and_no_more(
    some: list[Covered], stamps: list[dict[int, int]], until: list[int]
) -> None:
    known = [Stamps(each) for each in stamps]
    told = brought(some, Below(known, [SWITCHES] * PARTITIONS, until))
    assert decode(encode(told)) == told
    assert not told.spans
    for p in range(PARTITIONS):
        want = {at for row in some for at in contained(row, known, p) if at < until[p]}
        assert contained(told, [], p) == want


@given(rows(), stamped(), positions, st.lists(st.integers(0, SWITCHES), min_size=3, max_size=3))
def test_a_switch_not_obeyed_at_the_position_is_nothing_and_a_missing_stamp_no_loss(
    row: Covered, stamps: list[dict[int, int]], until: list[int], commands: list[int]
) -> None:
    """Switches from `commands` on are stamped at the position or behind it, whatever is known."""
    truth = [
        {s: at if s < commands[p] else max(at, until[p]) for s, at in each.items()}
        for p, each in enumerate(stamps)
    ]
    known = [
        Stamps({s: at for s, at in each.items() if s < commands[p]}) for p, each in enumerate(truth)
    ]
    exact = brought([row], Below([Stamps(t) for t in truth], [SWITCHES] * PARTITIONS, until))
    unread = [Stamps({}) for _ in truth]
    told = brought([row], Below(known, commands, until))
    careful = brought([row], Below(unread, commands, until))
    for p in range(PARTITIONS):
        assert contained(told, [], p) == contained(exact, [], p)
        assert contained(careful, [], p) >= contained(exact, [], p)


@given(rows(), stamped(), positions, st.integers(1, 100))
def test_of_an_author_one_partition_is_told_and_that_wholly(
    row: Covered, stamps: list[dict[int, int]], until: list[int], user: int
) -> None:
    below = Below([Stamps(each) for each in stamps], [SWITCHES] * PARTITIONS, until)
    only = spread(user) % PARTITIONS
    told, whole = brought([row], below, only), brought([row], below)
    assert contained(told, [], only) == contained(whole, [], only)
    assert all(not contained(told, [], p) for p in range(PARTITIONS) if p != only)


@given(rows(), stamped(), positions, positions)
def test_chains_of_cells_lose_nothing(
    row: Covered, stamps: list[dict[int, int]], first: list[int], second: list[int]
) -> None:
    known = [Stamps(each) for each in stamps]
    once = brought([row], Below(known, [SWITCHES] * PARTITIONS, first))
    none = [Stamps({})] * PARTITIONS
    later = [max(a, b) for a, b in zip(first, second, strict=True)]
    twice = brought([once], Below(none, [0] * PARTITIONS, later))
    assert all(contained(twice, [], p) == contained(once, [], p) for p in range(PARTITIONS))


@given(rows(), stamped(), positions, st.integers(1, 7), st.integers(1, 100))
def test_in_a_log_of_other_partitions_it_is_told_rather_too_long(
    row: Covered, stamps: list[dict[int, int]], until: list[int], partitions: int, user: int
) -> None:
    below = Below([Stamps(each) for each in stamps], [SWITCHES] * PARTITIONS, until)
    told = brought([row], below)
    for_all = repartitioned(told, partitions)
    old, new = spread(user) % PARTITIONS, spread(user) % partitions
    for_one = repartitioned(brought([row], below, old), partitions, new)
    assert contained(for_all, [], new) >= contained(told, [], old)
    assert contained(for_one, [], new) == contained(told, [], old)


def test_of_very_many_spans_the_oldest_become_one() -> None:
    many = Covered(spans=tuple(Span(2 * i, 2 * i + 1) for i in range(3 * PARTS_MAX)))
    stamps = Stamps({switch: 10 * switch + 1 for switch in range(6 * PARTS_MAX)})
    exact = pulled_events(many, [stamps])
    below = Below([stamps], [6 * PARTS_MAX], [10**6])
    told = brought([many], below)
    assert len(told.brought) == PARTS_MAX
    events = pulled_events(told, [])
    for since, until in exact.within(0):
        assert events.contain(0, since)
        assert events.contain(0, until - 1)
    assert events.within(0)[1:] == exact.within(0)[-PARTS_MAX + 1 :]
