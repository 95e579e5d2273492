"""Workers apply only while their cell may; a cell may begin as a copy of it was made."""

import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from cell.residents import Resident
from cell.state import PartitionState
from ops.applying import ApplyingWorker
from ops.config import Config
from ops.config_settings import Platform
from ops.creation import create_platform
from ops.wiring.embedded import EmbeddedSeams
from router.cells import APPLYING, CellState, change_cell, read_cell

PARTITIONS = 2
SEEN_S = 20.0


class Worker:
    """Says when it applies."""

    def __init__(self) -> None:
        self.ready = False
        self.applies = threading.Event()
        self.ended = threading.Event()

    def run(self, stop: threading.Event) -> None:
        self.ready = True
        self.applies.set()
        stop.wait()
        self.ended.set()


@pytest.fixture
def seams(tmp_path: Path):
    found = EmbeddedSeams(
        Config(platform=Platform(data=str(tmp_path), cells=1, partitions=PARTITIONS))
    )
    create_platform(found, ("a",), lambda _: None)
    yield found
    found.close()


def become(seams: EmbeddedSeams, state: CellState) -> None:
    found = read_cell(seams.registry, "a")
    change_cell(seams.registry, msgspec.structs.replace(found.info, state=state), found.version)


def applying(
    seams: EmbeddedSeams, make: Callable[[], object]
) -> tuple[ApplyingWorker, threading.Event, threading.Thread]:
    worker = ApplyingWorker(seams.registry, "a", seams.clock, make)  # type: ignore[arg-type]
    stop = threading.Event()
    thread = threading.Thread(target=worker.run, args=(stop,), daemon=True)
    thread.start()
    return worker, stop, thread


@pytest.mark.parametrize("state", sorted(set(CellState) - APPLYING))
def test_workers_wait_while_their_cell_is_not_whole(seams: EmbeddedSeams, state: CellState) -> None:
    made: list[Worker] = []

    def make() -> Worker:
        made.append(Worker())
        return made[-1]

    worker, stop, thread = applying(seams, make)
    while not (len(made) == 2 and made[1].applies.wait(0.01)):
        pass
    assert worker.trouble == ""
    become(seams, state)
    assert made[1].ended.wait(SEEN_S)
    assert state in worker.trouble
    become(seams, CellState.DARK)
    while len(made) < 3:
        pass
    assert made[2].applies.wait(SEEN_S)
    stop.set()
    thread.join(SEEN_S)
    assert not thread.is_alive()
    assert made[2].ended.is_set()


def test_what_makes_a_worker_stop_is_told(seams: EmbeddedSeams) -> None:
    class Failing(Worker):
        def run(self, stop: threading.Event) -> None:
            raise ValueError("an unknown kind of event")

    worker = ApplyingWorker(seams.registry, "a", seams.clock, Failing)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown kind"):
        worker.run(threading.Event())


def test_a_cell_begins_as_a_copy_was_made_and_goes_on_from_there(seams: EmbeddedSeams) -> None:
    state = seams.cell("a").state()
    resident = Resident(0, (1 << 64) - 1, 3, 7)
    wanted = {
        0: PartitionState(high=12, open=(9,), commands=4, residents=(resident,)),
        1: PartitionState(high=5, commands=4, again=2, residents=(resident,)),
    }
    state.begin_as(wanted)
    for _ in range(2):
        begun = state.read()
        assert {
            p: PartitionState(
                high=s.high, open=s.open, commands=s.commands, again=s.again, residents=s.residents
            )
            for p, s in begun.items()
        } == wanted
        state.begin_as(wanted)
    owned = state.claim([0, 1])
    further = state.advance({0: msgspec.structs.replace(owned[0], high=20, open=())})
    state.change(1, owned[1], msgspec.structs.replace(owned[1], commands=5, residents=()))
    state.begin_as(wanted)
    assert state.read()[0].applied == further[0].applied
    assert state.read()[1].residents == ()
