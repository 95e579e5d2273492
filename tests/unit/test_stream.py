"""GET /v1/stream: what comes over it, and what is refused."""

import json
import random
import socket
import threading
from typing import Any

import pytest

from firehose.cursor import cursor_of
from tests.unit.stream_world import (
    OPERATOR,
    OTHER,
    PARTITIONS,
    READER,
    WRITER,
    check_order,
    place,
    read_in_pieces,
    served,
)


@pytest.fixture
def world(tmp_path):
    with served(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def quiet(tmp_path_factory):
    """A world for requests that are refused, of which nothing stays."""
    with served(tmp_path_factory.mktemp("quiet")) as made:
        made.append(1)
        yield made


def test_a_stream_begins_with_its_places_goes_on_and_ends_with_a_reason(world):
    world.append(20)
    stream = world.stream("from=earliest")

    start = stream.frame()
    first = stream.events(20)
    world.append(10)
    more = stream.events(10)
    beat = stream.frames("heartbeat", 2)[-1]
    world.server.drain(5.0)
    end = stream.rest()[-1]

    assert start["frame"] == "start"
    assert start["from"] == {str(p): 0 for p in range(PARTITIONS)}
    assert start["server"] == f"127.0.0.1:{world.server.port}"
    assert (start["partitions"], start["heartbeat_ms"]) == (PARTITIONS, 200)
    found = [place(frame) for frame in first + more]
    assert set(found) == set(world.events)
    check_order(found)
    ends = {p: span.end for p, span in enumerate(world.log.spans())}
    assert beat["cursor"] == cursor_of(world.log.identity, PARTITIONS, ends).text()
    assert (end["frame"], end["reason"], end["retry"]) == ("end", "draining", True)
    assert end["cursor"] == beat["cursor"]


def test_latest_has_what_comes_and_nothing_before(world):
    world.append(7)
    stream = world.stream()
    start = stream.frame()

    after = world.append(9)

    assert start["from"] == {str(p): s.end - _of(after, p) for p, s in _spans(world)}
    assert {place(frame) for frame in stream.events(9)} == set(after)


def _of(places: list[tuple[int, int]], partition: int) -> int:
    return sum(p == partition for p, _ in places)


def _spans(world: Any) -> Any:
    return enumerate(world.log.spans())


def test_a_stream_with_an_end_has_all_up_to_it_and_says_so(world):
    before = world.append(30)
    cursor = world.stream("from=earliest&until=latest").rest()[-1]["cursor"]
    world.append(30)

    frames = world.stream(f"from=earliest&until={cursor}").rest()

    assert {place(frame) for frame in frames if frame["frame"] == "event"} == set(before)
    assert frames[0]["until"] == {str(p): _of(before, p) for p in range(PARTITIONS)}
    assert (frames[-1]["reason"], frames[-1]["retry"]) == ("until", False)
    assert frames[-1]["cursor"] == cursor


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("kinds=liked", lambda p, kind, author: kind == "Liked"),
        ("kinds=liked,post_created", lambda p, kind, author: kind in {"Liked", "PostCreated"}),
        ("authors=3,4", lambda p, kind, author: author in {3, 4}),
        ("authors=3&kinds=followed", lambda p, kind, author: author == 3 and kind == "Followed"),
        ("partitions=1/2", lambda p, kind, author: p % 2 == 1),
        (
            "partitions=0/3&authors=2,9&kinds=liked",
            lambda p, kind, author: p % 3 == 0 and kind == "Liked" and author in {2, 9},
        ),
    ],
)
@pytest.mark.parametrize("end", ["&until=latest", ""])
def test_filters_give_what_they_say_replayed_and_live(world, query, wanted, end):
    world.append(250)
    stream = world.stream(f"from=earliest&{query}{end}")
    stream.frame()
    if not end:
        world.append(250)
    expected = {
        where
        for where, event in world.events.items()
        if wanted(where[0], type(event).__name__, event.author)
    }

    found = [place(frame) for frame in stream.events(len(expected))]

    assert expected
    assert set(found) == expected
    check_order(found)
    # Nothing more comes, and the cursor moves on over what is not wanted.
    last = stream.rest()[-1] if end else stream.frames("heartbeat", 2)[-1]
    begin = stream_from(world, last["cursor"])
    assert begin == {str(p): span.end for p, span in _spans(world) if str(p) in begin}


def stream_from(world: Any, cursor: str) -> dict[str, int]:
    """Where a stream of any share begins by a cursor."""
    for share in ("0/1", "1/2", "0/3"):
        stream = world.stream(f"from={cursor}&partitions={share}")
        if stream.status == 200:
            return stream.frame()["from"]
    raise AssertionError(cursor)


def test_what_cannot_be_read_is_everybodys(world):
    world.log.append([(2, b"nonsense")])
    frames = world.stream("from=earliest&until=latest&kinds=liked&authors=1").rest()
    assert [frame["frame"] for frame in frames] == ["start", "event", "end"]
    assert (frames[1]["kind"], frames[1]["bytes"]) == ("damaged", "bm9uc2Vuc2U=")

    stream = world.stream("kinds=liked&authors=1")
    stream.frame()
    world.log.append([(3, b"nonsense")])
    assert place(stream.events(1)[0]) == (3, 0)


@pytest.mark.parametrize("sse", [False, True])
def test_each_event_has_its_cursor_when_asked(world, sse):
    """And a cursor of an event goes on right behind it."""
    world.append(40)
    stream = (
        world.stream("from=earliest", Accept="text/event-stream")
        if sse
        else world.stream("from=earliest&cursors=each")
    )
    seen, cursor = [], ""
    if sse:
        assert stream.answer.getheader("content-type") == "text/event-stream"
        start = stream.sse()
        assert start["event"] == "start"
        assert json.loads(start["data"])["cursor"] == start["id"]
    for _ in range(13):
        if sse:
            fields = stream.sse()
            assert fields["event"] == "event"
            seen.append(place(json.loads(fields["data"])))
            cursor = fields["id"]
        else:
            frame = stream.events(1)[0]
            seen.append(place(frame))
            cursor = frame["cursor"]

    if sse:
        again = world.stream("from=earliest&until=latest", Last_Event_ID=cursor)
    else:
        again = world.stream(f"from={cursor}&until=latest")
    rest = [place(frame) for frame in again.rest() if frame["frame"] == "event"]
    assert len(seen + rest) == 40
    assert set(seen + rest) == set(world.events)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_cut_anywhere_and_resumed_nothing_is_lost_or_doubled(tmp_path, seed):
    """While a writer appends; by the cursor of each event, of heartbeats, and by Last-Event-ID."""
    print("seed", seed)
    chance = random.Random(seed)
    window = chance.choice([5, 40, 20_000])
    with served(tmp_path, heartbeat_s=0.02, window_events=window) as world:
        world.append(50)
        writer = threading.Thread(
            target=lambda: [world.append(chance.randint(1, 9)) for _ in range(60)]
        )
        writer.start()
        found, cursor = read_in_pieces(world, chance, writer)
    assert set(found) == set(world.events)
    check_order(found)
    assert cursor


REFUSED = [
    ("from=1341403200", 400, "from", "seconds"),
    ("from=1341403200000000", 400, "from", "microseconds"),
    ("from=2012-07-04T12:00:00", 400, "from", "zone"),
    ("from=2012-07-04T12:00:00+02:00", 400, "from", "%2B"),
    ("from=yesterday", 400, "from", "no place"),
    ("from=2h", 400, "from", "no place"),
    ("from=c1.AAAA", 400, "from", "not a cursor"),
    ("from=", 400, "from", "empty"),
    ("from=earliest&from=latest", 400, "from", "twice"),
    ("until=latest", 400, "until", "give from"),
    ("from=latest&until=-1h", 400, "until", "give from"),
    ("from=earliest&until=earliest", 400, "until", "before the earliest"),
    ("from=-1h&until=-2h", 400, "until", "before from"),
    ("from=2200-01-01T00:00:00Z", 400, "from", "future"),
    ("from=earliest&until=2200-01-01T00:00:00Z", 400, "until", "future"),
    ("kinds=posts", 400, "kinds", "no kind"),
    ("kinds=", 400, "kinds", "empty"),
    ("authors=me", 400, "authors", "no user"),
    ("authors=0", 400, "authors", ""),
    ("partitions=4/4", 400, "partitions", "no share"),
    ("partitions=5/6", 400, "partitions", "at most 5"),
    ("cursors=all", 400, "cursors", "each"),
    ("colour=red", 400, "colour", "no such parameter"),
    ("From=earliest", 400, "From", "no such parameter"),
    ("from", 400, "query", "name=value"),
    ("kinds=%ff", 400, "query", "UTF-8"),
    ("client=a", 400, "client", "group"),
    ("ack=auto", 400, "ack", "group"),
    ("group=search&client=a&from=earliest", 400, "from", "checkpoints"),
    ("group=search&client=a&until=latest", 400, "until", "checkpoints"),
    ("group=search&client=a&partitions=0/2", 400, "partitions", "checkpoints"),
    ("group=search", 400, "client", "name of its own"),
    ("group=search&client=a&ack=never", 400, "ack", "auto"),
    ("group=Search&client=a", 400, "group", "no name"),
    ("group=search&client=a%20b", 400, "client", "no name"),
]


@pytest.mark.parametrize(("query", "status", "field", "why"), REFUSED)
def test_what_cannot_be_meant_is_refused_by_name(quiet, query, status, field, why):
    stream = quiet.stream(query)
    problem = stream.problem()
    assert (stream.status, problem["status"]) == (status, status)
    assert (problem["reason"], problem["field"]) == ("bad_request", field)
    assert why in problem["detail"]
    assert problem["type"] == "about:blank"


def test_a_cursor_before_the_window_is_told_where_it_can_go_on(world):
    world.append(20)
    first = world.stream("from=earliest").frame()["cursor"]
    starts = [2, 0, 1, 0, 0]
    for partition, start in enumerate(starts):
        if start:
            world.log._file.write(
                lambda db, p=partition, s=start: world.log._forget(p, s, db)  # as retention does
            )

    stream = world.stream(f"from={first}")
    problem = stream.problem()
    assert (stream.status, problem["reason"]) == (410, "cursor_too_old")
    assert "3 events" in problem["detail"]
    left = {where for where in world.events if where[1] >= starts[where[0]]}
    again = world.stream(f"from={problem['floor']}&until=latest").rest()
    assert {place(frame) for frame in again if frame["frame"] == "event"} == left

    by_header = world.stream("", Last_Event_ID=first)
    assert (by_header.status, by_header.problem()["floor"]) == (410, problem["floor"])


def test_a_cursor_of_another_firehose_is_refused(world):
    other = cursor_of("another", PARTITIONS, dict.fromkeys(range(PARTITIONS), 0)).text()
    assert world.stream(f"from={other}").problem()["field"] == "from"
    assert world.stream("", Last_Event_ID="latest").problem()["field"] == "Last-Event-ID"


def test_a_range_that_ends_before_it_begins_is_refused_and_an_empty_one_is_not(world):
    world.append(20)
    first = world.stream("from=earliest").frame()["cursor"]
    last = world.stream("").frame()["cursor"]
    problem = world.stream(f"from={last}&until={first}").problem()
    assert (problem["field"], problem["status"]) == ("until", 400)
    assert [each["frame"] for each in world.stream(f"from={last}&until={last}").rest()] == [
        "start",
        "end",
    ]


@pytest.mark.parametrize(
    ("token", "status", "reason"),
    [("", 401, "unauthenticated"), ("x", 401, "unauthenticated"),
     (WRITER, 403, "permission_denied"),
     (OPERATOR, 403, "permission_denied")],
)  # fmt: skip
def test_nobody_is_let_in_without_a_token(quiet, token, status, reason):
    stream = quiet.stream("from=nonsense", token=token)
    assert stream.status == status
    assert stream.problem()["reason"] == reason
    if status == 401:
        assert stream.answer.getheader("www-authenticate") == "Bearer"


def test_without_a_token_not_even_a_path_is_known(quiet):
    assert quiet.ask("GET", "/nowhere", token="x")[0] == 401
    assert quiet.ask("GET", "/nowhere")[0] == 404
    assert quiet.ask("POST", "/v1/stream")[0] == 405
    assert quiet.ask("HEAD", "/v1/stream")[0] == 405  # it would go on without a word


def test_a_client_has_as_many_streams_as_its_quota_says(world):
    first, _second = world.stream(token=OTHER), world.stream(token=OTHER)
    first.frame()
    third = world.stream(token=OTHER)
    problem = third.problem()
    assert (third.status, problem["reason"]) == (429, "throttled")
    assert problem["retry_after_ms"] > 0
    assert third.answer.getheader("retry-after") == "1"

    assert world.stream(token=READER).status == 200  # others are not concerned
    first.close()
    world.append(500)  # so that the server notices
    assert any(world.stream(token=OTHER).status == 200 for _ in range(100))


def test_who_is_revoked_is_told_and_let_go(world):
    world.append(3)
    stream = world.stream("from=earliest")
    stream.events(3)
    del world.gate.clients[READER]
    end = stream.rest()[-1]
    assert (end["frame"], end["reason"], end["retry"]) == ("end", "revoked", False)


def test_heads_are_bounded_and_nonsense_is_told(world):
    def say(data: bytes) -> bytes:
        with socket.create_connection(world.address, timeout=20) as connection:
            connection.sendall(data)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    large = b"GET /v1/stream HTTP/1.1\r\nX: " + b"x" * (world.limits.head_bytes + 1)
    assert say(large).startswith(b"HTTP/1.1 431 ")
    assert say(large + b"\r\n\r\n").startswith(b"HTTP/1.1 431 "), "also where it came at once"
    assert say(b"nonsense\r\n\r\n").startswith(b"HTTP/1.1 400 ")
