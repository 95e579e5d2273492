"""Whether this machine's clock agrees with those of its peers: the other servers of ids.

Uniqueness needs no clock (see `snowflake`). But a server whose clock is an hour behind would give
ids that sort an hour below those of its peers, so it is not to start.

Live peers are asked for their time; nothing is concluded from times that the registry keeps, which
say when somebody wrote them and not what time it is now.
"""

import logging
import threading
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from idgen.clock import Clock
from idgen.errors import DashcellError
from idgen.snowflake import CLOCKS_MS_MAX

PEERS_MAX = 8
"""So many peers are asked at most."""
COMPARE_S = 60.0

_log = logging.getLogger(__name__)


class Peers(Protocol):
    """The other servers of ids."""

    def addresses(self) -> Sequence[str]:
        """Where they answer. Raises Unavailable."""
        ...

    def clock_ms(self, address: str) -> int | None:
        """One's wall clock, milliseconds since 1970; None from one that does not tell it.

        Raises Unavailable, soon.
        """
        ...


class Compared(NamedTuple):
    """The peers' clocks less ours; None when none of them told its own (`peers` 0)."""

    offset_ms: int | None
    peers: int

    @property
    def trouble(self) -> str:
        """What is wrong, with the remedy; "" when the clock is near the others or alone."""
        if self.offset_ms is None or abs(self.offset_ms) <= CLOCKS_MS_MAX:
            return ""
        side = "behind" if self.offset_ms > 0 else "ahead of"
        return (
            f"this machine's clock is {abs(self.offset_ms)} ms {side} those of {self.peers} other "
            f"id servers, and may be {CLOCKS_MS_MAX} ms off: set it right (NTP), or theirs"
        )


def middle(offsets: Sequence[int]) -> int:
    """The median; of the two in the middle the one nearer to zero, so that one bad clock of two
    does not speak for both."""
    ordered = sorted(offsets)
    return min(ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2], key=abs)


class ClockWatch:
    """Compares the clock with those of the peers; `last` is what the last time has shown."""

    def __init__(self, peers: Peers, clock: Clock) -> None:
        self._peers = peers
        self._clock = clock
        self.last = Compared(None, 0)

    def compare(self) -> Compared:
        """Ask up to PEERS_MAX of the peers now. Raises Unavailable when it is unknown who they
        are; peers that do not answer are left out."""
        offsets = [
            offset
            for address in self._peers.addresses()[:PEERS_MAX]
            if (offset := self._offset_of(address)) is not None
        ]
        self.last = Compared(middle(offsets) if offsets else None, len(offsets))
        return self.last

    def _offset_of(self, address: str) -> int | None:
        asked_ms = self._clock.now_ms()
        try:
            theirs_ms = self._peers.clock_ms(address)
        except Exception as error:  # noqa: BLE001 - whatever listens there must not end this server
            _log.info("the clock of %s is unknown: %s", address, error)
            return None
        # It read its clock at some moment in between; halfway is at most half the way wrong.
        return theirs_ms - (asked_ms + self._clock.now_ms()) // 2 if theirs_ms is not None else None

    def run(self, stop: threading.Event, every_s: float = COMPARE_S) -> None:
        """Compare again and again until `stop` is set; says so in the log when it is off."""
        while not stop.wait(every_s):
            try:
                trouble = self.compare().trouble
            except DashcellError as error:
                trouble = f"the clock was compared with nobody's: {error}"
            if trouble:
                _log.warning("%s", trouble)
