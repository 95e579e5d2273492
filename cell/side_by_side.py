"""Calls that do not depend on each other, made side by side: a store's time is mostly waiting."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait

THREADS = 8


class SideBySide:
    """A few threads for the calls of one worker."""

    def __init__(self, threads: int = THREADS) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="side by side")

    def run(self, calls: Sequence[Callable[[], object]]) -> None:
        """Make all calls, and return when all have ended.

        Raises the error of the first that failed, in the order given, once all have ended.
        """
        if len(calls) == 1:
            calls[0]()
            return
        futures = [self._pool.submit(call) for call in calls]
        wait(futures)
        for future in futures:
            future.result()

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()
