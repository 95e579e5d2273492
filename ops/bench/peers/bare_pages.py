"""A bare page server: a scan of HBase and an MGET of Redis for each page, and nothing else.

Several processes listen on one port (SO_REUSEPORT), each with a thread for each client. A page is
one `getScannerResults` of the reader's newest entries and one MGET of their posts; posts that
Redis does not have are read from HBase and put there, under a prefix of this server's own. No
bands, gone entries, positions, marks, routes or unread counts.

`BarePages` starts the processes; `BareClient` asks one of them. Tables are the product's.
"""

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import redis
import thriftpy2
from thriftpy2.rpc import make_client
from thriftpy2.server import TThreadedServer
from thriftpy2.thrift import TProcessor
from thriftpy2.transport import TServerSocket

from idgen.idl import framed_pair
from idgen.ids import MAX_ID, U64, spread
from ops.bench.peers.raw_hbase import TIMEOUT_S, Gateway, get_call, scan_call
from ops.bench.peers.writer import PeerFailed
from ops.bench.processes import end

IDL: Final = Path(__file__).with_name("bare_pages.thrift")
HOST = "127.0.0.1"
PREFIX = b"bare:"
_READY = b"ready\n"


def _idl() -> ModuleType:
    module: ModuleType = thriftpy2.load(str(IDL), module_name="bare_pages_thrift")
    return module


class _Stores(threading.local):
    """Each thread's own connections."""

    def __init__(self, gateway: str, cache: str) -> None:
        self.hbase = Gateway(gateway)
        self.redis: Any = redis.Redis.from_url(f"redis://{cache}", socket_timeout=TIMEOUT_S)


class Pages:
    """The handler."""

    def __init__(self, gateway: str, cache: str, inbox: str, posts: str) -> None:
        self._entry = _idl().BareEntry
        self._stores = _Stores(gateway, cache)
        self._inbox = inbox.encode()
        self._posts = posts.encode()

    def page(self, reader: int, before: int, limit: int) -> list[Any]:
        """The newest entries below `before`, with their posts."""
        place = spread(reader)
        newest = before - 1 if before else MAX_ID
        start = place.to_bytes(8) + (U64 - newest).to_bytes(8)
        stop = (place + 1).to_bytes(8) if place < U64 else b""
        found = self._stores.hbase.scan(scan_call(self._inbox, start, stop, limit)).tolist()
        keys = [spread(author).to_bytes(8) + inverted.to_bytes(8) for _, inverted, author in found]
        posts = self._texts(keys)
        return [
            self._entry(id=U64 - inverted, author=author, post=post)
            for (_, inverted, author), post in zip(found, posts, strict=True)
        ]

    def _texts(self, keys: Sequence[bytes]) -> list[bytes]:
        if not keys:
            return []
        cached = self._stores.redis.mget([PREFIX + key for key in keys])
        missing = [key for key, value in zip(keys, cached, strict=True) if value is None]
        if not missing:
            return list(cached)
        read = dict(self._stores.hbase.get(get_call(self._posts, missing)))
        if read:
            self._stores.redis.mset({PREFIX + key: value for key, value in read.items()})
        return [
            read.get(key, b"") if value is None else value
            for key, value in zip(keys, cached, strict=True)
        ]


class BarePages:
    """Page servers on one port of this machine. `address` is "host:port".

    `gateway` (Thrift 2) and `cache` (Redis) are "host:port"; `inbox` and `posts` names of tables.
    """

    name = "bare page server"

    def __init__(
        self, gateway: str, cache: str, *, inbox: str, posts: str, processes: int = 2
    ) -> None:
        """Start them and wait until all listen. Raises PeerFailed."""
        with socket.socket() as held:
            # Ours from now on: who comes later shares it, by SO_REUSEPORT.
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            held.bind((HOST, 0))
            port = held.getsockname()[1]
            self.address = f"{HOST}:{port}"
            argv = (
                sys.executable, "-m", "ops.bench.peers.bare_pages",
                str(port), gateway, cache, inbox, posts,
            )  # fmt: skip
            self._servers = [
                subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
                for _ in range(processes)
            ]
            for server in self._servers:
                assert server.stdout is not None
                if server.stdout.readline() != _READY:
                    self.close()
                    raise PeerFailed("a bare page server did not start; see what it printed")

    @property
    def pids(self) -> list[int]:
        """Process ids."""
        return [server.pid for server in self._servers]

    def client(self) -> "BareClient":
        """A client with a connection of its own."""
        return BareClient(self.address)

    def close(self) -> None:
        """End the processes."""
        end(self._servers)


class BareClient:
    """A client of one of the processes, for one thread."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        transport, protocol = framed_pair()
        self._client = make_client(
            _idl().BarePages, host, int(port),
            proto_factory=protocol, trans_factory=transport, timeout=1000 * TIMEOUT_S,
        )  # fmt: skip

    def page(self, reader: int, before: int = 0, limit: int = 20) -> list[Any]:
        """A page: entries with `id`, `author`, `post` (bytes)."""
        found: list[Any] = self._client.page(reader, before, limit)
        return found

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()


def main(port: int, gateway: str, cache: str, inbox: str, posts: str) -> None:
    """Serve until told to stop, or until whoever has started it is gone."""
    transport, protocol = framed_pair()
    listening = TServerSocket(HOST, port, client_timeout=None)
    server = TThreadedServer(
        TProcessor(_idl().BarePages, Pages(gateway, cache, inbox, posts)),
        listening, iprot_factory=protocol, itrans_factory=transport,
    )  # fmt: skip
    threading.Thread(target=_end_with_the_starter, daemon=True).start()
    listening.listen()
    sys.stdout.buffer.write(_READY)
    sys.stdout.flush()
    while True:
        client = listening.accept()
        threading.Thread(target=server.handle, args=(client,), daemon=True).start()


def _end_with_the_starter() -> None:
    sys.stdin.buffer.read()
    signal.raise_signal(signal.SIGTERM)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:6])
