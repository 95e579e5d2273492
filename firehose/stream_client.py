"""A client of Dashcell's event stream, in one file: copy it into any project.

    for event in StreamClient("https://firehose.example:7100", token, from_="-2h"):
        print(event["kind"], event["partition"], event["offset"])

It needs Python 3.9 or newer and nothing else. When a connection fails it connects again and goes on
where it was; while it lives, it gives no event twice. With `checkpoint_file` it goes on where it
was after a crash too. An event is done with when the next one is asked for, and what is done with
is written down once a second: so the last events may come again after a crash, and none is missed.
Write results so that doing an event again, as (partition, offset) names it, changes nothing.
With `group` and `client` the servers keep the place instead, for all members of the group.

As a program it prints events, one JSON object on each line:

    TOKEN=dct_... python stream_client.py http://127.0.0.1:7100 --from -2h --kinds post_created
"""

from __future__ import annotations

import argparse
import http.client
import json
import logging
import os
import random
import re
import ssl
import sys
import time
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

CONNECT_S = 10.0
RETRY_AFTER_S_MAX = 600.0
LINE_BYTES_MAX = 8 << 20
SAVE_EVENTS = 2_000

log = logging.getLogger("stream_client")


class StreamError(Exception):
    """The stream is over, and asking again for the same is of no use."""


class Refused(StreamError):
    """The server refuses what is asked; `told` is all it says, `reason` a word to branch on."""

    def __init__(self, status: int, told: dict[str, Any]) -> None:
        super().__init__(f"{status} {told.get('detail') or told.get('title')}")
        self.status, self.told, self.reason = status, told, told.get("reason")


class CursorTooOld(StreamError):
    """Events were forgotten before they were read; `floor` is the cursor of the oldest left."""

    def __init__(self, why: str, floor: str) -> None:
        super().__init__(why)
        self.floor = floor


class _Broken(Exception):
    """A connection that failed, or an answer that says to come again."""

    def __init__(self, why: str, retry_after_s: float = 0.0) -> None:
        super().__init__(why)
        self.retry_after_s = retry_after_s


class StreamClient:
    """The events of a server as an iterable of dicts, for one thread. Raises StreamError.

    `from_`, `until`: a cursor, an ISO time with its zone, milliseconds since 1970, `-2h`,
    `earliest`, `latest`; `from_` (else `latest`) is where to begin while there is no
    `checkpoint_file`. `kinds`, `authors`: only events of these. `partitions`: "i/n" for one of n
    readers that share the work. `accept_gap`: go on after events that were forgotten; `gaps`
    counts. `ca_file`, `cert_file`: PEM, whom to trust and who we are."""

    save_every_s, backoff_s, backoff_max_s = 1.0, 0.5, 30.0

    def __init__(
        self,
        url: str,
        token: str,
        from_: str | None = None,
        kinds: str | Iterable[str] | None = None,
        authors: str | Iterable[int] | None = None,
        partitions: str | None = None,
        until: str | None = None,
        group: str | None = None,
        client: str | None = None,
        checkpoint_file: str | os.PathLike[str] | None = None,
        *,
        accept_gap: bool = False,
        ca_file: str | None = None,
        cert_file: str | None = None,
    ) -> None:
        self._url = urlsplit(url)
        if self._url.scheme not in ("http", "https") or not self._url.hostname:
            raise ValueError("url: give http:// or https://, host and port")
        if not re.fullmatch(r"[!-~]+", token):
            raise ValueError("token: empty, or with characters that no token has")
        place = from_ or until or partitions or checkpoint_file
        if bool(group) != bool(client) or (group and place):
            raise ValueError("a group needs a client, and says itself what to read and from where")
        self._tls = ssl.create_default_context(cafile=ca_file) if ca_file or cert_file else None
        if self._tls and cert_file:
            self._tls.load_cert_chain(cert_file)
        wanted = {"from": from_, "until": until, "kinds": _commas(kinds), "partitions": partitions}
        wanted.update(authors=_commas(authors), group=group, client=client, ack=group and "manual")
        self._wanted = {name: each for name, each in wanted.items() if each}
        self._token, self._group, self._client = token, group, client
        self._acks_at, self._accept_gap, self._saved_s = self._url.netloc, accept_gap, 0.0
        self._unsaved: set[str] = set()  # partitions of which the group is not told yet
        self._failures = self._fresh = self.duplicates = self.gaps = 0
        self._cursor: str | None = None
        self._done: dict[str, int] = {}  # the last offset that is done with, by partition
        self._ends: dict[str, int] = {}  # `until`, as the first connection resolved it
        self._file = Path(checkpoint_file) if checkpoint_file else None
        if self._file and self._file.exists():
            try:
                kept = json.loads(self._file.read_bytes())
                self._cursor = str(kept["cursor"])
                self._done = {str(p): int(offset) for p, offset in kept["done"].items()}
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise StreamError(f"{self._file} is no checkpoint: delete it, and begin") from error

    def __iter__(self) -> Iterator[dict[str, Any]]:
        while True:
            try:
                yield from self._events()
            except _Broken as error:
                self._back_off(error)
            else:
                return

    def save(self) -> None:
        """Write down what is done with, now: into the file, or to the group."""
        self._saved_s, self._fresh = time.monotonic(), 0
        if self._group and self._unsaved and self._acknowledged():
            self._unsaved.clear()
        if self._file and self._cursor:
            _replace(self._file, json.dumps({"cursor": self._cursor, "done": self._done}))

    def _events(self) -> Iterator[dict[str, Any]]:
        """The events of one connection, up to an end that is meant so."""
        frames = self._frames()
        try:
            for frame in frames:
                kind = frame.pop("frame", "")
                if kind in ("event", "heartbeat"):
                    self._failures = 0
                if kind == "event":
                    if self._is_new(frame):
                        yield frame
                    self._finish(frame)
                else:
                    self._note(kind, frame)
                if kind == "end":
                    return
                waited_s = time.monotonic() - self._saved_s
                if waited_s >= self.save_every_s or self._fresh >= SAVE_EVENTS:
                    self.save()
        except _Broken:
            self._unsaved.clear()  # who is not connected is no member: the group gives it again
            raise
        finally:
            self.save()
            frames.close()

    def _frames(self) -> Generator[dict[str, Any], None, None]:
        """The frames of one connection, until it fails: then _Broken."""
        wanted = dict(self._wanted, **({"from": self._cursor} if self._cursor else {}))
        connection = self._connect(self._url.netloc)
        try:
            connection.connect()
            sock = connection.sock
            response = self._ask(connection, "GET", "/v1/stream?" + urlencode(wanted))
            yield from _frames_of(response, sock)
        except ssl.SSLCertVerificationError as error:
            raise StreamError(f"{self._url.hostname} is not who it should be: {error}") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _Broken(f"{type(error).__name__}: {error}") from error
        finally:
            connection.close()

    def _connect(self, address: str) -> http.client.HTTPConnection:
        if self._url.scheme == "http":
            return http.client.HTTPConnection(address, timeout=CONNECT_S)
        return http.client.HTTPSConnection(address, timeout=CONNECT_S, context=self._tls)

    def _ask(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: Any = None
    ) -> http.client.HTTPResponse:
        """The answer, if it is a good one. Raises _Broken where it may be another one later."""
        headers = {"Authorization": "Bearer " + self._token, "Accept": "application/x-ndjson"}
        headers["Content-Type"] = "application/json"
        data = None if body is None else json.dumps(body).encode()
        connection.request(method, self._url.path.rstrip("/") + path, data, headers)
        response = connection.getresponse()
        if response.status // 100 == 2:
            return response
        try:
            refused = Refused(response.status, dict(json.loads(response.read(1 << 16))))
        except (ValueError, TypeError):
            refused = Refused(response.status, {"title": response.reason})
        if response.status == 410:
            raise self._too_old(str(refused), refused.told.get("floor"))
        after = response.getheader("Retry-After") or ""
        if response.status >= 500 or response.status in (408, 429) or after:
            raise _Broken(str(refused), float(after) if after.isdigit() else 0.0)
        raise refused

    def _is_new(self, event: dict[str, Any]) -> bool:
        partition, offset = str(event["partition"]), event["offset"]
        if offset <= self._done.get(partition, -1):
            self.duplicates += 1
            return False
        # Asked for again, `until=-1h` is a later time than it was.
        return bool(offset < self._ends.get(partition, offset + 1))

    def _finish(self, event: dict[str, Any]) -> None:
        partition = str(event["partition"])
        self._done[partition] = max(event["offset"], self._done.get(partition, -1))
        self._unsaved.add(partition)
        self._fresh += 1  # a group gives only so many ahead of what is acknowledged

    def _note(self, kind: str, frame: dict[str, Any]) -> None:
        """What a frame says that is no event. Raises where the stream ends before its time."""
        if not self._group:
            self._cursor = frame.get("cursor") or self._cursor
        if kind == "start":
            if self._group:  # its checkpoints say what comes, also once somebody has rewound them
                self._done.clear()
            self._ends = self._ends or frame.get("until") or {}
            self.save()
        elif kind == "partitions":
            self._unsaved -= {str(partition) for partition in frame.get("revoked", ())}
        elif kind == "end" and frame.get("reason") != "until":
            self.save()  # as a member of a group still
            why = f"the stream was ended: {frame.get('reason')}: {frame.get('message')}"
            if frame.get("reason") == "cursor_too_old":
                raise self._too_old(why, frame.get("floor"))
            raise _Broken(why) if frame.get("retry") else StreamError(why)

    def _too_old(self, why: str, floor: Any) -> Exception:
        if self._group or not (self._accept_gap and floor):
            return CursorTooOld(why, str(floor or ""))
        self.gaps += 1
        self._cursor = str(floor)
        return _Broken(f"going on after a gap: {why}")

    def _acknowledged(self) -> bool:
        """Tell the group what is done with; False: try again later."""
        offsets = {partition: self._done[partition] + 1 for partition in self._unsaved}
        path = f"/v1/groups/{quote(str(self._group), safe='')}/ack"
        connection = self._connect(self._acks_at)
        try:
            self._ask(connection, "POST", path, {"client": self._client, "offsets": offsets})
        except Refused as error:
            if error.reason == "elsewhere" and self._acks_at != error.told.get("server"):
                self._acks_at = str(error.told["server"])  # behind one address are many servers
                return self._acknowledged()
            if error.status != 409:
                raise
            log.warning("not acknowledged, so it will come again: %s", error)
        except (_Broken, OSError, http.client.HTTPException) as error:
            log.warning("not acknowledged yet: %s", error)
            return False
        finally:
            connection.close()
        return True

    def _back_off(self, error: _Broken) -> None:
        """Wait what the server asks for, and a random time out of a range that doubles."""
        self._failures += 1
        longest = min(self.backoff_max_s, self.backoff_s * 2.0 ** min(self._failures - 1, 30))
        wait_s = min(error.retry_after_s, RETRY_AFTER_S_MAX) + random.uniform(0, longest)
        log.warning("%s; connecting again in %.1f s", error, wait_s)
        time.sleep(wait_s)


def _frames_of(response: http.client.HTTPResponse, sock: Any) -> Iterator[dict[str, Any]]:
    """Whole lines as frames, until none has come for two and a half heartbeats."""
    rest, heard_s, silence_s = b"", time.monotonic(), 25.0
    sock.settimeout(silence_s)
    while True:
        data = response.read1(1 << 16)
        if not data:
            raise _Broken("the connection ended without an end frame")
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            frame = json.loads(line)
            if frame.get("frame") == "start":
                silence_s = 2.5 * frame.get("heartbeat_ms", 10_000) / 1000
                sock.settimeout(silence_s)
            yield frame
            heard_s = time.monotonic()
        if len(rest) > LINE_BYTES_MAX or time.monotonic() - heard_s > silence_s:
            raise _Broken(f"no end of a line after {len(rest)} bytes or {silence_s} s")


def _commas(words: str | Iterable[object] | None) -> str:
    return words if isinstance(words, str) else ",".join(str(word) for word in words or ())


def _replace(path: Path, text: str) -> None:
    """Write a file so that after a crash it is the old one or the new one, whole."""
    new = path.with_name(path.name + ".new")
    with new.open("w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    if os.name == "posix":  # a new name survives a power cut once its folder is written
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)


def main(words: list[str]) -> int:
    """The program: events on stdout, what goes wrong on stderr."""
    parser = argparse.ArgumentParser(description="Print events, one JSON object on each line.")
    parser.add_argument("url")
    options = ["from", "until", "kinds", "authors", "partitions", "group", "client"]
    for option in (*options, "checkpoint-file", "ca-file", "cert-file"):
        parser.add_argument(f"--{option}")
    parser.add_argument("--accept-gap", action="store_true")
    # Of `--from -2h` argparse would take the time for an option.
    joined = re.sub(r"\0(--from|--until)\0", r"\0\1=", "\0".join(["", *words]))
    given = vars(parser.parse_args(joined.split("\0")[1:]))
    given["from_"] = given.pop("from")
    logging.basicConfig(format="%(message)s")
    try:
        for event in StreamClient(token=os.environ.get("TOKEN", ""), **given):
            print(json.dumps(event), flush=True)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # as with `| head`; Python flushes once more at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (StreamError, ValueError, OSError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
