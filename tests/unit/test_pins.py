"""Pins in the registry, and the rules and pins that a cell's materializer follows."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cell.deciding import RULES
from cell.materialization import Pin
from idgen.clock import SystemClock
from idgen.errors import Corrupt
from ops.materializing import FLAG, LiveRuling
from router.flags import READ, place, set_flag
from router.pins import PINS, read_pins, set_pin
from tests.unit.registry_world import FallibleRegistry


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[FallibleRegistry]:
    found = FallibleRegistry(tmp_path / "registry.sqlite")
    yield found
    found.close()


def test_a_pin_is_kept_until_it_is_taken_away(registry: FallibleRegistry) -> None:
    assert read_pins(registry) == {}
    assert set_pin(registry, 88, Pin.PULL) is Pin.NONE
    assert set_pin(registry, 2**63, Pin.PUSH) is Pin.NONE
    assert read_pins(registry) == {88: Pin.PULL, 2**63: Pin.PUSH}
    assert set_pin(registry, 88, Pin.NONE) is Pin.PULL
    assert set_pin(registry, 88, Pin.NONE) is Pin.NONE
    assert read_pins(registry) == {2**63: Pin.PUSH}


def test_pins_that_cannot_be_read_are_said_to_be_so(registry: FallibleRegistry) -> None:
    registry.create(PINS, b'{"88": 9}')
    with pytest.raises(Corrupt, match="pins"):
        read_pins(registry)


def test_every_rule_has_a_flag_and_all_are_off(registry: FallibleRegistry) -> None:
    assert {FLAG + rule for rule in RULES} <= READ.keys()
    ruling = LiveRuling(registry, SystemClock())
    users = np.arange(1, 100, dtype=np.uint64)
    assert (ruling.any(), ruling.rules(users).any(), ruling.pins()) == (0, False, {})


def test_a_rule_is_on_for_the_flags_share_of_users(registry: FallibleRegistry) -> None:
    set_flag(registry, FLAG + "away", 2_500)
    set_flag(registry, FLAG + "hot_author", 10_000)
    ruling = LiveRuling(registry, SystemClock())
    ruling.start()
    try:
        users = np.arange(1, 1_000, dtype=np.uint64)
        away, hot = 1 << RULES.index("away"), 1 << RULES.index("hot_author")
        assert ruling.any() == away | hot
        wanted = [hot | (away if place(FLAG + "away", u) < 2_500 else 0) for u in users.tolist()]
        assert ruling.rules(users).tolist() == wanted
    finally:
        ruling.close()
