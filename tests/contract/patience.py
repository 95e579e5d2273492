"""Waiting for a thing itself, with a bound, instead of for some time."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def until(what: str, holds: Callable[[], T], patience_s: float) -> T:
    """The first true answer of `holds`; fails, naming `what`, when there is none in time.

    Asks every 10 ms. `holds` should be quick and may change things (a poll that must go on).
    """
    deadline = time.monotonic() + patience_s
    idle = threading.Event()
    while True:
        answer = holds()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {patience_s} s in vain for: {what}")
        idle.wait(0.01)


def together(tasks: Sequence[Callable[[], T]], patience_s: float = 120.0) -> list[T]:
    """Run each task in a thread of its own, begun at one moment; the results in their order.

    An error of a task is raised here.
    """
    gate = threading.Barrier(len(tasks))
    results: list[T | None] = [None] * len(tasks)
    errors: list[BaseException] = []

    def run(index: int) -> None:
        gate.wait()
        try:
            results[index] = tasks[index]()
        except BaseException as error:  # noqa: BLE001 - raised again below, in the test's thread
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(len(tasks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(patience_s)
        assert not thread.is_alive(), f"a thread was not finished after {patience_s} s"
    if errors:
        raise errors[0]
    return results  # type: ignore[return-value]
