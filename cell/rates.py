"""How often things happen: decaying estimates for many keys, in a bounded memory.

One counter for each key (an author's events, a reader's pages): a weight that halves every
`half_life_ms` and grows by one at each event, so that rate = weight x ln 2 / half-life. An estimate
begins at 0, is 1 - 2^-k of a steady rate after k half-lives, and as fast forgets one that ended.

There are at most `counters_max` of them. When there are more, the least recently touched go first:
the estimate of such a key is 0, and begins again when it is next touched. So an estimate is never
too high; it is too low by at most what its counter held when it went, decayed since. Those that go
are the slowest, unless more keys are touched within a few half-lives than there are counters.

Time is passed in, as milliseconds of a wall clock, since estimates are kept over restarts. Nothing
but an estimate depends on it: while it stands or goes back nothing decays. Events are added in
batches by one thread, and not on the path of a request: a batch with new keys moves all counters.
"""

import math

import msgspec
import numpy as np
import numpy.typing as npt

from idgen.errors import BadRequest
from idgen.ids import U64Array

Floats = npt.NDArray[np.float64]
FORMAT = 1
MS = 1000.0


class RatesUnreadable(ValueError):
    """Saved bytes that are no estimates, or of a newer format. Begin without: `Rates(...)`."""


class _Saved(msgspec.Struct, frozen=True, array_like=True):
    format: int
    half_life_ms: int
    keys: bytes
    weights: bytes
    touched: bytes


class Rates:
    """Estimates by key (unsigned 64 bits). Raises BadRequest for bounds that cannot be."""

    def __init__(self, half_life_ms: int, counters_max: int) -> None:
        for name, value in (("half_life_ms", half_life_ms), ("counters_max", counters_max)):
            if value < 1:
                raise BadRequest(name, f"{value} is not above 0")
        self._half_life_ms = half_life_ms
        self._counters_max = counters_max
        # Sorted by key, so that a batch is looked up at once: 24 bytes a counter.
        self._keys = np.empty(0, np.uint64)
        self._weights = np.empty(0, np.float64)
        self._touched = np.empty(0, np.int64)

    def __len__(self) -> int:
        """How many counters there are."""
        return len(self._keys)

    @property
    def keys(self) -> U64Array:
        """The keys that have a counter, in order."""
        return self._keys

    def last_ms(self, keys: U64Array) -> npt.NDArray[np.int64]:
        """When each element of `keys` was last counted; 0 where there is no counter."""
        found = np.zeros(len(keys), np.int64)
        at, known = self._find(keys)
        found[known] = self._touched[at[known]]
        return found

    def add(self, keys: U64Array, now_ms: int) -> None:
        """Count one event for each element of `keys`; a key may be there many times."""
        new, counts = np.unique(keys, return_counts=True)
        at, known = self._find(new)
        slots = at[known]
        self._weights[slots] = self._decayed(slots, now_ms) + counts[known]
        self._touched[slots] = now_ms
        if not known.all():
            missing = ~known
            where = at[missing]
            self._keys = np.insert(self._keys, where, new[missing])
            self._weights = np.insert(self._weights, where, counts[missing])
            self._touched = np.insert(self._touched, where, now_ms)
            self._trim()

    def per_s(self, keys: U64Array, now_ms: int) -> Floats:
        """The estimate for each element of `keys`, in events a second."""
        found = np.zeros(len(keys))
        at, known = self._find(keys)
        found[known] = self._decayed(at[known], now_ms) * self._per_s
        return found

    def sums_per_s(self, keys: U64Array, starts: npt.NDArray[np.int64], now_ms: int) -> Floats:
        """Sums of estimates: of keys[starts[i]:starts[i + 1]] (the last to the end), as those that
        one reader follows. `starts` increase from 0, or stay where there are none."""
        ends = np.append(starts[1:], len(keys))
        total = np.concatenate(([0.0], np.cumsum(self.per_s(keys, now_ms))))
        return np.asarray(np.maximum(total[ends] - total[starts], 0.0))

    def saved(self) -> bytes:
        """All of it, to go on from after a restart."""
        return msgspec.msgpack.encode(
            _Saved(
                FORMAT,
                self._half_life_ms,
                self._keys.astype("<u8").tobytes(),
                self._weights.astype("<f8").tobytes(),
                self._touched.astype("<i8").tobytes(),
            )
        )

    def load(self, data: bytes) -> None:
        """Take over what was saved, in place of all there is; raises RatesUnreadable.

        It may have been saved with other bounds: rates stay, and what is too much goes as ever.
        """
        try:
            saved = msgspec.msgpack.decode(data, type=_Saved)
            keys = np.frombuffer(saved.keys, "<u8").astype(np.uint64)
            weights = np.frombuffer(saved.weights, "<f8").astype(np.float64)
            touched = np.frombuffer(saved.touched, "<i8").astype(np.int64)
        except ValueError as error:
            raise RatesUnreadable(f"no saved estimates: {error}") from error
        if saved.format != FORMAT:
            raise RatesUnreadable(f"format {saved.format} of estimates, not {FORMAT}")
        lengths = {len(keys), len(weights), len(touched)}
        fits = len(lengths) == 1 and saved.half_life_ms > 0 and bool(np.all(keys[1:] > keys[:-1]))
        if not (fits and bool(np.all(np.isfinite(weights) & (weights >= 0)))):
            raise RatesUnreadable("saved estimates whose columns do not fit each other")
        self._keys, self._touched = keys, touched
        self._weights = weights * (self._half_life_ms / saved.half_life_ms)
        self._trim()

    @property
    def _per_s(self) -> float:
        return math.log(2) * MS / self._half_life_ms

    def _find(self, keys: U64Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Where each key is or would be, and whether it is."""
        at = np.searchsorted(self._keys, keys)
        known = at < len(self._keys)
        known[known] = self._keys[at[known]] == keys[known]
        return at, known

    def _decayed(self, slots: npt.NDArray[np.int64], now_ms: int) -> Floats:
        passed = np.maximum(now_ms - self._touched[slots], 0)
        return np.asarray(self._weights[slots] * np.exp2(-passed / self._half_life_ms))

    def _trim(self) -> None:
        """Let the least recently touched go; of those touched at once the lightest, so that a
        batch of more keys than there are counters leaves the busiest."""
        over = len(self._keys) - self._counters_max
        if over > 0:
            kept = np.sort(np.lexsort((self._keys, self._weights, self._touched))[over:])
            self._keys = self._keys[kept]
            self._weights = self._weights[kept]
            self._touched = self._touched[kept]
