"""A walk over all readers of a cell and whom they follow, in the order of places, in parts."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from cell import coverage, keys
from cell.activity import Column
from cell.coverage import EVERYBODY, Covered
from cell.known_coverage import scanned
from cell.materialization import Bools, Counts, Rates
from cell.residents import Homes
from cell.tables import FixedRows, Tables
from cell.versions import band_of, bands_of
from idgen.ids import U64Array

ROWS: Final = 20_000
"""Of one part."""


class Pairs(NamedTuple):
    """Live edges, as columns: the reader's place, the author, the author's events/s."""

    places: U64Array
    authors: U64Array
    events_per_s: Rates


class Part(NamedTuple):
    """Some readers, whole, as columns; beside them edges of these and others, and the rows of
    coverage of who is pulled, by place and by (place, author). `rows`: how many were read."""

    places: U64Array
    events_per_s: Rates
    follows: Counts
    hot: Counts
    pulled: Mapping[int, Covered]
    pairs: Pairs
    pulled_pairs: Mapping[tuple[int, int], Covered]
    rows: int


class _Sums(NamedTuple):
    """Columns of readers; a place may be there twice until they are `grouped`."""

    places: U64Array
    events_per_s: Rates
    follows: Counts
    hot: Counts


_NO_PAIRS: Final = Pairs(np.empty(0, np.uint64), np.empty(0, np.uint64), np.empty(0))
_NO_SUMS: Final = _Sums(
    np.empty(0, np.uint64), np.empty(0), np.empty(0, np.int64), np.empty(0, np.int64)
)


def walk_readers(
    tables: Tables, homes: Homes, events_per_s: Column, hot: U64Array
) -> Iterator[Part]:
    """All who are homed here and follow somebody or are pulled. `hot`: authors whose events do not
    count in the readers' sums, in order."""
    start = b""
    left = _NO_SUMS
    pulled: dict[int, Covered] = {}
    while True:
        rows = tables.scan_fixed(keys.FOLLOWING, start, b"", ROWS)
        count = len(rows.versions)
        more = count == ROWS
        stop = rows.keys[-1].tobytes() + b"\0" if more else b""
        pairs = _live(rows, homes, events_per_s)
        is_hot = np.isin(pairs.authors, hot)
        counted = np.where(is_hot, 0.0, pairs.events_per_s)
        ones = np.ones(len(is_hot), np.int64)
        left = _grouped(left, _Sums(pairs.places, counted, ones, is_hot.astype(np.int64)))
        more_pulled, pulled_pairs, covered_rows = _pulled(tables, homes, start, stop)
        pulled.update(more_pulled)
        upto = keys.place_of(stop) if more else None
        # Also of pulled readers who follow nobody (any more).
        names = np.array(sorted(pulled.keys()), dtype=np.uint64)
        alone = np.setdiff1d(names, left.places)
        zeros = np.zeros(len(alone), np.int64)
        left = _grouped(left, _Sums(alone, np.zeros(len(alone)), zeros, zeros))
        whole = np.ones(len(left.places), np.bool_) if upto is None else left.places < upto
        done, left = _taken(left, whole), _taken(left, ~whole)
        those = {p: c for p, c in pulled.items() if upto is None or p < upto}
        pulled = {p: c for p, c in pulled.items() if p not in those}
        yield Part(*done, those, pairs, pulled_pairs, count + covered_rows)
        if not more:
            return
        start = stop


def walk_pulled(tables: Tables, homes: Homes) -> Iterator[Part]:
    """Those who are pulled, as if they followed nobody: for what asks for nothing else."""
    for rows in scanned(tables, keys.COVERAGE, b"", b""):
        if not rows:
            return
        start, stop = rows[0].key, rows[-1].key + b"\0"
        pulled, pairs, count = _pulled(tables, homes, start, stop)
        places = np.array(sorted(pulled), dtype=np.uint64)
        zeros = np.zeros(len(places), np.int64)
        none = np.zeros(len(places))
        yield Part(places, none, zeros, zeros, pulled, _NO_PAIRS, pairs, 2 * count)


def _live(rows: FixedRows, homes: Homes, events_per_s: Column) -> Pairs:
    """The edges that are live, of readers homed here."""
    if not len(rows.versions):
        return _NO_PAIRS
    numbers = keys.key_numbers(rows.keys)
    bands = homes.bands(numbers[:, 0])
    here = (rows.values[:, 0] != 0) & (bands > 0) & (bands == bands_of(rows.versions))
    authors = numbers[here, 1]
    return Pairs(numbers[here, 0], authors, events_per_s.of(authors))


def _pulled(
    tables: Tables, homes: Homes, start: bytes, stop: bytes
) -> tuple[dict[int, Covered], dict[tuple[int, int], Covered], int]:
    """The rows of who is pulled, of readers and of pairs, and how many were read."""
    readers: dict[int, Covered] = {}
    pairs: dict[tuple[int, int], Covered] = {}
    count = 0
    for rows in scanned(tables, keys.COVERAGE, start, stop):
        count += len(rows)
        for row in rows:
            place, author = keys.parse_pair(row.key)
            if homes.band(place) != band_of(row.version):
                continue
            covered = coverage.decode(row.value)
            if covered.pulled and author == EVERYBODY:
                readers[place] = covered
            elif covered.pulled:
                pairs[place, author] = covered
    return readers, pairs, count


def _grouped(some: _Sums, more: _Sums) -> _Sums:
    """One element for each place, in order."""
    places, where = np.unique(np.concatenate((some.places, more.places)), return_inverse=True)

    def summed(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> Rates:
        weights = np.concatenate((one, other)).astype(np.float64)
        return np.bincount(where, weights=weights, minlength=len(places)).astype(np.float64)

    return _Sums(
        places,
        summed(some.events_per_s, more.events_per_s),
        summed(some.follows, more.follows).astype(np.int64),
        summed(some.hot, more.hot).astype(np.int64),
    )


def _taken(some: _Sums, which: Bools) -> _Sums:
    return _Sums(
        some.places[which], some.events_per_s[which], some.follows[which], some.hot[which]
    )
