"""The one reader of the log's end, for all streams that are there."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from firehose.event_json import read_event
from firehose.log import Following, Log
from idgen.errors import CursorTooOld, DashcellError, Unavailable
from ops.stream.frames import Line, line_of
from ops.stream.window import Window

_log = logging.getLogger("dashcell.stream")

POLL_RECORDS = 256
POLL_MS = 500
AGAIN_S = 0.5
PIECES = 8


class Tail:
    """Keeps a window at the end of a log while somebody needs it; called in the event loop's
    thread.

    While the log does not answer it tries again; `down_since` (of `time.monotonic`) tells streams.
    """

    def __init__(self, log: Log, window: Window, loop: asyncio.AbstractEventLoop) -> None:
        self._log = log
        self._window = window
        self._loop = loop
        self._needed = 0
        self._run: _Run | None = None
        self._ready = asyncio.Event()
        self.down_since: float | None = None

    async def need(self) -> None:
        """Have the window follow the log; returns once it has begun. Raises what keeps it from
        that. `spare` is to be called for each `need`, whatever became of it."""
        self._needed += 1
        if self._run is None:
            self._ready.clear()
            self._run = _Run(self, self._log, self._window)
            self._run.thread.start()
        await self._ready.wait()
        if not self._window.ready:
            raise Unavailable("the end of the firehose cannot be read now")

    def spare(self) -> None:
        """Take one `need` back; the last one ends the reading."""
        self._needed -= 1
        if not self._needed and self._run is not None:
            self._end(self._run)

    # -- told by the thread, in the loop's -------------------------------------------------------

    def begun(self, run: "_Run", ends: Sequence[int]) -> None:
        """All from `ends` on will come."""
        if run is self._run:
            self.down_since = None
            self._window.begin(ends)
            self._ready.set()

    def came(self, run: "_Run", lines: Sequence[Line]) -> None:
        """What comes next; nothing: there was nothing."""
        if run is self._run:
            self.down_since = None
            self._window.add(lines)

    def failed(self, run: "_Run", error: DashcellError) -> None:
        """It could not be read; it is tried again."""
        if run is not self._run:
            return
        if self.down_since is None:
            _log.warning("the end of the firehose cannot be read: %s", error)
            self.down_since = time.monotonic()
        self._ready.set()
        if not self._window.ready:
            self._end(run)  # nobody is in it; who comes next tries again

    def lost(self, run: "_Run") -> None:
        """What came next is gone, or whatever else: begin anew at the end."""
        if run is self._run:
            self._window.close()

    def _end(self, run: "_Run") -> None:
        run.stop.set()
        self._run = None
        self._window.close()
        self._ready.set()

    def close(self) -> threading.Thread | None:
        """End; the thread to wait for."""
        run = self._run
        if run is not None:
            self._end(run)
        return run.thread if run is not None else None

    def tell(self, what: Callable[[], None]) -> None:
        """Have something done in the loop's thread, and wait for it: so the thread is never ahead
        of the streams by more than what it has in hand."""
        done: Future[None] = Future()

        def do() -> None:
            what()
            done.set_result(None)

        try:
            self._loop.call_soon_threadsafe(do)
            done.result(timeout=30.0)
        except (RuntimeError, TimeoutError):
            # The loop is closed: nobody is left to be told.
            return


class _Run:
    """One reading of the end, in a thread of its own."""

    def __init__(self, tail: Tail, log: Log, window: Window) -> None:
        self._log = log
        # In pieces, so that streams can take from the window between two of them.
        self._piece_bytes = window.bytes_max // PIECES
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._work, name="stream tail", daemon=True)
        self._tail = tail

    def _work(self) -> None:
        tail = self._tail
        while not self.stop.is_set():
            try:
                self._follow()
            except CursorTooOld:
                tail.tell(lambda: tail.lost(self))
            except DashcellError as error:
                self._failed(error)
            except Exception as error:  # noqa: BLE001 - told to the streams, whatever it is
                _log.exception("the end of the firehose cannot be read")
                self._failed(Unavailable(str(error)))

    def _failed(self, error: DashcellError) -> None:
        self._tail.tell(lambda: self._tail.failed(self, error))
        self.stop.wait(AGAIN_S)

    def _follow(self) -> None:
        tail = self._tail
        ends = [span.end for span in self._log.spans()]
        following = self._log.follow(dict(enumerate(ends)))
        try:
            tail.tell(lambda: tail.begun(self, ends))
            while not self.stop.is_set():
                self._poll(following)
        finally:
            following.close()

    def _poll(self, following: Following) -> None:
        try:
            records = following.poll(POLL_RECORDS, POLL_MS)
        except Unavailable as error:
            self._failed(error)
            return
        piece: list[Line] = []
        size = 0
        for record in records:
            line = line_of(record, read_event(record))
            piece.append(line)
            size += len(line.data)
            if size >= self._piece_bytes:
                self._came(piece)
                piece, size = [], 0
        self._came(piece)

    def _came(self, lines: Sequence[Line]) -> None:
        self._tail.tell(lambda: self._tail.came(self, lines))
