"""Clients in processes of their own, so that measuring latency does not wait for Python's lock.

Every process connects, makes a few requests to warm up, says that it is ready, and begins at a
moment told to all of them (the monotonic clock is the machine's).
"""

import itertools
import multiprocessing as mp
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from idgen.errors import Unavailable
from ops.bench.open_loop import Call, Latencies, due_times, run_open_loop

Connect = Callable[[], Call]
"""Opens a connection and returns how to use it, for one thread; it is sent to other processes."""

READY_S = 60.0
START_IN_S = 0.3
ERRORS_MAX_SHARE = 0.001


@dataclass(frozen=True, slots=True)
class Load:
    """A rate of requests, or with `rate_per_s` 0 as many as `processes` x `threads` can make.

    Latencies are counted after `warm_s` of the same load.
    """

    seconds: float
    rate_per_s: float = 0.0
    poisson: bool = True
    processes: int = 2
    threads: int = 8
    seed: int = 1
    warm_s: float = 2.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """Latencies of an open loop, and requests answered per second."""

    latencies: Latencies
    per_s: float


def run_load(load: Load, connect: Connect) -> Outcome:
    """Run it; raises Unavailable when more than one in a thousand requests failed."""
    context = mp.get_context("spawn")
    pairs = []
    for number in range(load.processes):
        ours, theirs = context.Pipe()
        process = context.Process(target=_client, args=(theirs, load, number, connect), daemon=True)
        process.start()
        theirs.close()
        pairs.append((process, ours))
    try:
        for _, pipe in pairs:
            _heard(pipe, READY_S)
        start = time.monotonic() + START_IN_S
        for _, pipe in pairs:
            pipe.send(start)
        total = Latencies()
        requests = 0
        for _, pipe in pairs:
            packed, count = _heard(pipe, load.warm_s + load.seconds + READY_S)
            total.add(Latencies.unpacked(packed))
            requests += count
    finally:
        for process, pipe in pairs:
            pipe.close()
            process.join(5)
            if process.is_alive():
                process.kill()
    if total.errors > max(1, requests) * ERRORS_MAX_SHARE:
        raise Unavailable(f"{total.errors} of {requests} requests failed: {total.first_error}")
    return Outcome(total, requests / load.seconds)


def _heard(pipe: "Connection[Any, Any]", timeout_s: float) -> Any:
    """What a client process says. Raises Unavailable for one that died or is silent."""
    if not pipe.poll(timeout_s):
        raise Unavailable(f"a client process said nothing for {timeout_s:.0f} s")
    try:
        said = pipe.recv()
    except EOFError:
        raise Unavailable("a client process died; its words are on stderr") from None
    if isinstance(said, str) and said:
        raise Unavailable(f"a client process failed: {said}")
    return said


def _client(pipe: "Connection[Any, Any]", load: Load, number: int, connect: Connect) -> None:
    try:
        with ThreadPoolExecutor(load.threads) as pool:
            calls = list(pool.map(lambda _: connect(), range(load.threads)))
            # Each its own request: many at once of one author would push each other off a page.
            list(pool.map(lambda call, n: call(n), calls, range(load.threads)))
        pipe.send("")
        start: float = pipe.recv()
        work = _open if load.rate_per_s else _closed
        latencies, requests = work(load, number, calls, start)
        pipe.send((latencies.packed(), requests))
    except Exception as error:  # noqa: BLE001 - told to the parent, which raises
        pipe.send(f"{type(error).__name__}: {error}")


def _open(load: Load, number: int, calls: list[Call], start: float) -> tuple[Latencies, int]:
    """This process's share of the arrivals: every `processes`-th of the common list."""
    seconds = load.warm_s + load.seconds
    due = due_times(load.rate_per_s, seconds, poisson=load.poisson, seed=load.seed)
    mine = range(number, len(due), load.processes)
    warm = [n for n in mine if due[n] < load.warm_s]
    measured = [n for n in mine if due[n] >= load.warm_s]
    run_open_loop([due[n] for n in warm], start, [_numbered(c, warm) for c in calls])
    latencies = run_open_loop(
        [due[n] for n in measured], start, [_numbered(c, measured) for c in calls]
    )
    return latencies, len(measured)


def _numbered(call: Call, numbers: list[int]) -> Call:
    return lambda n: call(numbers[n])


def _closed(load: Load, number: int, calls: list[Call], start: float) -> tuple[Latencies, int]:
    """As many as can be made: each thread asks again once it was answered."""
    begin, end = start + load.warm_s, start + load.warm_s + load.seconds
    numbers = itertools.count(number, load.processes)
    found = [(Latencies(), [0]) for _ in calls]

    def work(call: Call, latencies: Latencies, count: list[int]) -> None:
        while (sent := time.monotonic()) < end:
            try:
                call(next(numbers))
            except Exception as error:  # noqa: BLE001 - whatever it was, the request has failed
                latencies.errors += 1
                latencies.first_error = latencies.first_error or f"{type(error).__name__}: {error}"
            done = time.monotonic()
            if begin <= done < end:
                latencies.record(sent, sent, done)
                count[0] += 1

    threads = [
        threading.Thread(target=work, args=(call, *pair), daemon=True)
        for call, pair in zip(calls, found, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    total = Latencies()
    for latencies, _ in found:
        total.add(latencies)
    return total, sum(count[0] for _, count in found)
