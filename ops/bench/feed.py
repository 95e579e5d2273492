"""A steady rate of deliveries beside what is measured: posts put into the log at an even pace."""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from ops.bench.load import Crowd
from ops.bench.stage import Stage
from ops.metrics import ROWS_WRITTEN

TICK_S = 0.02


class Feed:
    """Posts of a crowd's authors in turn, `deliveries_per_s` entries a second, while it is open.

    `achieved` is what the worker has really written by its own count, per second; the pace of the
    posts is that of a clock, so a worker that falls behind is not spared.
    """

    def __init__(
        self, stage: Stage, crowd: Crowd, deliveries_per_s: float, body: str = "beside"
    ) -> None:
        self._stage = stage
        self._crowd = crowd
        self._posts_per_s = deliveries_per_s / (crowd.each + 1)
        self._body = body
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._failure: Exception | None = None
        self._rows: Callable[[], float] = lambda: stage.counted(ROWS_WRITTEN)
        self._window = (0.0, 0.0)

    def __enter__(self) -> Self:
        self._thread.start()
        self.mark()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._stopped.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def mark(self) -> None:
        """Begin to count here."""
        self._window = (time.monotonic(), self._rows())

    def achieved(self) -> float:
        """Rows per second since the mark."""
        began, rows = self._window
        return (self._rows() - rows) / (time.monotonic() - began)

    def _run(self) -> None:
        began = time.monotonic()
        sent = 0
        authors = self._crowd.authors
        try:
            while not self._stopped.wait(TICK_S):
                due = int((time.monotonic() - began) * self._posts_per_s)
                if due > sent:
                    turn = [authors[n % len(authors)] for n in range(sent, due)]
                    self._stage.append(self._stage.posts(turn, self._body))
                    sent = due
        except Exception as error:  # noqa: BLE001 - raised where the feed is closed
            self._failure = error
