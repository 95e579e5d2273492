"""Appending through the service Firehose: in batches of 1,000 at most, and 2,000 events/s.

At most: as many batches of 1,000 posts of 200 characters as 1, 2 and 4 clients (in two processes at
most) make, each sending its next when the one before was acknowledged. At a rate: an open loop of
2,000 events a second from two client processes with Poisson arrivals, one by one and in batches of
10; a call's time begins when it was due. p99 is taken per round. Clients send bytes made
beforehand; one answer in a hundred is decoded whole: as many receipts, in the order of offsets.

The cell's ingest worker does not run meanwhile: a platform that is appended to so fast has more
machines than one for its cells. Everything else does: Kafka, ids, the service and the clients.
"""

import threading
import time
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from firehose.access import Role
from idgen.errors import Corrupt, Unauthenticated, Unavailable
from idgen.idl import load
from ops.bench.bench import Bench
from ops.bench.calls import CHECK_EVERY, DEADLINE_MS, Framed
from ops.bench.clients import Load, run_load
from ops.bench.measure import PRODUCT, Figure, Goal, Measure, Side
from ops.bench.measures import ids
from ops.bench.measures.pages import percentiles
from ops.bench.open_loop import Call
from ops.bench.stage import Stage
from ops.thrift_calls import decode_answer, encode_call
from router.tokens import EVENTS_PER_S_LIMIT, Wanted

NAME = "appends"
RATE_PER_S = 2_000
BATCH = 1_000
SMALL_BATCH = 10
ROUNDS = 3
MOST_ROUNDS = 3
P99_MS_MAX = 10.0
BATCHED_PER_S = 20_000
BODY = "x" * 200
CLIENTS = {1: (1, 1), 2: (2, 1), 4: (2, 2)}
"""Processes, and threads of each."""
KNOWN_S = 10.0
"""A new token is known to a server within a second."""


@dataclass(frozen=True)
class Appends:
    """Calls that append so many posts each, of authors of their own."""

    address: str
    token: str
    count: int = 1

    def __call__(self) -> Call:
        """A connection, on which one call was made and looked at."""
        framed = Framed(self.address)
        method, frame = self._frame()
        answer = framed.exchange(frame)
        self._look_at(method, answer)
        size = len(answer)

        def call(number: int) -> None:
            answer = framed.exchange(frame)
            # All answers with so many receipts are of one size; an error is of another.
            if number % CHECK_EVERY == 0 or len(answer) != size:
                self._look_at(method, answer)

        return call

    def _frame(self) -> tuple[str, bytes]:
        wire = load("firehose")
        context = wire.context.Context(deadline_ms=DEADLINE_MS)
        events = [_post(wire, author) for author in range(1, self.count + 1)]
        request: Any
        if self.count == 1:
            method = "append"
            request = wire.AppendRequest(token=self.token, event=events[0], context=context)
        else:
            method = "append_many"
            request = wire.AppendManyRequest(token=self.token, events=events, context=context)
        body = encode_call(wire.Firehose, method, request)
        return method, len(body).to_bytes(4) + body

    def _look_at(self, method: str, answer: bytes) -> None:
        found = decode_answer(load("firehose").Firehose, method, answer)
        check([found] if self.count == 1 else found, self.count)


def _post(wire: Any, author: int) -> Any:
    draft = wire.dashboard.Draft(body=BODY)
    return wire.NewEvent(post_created=wire.PostCreated(author=author, draft=draft))


def check(receipts: list[Any], count: int) -> None:
    """So many receipts, in each partition in the order of offsets. Raises Corrupt."""
    offsets: dict[int, list[int]] = {}
    for receipt in receipts:
        offsets.setdefault(receipt.partition, []).append(receipt.offset)
    in_order = all(a < b for each in offsets.values() for a, b in pairwise(each))
    if len(receipts) != count or not in_order:
        raise Corrupt(f"{len(receipts)} receipts of {count} events, or not in their order")


def run(bench: Bench) -> list[Figure]:
    """At most in batches; at a rate one by one, and in small batches."""
    stage = bench.stage(ids.NAME)  # its stack has nothing else in it
    stage.stop_ingest()
    address, token = let_in(stage)
    found: list[Figure] = []
    for clients in CLIENTS:
        found += at_most(bench, Appends(address, token, BATCH), clients)
    found += at_a_rate(bench, Appends(address, token), "one by one")
    return found + at_a_rate(bench, Appends(address, token, SMALL_BATCH), f"{SMALL_BATCH} a call")


def let_in(stage: Stage) -> tuple[str, str]:
    """Where the stage's firehose answers, and a token that it knows. Raises Unavailable."""
    (service,) = [s for s in stage.platform.status().services if s.name == "firehose"]
    wanted = Wanted(NAME, {Role.APPEND}, events_per_s=EVENTS_PER_S_LIMIT)
    token = stage.platform.tokens.create(wanted)
    pause = threading.Event()
    until = time.monotonic() + KNOWN_S
    while time.monotonic() < until:
        try:
            Appends(service.address, token)()
        except Unauthenticated:
            pause.wait(0.1)
        else:
            return service.address, token
    raise Unavailable(f"the firehose does not know a new token after {KNOWN_S:.0f} s")


def at_most(bench: Bench, appends: Appends, clients: int) -> list[Figure]:
    """Events a second of so many clients; of the most clients with the goal."""
    processes, threads = CLIENTS[clients]
    load = Load(5.0, processes=processes, threads=threads, warm_s=1.0)
    measure = Measure(
        f"{NAME}-batched-{clients}",
        f"events appended at most, {BATCH:,} a call, {clients} client{'s' * (clients > 1)}",
        "events/s",
        higher_is_better=True,
        sides=(Side(PRODUCT, lambda: run_load(load, appends).per_s * appends.count),),
        goals=(Goal(BATCHED_PER_S),) if clients == max(CLIENTS) else (),
    )
    return bench.compare(measure, MOST_ROUNDS)


def at_a_rate(bench: Bench, appends: Appends, how: str) -> list[Figure]:
    """p50 and p99 of calls that append RATE_PER_S events a second."""
    load = Load(3.0 if bench.quick else 10.0, RATE_PER_S / appends.count)
    rounds = [run_load(load, appends).latencies for _ in range(ROUNDS)]
    what = f"an append, {RATE_PER_S:,} events/s {how}"
    return percentiles(f"{NAME}-{appends.count}", what, {PRODUCT: rounds}, {99: P99_MS_MAX})
