"""An author's timeline: a prefix scan of the posts table, which every cell has whole."""

from cell import cursor, keys
from cell.cursor import NEWEST, OLDEST, Place
from cell.dashboard import Entry, EntryKind, PostView
from cell.posts import Posts, with_originals
from cell.snapshot import Snapshot
from cell.tables import Tables
from firehose.codec import GONE_PREFIX, decode_stored
from firehose.event import Lane, PostCreated, PostRef
from idgen.ids import MAX_ID, U64, at_ms, spread


def timeline(
    tables: Tables, author: int, before: bytes, after: bytes, limit: int
) -> tuple[list[PostCreated], bool]:
    """Up to `limit` posts between the cursors, newest first, and whether there are no more."""
    newest, oldest = NEWEST, OLDEST
    if before:
        newest = cursor.decode("before", before, cursor.TIMELINE, author)
    if after:
        oldest = cursor.decode("after", after, cursor.TIMELINE, author)
    place = spread(author)
    start = keys.pair_key(place, U64 - min(newest.id, MAX_ID))
    if newest is not NEWEST:
        start += b"\x00"  # exclusive
    stop = keys.pair_key(place, U64 - oldest.id) if oldest.id else keys.after_prefix(place)
    if stop and start >= stop:
        return [], True
    rows = tables.scan(keys.POSTS, start, stop, limit + 1, skip=GONE_PREFIX)
    posts = [decode_stored(row.value) for row in rows[:limit]]
    return [p for p in posts if isinstance(p, PostCreated)], len(rows) <= limit


def timeline_entries(posts: Posts, found: list[PostCreated], asof: Snapshot) -> tuple[Entry, ...]:
    """The posts of a timeline as entries of a page; nothing is unread in a timeline."""
    refs = {PostRef(p.author, p.id): p for p in found}
    shown = with_originals(posts, dict(refs), refs, asof)
    return tuple(_entry(p, shown[PostRef(p.author, p.id)]) for p in found)


def _entry(post: PostCreated, shown: PostView) -> Entry:
    return Entry(
        id=post.id,
        lane=Lane.POSTS,
        kind=EntryKind(post.draft.kind),
        actor=post.author,
        at_ms=at_ms(post.id),
        unread=False,
        cursor=cursor.encode(cursor.TIMELINE, post.author, Place(post.id, Lane.POSTS, post.author)),
        post=shown,
    )
