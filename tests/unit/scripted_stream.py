"""A server of the event stream that a test scripts, over sockets: it shares no code with ours.

Each request is an `Exchange`, handed to the next function of the script in a thread of its own.
"""

import base64
import json
import random
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from firehose.stream_client import StreamClient

TOKEN = "dct_search_" + "k" * 43
GONE_S = 10.0
BODIES = ("plain", "größer", "日本語", "🦊 and 🐻", "line\nbreak", "")


class Cut(Exception):
    """The connection was cut where the script says."""


class Exchange:
    """One request, and the means to answer it. `left`: how many bytes are sent until the connection
    is cut; None: all."""

    def __init__(self, sock: socket.socket, number: int) -> None:
        self.sock = sock
        self.number = number
        self.left: int | None = None
        self.chunked = False
        head, _, body = self._read_head().partition(b"\r\n\r\n")
        request, *lines = head.decode().split("\r\n")
        self.method, target, _ = request.split(" ")
        self.headers = {k.lower(): v.strip() for k, _, v in (x.partition(":") for x in lines)}
        url = urlsplit(target)
        self.path = url.path
        asked = parse_qsl(url.query, keep_blank_values=True)
        self.query = dict(asked)
        assert len(asked) == len(self.query), "a parameter was repeated"
        while len(body) < int(self.headers.get("content-length", 0)):
            body += self.sock.recv(65536)
        self.body = json.loads(body) if body else None

    def _read_head(self) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            more = self.sock.recv(65536)
            if not more:
                raise OSError("hung up")
            data += more
        return data

    def write(self, data: bytes) -> None:
        """Send, or as much of it as is left, and cut."""
        if self.left is not None and len(data) > self.left:
            self.sock.sendall(data[: self.left])
            raise Cut
        if self.left is not None:
            self.left -= len(data)
        self.sock.sendall(data)

    def head(self, status: int, *headers: str, kind: str = "application/x-ndjson") -> None:
        chunked = ["Transfer-Encoding: chunked"] if self.chunked else ["Connection: close"]
        lines = [f"HTTP/1.1 {status} Told", f"Content-Type: {kind}", *chunked, *headers]
        self.write("".join(f"{line}\r\n" for line in [*lines, ""]).encode())

    def data(self, data: bytes) -> None:
        self.write(b"%x\r\n%s\r\n" % (len(data), data) if self.chunked else data)

    def frame(self, name: str, /, **fields: Any) -> None:
        text = json.dumps({"frame": name, **fields}, ensure_ascii=False)
        self.data(text.encode() + b"\n")

    def start(self, cursor: str = "c1.start", **fields: Any) -> None:
        self.head(200)
        fields = {"server": "h:1", "partitions": 4, "heartbeat_ms": 10_000} | fields
        self.frame("start", cursor=cursor, **fields)

    def event(self, partition: int, offset: int, **fields: Any) -> None:
        self.frame("event", kind="post_created", partition=partition, offset=offset, **fields)

    def end(self, reason: str, *, retry: bool, **fields: Any) -> None:
        self.frame("end", reason=reason, message=f"so said {reason}", retry=retry, **fields)
        self.finish()

    def finish(self) -> None:
        if self.chunked:
            self.write(b"0\r\n\r\n")

    def problem(self, status: int, reason: str, *headers: str, **fields: Any) -> None:
        self.head(status, *headers, kind="application/problem+json")
        told = {"type": "about:blank", "status": status, "detail": f"no: {reason}"}
        self.data(json.dumps(told | {"reason": reason} | fields).encode())
        self.finish()

    def wait_until_left(self) -> bool:
        """Send nothing until the client goes away; whether it did so in time."""
        self.sock.settimeout(GONE_S)
        try:
            return self.sock.recv(1) == b""
        except OSError as error:
            return not isinstance(error, TimeoutError)


Handler = Callable[[Exchange], None]


class ScriptedServer:
    """Answers request n by script[n], and those after the last by the last."""

    def __init__(self, script: Sequence[Handler], tls: ssl.SSLContext | None = None) -> None:
        self.script = list(script)
        self.asked: list[Exchange] = []
        self.trouble: list[BaseException] = []
        self._tls = tls
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._closed = False
        self._lock = threading.Lock()
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self.url = f"{'https' if tls else 'http'}://{self.address}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._closed = True
        self._socket.shutdown(socket.SHUT_RDWR)  # wakes who waits for the next one
        self._socket.close()

    def _accept(self) -> None:
        while not self._closed:
            with suppress(OSError):
                sock, _ = self._socket.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        reset = False
        try:
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_side=True)
            with self._lock:
                exchange = Exchange(sock, len(self.asked))
                self.asked.append(exchange)
            assert exchange.headers["authorization"] == f"Bearer {TOKEN}"
            if self.trouble:
                return exchange.problem(400, "the script failed")
            self.script[min(exchange.number, len(self.script) - 1)](exchange)
        except Cut:
            reset = random.random() < 0.5
        except OSError:
            pass
        except BaseException as error:  # noqa: BLE001 - told to the test
            self.trouble.append(error)
        finally:
            if reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()


@contextmanager
def serving(*script: Handler, tls: ssl.SSLContext | None = None) -> Iterator[ScriptedServer]:
    server = ScriptedServer(script, tls)
    try:
        yield server
        assert not server.trouble, server.trouble
    finally:
        server.close()


class ShakyFirehose:
    """A log of events, served by connections that break anywhere; its cursors are exact."""

    def __init__(self, seed: int, partitions: int = 3, events: int = 60) -> None:
        self.random = random.Random(seed)
        self.log = [
            [
                {"author_str": str(self.random.getrandbits(62)), "body": self.random.choice(BODIES)}
                for _ in range(self.random.randint(events // 2, events))
            ]
            for _ in range(partitions)
        ]
        self.begins = [self.random.randint(0, 1000) for _ in self.log]
        """The first offset in each partition."""
        self.pace_s = 0.0
        self.shaky = True
        self.places: list[str] = []
        """What was asked for in `from`."""

    def events(self) -> dict[int, list[int]]:
        """All offsets by partition, in order."""
        return {p: list(range(b, b + len(self.log[p]))) for p, b in enumerate(self.begins)}

    def ends(self) -> list[int]:
        return [begin + len(log) for begin, log in zip(self.begins, self.log, strict=True)]

    def cursor(self, offsets: Sequence[int]) -> str:
        return "c1." + base64.urlsafe_b64encode(json.dumps(list(offsets)).encode()).decode()

    def serve(self, exchange: Exchange) -> None:
        place = exchange.query.get("from", "latest")
        self.places.append(place)
        if place.startswith("c1."):
            offsets = json.loads(base64.urlsafe_b64decode(place[3:]))
        else:
            offsets = list(self.begins) if place == "earliest" else self.ends()
        exchange.chunked = self.random.random() < 0.7
        if self.shaky:
            exchange.left = self.random.choice((0, 40, 200, *(self.random.randint(0, 6000),) * 9))
            if self.random.random() < 0.15:
                status = self.random.choice((429, 500, 502, 503))
                return exchange.problem(status, "later", "Retry-After: 0")
        until = {str(p): end for p, end in enumerate(self.ends())}
        exchange.start(self.cursor(offsets), until=until)
        idle = threading.Event()
        while offsets != self.ends():
            p = self.random.choice([p for p, end in enumerate(self.ends()) if offsets[p] < end])
            exchange.event(p, offsets[p], **self.log[p][offsets[p] - self.begins[p]])
            offsets[p] += 1
            if self.pace_s:
                idle.wait(self.pace_s)
            if self.random.random() < 0.1:
                exchange.frame("heartbeat", cursor=self.cursor(offsets), now_ms=1)
            if self.shaky and self.random.random() < 0.02:
                reason = self.random.choice(("draining", "unavailable", "slow_reader"))
                return exchange.end(reason, retry=True, cursor=self.cursor(offsets))
        exchange.frame("of_a_later_version", something=[1])
        return exchange.end("until", retry=False, cursor=self.cursor(offsets))


def quick(client: StreamClient, **patience: float) -> StreamClient:
    """A client that does not wait long."""
    for name, value in ({"backoff_s": 0.0005, "backoff_max_s": 0.005} | patience).items():
        assert hasattr(client, name)
        setattr(client, name, value)
    return client


def client_of(url: str, **options: Any) -> StreamClient:
    """One that does not wait long."""
    return quick(StreamClient(url, TOKEN, **options))


def complete(exchange: Exchange) -> None:
    """A stream that is all there is."""
    exchange.start()
    exchange.end("until", retry=False, cursor="c1.end")


def by_partition(events: Sequence[Mapping[str, Any]]) -> dict[int, list[int]]:
    """Offsets in the order in which they came."""
    found: dict[int, list[int]] = {}
    for event in events:
        found.setdefault(event["partition"], []).append(event["offset"])
    return found
