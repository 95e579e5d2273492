"""Two bare hops: a relay and a server behind it that answers any frame with the same page's bytes.

What a router and a dashboard cannot be quicker than in Python on this machine: a process with a
thread for each client, which sends what it has read on over a connection of that thread's own, and
one that answers. Nothing is decoded, checked, counted or bounded in time.
"""

import signal
import socket
import subprocess
import sys
import threading
from typing import Final

from ops.bench.peers.writer import PeerFailed
from ops.bench.processes import end

HOST: Final = "127.0.0.1"
_CHUNK: Final = 1 << 18


class BareHops:
    """Both processes. `address` is the relay's "host:port"; `answer` is a page's message."""

    def __init__(self, answer: bytes) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []
        server = self._start("server", answer)
        self.address = f"{HOST}:{self._start(f'relay {server}', b'')}"

    def _start(self, role: str, answer: bytes) -> int:
        """The port of a new process. Raises PeerFailed."""
        process = subprocess.Popen(
            (sys.executable, "-m", "ops.bench.peers.bare_hops", *role.split()),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._processes.append(process)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(len(answer).to_bytes(4) + answer)
        process.stdin.flush()
        port = process.stdout.readline()
        if not port:
            self.close()
            raise PeerFailed("a bare hop did not start; see what it printed")
        return int(port)

    def close(self) -> None:
        """End the processes."""
        end(self._processes)


def frame_of(connection: socket.socket) -> bytes:
    """A frame with its length; b"" where the other side has ended."""
    got = connection.recv(_CHUNK)
    while got and (len(got) < 4 or len(got) < int.from_bytes(got[:4]) + 4):
        more = connection.recv(_CHUNK)
        if not more:
            return b""
        got += more
    return got


def _relayed(client: socket.socket, upstream: int) -> None:
    with client, socket.create_connection((HOST, upstream)) as server:
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while frame := frame_of(client):
            server.sendall(frame)
            client.sendall(frame_of(server))


def _answered(client: socket.socket, answer: bytes) -> None:
    with client:
        while frame_of(client):
            client.sendall(answer)


def _end_with_the_starter() -> None:
    sys.stdin.buffer.read()
    signal.raise_signal(signal.SIGTERM)


def main(role: str, upstream: int = 0) -> None:
    """Serve until told to stop, or until whoever has started it is gone."""
    size = sys.stdin.buffer.read(4)
    answer = size + sys.stdin.buffer.read(int.from_bytes(size))
    threading.Thread(target=_end_with_the_starter, daemon=True).start()
    listening = socket.create_server((HOST, 0))
    print(listening.getsockname()[1], flush=True)
    while True:
        client, _ = listening.accept()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        serve, what = (_relayed, upstream) if role == "relay" else (_answered, answer)
        threading.Thread(target=serve, args=(client, what), daemon=True).start()


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
