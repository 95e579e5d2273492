"""Runs random lives in one embedded platform, bounded or long."""

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from cell.ingest import IngestSettings
from tests.contract.patience import until
from tests.sim.embedded_world import EmbeddedWorld
from tests.sim.machine import PlatformMachine, World

TINY = IngestSettings(batch_events=4, giant_rows=2, chunk_rows=3, poll_ms=50)
"""So that a crash, a rewind or a page meets the middle of a batch, and giant posts in chunks."""
REPLAY_S = 120.0


def live(in_world: EmbeddedWorld, of_seed: int, examples: int, steps: int) -> None:
    """Lives of `steps` steps each, from a seed, which is printed."""

    class Life(PlatformMachine):
        @staticmethod
        def world() -> World:
            return in_world

    print(f"DASHCELL_SIM_SEED={of_seed}")
    run_state_machine_as_test(
        seed(of_seed)(Life),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            # A failing life is told as it was: another try runs in another state of the platform.
            phases=(Phase.generate,),
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )


def replayed_alike(of: EmbeddedWorld) -> None:
    """All that was lived in this platform, replayed from the beginning, changes no row."""
    until("all is applied", of.caught_up, REPLAY_S)
    before = {cell: of.table_hash(cell) for cell in of.cells}
    for cell in of.cells:
        of.rewind(cell)
    until("all is replayed", of.caught_up, REPLAY_S)
    assert {cell: of.table_hash(cell) for cell in of.cells} == before
