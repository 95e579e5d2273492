"""Who carries a move, when the registry is away at the wrong moment."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from idgen.clock import SystemClock
from idgen.errors import Unavailable
from router.carrier import When
from router.holding import hold, holder, let_go
from router.move_records import Wanted, create_move, move_path
from router.mover import Mover
from router.moves import Stage
from router.routes import create_routes
from router.slices import even
from tests.contract.patience import until
from tests.unit.registry_world import PATIENCE_S, FallibleRegistry

pytestmark = pytest.mark.slow


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[FallibleRegistry]:
    made = FallibleRegistry(tmp_path / "registry.sqlite")
    create_routes(made, even(["a", "b"]))
    yield made
    made.close()


def begun(registry: FallibleRegistry) -> str:
    return move_path(create_move(registry, Wanted(0, 5, "b"), "test", 1).id)


def test_one_carries_a_move_until_it_lets_go(registry: FallibleRegistry) -> None:
    move = begun(registry)
    assert hold(registry, move, "one")
    assert not hold(registry, move, "other")
    let_go(registry, move)
    assert hold(registry, move, "other")
    assert holder(registry, move) == "other"


def test_who_could_not_let_go_holds_it_yet(registry: FallibleRegistry) -> None:
    move = begun(registry)
    assert hold(registry, move, "one")
    registry.down = True
    with pytest.raises(Unavailable):
        let_go(registry, move)
    registry.down = False
    assert hold(registry, move, "one")
    assert not hold(registry, move, "other")


def test_a_mover_goes_on_with_a_move_that_it_could_not_let_go(registry: FallibleRegistry) -> None:
    """The registry is away from the middle of a stage until its thread has given up."""
    begun(registry)
    stages = threading.Semaphore(0)
    fallen: list[threading.Thread] = []

    def reach(stage: Stage, when: When) -> None:
        stages.release()
        if not fallen:
            fallen.append(threading.current_thread())
            registry.down = True
            raise Unavailable("a cell and the registry are away")

    def away(*_: str) -> object:
        raise Unavailable("this is away for good")

    mover = Mover(registry, away, away, SystemClock(), "one", reach=reach)  # type: ignore[arg-type]
    stop = threading.Event()
    thread = threading.Thread(target=mover.run, args=(stop,))
    thread.start()
    try:
        until("its thread has given up", lambda: fallen and not fallen[0].is_alive(), PATIENCE_S)
        registry.down = False
        assert stages.acquire(timeout=PATIENCE_S)
        assert stages.acquire(timeout=PATIENCE_S), "nobody carries it any more"
    finally:
        stop.set()
        thread.join(PATIENCE_S)
