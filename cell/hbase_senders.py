"""Threads that send chunks of a large write side by side; made when first needed, and again after
a fork (threads do not survive one)."""

import os
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait

from idgen.errors import Unavailable


class Senders:
    """`width` threads, shared by all callers."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._forget()
        self._closed = False
        self_reference = weakref.ref(self)

        def after_fork() -> None:
            senders = self_reference()
            if senders is not None:
                senders._forget()  # noqa: SLF001 - this is its own code

        os.register_at_fork(after_in_child=after_fork)

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._threads: ThreadPoolExecutor | None = None

    def share(self, rows: int, least: int, most: int) -> int:
        """How many of `rows` go into one call, so that there is one for each thread."""
        return min(most, max(least, -(-rows // self._width)))

    def run(self, send: Callable[[bytes], None], calls: Iterator[bytes]) -> None:
        """`send` each of `calls`; one call in the caller's own thread, more side by side.

        At most two calls per thread are encoded ahead. Raises the first failure; what was not
        begun by then is not sent, and nothing is under way any more when this returns.
        """
        first = next(calls, None)
        if first is None:
            return
        second = next(calls, None)
        if second is None:
            send(first)
            return
        pending: set[Future[None]] = set()
        try:
            pending |= {self._submit(send, first), self._submit(send, second)}
            for call in calls:
                pending.add(self._submit(send, call))
                while len(pending) >= 2 * self._width:
                    done, pending = wait(pending, return_when=FIRST_COMPLETED)
                    _raise_failure(done)
            done, pending = wait(pending, return_when=FIRST_EXCEPTION)
            _raise_failure(done)
        finally:
            for future in pending:
                future.cancel()
            wait(pending)

    def _submit(self, send: Callable[[bytes], None], call: bytes) -> Future[None]:
        with self._lock:
            if self._closed:
                raise Unavailable("the client of these tables is closed")
            if self._threads is None:
                self._threads = ThreadPoolExecutor(self._width, thread_name_prefix="hbase-put")
            return self._threads.submit(send, call)

    def close(self) -> None:
        """Take no more; what is under way ends by itself once its connections are closed."""
        with self._lock:
            self._closed = True
            if self._threads is not None:
                self._threads.shutdown(wait=False, cancel_futures=True)


def _raise_failure(done: set[Future[None]]) -> None:
    for future in done:
        future.result()
