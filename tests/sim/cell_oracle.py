"""What a cell must hold after a log, worked out event by event, sharing nothing with the product.

It answers with live rows: entries, notices, edges in both directions, fans, likes and marks.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from firehose.event import (
    Event,
    Followed,
    Liked,
    MarkedRead,
    NoticeKind,
    PostCreated,
    PostRemoved,
    Unfollowed,
    Unliked,
)


@dataclass
class Held:
    """Live rows of a cell by what they say."""

    posts: dict[tuple[int, int], bool] = field(default_factory=dict)
    inbox: dict[tuple[int, int, int], int] = field(default_factory=dict)
    notices: dict[tuple[int, int, int], tuple[int, tuple[int, int]]] = field(default_factory=dict)
    edges: set[tuple[int, int]] = field(default_factory=set)
    fans: dict[tuple[int, int], int] = field(default_factory=dict)
    likes: dict[tuple[int, int, int], int] = field(default_factory=dict)
    marks: dict[tuple[int, int], int] = field(default_factory=dict)


def held(events: Iterable[Event], homed: Callable[[int], bool]) -> Held:
    """What the events of all partitions, each in its order, come to for readers `homed` here."""
    now = Held()
    kinds: dict[tuple[int, int], int] = {}
    for event in events:
        _apply(event, now, kinds)
    return Held(
        now.posts,
        {k: v for k, v in now.inbox.items() if homed(k[0])},
        {k: v for k, v in now.notices.items() if homed(k[0])},
        {k for k in now.edges if homed(k[0])},
        {k: v for k, v in now.fans.items() if homed(k[0])},
        {k: v for k, v in now.likes.items() if homed(k[0])},
        {k: v for k, v in now.marks.items() if homed(k[0])},
    )


def _apply(event: Event, now: Held, kinds: dict[tuple[int, int], int]) -> None:
    match event:
        case PostCreated():
            _created(event, now, kinds)
        case PostRemoved(author=author, post_id=post):
            if now.posts.get((author, post)) is not False:
                now.posts[author, post] = False
                for key in [k for k in now.inbox if k[1:] == (post, author)]:
                    del now.inbox[key]
                for key in [k for k in now.notices if k[1:] == (post, author)]:
                    if now.notices[key][0] < NoticeKind.LIKE:
                        del now.notices[key]
        case Followed(follower=follower, author=author, backfill=backfill):
            if (follower, author) in now.edges:
                return
            now.edges.add((follower, author))
            now.fans[author, follower] = event.id
            now.notices[author, event.id, follower] = (NoticeKind.FOLLOW, (0, 0))
            alive = sorted((p for a, p in now.posts if a == author and now.posts[a, p]))
            for post in alive[::-1][:backfill]:
                now.inbox[follower, post, author] = kinds[author, post]
        case Unfollowed(follower=follower, author=author):
            now.edges.discard((follower, author))
            now.fans.pop((author, follower), None)
            for key in [k for k in now.inbox if k[0] == follower and k[2] == author]:
                del now.inbox[key]
        case Liked(actor=actor, author=author, post_id=post):
            if (author, post, actor) not in now.likes:
                now.likes[author, post, actor] = event.id
                if actor != author:
                    now.notices[author, event.id, actor] = (NoticeKind.LIKE, (author, post))
        case Unliked(actor=actor, author=author, post_id=post):
            like = now.likes.pop((author, post, actor), None)
            if like is not None:
                now.notices.pop((author, like, actor), None)
        case MarkedRead(reader=reader, lane=lane, event_id=upto):
            now.marks[reader, lane] = max(now.marks.get((reader, lane), 0), upto)


def _created(event: PostCreated, now: Held, kinds: dict[tuple[int, int], int]) -> None:
    author, draft = event.author, event.draft
    if (author, event.id) in now.posts:
        assert event.brought
        return
    now.posts[author, event.id] = True
    kinds[author, event.id] = draft.kind
    readers = {author} | {f for f, a in now.edges if a == author}
    for reader in readers:
        now.inbox[reader, event.id, author] = draft.kind
    told = defaultdict[int, tuple[int, tuple[int, int]] | None](lambda: None)
    for mentioned in draft.mentions:
        told[mentioned] = (NoticeKind.MENTION, (author, event.id))
    for kind, ref in ((NoticeKind.REBLOG, draft.reblog_of), (NoticeKind.REPLY, draft.reply_to)):
        if ref is not None:
            told[ref.author] = (kind, (ref.author, ref.id))
    for reader, notice in told.items():
        if reader != author and notice is not None:
            now.notices[reader, event.id, author] = notice
