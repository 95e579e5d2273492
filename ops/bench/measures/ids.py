"""Ids: one by one and in batches, of one id server in a process of its own; and its memory.

One by one, at a rate: an open loop of 10,000 calls of `next_id` a second from two client processes
with Poisson arrivals; a call's time begins when it was due. p99 is taken per round. One by one, at
most: as many calls as 8 clients (2 processes of 4 threads) make. In batches: the same clients ask
for 10,000 ids a call. Clients send bytes made beforehand; one answer in a hundred is decoded whole
and looked at: so many ids, increasing, none that this client had before.

Memory is the most that the server's RSS has been after all of it (VmHWM).
"""

from dataclasses import dataclass

from idgen.errors import Corrupt, Unavailable
from idgen.idl import load
from ops.bench.bench import Bench
from ops.bench.calls import CHECK_EVERY, Framed
from ops.bench.clients import Load, run_load
from ops.bench.measure import PRODUCT, Figure, Goal, Measure, Side, Trials, figures_of
from ops.bench.measures.pages import percentiles
from ops.bench.open_loop import Call
from ops.bench.processes import peak_mib
from ops.bench.stage import Stage
from ops.thrift_calls import decode_answer, encode_call

NAME = "ids"
RATE_PER_S = 10_000
BATCH = 10_000
ROUNDS = 3
MOST_ROUNDS = 5
P99_MS_MAX = 1.0
BATCHED_PER_S = 1_000_000
MIB_MAX = 100
IDGEN = "idgen"


@dataclass(frozen=True)
class Ids:
    """Calls of an id server: one id each, or with `count` above 1 so many."""

    address: str
    count: int = 1

    def __call__(self) -> Call:
        """A connection, on which one call was made and looked at."""
        framed = Framed(self.address)
        method, frame = self._frame()
        answer = framed.exchange(frame)
        size, last = len(answer), self._looked_at(method, answer, 0)

        def call(number: int) -> None:
            nonlocal last
            answer = framed.exchange(frame)
            # All answers with so many ids are of one size; an error is of another.
            if number % CHECK_EVERY == 0 or len(answer) != size:
                last = self._looked_at(method, answer, last)

        return call

    def _frame(self) -> tuple[str, bytes]:
        idl = load(IDGEN)
        if self.count == 1:
            method, request = "next_id", idl.NextIdRequest()
        else:
            method, request = "next_ids", idl.NextIdsRequest(n=self.count)
        body = encode_call(idl.IdGen, method, request)
        return method, len(body).to_bytes(4) + body

    def _looked_at(self, method: str, answer: bytes, last: int) -> int:
        found = decode_answer(load(IDGEN).IdGen, method, answer)
        return checked([found] if self.count == 1 else found, self.count, last)


def checked(found: list[int], count: int, last: int) -> int:
    """The highest of so many ids that increase and are above `last`. Raises Corrupt."""
    if len(found) != count or any(a >= b for a, b in zip([last, *found], found, strict=False)):
        raise Corrupt(f"{len(found)} ids where {count} were asked for, or not increasing")
    return found[-1]


def run(bench: Bench) -> list[Figure]:
    """At a rate, at most, in batches; then the memory that it took."""
    stage = bench.stage(NAME)
    address = address_of(stage)
    found = [*at_a_rate(bench, address)]
    found += at_most(bench, address, "most", "one by one", 1, RATE_PER_S)
    found += at_most(bench, address, "batched", f"{BATCH:,} a call", BATCH, BATCHED_PER_S)
    memory = Measure(
        f"{NAME}-memory",
        "most RSS of an id server",
        "MiB",
        higher_is_better=False,
        goals=(Goal(MIB_MAX),),
    )
    peak = float(peak_mib(stage.pid(IDGEN)))
    return [*found, *figures_of(memory, Trials({PRODUCT: [peak]}))]


def address_of(stage: Stage) -> str:
    """Where the stage's id server answers. Raises Unavailable."""
    for server in stage.platform.id_servers():
        return server.address
    raise Unavailable("the stage has no id server")


def at_a_rate(bench: Bench, address: str) -> list[Figure]:
    """p50 and p99 of single ids at RATE_PER_S."""
    load = Load(3.0 if bench.quick else 10.0, RATE_PER_S)
    rounds = [run_load(load, Ids(address)).latencies for _ in range(ROUNDS)]
    what = f"an id, {RATE_PER_S:,} calls/s one by one"
    return percentiles(NAME, what, {PRODUCT: rounds}, {99: P99_MS_MAX})


def at_most(
    bench: Bench, address: str, short: str, how: str, count: int, goal: float
) -> list[Figure]:
    """Ids a second of 8 clients."""
    load = Load(4.0, processes=2, threads=4, warm_s=1.0)
    measure = Measure(
        f"{NAME}-{short}",
        f"ids at most, 8 clients, {how}",
        "ids/s",
        higher_is_better=True,
        sides=(Side(PRODUCT, lambda: run_load(load, Ids(address, count)).per_s * count),),
        goals=(Goal(goal),),
    )
    return bench.compare(measure, MOST_ROUNDS)
