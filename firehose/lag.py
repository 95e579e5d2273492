"""How far behind a reader of a log is in time, by ends of the log that were noted now and then."""

import threading
from collections import deque
from collections.abc import Callable, Sequence

from idgen.clock import Clock

SAMPLES_MAX = 7_200


class SampledEnds:
    """Ends of a log, each with when it was noted; the oldest are let go. For many threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._samples: deque[tuple[int, Sequence[int]]] = deque(maxlen=SAMPLES_MAX)

    def note(self, ends: Sequence[int]) -> None:
        """Note where the log ends now, by partition."""
        with self._lock:
            self._samples.append((self._clock.monotonic_ms(), ends))

    def behind_ms(self, is_behind: Callable[[Sequence[int]], bool]) -> int:
        """How long ago the oldest ends were noted that somebody still is behind, in ms; 0: none."""
        with self._lock:
            while self._samples:
                at_ms, ends = self._samples[0]
                if is_behind(ends):
                    return max(0, self._clock.monotonic_ms() - at_ms)
                self._samples.popleft()
        return 0
