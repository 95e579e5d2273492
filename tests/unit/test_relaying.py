"""A relay as a service hosts it: what it says while it must not go on; how it is tried again."""

import threading
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from firehose.relay import Relay
from idgen.errors import Corrupt
from ops.metrics import RELAY_EVENTS, RELAY_LAG_SECONDS, RELAY_STOPPED, Metric
from ops.relaying import HostedRelay, RelayWorker
from tests.contract.patience import until
from tests.sim.relay_world import RelayWorld

PATIENCE_S = 10.0


class Failing:
    """A relay that ends at once with `error`, until that is taken away."""

    def __init__(self) -> None:
        self.error: Exception | None = Corrupt("this log is damaged: delete it")
        self.begun = False
        self.trouble = ""
        self.lives = 0
        self.lag_ms = 0
        self.stats = type("Stats", (), {"records": 3})

    def run(self, stop: threading.Event) -> None:
        self.lives += 1
        try:
            if self.error is not None:
                raise self.error
            self.begun = True
            stop.wait(PATIENCE_S)
        finally:
            self.begun = False


@pytest.fixture
def failing() -> Iterator[Any]:
    return Failing()


def told(worker: RelayWorker) -> dict[Metric, float]:
    assert all(sample.labels == ("east",) for sample in worker.samples())
    return {sample.metric: sample.value for sample in worker.samples()}


def test_what_must_not_be_passed_over_is_told_before_the_service_ends(failing: Any) -> None:
    worker = RelayWorker("east", failing, hold_s=0.0)
    assert worker.trouble == "the relay of group east has not begun yet"
    with pytest.raises(Corrupt):
        worker.run(threading.Event())
    assert worker.trouble == "the relay of group east stopped: this log is damaged: delete it"
    assert told(worker) == {RELAY_STOPPED: 1.0, RELAY_EVENTS: 3}


def test_it_is_held_while_it_tells_and_no_longer_than_it_may_run(failing: Any) -> None:
    hosted = HostedRelay("east", failing, hold_s=60.0)
    hosted.start()
    until("it tells", lambda: "damaged" in hosted.worker.trouble, PATIENCE_S)
    hosted.stop()
    assert failing.lives == 1


def test_a_relay_beside_others_is_tried_until_it_is_mended(failing: Any) -> None:
    hosted = HostedRelay("east", failing, hold_s=0.001)
    hosted.start()
    until("it is tried again", lambda: failing.lives > 2, PATIENCE_S)
    failing.error = None
    until("it relays", lambda: not hosted.worker.trouble, PATIENCE_S)
    assert told(hosted.worker) == {RELAY_STOPPED: 0.0, RELAY_EVENTS: 3, RELAY_LAG_SECONDS: 0.0}
    hosted.stop()
    hosted.stop()


def test_lag_is_the_age_of_what_was_not_brought() -> None:
    world = RelayWorld(Random(1), partitions=1)
    one = world.start()
    world.group.assign({0: one.member})
    one.relay.step(one.member)
    relay: Relay = one.relay
    world.write(5)
    for _ in range(2):
        relay._look(one.member)
        world.clock.pause(700)
    assert relay.lag_ms == 1_400
    one.relay.step(one.member)
    assert relay.lag_ms == 0
    world.write(1)
    relay._look(one.member)
    world.clock.pause(300)
    relay._next = {}  # it recovers: what it has brought is not forgotten
    assert relay.lag_ms == 300
