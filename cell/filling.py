"""Filling the inbox of a reader who was pulled and is pushed again.

Pages of such a reader are complete at once, for they look up what was not pushed. Behind them the
entries are written that pushing would have made, at the versions that it would have given them;
then a command, Filled, says that nothing need be looked up any more. Nothing is locked:

- Removed meanwhile: a removal from the span's end on writes gone to this reader too, at a higher
  version (left out is who is pulled at the post and at its removal alike). So it is waited until
  every partition has done all before the span's end: a removal from before, however long it takes,
  is in the post's row then, and gone is written for the post. It may be in the inbox: a worker that
  was stopped before the span began and went on in it has pushed it, and nobody took it back.
- Unfollowed or followed again meanwhile: an unfollow writes gone for all posts, a follow what it
  backfills, at higher versions.
- Moved away meanwhile: rows of a band that has ended do not exist. Come again meanwhile, or
  restored: Filled is void as below, for it was of the band before.
- Rewound: a replay pushes nothing in a span that is known, and just these rows in one that is not.
- A dead letter retried meanwhile may change what belongs in the span behind the filling's back. It
  is a command too: where one was told since the filling began, Filled is void, and all is done
  once more.
- Killed, or done by two at once: the same rows are written again.

What an author's or a pair's coverage leaves out stays looked up.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from cell import commands, coverage, keys
from cell.author_posts import newest
from cell.commands import Filled, GroupRewound, LetterRetried, SliceArrived
from cell.coverage import EVERYBODY, OPEN, Covered, PulledEvents, Stamps, pulled_events
from cell.known_coverage import scanned
from cell.residents import Homes
from cell.state import PartitionState, homes_now
from cell.stores import CellStores
from cell.switching import read_stamps
from cell.tables import Row
from cell.unacknowledged import Unacknowledged
from cell.versions import at_of, at_of_offset, band_of, floor_of, version_of
from firehose.log import Log
from idgen.ids import spread, unspread

ROWS_AT_ONCE: Final = 5_000
COMMANDS_READ: Final = 100
VOIDING: Final = (LetterRetried, SliceArrived, GroupRewound)


class Pending(NamedTuple):
    """A reader (by place) who may be filled, and the row that says so."""

    place: int
    band: int
    covered: Covered


class _AsOf(NamedTuple):
    """The cell as a round of filling begins: where its commands end, and how far it has come."""

    seen: int
    stamps: Mapping[int, Stamps]
    states: Mapping[int, PartitionState]
    homes: Homes


class Filling:
    """Fills readers of one cell, one at a time."""

    def __init__(self, stores: CellStores) -> None:
        self._stores = stores
        self._tables = stores.tables

    def pending(self, after: bytes = b"") -> Iterator[Pending]:
        """Readers homed here with something to fill, in the order of their rows, from behind the
        key `after` on."""
        homes = homes_now(self._stores.state().read().values())
        start = after + b"\0" if after else b""
        for rows in scanned(self._tables, keys.COVERAGE, start, b""):
            for row in rows:
                place, author = keys.parse_pair(row.key)
                band = band_of(row.version)
                if author == EVERYBODY and homes.band(place) == band:
                    covered = coverage.decode(row.value)
                    ended = _ended(covered)
                    if ended.spans or ended.brought:
                        yield Pending(place, band, covered)

    def fill(self, pending: Pending) -> int | None:
        """Write what a reader was not pushed, and tell it; how many entries were written. None: the
        cell has not come so far yet."""
        as_of = self._as_of()
        count = self._fill(pending, as_of)
        if count is not None:
            self._tell(_until(pending), [unspread(pending.place)], as_of.seen)
        return count

    def fill_all(self, go_on: Callable[[int], bool]) -> int:
        """Fill all who wait for it, as far as the cell has come; how many were filled. `go_on` is
        asked after each, with the entries that were written."""
        as_of = self._as_of()
        filled: dict[int, list[int]] = defaultdict(list)
        readers = 0
        for pending in self.pending():
            count = self._fill(pending, as_of)
            if count is None:
                continue
            readers += 1
            some = filled[_until(pending)]
            some.append(unspread(pending.place))
            if len(some) == commands.NAMED_MAX:
                self._tell(_until(pending), filled.pop(_until(pending)), as_of.seen)
            if not go_on(count):
                break
        for until, some in filled.items():
            self._tell(until, some, as_of.seen)
        return readers

    def _as_of(self) -> _AsOf:
        seen = self._stores.commands.spans()[0].end  # first: whatever is told later makes void
        stamps = read_stamps(self._tables, range(self._stores.firehose.partitions))
        states = self._stores.state().read()
        return _AsOf(seen, stamps, states, homes_now(states.values()))

    def _fill(self, pending: Pending, as_of: _AsOf) -> int | None:
        events = _events(_ended(pending.covered), as_of.stamps)
        if events is None or not self._done(events, as_of):
            return None
        if as_of.homes.band(pending.place) != pending.band:
            return None  # moved since the row was read
        return self._write(pending, events, as_of.stamps)

    def _tell(self, until: int, readers: Sequence[int], seen: int) -> None:
        filled = Filled(until, tuple(readers), seen)
        self._stores.commands.append([(0, commands.encode(filled))])

    def _done(self, events: PulledEvents, as_of: _AsOf) -> bool:
        """Whether every partition has applied the events, and obeyed all commands so far."""
        return all(
            state.commands >= as_of.seen
            and at_of_offset(self._stores.log_base, state.unfinished)
            >= max((until for _, until in events.within(p)), default=0)
            for p, state in as_of.states.items()
        )

    def _write(
        self, pending: Pending, events: PulledEvents, stamps: Mapping[int, Stamps]
    ) -> int:
        count = 0
        rows: list[Row] = []
        for author, edge_at in self._edges(pending):
            partition = spread(author) % self._stores.firehose.partitions
            within = events.within(partition)
            if not within:
                continue
            others = self._others(pending.place, pending.band, author, stamps)
            floor = min(since for since, _ in within)
            for post in newest(self._tables, Unacknowledged(), spread(author), floor=floor):
                at = post.created_at
                covered = events.contain(partition, at) and not others.contain(partition, at)
                if covered and at > edge_at:
                    # A gone one as its removal would have left it, or a replay would do it.
                    key = keys.entry_key(pending.place, post.id, author)
                    version = version_of(pending.band, post.gone_at or at)
                    rows.append(Row(key, version, bytes((post.kind,))))
                if len(rows) == ROWS_AT_ONCE:
                    count += self._put(rows)
                    rows = []
        return count + self._put(rows)

    def _put(self, rows: list[Row]) -> int:
        self._tables.put(keys.INBOX, rows)
        return len(rows)

    def _edges(self, pending: Pending) -> Iterator[tuple[int, int]]:
        """Whom the reader follows, and the `at` of each edge."""
        start, stop = keys.place_bytes(pending.place), keys.after_prefix(pending.place)
        floor = floor_of(pending.band)
        while True:
            rows = self._tables.scan(
                keys.FOLLOWING, start, stop, ROWS_AT_ONCE, floor=floor, skip=keys.GONE
            )
            for row in rows:
                if band_of(row.version) == pending.band:
                    yield keys.parse_pair(row.key)[1], at_of(row.version)
            if len(rows) < ROWS_AT_ONCE:
                return
            start = rows[-1].key + b"\0"

    def _others(
        self, place: int, band: int, author: int, stamps: Mapping[int, Stamps]
    ) -> PulledEvents:
        """What stays looked up of an author: pulled by all, or by this pair."""
        (hot,) = self._tables.get(keys.CELL, [keys.hot_key(spread(author))])
        (pair,) = self._tables.get(keys.COVERAGE, [keys.pair_key(place, author)])
        rows = [hot, pair if pair is not None and band_of(pair.version) == band else None]
        by_partition = [stamps[p] for p in sorted(stamps)]
        found = [
            pulled_events(coverage.decode(row.value), by_partition).parts
            for row in rows
            if row is not None
        ]
        return PulledEvents([part for parts in found for part in parts])


def is_void(log: Log, command: Filled, offset: int) -> bool:
    """Whether a dead letter was retried, or readers arrived or a cell was restored, while this was
    filled: between where the commands ended as it began, and its own place in their log."""
    at = command.seen
    while at < offset:
        for record in log.read(0, at, COMMANDS_READ, timeout_ms=1_000):
            told = commands.decode(record.value)
            if record.offset < offset and isinstance(told, VOIDING):
                return True
            at = record.offset + 1
    return False


def _ended(covered: Covered) -> Covered:
    """The part of a row that may be filled."""
    spans = tuple(span for span in covered.spans if span.until != OPEN)
    return Covered(spans=spans, brought=covered.brought)


def _until(pending: Pending) -> int:
    """The switch by which the last of what is filled has ended."""
    return max((span.until for span in _ended(pending.covered).spans), default=0)


def _events(ended: Covered, stamps: Mapping[int, Stamps]) -> PulledEvents | None:
    """When a reader was pulled; None: not every partition has stamped it yet."""
    named = ended.switches
    if any(each.at(switch) is None for each in stamps.values() for switch in named):
        return None
    return pulled_events(ended, [stamps[p] for p in sorted(stamps)])
