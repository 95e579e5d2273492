"""The checkers of recorded histories, each with a planted bad one."""

from dataclasses import replace
from typing import Any

import pytest

from tests.oracle import invariants
from tests.oracle.history import History, Walk
from tests.oracle.model import BOTH, Line, Model
from tests.oracle.operations import (
    POSTS,
    Content,
    Followed,
    Liked,
    Marked,
    Operation,
    Published,
    Removed,
    Unfollowed,
    Unliked,
)

ANN, BEN, CAT = 1, 2, 3


def model(*operations: Operation) -> Model:
    result = Model()
    result.apply_all(operations)
    return result


def played(*operations: Operation) -> History:
    """A history in which each operation was acknowledged before the next was sent."""
    history = History()
    for operation in operations:
        history.acknowledge(operation, history.tick())
    return history


def look(
    history: History, reader: int, shown: list[Line], *, asked: bool = True, **values: Any
) -> None:
    """A walk of one page, now; `asked`: it asked for all that was acknowledged."""
    began = history.tick()
    walk = Walk(
        reader=reader,
        lanes=values.get("lanes", BOTH),
        oldest_first=values.get("oldest_first", False),
        began=began,
        ended=history.tick(),
        pages=values.get("pages", (tuple(shown),)),
        includes=began if asked else 0,
    )
    history.saw(walk)


def right(history: History, reader: int) -> list[Line]:
    return model(*history.operations()).entries(reader)


def test_checkers_find_nothing_in_a_right_history() -> None:
    history = played(
        Followed(9, BEN, ANN),
        Published(10, ANN, Content(mentions=(BEN,))),
        Published(11, BEN),
        Liked(12, CAT, BEN, 11),
    )
    look(history, BEN, right(history, BEN))
    later: list[Operation] = [
        Marked(13, BEN, POSTS, 10),
        Removed(14, ANN, 10),
        Unliked(15, CAT, BEN, 11),
        Unfollowed(16, BEN, ANN),
    ]
    for operation in later:
        history.acknowledge(operation, history.tick())
        look(history, BEN, right(history, BEN))
    look(history, ANN, right(history, ANN)[::-1], oldest_first=True)
    assert invariants.violations(history) == []


def test_i1_finds_a_post_and_a_notice_that_were_asked_for_and_are_missing() -> None:
    history = played(Followed(9, BEN, ANN), Published(10, ANN, Content(mentions=(BEN,))))
    look(history, BEN, [], asked=False)
    assert invariants.nothing_missing(history) == []
    look(history, BEN, [])
    assert len(invariants.nothing_missing(history)) == 2


def test_i1_finds_a_like_that_is_missing_only_where_the_post_is_there() -> None:
    history = played(Liked(9, CAT, BEN, 8))
    look(history, BEN, [])
    assert invariants.nothing_missing(history) == []
    history.acknowledge(Published(8, BEN), history.tick())
    post = [line for line in right(history, BEN) if line.lane == POSTS]
    look(history, BEN, post)
    assert invariants.nothing_missing(history) != []


def test_i2_finds_an_entry_on_two_pages() -> None:
    history = played(Published(10, ANN), Published(11, ANN))
    eleven, ten = right(history, ANN)
    look(history, ANN, [], pages=((eleven, ten), (ten,)))
    assert len(invariants.nothing_twice(history)) == 1


def test_i3_finds_a_wrong_order_either_way() -> None:
    history = played(Published(10, ANN), Published(11, ANN))
    eleven, ten = right(history, ANN)
    look(history, ANN, [ten, eleven])
    look(history, ANN, [eleven, ten], oldest_first=True)
    assert len(invariants.in_order(history)) == 2


def test_i3_finds_what_a_walk_skipped_though_it_was_there_before_and_after() -> None:
    history = played(Published(10, ANN), Published(11, ANN))
    eleven, ten = right(history, ANN)
    for shown in ([eleven, ten], [eleven], [eleven, ten]):
        look(history, ANN, shown, asked=False)
    assert [line[:10] for line in invariants.in_order(history)] == ["I3 skipped"]


@pytest.mark.parametrize(
    "gone", [Removed(20, ANN, 10), Unfollowed(20, BEN, ANN)], ids=["removed", "unfollowed"]
)
def test_i4_finds_what_was_removed_or_unfollowed(gone: Operation) -> None:
    history = played(Followed(9, BEN, ANN), Published(10, ANN))
    shown = right(history, BEN)
    history.acknowledge(gone, history.tick())
    look(history, BEN, shown, asked=False)
    assert invariants.no_ghosts(history) == []  # the walk did not ask for the removal
    look(history, BEN, shown)
    assert len(invariants.no_ghosts(history)) == 1


def test_i4_finds_what_was_never_sent_and_a_like_of_what_is_gone() -> None:
    history = played(Published(10, ANN), Liked(11, BEN, ANN, 10))
    post, like = right(history, ANN)[1], right(history, ANN)[0]
    look(history, ANN, [like, replace(post, id=5)], asked=False)
    assert len(invariants.no_ghosts(history)) == 1
    history.acknowledge(Removed(12, ANN, 10), history.tick())
    look(history, ANN, [like])
    assert len(invariants.no_ghosts(history)) == 2


def test_walk_beside_a_write_may_or_may_not_show_it() -> None:
    for seen in (True, False):
        history = played(Followed(9, BEN, ANN))
        sent, began = history.tick(), history.tick()
        line = model(Published(10, ANN)).entries(ANN)
        ended = history.tick()
        history.acknowledge(Published(10, ANN), sent)
        pages = (tuple(line if seen else ()),)
        beside = Walk(BEN, frozenset((POSTS,)), False, began, ended, pages, began)
        history.saw(beside)
        assert invariants.violations(history) == []


def test_i5_finds_what_a_reader_saw_and_later_did_not() -> None:
    history = played(Followed(9, BEN, ANN), Published(10, ANN), Published(11, ANN))
    look(history, BEN, right(history, BEN), asked=False)
    look(history, BEN, right(history, BEN)[:1], asked=False)
    assert len(invariants.what_was_seen_stays(history)) == 1


def test_i5_allows_what_was_removed_in_between() -> None:
    history = played(Followed(9, BEN, ANN), Published(10, ANN), Published(11, ANN))
    look(history, BEN, right(history, BEN), asked=False)
    history.acknowledge(Removed(12, ANN, 10), history.tick())
    look(history, BEN, right(history, BEN), asked=False)
    assert invariants.what_was_seen_stays(history) == []


def test_i6_finds_a_mark_that_went_back_or_was_not_seen_or_never_made() -> None:
    history = played(Published(10, ANN), Marked(11, ANN, POSTS, 10))
    read = right(history, ANN)
    unread = [replace(line, unread=True) for line in read]
    look(history, ANN, unread, asked=False)
    assert invariants.marks_never_go_back(history) == []
    look(history, ANN, unread)
    assert "below the mark" in invariants.marks_never_go_back(history)[0]
    look(history, ANN, read, asked=False)
    look(history, ANN, unread, asked=False)
    assert "unread again" in invariants.marks_never_go_back(history)[1]
    unmarked = played(Published(10, ANN))
    look(unmarked, ANN, read)
    assert "above every mark" in invariants.marks_never_go_back(unmarked)[0]
