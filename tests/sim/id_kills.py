"""Servers of ids that are killed again and again, clients that must not notice, and what is checked
of all ids that they were given."""

import itertools
import os
import random
import signal
import subprocess
import threading
import time
from array import array
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from idgen.client import IdGenClient
from idgen.errors import DashcellError
from idgen.ids import at_ms, decompose
from idgen.snowflake import SnowflakeStatus
from idgen.worker_lease import WorkerLeases
from tests.contract.patience import until
from tests.contract.ports import kept_ports

SECONDS = float(os.environ.get("DASHCELL_ID_KILLS_S", "20"))
"""For so long servers are killed."""
SEED = int(os.environ.get("DASHCELL_SIM_SEED") or random.randrange(1_000))
SERVERS = 3
CLIENTS = 8
FAIL_OVER_MS = 1_000
READY_S = 120.0
PACE_S = 0.002
"""Between two calls of a client, so that eight of them leave a core to the servers."""


@dataclass(frozen=True)
class Batch:
    """Ids of one call: when it was made (monotonic seconds), and what came."""

    asked_at: float
    ids: Sequence[int]


@dataclass(frozen=True)
class Life:
    """What was seen of a server that had begun to give ids: its lease, and from when on."""

    seen_at: float
    worker: int
    epoch: int
    floor_ms: int


@dataclass
class Client:
    """Asks for ids all the time, of whichever server answers within a second."""

    client: IdGenClient
    dice: random.Random
    batches: list[Batch] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    longest_s: float = 0.0

    def run(self, stop: threading.Event) -> None:
        last = 0
        while not stop.wait(PACE_S):
            asked_at = time.monotonic()
            try:
                if self.dice.random() < 0.5:
                    found = [self.client.next_id(last)]
                    assert found[0] > last, "it is above the one that it was to follow"
                else:
                    found = self.client.next_ids(self.dice.randint(1, 50))
            except (DashcellError, AssertionError) as error:
                self.failures.append(f"{type(error).__name__}: {error}")
                continue
            finally:
                self.longest_s = max(self.longest_s, time.monotonic() - asked_at)
            last = found[-1]
            self.batches.append(Batch(asked_at, array("q", found)))
        self.client.close()


class IdServers:
    """Three of them, each on a port that it keeps through all its lives."""

    def __init__(
        self, spawn: Callable[[int], subprocess.Popen[bytes]], leases: WorkerLeases, seed: int
    ) -> None:
        """`spawn` starts a server on a port."""
        self._spawn = spawn
        self._leases = leases
        self._dice = random.Random(seed)
        self._ports = kept_ports(SERVERS)
        self._running = [spawn(port) for port in self._ports]
        self._stop = threading.Event()
        self.lives: list[Life] = []
        self.kills = 0
        self.clients = [
            Client(
                IdGenClient(self._shuffled(), timeout_ms=FAIL_OVER_MS),
                random.Random(seed * 100 + number),
            )
            for number in range(CLIENTS)
        ]
        self._threads = [
            threading.Thread(target=client.run, args=(self._stop,)) for client in self.clients
        ]

    def _shuffled(self) -> list[str]:
        addresses = [f"127.0.0.1:{port}" for port in self._ports]
        self._dice.shuffle(addresses)
        return addresses

    def run(self, seconds: float) -> None:
        """Kill for so long. One server is always left alone, and gives ids at that moment."""
        try:
            for slot in range(SERVERS):
                self._wait_until_it_gives(slot)
            for thread in self._threads:
                thread.start()
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                slots = self._dice.sample(range(SERVERS), self._dice.choice([1, 1, 2]))
                for slot in slots:
                    self._kill(slot)
                for slot in slots:
                    self._running[slot] = self._spawn(self._ports[slot])
                for slot in slots:
                    self._wait_until_it_gives(slot)
        finally:
            self._stop.set()
            for thread in self._threads:
                if thread.ident is not None:
                    thread.join(30)
            for process in self._running:
                process.kill()
                process.wait()

    def _kill(self, slot: int) -> None:
        self._running[slot].send_signal(signal.SIGKILL)
        self._running[slot].wait()
        self.kills += 1

    def _wait_until_it_gives(self, slot: int) -> None:
        client = IdGenClient([f"127.0.0.1:{self._ports[slot]}"], timeout_ms=FAIL_OVER_MS)

        def holds() -> SnowflakeStatus | None:
            assert self._running[slot].poll() is None, "a server that was left alone has ended"
            with suppress(DashcellError):
                status = client.status()
                return status if status.state == "holding" else None
            return None

        status = until("a server gives ids again", holds, READY_S)
        client.close()
        floors = {
            lease.floor_ms
            for lease in self._leases.leases()
            if (lease.worker, lease.epoch) == (status.worker, status.epoch)
        }
        for floor_ms in floors:
            self.lives.append(Life(time.monotonic(), status.worker, status.epoch, floor_ms))

    def told(self) -> str:
        """What has happened, in a line."""
        given = sum(len(batch.ids) for client in self.clients for batch in client.batches)
        longest_s = max(client.longest_s for client in self.clients)
        return f"{self.kills} kills, {given:,} ids, longest call {longest_s:.2f} s"

    # -- what must hold --------------------------------------------------------------------------

    def check(self) -> None:
        """No id twice, none from before its worker id's mark, and no client has waited long."""
        failures = [failure for client in self.clients for failure in client.failures]
        assert not failures, f"{len(failures)} calls failed, the first: {failures[0]}"
        batches = [batch for client in self.clients for batch in client.batches]
        check_unique(batches)
        check_marks(batches, self.lives)


def check_unique(batches: list[Batch]) -> None:
    """Every id once, and those of a call increasing."""
    for batch in batches:
        assert all(a < b for a, b in itertools.pairwise(batch.ids)), batch.ids
    given = np.sort(np.concatenate([np.array(batch.ids, dtype=np.int64) for batch in batches]))
    again = given[1:][np.diff(given) == 0]
    assert not again.size, f"given twice: {again[:3]}"


def check_marks(batches: list[Batch], lives: list[Life]) -> None:
    """What was asked for after a server was seen to hold a worker id is above that one's mark."""
    by_worker: defaultdict[int, list[Life]] = defaultdict(list)
    for life in sorted(lives, key=lambda life: life.seen_at):
        by_worker[life.worker].append(life)
    for of_one in by_worker.values():
        for before, after in itertools.pairwise(of_one):
            assert before.epoch < after.epoch
            assert before.floor_ms <= after.floor_ms
    for batch in batches:
        known = by_worker[decompose(batch.ids[0]).worker]
        marks = [life.floor_ms for life in known if life.seen_at <= batch.asked_at]
        assert all(at_ms(batch.ids[0]) > mark for mark in marks), (batch.ids[0], marks)
