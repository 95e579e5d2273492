"""The client to copy as a member of a consumer group: what is done with is acknowledged."""

from collections.abc import Callable
from typing import Any

import pytest

from firehose.stream_client import CursorTooOld, Refused, StreamClient, StreamError
from tests.unit.scripted_stream import TOKEN, Exchange, by_partition, quick, serving

Look = Callable[[dict[str, Any]], None]


def member(url: str, **patience: float) -> StreamClient:
    client = StreamClient(url, TOKEN, group="search.nightly", client="c-1")
    return quick(client, **({"save_every_s": 0} | patience))


def read(client: StreamClient, look: Look = lambda event: None) -> list[dict[str, Any]]:
    """All events, up to the end with `failed`; `look` while one is in hand."""
    seen = []

    def all_of_it() -> None:
        for event in client:
            look(event)
            seen.append(event)

    with pytest.raises(StreamError, match="failed"):
        all_of_it()
    return seen


class Group:
    """A server of one group: `checkpoints`, and events from there on, up to `ends`."""

    def __init__(self, *ends: int) -> None:
        self.ends = ends
        self.checkpoints = [0] * len(ends)
        self.streams = 0
        self.acks: list[dict[str, int]] = []
        self.cuts = 0
        self.refuse: list[tuple[int, str, dict[str, Any]]] = []

    def serve(self, exchange: Exchange) -> None:
        if exchange.method == "POST":
            return self.acknowledge(exchange)
        assert exchange.query == {"group": "search.nightly", "client": "c-1", "ack": "manual"}
        self.streams += 1
        offsets = list(self.checkpoints)
        exchange.start("c1.of_no_use", group="search.nightly", client="c-1")
        exchange.frame("partitions", assigned=list(range(len(offsets))), revoked=[])
        for p, end in enumerate(self.ends):
            for offset in range(offsets[p], end):
                exchange.event(p, offset)
        if self.streams <= self.cuts:
            return None
        return exchange.end("failed", retry=False, cursor="c1.of_no_use")

    def acknowledge(self, exchange: Exchange) -> None:
        assert exchange.path == "/v1/groups/search.nightly/ack"
        assert exchange.headers["content-type"] == "application/json"
        assert exchange.body["client"] == "c-1"
        if self.refuse:
            status, reason, more = self.refuse.pop(0)
            return exchange.problem(status, reason, **more)
        self.acks.append(exchange.body["offsets"])
        for partition, offset in exchange.body["offsets"].items():
            self.checkpoints[int(partition)] = offset
        exchange.head(204)
        return None


def test_what_is_done_with_is_acknowledged_and_nothing_before() -> None:
    group, done = Group(3, 2), [0, 0]

    def look(event: dict[str, Any]) -> None:
        assert group.checkpoints == done
        done[event["partition"]] = event["offset"] + 1

    with serving(group.serve) as server:
        read(member(server.url), look)
        assert group.checkpoints == [3, 2]
    assert group.acks == [{"0": 1}, {"0": 2}, {"0": 3}, {"1": 1}, {"1": 2}]


def test_many_events_are_acknowledged_at_once_and_the_last_at_the_end() -> None:
    group = Group(30, 20)
    with serving(group.serve) as server:
        read(member(server.url, save_every_s=60))
    assert group.acks == [{"0": 30, "1": 20}]


def test_no_more_is_held_than_a_server_gives_ahead() -> None:
    group = Group(2_500, 2_500)
    with serving(group.serve) as server:
        read(member(server.url, save_every_s=60))
    assert group.acks == [{"0": 2_000}, {"0": 2_500, "1": 1_500}, {"1": 2_500}]


def test_who_leaves_has_not_done_what_is_in_hand() -> None:
    group = Group(5)
    with serving(group.serve) as server:
        for event in member(server.url, save_every_s=60):
            if event["offset"] == 3:
                break
    assert group.checkpoints == [3]


def test_after_a_broken_connection_the_group_says_what_comes() -> None:
    """What was not acknowledged comes again, and so does what somebody has rewound meanwhile."""
    group = Group(4)
    group.cuts = 2
    count = iter(range(100))

    def look(_event: dict[str, Any]) -> None:
        if next(count) == 5:
            group.checkpoints = [1]

    with serving(group.serve) as server:
        seen = read(member(server.url, save_every_s=60), look)
    assert by_partition(seen) == {0: [0, 1, 2, 3, 0, 1, 2, 3, 1, 2, 3]}
    assert group.checkpoints == [4]


def test_within_a_connection_nothing_comes_twice_and_all_of_it_is_acknowledged() -> None:
    acks = []

    def twice(exchange: Exchange) -> None:
        if exchange.method == "POST":
            acks.append(exchange.body["offsets"])
            return exchange.problem(409, "not_owned") if len(acks) == 1 else exchange.head(200)
        exchange.start()
        exchange.event(0, 1)
        exchange.frame("partitions", assigned=[], revoked=[0])
        exchange.frame("partitions", assigned=[0], revoked=[])
        exchange.event(0, 1)
        return exchange.end("failed", retry=False)

    with serving(twice) as server:
        assert by_partition(read(member(server.url))) == {0: [1]}
    assert acks == [{"0": 2}, {"0": 2}]


def test_partitions_that_were_taken_away_are_not_acknowledged() -> None:
    acks = []

    def revoking(exchange: Exchange) -> None:
        if exchange.method == "POST":
            acks.append(exchange.body["offsets"])
            return exchange.head(200)
        exchange.start()
        exchange.event(0, 1)
        exchange.event(1, 1)
        exchange.frame("partitions", assigned=[], revoked=[0])
        return exchange.end("failed", retry=False)

    with serving(revoking) as server, pytest.raises(StreamError):
        list(member(server.url, save_every_s=60))
    assert acks == [{"1": 2}]


def test_an_acknowledgement_goes_to_the_server_that_has_the_member() -> None:
    group, other = Group(3), Group(3)
    with serving(other.serve) as there, serving(group.serve) as server:
        group.refuse = [(409, "elsewhere", {"server": there.address})] * 9
        read(member(server.url))
    assert other.acks == [{"0": 1}, {"0": 2}, {"0": 3}]
    assert len(group.refuse) == 8, "it is asked where only once"


def test_servers_that_send_to_each_other_end_it() -> None:
    group = Group(1)
    with serving(group.serve) as server:
        group.refuse = [(409, "elsewhere", {"server": server.address})] * 3
        read(member(server.url))
    assert len(group.refuse) == 2


@pytest.mark.parametrize("status", [429, 503])
def test_an_acknowledgement_that_failed_is_made_up_for(status: int) -> None:
    group = Group(3)
    group.refuse = [(status, "later", {})] * 2
    with serving(group.serve) as server:
        seen = read(member(server.url))
    assert by_partition(seen) == {0: [0, 1, 2]}
    assert group.acks == [{"0": 3}]


def test_one_that_is_refused_is_raised() -> None:
    group = Group(3)
    group.refuse = [(403, "permission_denied", {})] * 2
    with serving(group.serve) as server, pytest.raises(Refused, match="permission_denied"):
        list(member(server.url))


def test_a_gap_of_a_group_is_for_an_operator() -> None:
    def gap(exchange: Exchange) -> None:
        exchange.start()
        exchange.end("cursor_too_old", retry=False, floor="c1.floor")

    with serving(gap) as server:
        client = StreamClient(server.url, TOKEN, group="g", client="c", accept_gap=True)
        with pytest.raises(CursorTooOld):
            list(client)
