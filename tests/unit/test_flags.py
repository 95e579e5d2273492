"""Flags: stable per user, followed live, bounded."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from idgen.clock import SystemClock
from idgen.errors import BadRequest, NotFound
from router.flags import FULL, Flags, delete_flag, place, read_flags, set_flag
from tests.contract.patience import until
from tests.unit.registry_world import NEVER_MS, PATIENCE_S, FallibleRegistry


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[FallibleRegistry]:
    found = FallibleRegistry(tmp_path / "registry.sqlite")
    yield found
    found.close()


def test_places_are_written_down_here() -> None:
    # They decide who has seen what; they must not change with a release.
    assert [place("wide_readers", user) for user in (1, 2, 88)] == [1736, 1222, 9858]


def test_a_flag_is_on_for_its_share_and_rising_takes_nobody_out() -> None:
    places = [place("some.flag", user) for user in range(1, 20_001)]
    assert all(0 <= p < FULL for p in places)
    share = sum(p < 2_500 for p in places) / len(places)
    assert 0.23 < share < 0.27


def test_flags_are_independent_of_each_other() -> None:
    both = sum(place("x", u) < 5_000 and place("y", u) < 5_000 for u in range(1, 10_001))
    assert 2_200 < both < 2_800


def test_flags_are_set_listed_and_deleted(registry: FallibleRegistry) -> None:
    assert read_flags(registry) == {}
    set_flag(registry, "hot.pull", 0)
    set_flag(registry, "hot.pull", FULL)
    set_flag(registry, "wide", 17)
    assert read_flags(registry) == {"hot.pull": FULL, "wide": 17}
    delete_flag(registry, "wide")
    assert read_flags(registry) == {"hot.pull": FULL}
    with pytest.raises(NotFound):
        delete_flag(registry, "wide")


def test_what_is_out_of_range_is_named(registry: FallibleRegistry) -> None:
    for value in (-1, FULL + 1):
        with pytest.raises(BadRequest, match=r"^value:"):
            set_flag(registry, "wide", value)
    for name in ("", "A", "a/b", "1a", "x" * 65):
        with pytest.raises(BadRequest, match=r"^name:"):
            set_flag(registry, name, 1)
    assert read_flags(registry) == {}


def test_flags_are_followed_live_and_default_where_never_set(registry: FallibleRegistry) -> None:
    flags = Flags(registry, SystemClock(), NEVER_MS)
    flags.start()
    assert not flags.on("wide", 5)
    assert flags.on("wide", 5, default=FULL)
    set_flag(registry, "wide", FULL)
    until("the flag", lambda: flags.on("wide", 5), PATIENCE_S)
    set_flag(registry, "wide", 0)
    until("the flag", lambda: not flags.on("wide", 5, default=FULL), PATIENCE_S)
    delete_flag(registry, "wide")
    until("the default", lambda: flags.on("wide", 5, default=FULL), PATIENCE_S)
    flags.close()


def test_flags_hold_while_the_registry_is_down(registry: FallibleRegistry) -> None:
    set_flag(registry, "wide", FULL)
    flags = Flags(registry, SystemClock(), NEVER_MS)
    flags.start()
    registry.down = True
    assert flags.on("wide", 5)
    assert flags.all() == {"wide": FULL}
    flags.close()
