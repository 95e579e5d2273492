"""Posts by address: from the cache, and what it does not have from the table, once for all askers.

The cache is never the truth: it is asked under the cell's era, filled only where absent, and told
of removals by ingest.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import NamedTuple

import cachetools

from cell import keys
from cell.dashboard import PostView
from cell.post_cache import PostCache
from cell.snapshot import Snapshot
from cell.tables import Tables
from firehose.codec import Gone, Poison, UnknownKind, decode_stored
from firehose.event import PostCreated, PostRef
from idgen.errors import BadRequest, Corrupt
from idgen.ids import at_ms

TEXT_BYTES_MAX = 16 * 1024 * 1024
"""Most text in one answer to `posts`: a page of 100 reblogs with full bodies has 13 MB, and a
thousand of them would be 130 MB of answer to a request of 30 KB."""
READ_AT_ONCE = 100
"""Posts read before their texts are counted, so that memory is bounded as the answer is."""

DECODED_BYTES_MAX = 32 * 1024 * 1024
DECODED_BYTES = 1_000
"""What a decoded post takes beside its text, which is there as bytes and as a string."""

Stored = PostCreated | Gone


class _Flight(NamedTuple):
    era: bytes
    stamp: int | None
    name: bytes


class Posts:
    """Reads posts; may be used by many threads."""

    def __init__(self, tables: Tables, cache: PostCache) -> None:
        self._tables = tables
        self._cache = cache
        self._lock = threading.Lock()
        self._under_way: dict[_Flight, Future[bytes | None]] = {}

    def get(self, refs: Iterable[PostRef], asof: Snapshot) -> dict[PostRef, Stored]:
        """The posts at these addresses; those that never were are left out."""
        wanted = {ref: keys.post_key(ref.author, ref.id) for ref in set(refs)}
        if not wanted:
            return {}
        names = list(wanted.values())
        cached = self._cache.get_many([asof.era + name for name in names])
        values: dict[bytes, bytes] = {}
        decoded: dict[bytes, Stored] = {}
        for (ref, name), value in zip(wanted.items(), cached, strict=True):
            if value is not None and (found := _believed(value, ref)) is not None:
                decoded[name] = found
        missing = [name for name in names if name not in decoded]
        if missing:
            values = self._read(missing, asof)
            decoded.update((name, _decoded(value)) for name, value in values.items())
        return {ref: decoded[name] for ref, name in wanted.items() if name in decoded}

    def _read(self, names: Sequence[bytes], asof: Snapshot) -> dict[bytes, bytes]:
        """Rows of the table, each asked for once however many threads want it now.

        Threads that know of more changes do not take what one that knew of fewer began to read.
        """
        mine: dict[bytes, Future[bytes | None]] = {}
        others: dict[bytes, Future[bytes | None]] = {}
        with self._lock:
            for name in names:
                flight = _Flight(asof.era, asof.stamp, name)
                under_way = self._under_way.get(flight)
                if under_way is None:
                    mine[name] = self._under_way[flight] = Future()
                else:
                    others[name] = under_way
        found: dict[bytes, bytes] = {}
        if mine:
            found = self._read_mine(mine, asof)
        for name, future in others.items():
            value = future.result()
            if value is not None:
                found[name] = value
        # That read may have begun before the post was there, and this asker after it.
        absent = [name for name in others if name not in found]
        if absent:
            found |= {r.key: r.value for r in self._tables.get(keys.POSTS, absent) if r is not None}
        return found

    def _read_mine(
        self, mine: dict[bytes, Future[bytes | None]], asof: Snapshot
    ) -> dict[bytes, bytes]:
        try:
            rows = self._tables.get(keys.POSTS, list(mine))
        except BaseException as e:
            for future in mine.values():
                future.set_exception(e)
            raise
        else:
            found = {row.key: row.value for row in rows if row is not None}
            self._cache.fill({asof.era + name: value for name, value in found.items()})
            for name, future in mine.items():
                future.set_result(found.get(name))
            return found
        finally:
            with self._lock:
                for name in mine:
                    del self._under_way[_Flight(asof.era, asof.stamp, name)]


def _bytes_of(stored: Stored) -> int:
    text = len(stored.draft.body) if isinstance(stored, PostCreated) else 0
    return DECODED_BYTES + 3 * text


@cachetools.cached(
    cachetools.LRUCache(DECODED_BYTES_MAX, getsizeof=_bytes_of), lock=threading.Lock()
)
def _decoded(value: bytes) -> Stored:
    """A stored post. The same bytes are the same post, so what was made of them may be kept: of a
    page's twenty posts other pages have shown nearly all."""
    return decode_stored(value)


def _believed(value: bytes, ref: PostRef) -> Stored | None:
    """What the cache says of a post; None for what cannot be so, since it is never the truth."""
    try:
        stored = _decoded(value)
    except (Corrupt, Poison, UnknownKind):
        return None
    if isinstance(stored, PostCreated) and PostRef(stored.author, stored.id) != ref:
        return None
    return stored


def removed_view(ref: PostRef) -> PostView:
    """What is shown of a post that is no more."""
    return PostView(ref, at_ms(ref.id), None, removed=True)


def view(ref: PostRef, stored: Stored | None) -> PostView:
    """A post as readers see it, without its original."""
    if not isinstance(stored, PostCreated):
        return removed_view(ref)
    at = stored.draft.at_ms
    return PostView(ref, at_ms(ref.id) if at is None else at, stored.draft)


def views(posts: Posts, refs: Sequence[PostRef], asof: Snapshot) -> dict[PostRef, PostView]:
    """Posts as readers see them, reblogs with their originals, one level deep."""
    stored = posts.get(refs, asof)
    return with_originals(posts, stored, refs, asof)


def bounded_views(posts: Posts, refs: Sequence[PostRef], asof: Snapshot) -> list[PostView]:
    """`views` in the order of `refs`, one asked for twice being there twice.

    Raises BadRequest(refs) when they have more than TEXT_BYTES_MAX of text together.
    """
    shown: dict[PostRef, PostView] = {}
    text_bytes = 0
    for begin in range(0, len(refs), READ_AT_ONCE):
        some = refs[begin : begin + READ_AT_ONCE]
        shown |= views(posts, [ref for ref in some if ref not in shown], asof)
        text_bytes += sum(text_bytes_of(shown[ref]) for ref in some)
        if text_bytes > TEXT_BYTES_MAX:
            raise BadRequest(
                "refs",
                f"the first {begin + len(some)} have {text_bytes} bytes of text; allowed in one "
                f"answer are {TEXT_BYTES_MAX}: ask for fewer at once",
            )
    return [shown[ref] for ref in refs]


def text_bytes_of(shown: PostView) -> int:
    """UTF-8 bytes of a view's body and of its original's; the rest of a post is small beside."""
    own = len(shown.draft.body.encode()) if shown.draft is not None else 0
    return own + (text_bytes_of(shown.original) if shown.original is not None else 0)


def with_originals(
    posts: Posts, stored: Mapping[PostRef, Stored | None], refs: Iterable[PostRef], asof: Snapshot
) -> dict[PostRef, PostView]:
    """`view` of each of `refs`, with the originals of reblogs read as well."""
    originals: dict[PostRef, PostRef] = {}
    for ref in refs:
        found = stored.get(ref)
        if isinstance(found, PostCreated) and found.draft.reblog_of is not None:
            originals[ref] = found.draft.reblog_of
    unknown = [o for o in originals.values() if o not in stored]
    known = {**stored, **posts.get(unknown, asof)} if unknown else stored
    shown: dict[PostRef, PostView] = {}
    for ref in refs:
        post = view(ref, known.get(ref))
        original = originals.get(ref)
        if original is not None:
            post = PostView(
                post.ref, post.at_ms, post.draft, original=view(original, known.get(original))
            )
        shown[ref] = post
    return shown
