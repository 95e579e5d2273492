"""The client to copy, at a server whose connections break anywhere; and faults planted in it."""

import ast
import json
import random
import ssl
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from firehose import stream_client
from firehose.stream_client import StreamClient, StreamError
from tests.contract.patience import until
from tests.unit.certificates import make_certificates
from tests.unit.scripted_stream import (
    TOKEN,
    Exchange,
    ShakyFirehose,
    by_partition,
    client_of,
    complete,
    serving,
)

FILE = Path(stream_client.__file__)
LIVES = 15


# -- the file itself -----------------------------------------------------------------------------


def foreign_imports(source: str) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or ".").partition(".")[0] if not node.level else ".")
    return found - set(sys.stdlib_module_names)


def test_it_needs_python_alone_and_an_old_one_too() -> None:
    source = FILE.read_text()
    assert foreign_imports(source) == set()
    assert foreign_imports("import msgspec\nfrom . import x") == {"msgspec", "."}
    ast.parse(source, feature_version=(3, 9))
    with pytest.raises(SyntaxError):
        ast.parse("match x:\n    case 1: pass", feature_version=(3, 9))
    assert "\nfrom __future__ import annotations\n" in source  # so that `str | None` is no sum
    assert len(source.splitlines()) < 350, "it is to be read by strangers"


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "firehose:7100"},
        {"url": "ftp://h:1"},
        {"token": ""},
        {"token": "a b"},
        {"token": "secret\r\nHost: x"},
        {"group": "g"},
        {"client": "c"},
        {"group": "g", "client": "c", "from_": "earliest"},
        {"group": "g", "client": "c", "partitions": "0/2"},
        {"group": "g", "client": "c", "checkpoint_file": "f"},
    ],
)
def test_what_cannot_be_is_refused_at_once_and_no_token_repeated(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError) as caught:
        StreamClient(**({"url": "http://h:1", "token": "t"} | wrong))
    assert "secret" not in str(caught.value)


def test_what_is_asked_for_goes_into_the_query_and_the_token_does_not() -> None:
    with serving(complete) as server:
        options = {"from_": "2012-07-04T12:00:00+02:00", "until": "-1h", "partitions": "0/4"}
        client = StreamClient(
            f"{server.url}/behind/", TOKEN, kinds=["liked", "unliked"], authors=[7, 8], **options
        )
        assert list(client) == []
        (asked,) = server.asked
    assert asked.path == "/behind/v1/stream"
    assert asked.query == {
        "from": "2012-07-04T12:00:00+02:00",
        "until": "-1h",
        "partitions": "0/4",
        "kinds": "liked,unliked",
        "authors": "7,8",
    }
    assert asked.headers["accept"] == "application/x-ndjson"


# -- broken connections --------------------------------------------------------------------------


def live(first: int, make: Callable[..., StreamClient] = client_of, lives: int = LIVES) -> int:
    """Read shaky firehoses to their end; how many events came twice over the wire."""
    duplicates = 0
    for seed in range(first, first + lives):
        random.seed(seed)
        firehose = ShakyFirehose(seed)
        with serving(firehose.serve) as server:
            client = make(server.url, from_="earliest", until="latest")
            events = list(client)
        assert by_partition(events) == firehose.events(), f"seed {seed}"
        for event in events:
            p = event["partition"]
            written = firehose.log[p][event["offset"] - firehose.begins[p]]
            assert event == written | {
                "kind": "post_created",
                "partition": p,
                "offset": event["offset"],
            }
        duplicates += client.duplicates
        assert len(firehose.places) > 1, f"seed {seed} cut nothing"
    return duplicates


@pytest.mark.slow
def test_nothing_is_lost_or_doubled_wherever_connections_break() -> None:
    first = random.randrange(10**9)
    print(f"seeds {first} to {first + LIVES - 1}")
    assert live(first) > 0, "nothing came twice, so nothing was tried"


def _ends_with_the_connection(client: StreamClient) -> Iterator[dict[str, Any]]:
    try:
        yield from client._events()
    except stream_client._Broken:
        return


def _forgets_the_cursor(client: StreamClient, kind: str, frame: dict[str, Any]) -> None:
    frame.pop("cursor", None)
    _note(client, kind, frame)


def _knows_offsets_alone(client: StreamClient, event: dict[str, Any]) -> bool:
    return _is_new(client, event | {"partition": 0})


_note, _is_new = StreamClient._note, StreamClient._is_new
FAULTS: dict[str, tuple[str, Any]] = {
    "a broken connection is the end": ("__iter__", _ends_with_the_connection),
    "everything is new": ("_is_new", lambda client, event: True),
    "nothing is kept of what was done": ("_finish", lambda client, event: None),
    "an offset is done in all partitions": ("_is_new", _knows_offsets_alone),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_noticed(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StreamClient, *FAULTS[fault])
    with pytest.raises(AssertionError):
        live(0)


def test_it_goes_on_from_the_last_cursor() -> None:
    def first(exchange: Exchange) -> None:
        exchange.start("c1.a")
        exchange.event(0, 1)

    def second(exchange: Exchange) -> None:
        exchange.start("c1.a")
        exchange.event(0, 1)
        exchange.frame("heartbeat", cursor="c1.b")

    def third(exchange: Exchange) -> None:
        exchange.start("c1.b")
        exchange.end("draining", retry=True, cursor="c1.c")

    with serving(first, second, third, complete) as server:
        client = client_of(server.url, from_="-2h")
        assert by_partition(list(client)) == {0: [1]}
    assert [each.query["from"] for each in server.asked] == ["-2h", "c1.a", "c1.b", "c1.c"]
    assert client.duplicates == 1


def test_a_fault_that_forgets_cursors_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StreamClient, "_note", _forgets_the_cursor)
    with pytest.raises(AssertionError):
        test_it_goes_on_from_the_last_cursor()


def test_lines_come_in_any_pieces() -> None:
    def in_pieces(exchange: Exchange) -> None:
        exchange.start()
        line = json.dumps({"frame": "event", "partition": 0, "offset": 1, "body": "日🦊"}) + "\n"
        text = json.dumps(json.loads(line), ensure_ascii=False).encode() + b"\n"
        for i in range(len(text)):
            exchange.data(text[i : i + 1])
        exchange.end("until", retry=False)

    with serving(in_pieces) as server:
        assert [each["body"] for each in client_of(server.url)] == ["日🦊"]
        assert len(server.asked) == 1


def test_until_stays_where_it_was_when_it_is_asked_for_again() -> None:
    def first(exchange: Exchange) -> None:
        exchange.start("c1.a", until={"0": 2, "1": 5})
        exchange.event(0, 1)

    def later(exchange: Exchange) -> None:
        exchange.start("c1.a", until={"0": 9, "1": 9})
        for offset in range(1, 9):
            exchange.event(0, offset)
            exchange.event(1, offset)
        exchange.end("until", retry=False)

    with serving(first, later) as server:
        events = list(client_of(server.url, from_="earliest", until="latest"))
    assert by_partition(events) == {0: [1], 1: [1, 2, 3, 4]}


# -- the checkpoint file -------------------------------------------------------------------------


def kept(file: Path) -> dict[str, int]:
    return json.loads(file.read_text())["done"]


def told_while_in_hand(file: Path) -> None:
    """What is in the file while the caller has an event is what was done with before it."""
    firehose = ShakyFirehose(5, events=20)
    with serving(firehose.serve) as server:
        client = client_of(server.url, from_="earliest", until="latest", checkpoint_file=file)
        client.save_every_s = 0
        done: dict[str, int] = {}
        for event in client:
            assert kept(file) == done
            done[str(event["partition"])] = event["offset"]
    assert kept(file) == done
    assert not list(file.parent.glob("*.new"))


@pytest.mark.slow
def test_an_event_is_written_down_when_the_next_is_asked_for(tmp_path: Path) -> None:
    told_while_in_hand(tmp_path / "checkpoint")


def _done_too_early(client: StreamClient, event: dict[str, Any]) -> bool:
    new = _is_new(client, event)
    client._finish(event)
    client.save()
    return new


def test_a_fault_that_is_done_too_early_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StreamClient, "_is_new", _done_too_early)
    with pytest.raises(AssertionError):
        told_while_in_hand(tmp_path / "checkpoint")


@pytest.mark.slow
def test_another_life_goes_on_from_the_file_and_not_from_its_options(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint"
    firehose = ShakyFirehose(7)
    firehose.shaky = False
    seen: list[dict[str, Any]] = []
    lives = 0
    with serving(firehose.serve) as server:
        while True:
            lives += 1
            client = client_of(server.url, from_="earliest", until="latest", checkpoint_file=file)
            for n, event in enumerate(client):
                seen.append(event)
                if n == 16:
                    break  # the last one is not done with: it comes again
            else:
                break
    assert lives > 3
    assert firehose.places[0] == "earliest"
    assert all(place.startswith("c1.") for place in firehose.places[1:])
    found = by_partition(seen)
    assert {p: sorted(set(offsets)) for p, offsets in found.items()} == firehose.events()
    assert len(seen) == sum(map(len, firehose.events().values())) + lives - 1


def test_where_it_began_is_kept_before_the_first_event(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint"

    def first(exchange: Exchange) -> None:
        exchange.start("c1.began")
        until("the start is written down", file.exists, 10)
        exchange.end("failed", retry=False)

    with serving(first, complete) as server:
        with pytest.raises(StreamError):
            list(client_of(server.url, checkpoint_file=file))
        list(client_of(server.url, checkpoint_file=file))
        assert server.asked[1].query["from"] == "c1.began"


def test_a_file_that_could_not_be_replaced_is_the_old_one_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "checkpoint"
    with serving(complete) as server:
        list(client_of(server.url, checkpoint_file=file))
        before = file.read_text()
        order: list[str] = []

        def full(fd: int) -> None:
            order.append("fsync")
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(stream_client.os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            list(client_of(server.url, checkpoint_file=file))
    assert file.read_text() == before
    assert order, "it is synced before it is put in place"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"cursor": "c1.a", "done": [1]}'])
def test_a_file_that_is_no_checkpoint_is_told_and_left(tmp_path: Path, text: str) -> None:
    file = tmp_path / "checkpoint"
    file.write_text(text)
    with pytest.raises(StreamError, match="no checkpoint"):
        client_of("http://h:1", checkpoint_file=file)
    assert file.read_text() == text


# -- https ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_https_is_for_who_trusts_the_servers_authority(tmp_path: Path) -> None:
    folder = Path(make_certificates(tmp_path))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "server.pem", folder / "server.key")
    tls.load_verify_locations(folder / "ca.pem")
    firehose = ShakyFirehose(3, events=20)
    both = folder / "both.pem"
    both.write_text((folder / "client.pem").read_text() + (folder / "client.key").read_text())
    with serving(firehose.serve, tls=tls) as server:
        asked = {"from_": "earliest", "until": "latest"}
        client = client_of(server.url, ca_file=str(folder / "ca.pem"), **asked)
        assert by_partition(list(client)) == firehose.events()
        with pytest.raises(StreamError, match="not who it should be"):
            list(client_of(server.url, **asked))
        elsewhere = server.url.replace("127.0.0.1", "localhost")
        with pytest.raises(StreamError, match="not who it should be"):
            list(client_of(elsewhere, ca_file=str(folder / "ca.pem"), **asked))
        tls.verify_mode = ssl.CERT_REQUIRED
        client = client_of(server.url, ca_file=str(folder / "ca.pem"), cert_file=str(both), **asked)
        assert by_partition(list(client)) == firehose.events()
