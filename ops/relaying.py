"""The relay of a cell group as a service hosts it.

What a relay must not pass over ends it: records that the root has forgotten before they were
relayed, or a topic that is damaged or another root's. It has the reason and the remedy in its
readiness for HOLD_S then, and in a metric, before its process ends and is started again: whoever
looks at it finds it red, and a supervisor, which gives up what dies at once over and over, goes on
to try until it was mended.
"""

import logging
import threading
from collections.abc import Iterable
from contextlib import suppress

from firehose.relay import Relay
from ops.metrics import RELAY_EVENTS, RELAY_LAG_SECONDS, RELAY_STOPPED, Sample

_log = logging.getLogger("dashcell.relay")

HOLD_S = 15.0
"""More than the life of a child that its supervisor takes for steady."""


class RelayWorker:
    """A worker of the template's kind around one relay of the group `cells`."""

    def __init__(self, cells: str, relay: Relay, hold_s: float = HOLD_S) -> None:
        self._cells = cells
        self._hold_s = hold_s
        self.relay = relay
        self.failure: Exception | None = None

    def run(self, stop: threading.Event) -> None:
        """Relay until `stop`. Raises what a relay raises, some time after it said so."""
        try:
            self.relay.run(stop)
        except Exception as error:
            self.failure = error
            _log.exception("the relay of group %s stopped", self._cells)
            stop.wait(self._hold_s)
            raise

    @property
    def stopped(self) -> bool:
        """Whether it has failed, and was not begun again."""
        return self.failure is not None and not self.relay.begun

    @property
    def trouble(self) -> str:
        """Why nothing is relayed; empty when something is, or would be if there were anything."""
        if self.stopped:
            return f"the relay of group {self._cells} stopped: {self.failure}"
        if self.relay.trouble or self.relay.begun:
            return self.relay.trouble
        return f"the relay of group {self._cells} has not begun yet"

    def samples(self) -> Iterable[Sample]:
        """Its metrics."""
        group = (self._cells,)
        found = [
            Sample(RELAY_EVENTS, group, self.relay.stats.records),
            Sample(RELAY_STOPPED, group, float(self.stopped)),
        ]
        if not self.stopped:  # it does not look where the root ends
            found.append(Sample(RELAY_LAG_SECONDS, group, self.relay.lag_ms / 1000))
        return found


class HostedRelay:
    """A relay that runs beside others in one process: a thread that is its own supervisor."""

    def __init__(self, cells: str, relay: Relay, hold_s: float = HOLD_S) -> None:
        self._stop = threading.Event()
        self.worker = RelayWorker(cells, relay, hold_s)
        self._thread = threading.Thread(target=self._run, name=f"relay {cells}", daemon=True)

    def start(self) -> None:
        """Begin to relay."""
        self._thread.start()

    def stop(self) -> None:
        """Stop; what was not appended is relayed later. Idempotent."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            with suppress(Exception):  # it has told, and waited
                self.worker.run(self._stop)
