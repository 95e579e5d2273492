"""What a dashboard keeps of a cell, judged by the tables: rows as they were read at some moment,
and what `cell.freshness` says of them later."""

from dataclasses import dataclass, field
from typing import NamedTuple

from cell import changes, keys
from cell.freshness import Freshness
from cell.state import CellState, homes_now
from cell.tables import Row, Tables
from cell.versions import at_of, band_of
from firehose.event import PostRef
from firehose.log import Log
from idgen.ids import partition_of, spread

ALL = 1_000_000


class Kept(NamedTuple):
    """Rows of a reader and of a post, read when so much was known."""

    reader: int
    band: int
    post: PostRef
    stamp: int
    rows: list[Row]


@dataclass
class Keeper:
    """Reads changes now and then, keeps rows now and then."""

    log: Log
    tables: Tables
    state: CellState
    kept: list[Kept] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.freshness = Freshness(self.log, self.state)
        self._at = self.freshness._begin()

    def follow(self, most: int = ALL) -> None:
        """Take over up to `most` changes that came since."""
        for record in self.log.read(0, self._at, most):
            self.freshness.take(changes.decode(record.value))
            self._at = record.offset + 1

    def keep(self, reader: int, post: PostRef) -> None:
        """Read rows where a page may be read from memory later."""
        states = self.state.read()
        band = homes_now(states.values()).band(spread(reader))
        if band and self.freshness.known.covers(states):
            stamp = self.freshness.known.stamp
            self.kept.append(Kept(reader, band, post, stamp, self._rows(reader, band, post)))

    def check(self) -> None:
        """All is applied and told: what is said to be unchanged is."""
        self.follow()
        states = self.state.read()
        homes = homes_now(states.values())
        assert self.freshness.known.covers(states)
        for kept in self.kept:
            if homes.band(spread(kept.reader)) != kept.band:
                continue  # it is not served from here under that band
            name = changes.post_names([keys.post_key(kept.post.author, kept.post.id)])
            reader = changes.reader_name(spread(kept.reader))
            if self.freshness.unchanged(reader, name, kept.stamp):
                assert self._rows(kept.reader, kept.band, kept.post) == kept.rows, kept

    def check_now(self, log_base: int) -> None:
        """In the middle of things: where what is known covers the table, what is said to be
        unchanged lacks no entry of an event that is known to be applied."""
        states = self.state.read()
        known = self.freshness.known
        if not known.covers(states) or any(s.again >= 0 for s in states.values()):
            return
        homes = homes_now(states.values())
        for kept in self.kept:
            reader = changes.reader_name(spread(kept.reader))
            if homes.band(spread(kept.reader)) != kept.band:
                continue
            if not self.freshness.unchanged(reader, changes.NONE, kept.stamp):
                continue
            for row in self._inbox(spread(kept.reader)):
                _, author = keys.parse_entry(row.key)
                applied = known.applied[partition_of(author, len(states))]
                if band_of(row.version) == kept.band and row not in kept.rows:
                    assert not applied.done(at_of(row.version) - log_base - 1), (kept, row)

    def _inbox(self, place: int) -> list[Row]:
        start, stop = keys.place_bytes(place), keys.after_prefix(place)
        return list(self.tables.scan(keys.INBOX, start, stop, ALL))

    def _rows(self, reader: int, band: int, post: PostRef) -> list[Row]:
        place = spread(reader)
        start, stop = keys.place_bytes(place), keys.after_prefix(place)
        found = [
            row
            for table in (keys.INBOX, keys.NOTICES)
            for row in self.tables.scan(table, start, stop, ALL)
            if band_of(row.version) == band
        ]
        found += self.tables.scan(keys.MARKS, start, stop, ALL)
        (stored,) = self.tables.get(keys.POSTS, [keys.post_key(post.author, post.id)])
        return [*found, *([stored] if stored is not None else ())]
