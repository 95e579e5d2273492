"""Requests at a given rate, each timed from when it was due and not from when it could be sent.

A client that waits for one answer before it asks again sees a server's stall as one slow request;
users who would have come meanwhile are left out ("coordinated omission", Gil Tene, "How NOT to
Measure Latency"). Here the times at which requests are due are fixed beforehand; a stalled server
makes the following ones late, and their waiting counts.

Latencies go into hdrhistogram: microseconds up to two minutes, three digits.
"""

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
from hdrh.histogram import HdrHistogram

LOWEST_US: Final = 1
HIGHEST_US: Final = 120_000_000
DIGITS: Final = 3

Call = Callable[[int], None]
"""Makes request number n, and raises when it was not answered as it should have been."""


class Pace(Protocol):
    """A clock that can be waited on, in seconds; tests have one that does not take any."""

    def now(self) -> float:
        """Seconds since some moment."""
        ...

    def until(self, at: float) -> None:
        """Return at `at`, or at once if that has passed."""
        ...


class MonotonicPace:
    """The machine's monotonic clock, the same one in all of its processes."""

    def now(self) -> float:
        """`time.monotonic`."""
        return time.monotonic()

    def until(self, at: float) -> None:
        """Sleep."""
        left_s = at - time.monotonic()
        if left_s > 0:
            time.sleep(left_s)


def _histogram() -> Any:
    return HdrHistogram(LOWEST_US, HIGHEST_US, DIGITS)


@dataclass(slots=True)
class Latencies:
    """What a run has shown: `from_due` is the figure, `from_sent` what a closed loop would say.

    `errors` are requests that raised; they are in the histograms too.
    """

    from_due: Any = field(default_factory=_histogram)
    from_sent: Any = field(default_factory=_histogram)
    errors: int = 0
    first_error: str = ""

    @property
    def count(self) -> int:
        """How many requests were answered or failed."""
        return int(self.from_due.total_count)

    def record(self, due: float, sent: float, done: float) -> None:
        """One request, by three moments in seconds."""
        self.from_due.record_value(_us(done - due))
        self.from_sent.record_value(_us(done - sent))

    def ms(self, percentile: float) -> float:
        """A percentile of the time from due to done, in milliseconds."""
        return float(self.from_due.get_value_at_percentile(percentile)) / 1000

    def closed_ms(self, percentile: float) -> float:
        """The same from sent to done: what hides a server's stalls."""
        return float(self.from_sent.get_value_at_percentile(percentile)) / 1000

    def add(self, other: "Latencies") -> None:
        """Take in another client's."""
        self.from_due.add(other.from_due)
        self.from_sent.add(other.from_sent)
        self.errors += other.errors
        self.first_error = self.first_error or other.first_error

    def packed(self) -> tuple[bytes, bytes, int, str]:
        """What can be sent between processes."""
        return self.from_due.encode(), self.from_sent.encode(), self.errors, self.first_error

    @classmethod
    def unpacked(cls, packed: tuple[bytes, bytes, int, str]) -> "Latencies":
        """The inverse of `packed`."""
        due, sent, errors, first = packed
        return cls(HdrHistogram.decode(due), HdrHistogram.decode(sent), errors, first)


def due_times(rate_per_s: float, seconds: float, *, poisson: bool, seed: int = 1) -> list[float]:
    """When requests are due, in seconds from the start: evenly, or as independent users come.

    Poisson arrivals are drawn from `seed`; their number then is about, not exactly, rate x seconds.
    """
    if rate_per_s <= 0 or seconds <= 0:
        raise ValueError(f"{rate_per_s}/s for {seconds} s: both must be above 0")
    if not poisson:
        return [n / rate_per_s for n in range(int(rate_per_s * seconds))]
    draw = np.random.default_rng(seed)
    size = int(rate_per_s * seconds * 1.5) + 20
    times = np.cumsum(draw.exponential(1 / rate_per_s, size))
    return [float(at) for at in times[times < seconds]]


def run_open_loop(
    due: Sequence[float], start: float, calls: Sequence[Call], pace: Pace | None = None
) -> Latencies:
    """Make all requests, `calls` side by side, each call in a thread of its own (one: in this one).

    `due` are seconds behind `start`, ascending. Whichever thread is free takes the next request,
    waits until it is due if it is not yet, and makes it; nothing is left out, however late it is.
    """
    pace = pace or MonotonicPace()
    numbers = itertools.count()
    found = [Latencies() for _ in calls]

    def work(call: Call, latencies: Latencies) -> None:
        while (number := next(numbers)) < len(due):
            at = start + due[number]
            pace.until(at)
            sent = pace.now()
            try:
                call(number)
            except Exception as error:  # noqa: BLE001 - whatever it was, the request has failed
                latencies.errors += 1
                latencies.first_error = latencies.first_error or f"{type(error).__name__}: {error}"
            latencies.record(at, sent, pace.now())

    if len(calls) == 1:
        work(calls[0], found[0])
    else:
        threads = [
            threading.Thread(target=work, args=pair, daemon=True)
            for pair in zip(calls, found, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    total = Latencies()
    for latencies in found:
        total.add(latencies)
    return total


def _us(seconds: float) -> int:
    return min(HIGHEST_US, max(LOWEST_US, round(seconds * 1_000_000)))
