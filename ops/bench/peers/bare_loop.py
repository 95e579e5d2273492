"""The bare loop: what is left of a fan-out when there is no product.

numpy fills in the rows, several connections carry them in threads, the next call being encoded
while others are under way. No logs, edges, caches or repeats: what this reaches is the limit of
Python, the gateway and HBase on a machine.
"""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue

from ops.bench.peers.raw_hbase import Gateway, put_calls
from ops.bench.peers.writer import Fanout

ROWS_A_CALL = 5_000
CONNECTIONS = 4


class Puts:
    """`connections` connections that put calls side by side; at most two calls for each wait.

    `waited_s`: how long `run` has had nothing to do but to wait for acknowledgements.
    """

    def __init__(self, gateway: str, connections: int) -> None:
        self.waited_s = 0.0
        self._idle: SimpleQueue[Gateway] = SimpleQueue()
        self._all = [Gateway(gateway) for _ in range(connections)]
        for one in self._all:
            self._idle.put(one)
        self._threads = ThreadPoolExecutor(connections, thread_name_prefix="bare-put")

    def run(self, calls: Iterator[tuple[bytes, int]]) -> int:
        """Put every (call, rows); the rows, when all are acknowledged. Raises PeerFailed."""
        pending: deque[Future[int]] = deque()
        acknowledged = 0
        try:
            for call, rows in calls:
                if len(pending) == 2 * len(self._all):
                    acknowledged += self._wait(pending.popleft())
                pending.append(self._threads.submit(self._put, call, rows))
            while pending:
                acknowledged += self._wait(pending.popleft())
        finally:
            for future in pending:
                future.cancel()
        return acknowledged

    def _wait(self, future: Future[int]) -> int:
        began = time.perf_counter()
        rows = future.result()
        self.waited_s += time.perf_counter() - began
        return rows

    def _put(self, call: bytes, rows: int) -> int:
        connection = self._idle.get()
        try:
            connection.put(call)
        finally:
            self._idle.put(connection)
        return rows

    def close(self) -> None:
        """End threads and connections."""
        self._threads.shutdown()
        for one in self._all:
            one.close()


class BareLoop:
    """The bare loop as a `Writer` into an inbox table of `gateway` (Thrift 2, "host:port")."""

    name = "bare loop"

    def __init__(
        self,
        gateway: str,
        table: str,
        *,
        rows_a_call: int = ROWS_A_CALL,
        connections: int = CONNECTIONS,
    ) -> None:
        self._gateway = gateway
        self._table = table.encode()
        self._rows_a_call = rows_a_call
        self._connections = connections

    def write(self, fanouts: Sequence[Fanout]) -> int:
        """Put all rows, those of many posts in one call, over connections of this write's own: the
        gateway closes those that are silent for a minute."""
        puts = Puts(self._gateway, self._connections)
        try:
            return puts.run(put_calls(self._table, fanouts, self._rows_a_call))
        finally:
            puts.close()

    def close(self) -> None:
        """Nothing is left between two writes."""
