"""Watching posts arrive: who of a cell has to see a post, and since when each of them does.

Whoever has to see a post is read from the edges as of the post: live ones that are older than it.
What becomes of them later (an unfollow, a removal, a move) is looked at again before somebody is
said to have missed it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from random import Random

import numpy as np

from cell import keys
from cell.author_posts import author_post
from cell.residents import Homes
from cell.slice_rows import taken
from cell.state import homes_now
from cell.stores import CellStores
from cell.tables import Row
from cell.versions import at_of, ats_of, band_of
from firehose.event import PostRef
from idgen.ids import spread, spread_array

EDGES_MAX = 2_000
"""Of an author with more followers in a cell, those of the lowest ids are drawn from. A fan-out
goes by places, which ids are spread over, so these are none that come first or last."""
GET_AT_ONCE = 1_000


@dataclass(slots=True)
class Pair:
    """A reader who has to see a post. `edge`: the version of the edge, 0 for the author's own.

    `late_ms`: how long after the log had the post it was first seen in the inbox; None: not yet.
    """

    reader: int
    band: int
    edge: int
    late_ms: int | None = None


@dataclass(slots=True)
class SampledPost:
    """A post that is watched: `at` as in versions, `at_ms` when the log had it.

    `pairs` by cell; a cell that has not answered yet is not in it.
    """

    ref: PostRef
    at: int
    at_ms: int
    pairs: dict[str, list[Pair]] = field(default_factory=dict)


class CellWatch:
    """One cell, watched. `homed` tells the cell that a place is homed in, by the routes."""

    def __init__(
        self, stores: CellStores, homed: Callable[[int], str], readers_max: int, rnd: Random
    ) -> None:
        self._stores = stores
        self._homed = homed
        self._readers_max = readers_max
        self._rnd = rnd

    @property
    def name(self) -> str:
        """The cell's."""
        return self._stores.name

    def pairs_of(self, post: SampledPost) -> list[Pair]:
        """Some of those who are homed here and have to see a post, drawn. Raises Unavailable."""
        homes = self._homes()
        place = spread(post.ref.author)
        start, stop = keys.place_bytes(place), keys.after_prefix(place)
        rows = self._stores.tables.scan_fixed(keys.FOLLOWERS, start, stop, EDGES_MAX)
        pairs: list[Pair] = []
        if len(rows.versions):
            followers = keys.key_numbers(rows.keys)[:, 1]
            bands = homes.bands(spread_array(followers))
            live = rows.values[:, 0] != 0
            older = ats_of(rows.versions) < np.uint64(post.at)
            present = (bands > 0) & (rows.versions >> np.uint64(48) == bands)
            mask = live & older & present
            kept = taken(rows, mask)
            edges = zip(followers[mask].tolist(), kept.versions.tolist(), strict=True)
            pairs = [
                Pair(follower, band_of(version), version)
                for follower, version in edges
                if self._homed(spread(follower)) == self.name
            ]
        if len(pairs) > self._readers_max:
            pairs = self._rnd.sample(pairs, self._readers_max)
        band = homes.band(place)
        if band and self._homed(place) == self.name:
            pairs.append(Pair(post.ref.author, band, 0))
        return pairs

    def look(self, posts: Iterable[SampledPost], now_ms: Callable[[], int]) -> None:
        """Look for all that was not seen yet in the inboxes of this cell. Raises Unavailable."""
        waiting = [
            (post, pair)
            for post in posts
            for pair in post.pairs.get(self.name, ())
            if pair.late_ms is None
        ]
        for begin in range(0, len(waiting), GET_AT_ONCE):
            some = waiting[begin : begin + GET_AT_ONCE]
            rows = self._stores.tables.get(
                keys.INBOX, [_entry_key(pair.reader, post.ref) for post, pair in some]
            )
            seen_ms = now_ms()
            for (post, pair), row in zip(some, rows, strict=True):
                if row is not None and row.value != keys.GONE and band_of(row.version) == pair.band:
                    pair.late_ms = max(0, seen_ms - post.at_ms)

    def missed(self, post: SampledPost) -> list[Pair]:
        """Who has not seen the post and still has to. Raises Unavailable."""
        waiting = [pair for pair in post.pairs.get(self.name, ()) if pair.late_ms is None]
        row = self._post_row(post.ref)
        if not waiting or (row is not None and author_post(row).gone_at):
            return []
        homes = self._homes()
        author = spread(post.ref.author)
        edges = self._stores.tables.get(
            keys.FOLLOWERS, [keys.pair_key(author, pair.reader) for pair in waiting]
        )
        return [
            pair
            for pair, edge in zip(waiting, edges, strict=True)
            if self._still_home(homes, pair)
            and (not pair.edge or (edge is not None and edge.version == pair.edge))
        ]

    def repeats(self, post: SampledPost) -> bool:
        """Whether the event was a retry: the post was there before it. Raises Unavailable."""
        row = self._post_row(post.ref)
        return row is not None and 0 < at_of(author_post(row).created_at) < post.at

    def _still_home(self, homes: Homes, pair: Pair) -> bool:
        place = spread(pair.reader)
        return homes.band(place) == pair.band and self._homed(place) == self.name

    def _post_row(self, ref: PostRef) -> Row | None:
        (row,) = self._stores.tables.get(keys.POSTS, [keys.post_key(ref.author, ref.id)])
        return row

    def _homes(self) -> Homes:
        return homes_now(self._stores.state().read().values())


def all_pairs(posts: Iterable[SampledPost], cell: str) -> Sequence[Pair]:
    """The pairs of one cell."""
    return [pair for post in posts for pair in post.pairs.get(cell, ())]


def _entry_key(reader: int, ref: PostRef) -> bytes:
    return keys.entry_key(spread(reader), ref.id, ref.author)
