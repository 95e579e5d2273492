"""The stream over HTTP on real Kafka: cut anywhere, and groups that Kafka's tools see."""

import random
import threading
import uuid
from collections.abc import Iterator

import pytest

from firehose.checkpoint_kafka import KafkaCheckpoints
from firehose.log_kafka import KafkaLog
from tests.contract.patience import until
from tests.unit.stream_world import PARTITIONS, World, check_order, place, read_in_pieces, served

pytestmark = [
    pytest.mark.stack,
    pytest.mark.filterwarnings("ignore:list_groups:DeprecationWarning"),
]
PATIENCE_S = 60.0
SESSION_MS = 2_000  # group.min.session.timeout.ms of the test's Kafka


@pytest.fixture
def world(tmp_path, kafka_address: str) -> Iterator[World]:
    settings, topic = {"bootstrap.servers": kafka_address}, f"log-{uuid.uuid4().hex}"
    log = KafkaLog(settings, topic, PARTITIONS)
    opened = log, KafkaCheckpoints(settings, topic, PARTITIONS)
    with served(tmp_path, opened, commit_s=0.1, session_ms=SESSION_MS, window_events=50) as made:
        yield made


@pytest.mark.parametrize("seed", [1, 2])
def test_cut_anywhere_and_resumed_nothing_is_lost_or_doubled(world, seed):
    print("seed", seed)
    chance = random.Random(seed)
    world.append(200)
    writer = threading.Thread(
        target=lambda: [world.append(chance.randint(1, 9)) for _ in range(60)]
    )
    writer.start()
    found, _ = read_in_pieces(world, chance, writer)
    assert set(found) == set(world.events)
    check_order(found)


def test_members_are_kafkas_and_one_that_is_cut_off_loses_nothing(world):
    group = f"search.{uuid.uuid4().hex[:8]}"
    world.append(60)
    first = world.stream(f"group={group}&client=a&ack=manual")
    read = first.events(30)
    done: dict[str, int] = {}
    for event in read[:20]:
        done[str(event["partition"])] = event["offset"] + 1
    path = f"/v1/groups/{group}/ack"
    status, told = world.ask("POST", path, {"client": "a", "offsets": done})
    assert status == 200, told
    # Kafka itself knows the member by its name and server, and its checkpoints.
    (member,) = world.groups.members(group)
    assert member.client == f"a@127.0.0.1:{world.server.port}"
    assert world.groups.committed(group).items() >= {int(p): o for p, o in done.items()}.items()

    second = world.stream(f"group={group}&client=b")
    first.close()
    left = {where for where in world.events if where[1] >= done.get(str(where[0]), 0)}
    found: set[tuple[int, int]] = set()
    while not found >= left:
        frame = second.frame()
        assert frame["frame"] != "end", frame
        if frame["frame"] == "event":
            found.add(place(frame))
    until(
        "checkpoints follow",
        lambda: sum(world.groups.committed(group).values()) == len(world.events),
        PATIENCE_S,
    )
    second.close()
    world.append(1)  # so that the server notices
    until("all have left", lambda: not world.groups.members(group), PATIENCE_S)
    assert world.ask("DELETE", f"/v1/groups/{group}") == (200, {"deleted": group})
