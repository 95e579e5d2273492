"""Taking a backup of a cell, or of a slice of its readers, while the cell goes on.

It is the copy that a move makes (`cell.slice_rows`), into files: first how far the cell has
applied, then who is pulled, then state rows, then entries, notices and marks, then posts. So all
below that position is in the rows, and a state row that is there proves that all of its event is.
Rows of `followers` are not kept: they are those of `following` with their users exchanged.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from cell import coverage, keys
from cell.backup_files import (
    FORMAT,
    FORMAT_PULLED,
    HOT_AUTHORS,
    LETTERS,
    ChunkFile,
    Content,
    Manifest,
    PlatformThen,
    prepare,
    write_chunk,
    write_manifest,
)
from cell.coverage_copy import below, brought_authors, read_rows
from cell.post_rows import read_posts
from cell.residents import Homes, Ranges, common
from cell.slice_rows import Leg, Walked, legs_of, read_piece
from cell.state import PartitionState, homes_now
from cell.stores import CellStores
from cell.tables import FixedRows, Row
from idgen.clock import Clock
from idgen.ids import U64

PIECE_ROWS = 50_000
"""Rows of one read, and of one file: about 2 MB before they are compressed."""
PIECE_POSTS = 500
"""Of one file, which has about 4 MiB at most."""
LETTERS_PIECE = 50
COVERAGE_PIECE = 1_000


class Wish(NamedTuple):
    """What is to be backed up, and how quickly at most (rows a second; 0: as many as go)."""

    start: int = 0
    last: int = U64
    rows_per_s: int = 0


class Taken(NamedTuple):
    """How far a backup has come: what was written last, and all rows and bytes so far."""

    what: str
    rows: int
    bytes: int


Tell = Callable[[Taken], None]


def take(
    stores: CellStores,
    folder: Path,
    wish: Wish,
    then: Callable[[], PlatformThen],
    program: str,
    clock: Clock,
    tell: Tell = lambda _: None,
) -> Manifest:
    """Write a backup into an empty folder. `then` gives the platform as it is when it is asked.

    Raises NotEmpty, OSError (a full disk: the folder then has no manifest), Unavailable.
    """
    prepare(folder)
    return _Taking(stores, folder, wish, clock, tell).run(then, program)


class _Taking:
    def __init__(
        self, stores: CellStores, folder: Path, wish: Wish, clock: Clock, tell: Tell
    ) -> None:
        self._stores = stores
        self._folder = folder
        self._wish = wish
        self._clock = clock
        self._tell = tell
        self._began_ms = clock.monotonic_ms()
        self._files: list[ChunkFile] = []
        self._rows = 0
        self._bytes = 0
        self._held: list[FixedRows] = []
        self._held_of = ""

    def run(self, then: Callable[[], PlatformThen], program: str) -> Manifest:
        wish = self._wish
        state = self._stores.state()
        # First of all: what is below these positions is in the rows that are read afterwards.
        states = state.read()
        begun = homes_now(states.values()).within(wish.start, wish.last)
        platform = then()
        self._take_pulled(begun, states)
        self._take_slices(begun)
        if (wish.start, wish.last) == (0, U64):
            self._take_posts()
            self._take_letters()
        # What has left meanwhile may have been swept before it was read; a band that has left never
        # comes back.
        ended = homes_now(state.read().values()).within(wish.start, wish.last)
        ends = self._stores.ends()
        pulled = any(file.table in (keys.COVERAGE, HOT_AUTHORS) for file in self._files)
        manifest = Manifest(
            format=FORMAT_PULLED if pulled else FORMAT,
            cell=self._stores.name,
            program=program,
            created_ms=self._clock.now_ms(),
            platform=platform,
            states=tuple(states[p] for p in sorted(states)),
            ends=ends,
            ranges=common([Homes(begun), Homes(ended)]).ranges,
            at_max=self._stores.log_base + max((*ends, *(s.high for s in states.values()))),
            start=wish.start,
            last=wish.last,
            files=tuple(self._files),
        )
        write_manifest(self._folder, manifest)
        return manifest

    def _take_pulled(self, ranges: Ranges, states: Mapping[int, PartitionState]) -> None:
        """For which events below the positions entries are not there, before these are read; the
        numbers of this cell's switches mean nothing where it is restored."""
        tables = self._stores.tables
        tables.create(keys.NEWER)  # a cell of an older version has none of them
        since = [states[p].unfinished for p in sorted(states)]
        known = below(tables, states, since, self._stores.log_base)
        legs, walked = [Leg(keys.COVERAGE, *within) for within in ranges], Walked()
        held: list[Row] = []
        while walked.leg < len(legs):
            rows, walked = read_rows(tables, legs[walked.leg], walked, PIECE_ROWS, known)
            held += rows
            if held and (len(held) >= COVERAGE_PIECE or walked.leg == len(legs)):
                self._write(keys.COVERAGE, held)
                held = []
        authors = brought_authors(tables, ranges, known)
        if authors:
            rows = [Row(keys.hot_key(a), 1, coverage.encode(c)) for a, c in authors.items()]
            self._write(HOT_AUTHORS, rows)

    def _take_slices(self, ranges: Ranges) -> None:
        legs, walked = legs_of(ranges), Walked()
        while walked.leg < len(legs):
            piece = read_piece(self._stores.tables, legs, walked, PIECE_ROWS)
            walked = piece.walked
            self._hold(piece.leg.table, piece.rows)
        self._write_held()

    def _hold(self, table: str, rows: FixedRows) -> None:
        """Gather the rows of many small ranges into one file."""
        if table != self._held_of:
            self._write_held()
            self._held_of = table
        if len(rows.versions):
            self._held.append(rows)
        if sum(len(held.versions) for held in self._held) >= PIECE_ROWS:
            self._write_held()

    def _write_held(self) -> None:
        held, self._held = self._held, []
        if held:
            columns = zip(*held, strict=True)
            self._write(self._held_of, FixedRows(*(np.concatenate(each) for each in columns)))

    def _take_posts(self) -> None:
        start = b"\0"
        while start:
            rows, _, start = read_posts(self._stores.tables, start, b"", PIECE_POSTS)
            if rows:
                self._write(keys.POSTS, rows)

    def _take_letters(self) -> None:
        after = ""
        while letters := self._stores.dead_letters.list(after, LETTERS_PIECE):
            after = letters[-1].id
            self._write(LETTERS, [_letter_row(x.id, x.at_ms, x.reason, x.value) for x in letters])

    def _write(self, table: str, content: Content) -> None:
        file = write_chunk(self._folder, len(self._files) + 1, table, content)
        self._files.append(file)
        self._rows += file.rows
        self._bytes += file.bytes
        self._tell(Taken(table, self._rows, self._bytes))
        if self._wish.rows_per_s:
            due_ms = self._began_ms + 1000 * self._rows // self._wish.rows_per_s
            self._clock.pause(max(0, due_ms - self._clock.monotonic_ms()))


def _letter_row(name: str, at_ms: int, reason: str, value: bytes) -> Row:
    return Row(name.encode(), at_ms, msgspec.msgpack.encode((reason, value)))
