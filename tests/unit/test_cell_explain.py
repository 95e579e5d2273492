"""The facts about one entry, as a cell's rows tell them."""

import pytest

from cell import keys
from cell.explain import EdgeFacts, InboxFacts, PositionFacts, PostFacts, explain
from cell.tables import Row
from cell.versions import version_of
from firehose.codec import encode_gone
from firehose.event import PostKind
from idgen.ids import partition_of, spread
from ops.explanation import judge
from tests.unit.cell_page_world import BAND, READER, PageWorld, event_id

AUTHOR = 5


@pytest.fixture
def world() -> PageWorld:
    world = PageWorld()
    for partition in range(2):
        world.log.append([(partition, b"x")] * 3)
    world.set_state(high=3, open=(1,))
    return world


def follow(world: PageWorld, at: int, floor: int, *, live: bool = True, band: int = BAND) -> None:
    key = keys.pair_key(spread(READER), AUTHOR)
    value = keys.pack_flagged(live, floor)
    world.tables.put(keys.FOLLOWING, [Row(key, version_of(band, at), value)])


def test_everything_is_told_of_an_entry_that_is_there(world: PageWorld) -> None:
    world.entry(AUTHOR, 1, PostKind.PHOTO)
    follow(world, 1, 1)
    facts = explain(world.stores, 9, READER, AUTHOR, event_id(1))
    assert (facts.reader, facts.author, facts.post_id) == (READER, AUTHOR, event_id(1))
    assert (facts.cell, facts.epoch, facts.band) == ("a", 9, BAND)
    assert facts.edge == EdgeFacts(live=True, band=BAND, at=1, floor=1)
    assert facts.post == PostFacts(removed=False, at=1, created_at=1)
    assert facts.inbox == InboxFacts(live=True, band=BAND, at=2, kind="photo")
    assert facts.position == PositionFacts(partition_of(AUTHOR, 2), low=1, high=3, end=3)
    assert judge(facts).shown


def test_without_an_author_the_inbox_row_tells(world: PageWorld) -> None:
    world.entry(AUTHOR, 1)
    world.gone_entry(AUTHOR - 1, 1)  # of the same id, brought by another author
    world.entry(AUTHOR, 2)
    facts = explain(world.stores, 9, READER, None, event_id(1))
    assert facts.author == AUTHOR
    assert facts.inbox is not None
    assert facts.inbox.live


def test_a_gone_inbox_row_also_tells_who_wrote_it(world: PageWorld) -> None:
    world.gone_entry(AUTHOR, 1)
    facts = explain(world.stores, 9, READER, None, event_id(1))
    assert (facts.author, facts.inbox) == (AUTHOR, InboxFacts(live=False, band=BAND, at=1))


def test_without_an_author_and_a_row_nothing_is_known(world: PageWorld) -> None:
    world.post(AUTHOR, 1)
    facts = explain(world.stores, 9, READER, None, event_id(1))
    assert (facts.author, facts.edge, facts.post, facts.inbox, facts.position) == (None,) * 5
    assert not judge(facts).shown


def test_a_removed_post_tells_when_it_was_created(world: PageWorld) -> None:
    world.at = 8
    key = keys.post_key(AUTHOR, event_id(1))
    world.tables.put(keys.POSTS, [Row(key, 9, encode_gone(4, ()))])
    facts = explain(world.stores, 9, READER, AUTHOR, event_id(1))
    assert facts.post == PostFacts(removed=True, at=9, created_at=4)
    assert not judge(facts).expected


def test_a_removal_before_its_post_knows_no_creation(world: PageWorld) -> None:
    key = keys.post_key(AUTHOR, event_id(1))
    world.tables.put(keys.POSTS, [Row(key, 9, encode_gone(9, ()))])
    facts = explain(world.stores, 9, READER, AUTHOR, event_id(1))
    assert facts.post == PostFacts(removed=True, at=9, created_at=None)


def test_rows_of_an_ended_band_are_told_as_such(world: PageWorld) -> None:
    world.entry(AUTHOR, 1, band=BAND - 1)
    follow(world, 1, 1, band=BAND - 1)
    facts = explain(world.stores, 9, READER, AUTHOR, event_id(1))
    assert facts.inbox is not None
    assert facts.edge is not None
    assert (facts.inbox.band, facts.edge.band) == (BAND - 1, BAND - 1)
    verdict = judge(facts)
    assert (verdict.shown, verdict.expected) == (False, False)


def test_a_reader_who_is_not_homed_here_has_no_band(world: PageWorld) -> None:
    world.set_state(residents=())
    assert explain(world.stores, 9, READER, AUTHOR, event_id(1)).band == 0
