"""The model of what dashboards show, and the comparison with it: by hand-written histories."""

import ast
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.oracle import compare as comparing
from tests.oracle.model import Line, Model
from tests.oracle.operations import (
    FOLLOW,
    LIKE,
    MENTION,
    NOTICES,
    POSTS,
    REBLOG,
    REPLY,
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


def ids(of: Model, reader: int, lane: int = POSTS) -> list[int]:
    return [line.id for line in of.entries(reader, (lane,))]


def notices(of: Model, reader: int) -> list[tuple[int, int, int, tuple[int, int] | None]]:
    return [(n.id, n.kind, n.actor, n.target) for n in of.entries(reader, (NOTICES,))]


def test_oracle_imports_nothing_but_the_standard_library_and_itself() -> None:
    for path in (Path(__file__).parent.parent / "oracle").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                continue
            for name in names:
                own = name.startswith("tests.oracle")
                assert own or name.split(".")[0] in sys.stdlib_module_names, (path, name)


def test_own_posts_and_later_posts_of_the_followed_are_shown_newest_first() -> None:
    m = model(Published(10, ANN), Followed(11, BEN, ANN, 0), Published(12, ANN), Published(13, BEN))
    assert ids(m, BEN) == [13, 12]
    assert ids(m, ANN) == [12, 10]
    assert ids(m, CAT) == []


def test_order_of_the_author_decides_what_came_after_the_follow_and_not_the_id() -> None:
    m = model(Published(50, ANN), Followed(11, BEN, ANN, 0), Published(12, ANN))
    assert ids(m, BEN) == [12]


def test_follow_brings_the_newest_posts_that_are_there() -> None:
    posts = [Published(i, ANN) for i in (10, 11, 12, 13)]
    m = model(*posts, Removed(20, ANN, 13), Followed(21, BEN, ANN, 2))
    assert ids(m, BEN) == [12, 11]


def test_backfill_was_chosen_at_the_follow_and_a_later_removal_does_not_make_room() -> None:
    posts = [Published(i, ANN) for i in (10, 11, 12)]
    m = model(*posts, Followed(21, BEN, ANN, 2), Removed(22, ANN, 12))
    assert ids(m, BEN) == [11]


def test_following_again_changes_nothing() -> None:
    m = model(Published(10, ANN), Followed(11, BEN, ANN, 0), Followed(12, BEN, ANN, 100))
    assert ids(m, BEN) == []
    assert notices(m, ANN) == [(11, FOLLOW, BEN, None)]


def test_unfollow_takes_all_and_refollow_brings_the_newest_and_another_notice() -> None:
    m = model(
        Followed(9, BEN, ANN), Published(10, ANN), Published(11, ANN), Unfollowed(12, BEN, ANN)
    )
    assert ids(m, BEN) == []
    m.apply_all([Published(13, ANN), Followed(14, BEN, ANN, 2), Published(15, ANN)])
    assert ids(m, BEN) == [15, 13, 11]
    assert notices(m, ANN) == [(14, FOLLOW, BEN, None), (9, FOLLOW, BEN, None)]
    assert m.following(BEN) == {ANN}


def test_same_post_again_changes_nothing_even_after_its_removal() -> None:
    m = model(
        Published(10, ANN, Content(body="first")),
        Followed(11, BEN, ANN, 0),
        Published(10, ANN, Content(body="second")),
    )
    assert ids(m, BEN) == []
    m.apply_all([Removed(12, ANN, 10), Published(10, ANN)])
    assert ids(m, ANN) == []


def test_post_that_was_removed_before_it_arrived_never_shows() -> None:
    m = model(
        Followed(9, BEN, ANN), Removed(11, ANN, 10), Published(10, ANN, Content(mentions=(CAT,)))
    )
    assert ids(m, BEN) == ids(m, ANN) == []
    assert notices(m, CAT) == []


def test_one_cannot_remove_the_post_of_another() -> None:
    m = model(Published(10, ANN), Removed(11, BEN, 10))
    assert ids(m, ANN) == [10]


def test_posts_of_two_authors_with_one_id_are_two_entries_by_author_descending() -> None:
    m = model(Followed(8, CAT, ANN), Followed(9, CAT, BEN), Published(10, ANN), Published(10, BEN))
    assert [line.key for line in m.entries(CAT)] == [(10, POSTS, BEN), (10, POSTS, ANN)]


def test_reader_gets_the_first_kind_that_applies_and_never_one_for_oneself() -> None:
    content = Content(reply_to=(BEN, 5), reblog_of=(CAT, 6), mentions=(BEN, CAT, ANN, 4, 4))
    m = model(Published(10, ANN, content))
    assert notices(m, BEN) == [(10, REPLY, ANN, (BEN, 5))]
    assert notices(m, CAT) == [(10, REBLOG, ANN, (CAT, 6))]
    assert notices(m, 4) == [(10, MENTION, ANN, (ANN, 10))]
    assert notices(m, ANN) == []
    both = Published(11, ANN, Content(reply_to=(BEN, 5), reblog_of=(BEN, 6)))
    assert notices(model(both), BEN) == [(11, REPLY, ANN, (BEN, 5))]
    own = Published(12, ANN, Content(reply_to=(ANN, 5), reblog_of=(ANN, 6), mentions=(ANN,)))
    assert notices(model(own), ANN) == []


def test_removing_a_post_removes_its_notices() -> None:
    m = model(Published(10, ANN, Content(mentions=(BEN,))), Removed(11, ANN, 10))
    assert notices(m, BEN) == []


def test_notice_and_entry_of_one_post_are_two_entries_notice_first() -> None:
    m = model(Followed(9, BEN, ANN), Published(10, ANN, Content(kind=3, mentions=(BEN,))))
    lines = m.entries(BEN)
    assert [(line.key, line.kind) for line in lines] == [
        ((10, NOTICES, ANN), MENTION),
        ((10, POSTS, ANN), 3),
    ]
    assert m.entries(BEN, kinds={3}) == lines[1:]


def test_like_is_told_once_until_it_is_taken_back() -> None:
    m = model(Published(10, ANN), Liked(11, BEN, ANN, 10), Liked(12, BEN, ANN, 10))
    assert notices(m, ANN) == [(11, LIKE, BEN, (ANN, 10))]
    m.apply(Unliked(13, BEN, ANN, 10))
    assert notices(m, ANN) == []
    m.apply_all([Unliked(14, BEN, ANN, 10), Liked(15, BEN, ANN, 10), Liked(16, ANN, ANN, 10)])
    assert notices(m, ANN) == [(15, LIKE, BEN, (ANN, 10))]


@pytest.mark.parametrize("like_first", [True, False])
def test_like_and_removal_in_either_order_show_nothing(like_first: bool) -> None:
    pair: list[Operation] = [Liked(11, BEN, ANN, 10), Removed(12, ANN, 10)]
    m = model(Published(10, ANN), *(pair if like_first else reversed(pair)))
    assert notices(m, ANN) == []


def test_like_of_a_post_that_comes_later_shows_then() -> None:
    m = model(Liked(11, BEN, ANN, 10))
    assert notices(m, ANN) == []
    m.apply(Published(10, ANN))
    assert notices(m, ANN) == [(11, LIKE, BEN, (ANN, 10))]


def test_reblog_of_a_removed_post_stays_and_shows_its_original_as_removed() -> None:
    m = model(
        Published(10, ANN, Content(body="original")),
        Published(11, BEN, Content(reblog_of=(ANN, 10))),
    )
    first = m.entries(BEN)[0].post
    assert first is not None
    assert first.original is not None
    assert first.original.content == Content(body="original")
    m.apply(Removed(12, ANN, 10))
    second = m.entries(BEN)[0].post
    assert second is not None
    assert second.original is not None
    assert second.original.content is None
    assert notices(m, ANN) == [(11, REBLOG, BEN, (ANN, 10))]


def test_original_is_one_level_deep() -> None:
    m = model(
        Published(10, ANN),
        Published(11, BEN, Content(reblog_of=(ANN, 10))),
        Published(12, CAT, Content(reblog_of=(BEN, 11))),
    )
    post = m.entries(CAT, (POSTS,))[0].post
    assert post is not None
    assert post.original is not None
    assert (post.original.id, post.original.original) == (11, None)


def test_mark_is_the_greatest_of_its_lane() -> None:
    m = model(
        Published(10, ANN),
        Published(11, ANN),
        Published(12, BEN, Content(mentions=(ANN,))),
        Marked(20, ANN, POSTS, 10),
        Marked(21, ANN, POSTS, 5),
    )
    assert [(line.id, line.unread) for line in m.entries(ANN)] == [
        (12, True),
        (11, True),
        (10, False),
    ]
    assert (m.unread(ANN, POSTS), m.unread(ANN, NOTICES)) == (1, 1)


def test_time_is_the_authors_own_or_that_of_the_id() -> None:
    event = 123_456 << 22
    m = model(Published(event, ANN), Published(event + 1, ANN, Content(at_ms=77)))
    assert [shown.at_ms for shown in m.timeline(ANN)] == [77, 1_288_834_974_657 + 123_456]


def test_inbox_sizes_count_what_the_pages_show() -> None:
    m = model(
        *(Published(i, ANN) for i in range(10, 15)),
        Followed(20, BEN, ANN, 2),
        Published(21, ANN),
        Removed(22, ANN, 14),
        Followed(23, CAT, ANN),
        Unfollowed(24, CAT, ANN),
    )
    assert m.inbox_sizes() == {ANN: 5, BEN: 2}
    assert len(ids(m, BEN)) == 2


# --- comparing -----------------------------------------------------------------------------------


@dataclass
class Served:
    """Serves the model's own answer in pages, as the API's answers look, after `spoil`."""

    entries: list[Any]
    calls: list[dict[str, Any]] = field(default_factory=list)
    stuck: bool = False

    def __call__(self, reader: int, lanes: frozenset[int], **query: Any) -> Any:
        self.calls.append(query)
        found = self.entries[::-1] if query.get("oldest_first") else self.entries
        start = int(query.get("before") or query.get("after") or b"0")
        page = found[start : start + query["limit"]]
        end = start + query["limit"] >= len(found) and not self.stuck
        cursor = b"1" if self.stuck else str(start + len(page)).encode()
        return SimpleNamespace(entries=page, end=end, next_cursor=cursor)


def served(of: Model, reader: int) -> Served:
    return Served([entry(line) for line in of.entries(reader)])


def entry(line: Line) -> Any:
    at_ms = (line.id >> 22) + 1_288_834_974_657
    target = line.target and SimpleNamespace(author=line.target[0], id=line.target[1])
    names = ("id", "lane", "kind", "actor", "unread")
    values = {name: getattr(line, name) for name in names}
    return SimpleNamespace(**values, at_ms=at_ms, target=target, post=view(line.post))


def view(post: Any) -> Any:
    if post is None:
        return None
    draft = None
    if post.content is not None:
        names = ("kind", "title", "body", "tags", "mentions")
        draft = SimpleNamespace(**{name: getattr(post.content, name) for name in names})
        for name in ("reblog_of", "reply_to"):
            ref = getattr(post.content, name)
            setattr(draft, name, ref and SimpleNamespace(author=ref[0], id=ref[1]))
    ref = SimpleNamespace(author=post.author, id=post.id)
    return SimpleNamespace(
        ref=ref,
        at_ms=post.at_ms or 0,
        draft=draft,
        removed=post.content is None,
        original=view(post.original),
    )


def busy() -> Model:
    return model(
        *(Published(i, ANN, Content(body=f"post {i}")) for i in range(10, 20)),
        Followed(30, BEN, ANN),
        Published(31, BEN, Content(reblog_of=(ANN, 12))),
        Removed(32, ANN, 12),
        Published(33, ANN, Content(reply_to=(BEN, 31))),
        Liked(34, CAT, BEN, 31),
        Marked(35, BEN, POSTS, 14),
    )


@pytest.mark.parametrize("oldest_first", [True, False])
@pytest.mark.parametrize("limit", [1, 3, 100])
def test_compare_of_the_same_finds_nothing(oldest_first: bool, limit: int) -> None:
    m = busy()
    ask = served(m, BEN)
    assert comparing.compare(m, ask, BEN, oldest_first=oldest_first, limit=limit) == ""
    assert len(ask.calls) == -(-len(ask.entries) // limit)


SPOILS = {
    "missing: id=31 lane=1": lambda e: [x for x in e if (x.id, x.lane) != (31, 1)],
    "ghost: id=99": lambda e: [replaced(e[0], id=99), *e],
    "twice: id=34": lambda e: [e[0], *e],
    "order: ": lambda e: [e[1], e[0], *e[2:]],
    "unread: want False, got True": lambda e: [*e[:-1], replaced(e[-1], unread=True)],
    "actor=2: target": lambda e: [x if x.kind < LIKE else replaced(x, target=None) for x in e],
    "post.body: want 'post 19', got 'other'": lambda e: [changed_body(x) for x in e],
    "post.original: want": lambda e: [shown_original(x) for x in e],
    "at_ms of entry": lambda e: [replaced(e[0], at_ms=5), *e[1:]],
}


def replaced(of: Any, **values: Any) -> Any:
    return SimpleNamespace(**{**vars(of), **values})


def changed_body(of: Any) -> Any:
    if of.id != 19:
        return of
    return replaced(of, post=replaced(of.post, draft=replaced(of.post.draft, body="other")))


def shown_original(of: Any) -> Any:
    if of.id != 31 or of.lane != POSTS:
        return of
    original = replaced(of.post.original, removed=False, draft=of.post.draft)
    return replaced(of, post=replaced(of.post, original=original))


@pytest.mark.parametrize("says", [s for s in SPOILS if "actor=2" not in s])
def test_compare_says_what_differs(says: str) -> None:
    m = busy()
    ask = served(m, BEN)
    ask.entries = SPOILS[says](ask.entries)
    assert says in comparing.compare(m, ask, BEN)


def test_compare_says_that_a_notice_has_another_target() -> None:
    m = busy()
    ask = served(m, BEN)
    ask.entries = SPOILS["actor=2: target"](ask.entries)
    assert "target: want (2, 31), got None" in comparing.compare(m, ask, BEN)


def test_walk_refuses_a_page_that_leads_to_itself_or_nowhere() -> None:
    ask = served(busy(), BEN)
    ask.stuck = True
    with pytest.raises(AssertionError, match="leads to itself"):
        comparing.walk(ask, BEN, limit=3)

    def endless(reader: int, lanes: frozenset[int], **query: Any) -> Any:
        return SimpleNamespace(entries=[], end=False, next_cursor=b"")

    with pytest.raises(AssertionError, match="is not the end, has no next"):
        comparing.walk(endless, BEN)
