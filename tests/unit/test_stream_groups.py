"""Groups over HTTP: members share, die, acknowledge; and what others may see of them."""

import contextlib
from typing import Any

import pytest

from idgen.clock import SystemClock
from ops.stream.server import StreamServer
from tests.contract.patience import until
from tests.unit.stream_world import OPERATOR, OTHER, PARTITIONS, READER, World, place, served

PATIENCE_S = 30.0


@pytest.fixture
def world(tmp_path):
    with served(tmp_path, commit_s=0.05, session_ms=1_000) as made:
        yield made


def join(world: World, client: str, group: str = "search", more: str = "") -> Any:
    """A member, with what it is assigned by now."""
    stream = world.stream(f"group={group}&client={client}{more}")
    start = stream.frame()
    assert (start["frame"], start["group"], start["client"]) == ("start", group, client)
    return stream


def owned(stream: Any, count: int) -> set[int]:
    """What it owns, once that is so many partitions."""
    mine: set[int] = set()
    while len(mine) != count:
        (frame,) = stream.frames("partitions", 1)
        mine = mine - set(frame["revoked"]) | set(frame["assigned"])
    return mine


def ack(world: World, client: str, **told: Any) -> tuple[int, dict[str, Any]]:
    return world.ask("POST", "/v1/groups/search/ack", {"client": client, **told})


def ends(world: World) -> dict[int, int]:
    return {p: span.end for p, span in enumerate(world.log.spans()) if span.end}


def test_checkpoints_follow_what_a_member_was_sent(world):
    world.append(50)
    stream = join(world, "a")
    assert owned(stream, PARTITIONS) == set(range(PARTITIONS))
    assert {place(event) for event in stream.events(50)} == set(world.events)
    until("all is done", lambda: world.groups.committed("search") == ends(world), PATIENCE_S)

    after = world.append(10)
    assert {place(event) for event in stream.events(10)} == set(after)
    stream.close()


def test_what_a_member_does_not_want_never_holds_its_checkpoints_up(world):
    world.append(60)
    stream = join(world, "a", more="&kinds=liked&ack=manual")
    liked = {p for p, e in world.events.items() if type(e).__name__ == "Liked"}
    events = stream.events(len(liked))
    assert {place(event) for event in events} == liked
    beat = stream.frames("heartbeat", 2)[-1]
    assert ack(world, "a", cursor=beat["cursor"])[0] == 200
    assert world.groups.committed("search") == ends(world)


def test_members_share_join_and_leave(world):
    first = join(world, "a")
    assert len(owned(first, PARTITIONS)) == PARTITIONS
    second = join(world, "b")
    theirs = owned(second, 2)
    (frame,) = first.frames("partitions", 1)
    assert set(frame["revoked"]) == theirs

    world.append(100)
    mine = sum(p not in theirs for p, _ in world.events)
    found = [place(e) for e in first.events(mine)] + [place(e) for e in second.events(100 - mine)]
    assert set(found) == set(world.events)
    assert len(found) == 100
    status, told = world.ask("GET", "/v1/groups/search")
    assert status == 200
    server = f"127.0.0.1:{world.server.port}"
    assert {m["client"] for m in told["members"]} == {f"a@{server}", f"b@{server}"}

    second.close()
    world.append(1)  # so that the server notices
    (frame,) = first.frames("partitions", 1)
    assert set(frame["assigned"]) == theirs


def test_a_member_that_is_cut_off_loses_nothing(world):
    world.append(80)
    first = join(world, "a", more="&ack=manual")
    read = first.events(30)
    done: dict[int, int] = {}
    for event in read[:20]:
        done[event["partition"]] = event["offset"] + 1
    status, told = ack(world, "a", offsets=done)
    assert status == 200
    assert told["checkpoints"].items() >= {str(p): offset for p, offset in done.items()}.items()
    first.close()

    second = join(world, "b", more="&ack=manual")
    left = {where for where in world.events if where[1] >= done.get(where[0], 0)}
    assert {place(event) for event in second.events(len(left))} == left


@pytest.mark.slow
def test_without_acknowledgement_no_more_is_given(tmp_path):
    with served(tmp_path, unacked=10, session_ms=1_000) as world:
        world.append(2_000)
        stream = join(world, "a", more="&ack=manual")
        seen = set()
        while len(seen) < 2_000:
            # Beyond the limit there are only heartbeats, until something is acknowledged.
            last: dict[str, Any] = {}
            while last.get("frame") != "heartbeat":
                last = stream.frame()
                if last["frame"] == "event":
                    seen.add(place(last))
            status, told = ack(world, "a", cursor=last["cursor"])
            assert status == 200
            moved = {int(p): offset for p, offset in told["checkpoints"].items()}
            assert world.groups.committed("search").items() >= moved.items()
            if not seen:
                continue
            given = sum(world.groups.committed("search").values())
            assert given <= len(seen)
        assert seen == set(world.events)


@pytest.mark.slow
def test_a_limit_of_unacknowledged_events_is_kept(tmp_path):
    with served(tmp_path, unacked=10, session_ms=1_000) as world:
        world.append(2_000)
        stream = join(world, "a", more="&ack=manual")
        frames = [stream.frame()]
        while [frame["frame"] for frame in frames[-3:]] != ["heartbeat"] * 3:
            frames.append(stream.frame())
        assert 10 <= sum(frame["frame"] == "event" for frame in frames) <= 10 + 256


def test_what_cannot_be_acknowledged_is_told(world):
    world.append(20)
    stream = join(world, "a", more="&ack=manual")
    stream.events(20)
    second = join(world, "b", more="&ack=manual")
    theirs = owned(second, 2)
    (frame,) = stream.frames("partitions", 1)
    assert set(frame["revoked"]) == theirs
    (foreign, *_), (own, *_) = sorted(theirs), sorted(set(range(PARTITIONS)) - theirs)

    table = [
        ({"client": "a", "offsets": {str(foreign): 1}}, 409, "not_owned"),
        ({"client": "a", "offsets": {str(own): 10_000}}, 400, "bad_request"),
        ({"client": "nobody", "offsets": {"0": 1}}, 409, "not_owned"),
        ({"client": "a"}, 400, "bad_request"),
        ({"client": "a", "offsets": {"0": 1}, "cursor": "c1.x"}, 400, "bad_request"),
        ({"client": "a", "cursor": "c1.x"}, 400, "bad_request"),
        ({"client": "a", "offset": {"0": 1}}, 400, "bad_request"),
        (b"nonsense", 400, "bad_request"),
        (b" " * (world.limits.body_bytes + 1), 413, "bad_request"),
    ]
    before = world.groups.committed("search")
    for body, status, reason in table:
        found = world.ask("POST", "/v1/groups/search/ack", body)
        assert (found[0], found[1]["reason"]) == (status, reason), body
    assert world.groups.committed("search") == before


def test_an_acknowledgement_at_another_server_is_sent_on(world):
    with contextlib.closing(_Second(world)) as second:
        world.append(5)
        stream = join(world, "a", more="&ack=manual")
        stream.events(5)
        first, world.address = world.address, ("127.0.0.1", second.server.port)
        status, told = ack(world, "a", offsets={"0": 0})
        world.address = first
        assert (status, told["reason"]) == (409, "elsewhere")
        assert told["server"] == f"127.0.0.1:{world.server.port}"


class _Second:
    """Another server of the same firehose."""

    def __init__(self, world: World) -> None:
        self.server = StreamServer(
            world.log, world.groups, world.gate, SystemClock(), "127.0.0.1", 0, limits=world.limits
        ).start()

    def close(self) -> None:
        self.server.drain(5.0)


def test_groups_are_seen_by_their_owners_and_by_operators(world):
    world.append(10)
    stream = join(world, "a", "search.nightly")
    stream.events(10)
    until("all is done", lambda: world.groups.committed("search.nightly"), PATIENCE_S)

    for token in (READER, OPERATOR):
        status, told = world.ask("GET", "/v1/groups", token=token)
        assert (status, [each["group"] for each in told["groups"]]) == (200, ["search.nightly"])
        status, told = world.ask("GET", "/v1/groups/search.nightly", token=token)
        assert (status, told["group"], len(told["partitions"])) == (
            200,
            "search.nightly",
            PARTITIONS,
        )
    assert world.ask("GET", "/v1/groups", token=OTHER) == (200, {"groups": []})
    for method in ("GET", "DELETE"):
        assert world.ask(method, "/v1/groups/search.nightly", token=OTHER)[0] == 403
        assert world.ask(method, "/v1/groups/search.none")[0] == 404
        assert world.ask(method, "/v1/groups/Search")[0] == 400
    assert world.ask("DELETE", "/v1/groups/cell-a", token=OPERATOR)[0] == 403
    assert world.stream("group=spam&client=a").status == 403
    assert world.stream("group=cell-a&client=a").status == 403

    assert world.ask("DELETE", "/v1/groups/search.nightly")[0] == 409
    stream.close()
    world.append(1)  # so that the server notices
    until("nobody is in it", lambda: not world.groups.members("search.nightly"), PATIENCE_S)
    assert world.ask("DELETE", "/v1/groups/search.nightly") == (200, {"deleted": "search.nightly"})
    assert world.groups.groups() == []


def test_draining_members_leave_with_their_checkpoints(world):
    world.append(40)
    stream = join(world, "a")
    stream.events(40)
    world.server.drain(10.0)
    assert stream.rest()[-1]["reason"] == "draining"
    assert world.groups.committed("search") == ends(world)
    assert world.groups.members("search") == []


def test_a_client_that_comes_again_replaces_itself(world):
    first = join(world, "a")
    owned(first, PARTITIONS)
    second = join(world, "a")
    end = first.rest()[-1]
    assert (end["reason"], end["retry"]) == ("rebalanced", False)
    owned(second, PARTITIONS)
    world.append(10)
    assert {place(event) for event in second.events(10)} == set(world.events)


def test_a_group_behind_what_is_retained_stops_loudly(world):
    world.append(50)
    stream = join(world, "a")
    stream.events(50)
    until("all is done", lambda: world.groups.committed("search") == ends(world), PATIENCE_S)
    stream.close()
    world.append(1)
    until("nobody is in it", lambda: not world.groups.members("search"), PATIENCE_S)
    world.groups.rewind("search", dict.fromkeys(range(PARTITIONS), 0))
    world.log._file.write(lambda db: world.log._forget(2, 4, db))  # as retention does

    end = join(world, "a").rest()[-1]

    assert (end["reason"], end["retry"]) == ("cursor_too_old", False)
    assert "4 events" in end["message"]
    assert end["floor"].startswith("c1.")
