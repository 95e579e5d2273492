"""Time as a value that is passed in, so that rules about time can be tested without waiting."""

import time
from typing import Protocol


class Clock(Protocol):
    """The two clocks of a machine.

    `now_ms` may jump (it is set by people and NTP) and decides nothing; `monotonic_ms` never goes
    back and measures durations.
    """

    def now_ms(self) -> int:
        """Milliseconds since 1970-01-01 UTC, by the machine's wall clock."""
        ...

    def monotonic_ms(self) -> int:
        """Milliseconds since an arbitrary start; never decreases while the process runs."""
        ...

    def pause(self, ms: int) -> None:
        """Let `ms` milliseconds pass (a test's clock simply moves on)."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now_ms(self) -> int:
        """Wall clock, milliseconds since 1970-01-01 UTC."""
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> int:
        """Monotonic clock, milliseconds."""
        return time.monotonic_ns() // 1_000_000

    def pause(self, ms: int) -> None:
        """Sleep for `ms` milliseconds."""
        time.sleep(ms / 1000)
