"""Runs random lives in one embedded platform, bounded or long."""

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import rule, run_state_machine_as_test

from cell import by_time, follow_sets, pulling
from cell.ingest import IngestSettings
from tests.contract.patience import until
from tests.sim.embedded_world import EmbeddedWorld
from tests.sim.machine import PlatformMachine, World

TINY = IngestSettings(batch_events=4, giant_rows=2, chunk_rows=3, poll_ms=50)
"""So that a crash, a rewind or a page meets the middle of a batch, and giant posts in chunks."""
REPLAY_S = 120.0
SEEDS_APART = 10_000
TRIVIAL = 1
"""Hypothesis begins each run with the simplest life that there is, in which nothing happens."""


WAYS = (
    # How pages look up what was not pushed: up to how many authors one by one, how many edges are
    # read at once, index rows at first, and for each author until the authors are asked.
    (64, 20_000, 64, 140),
    (0, 20_000, 1, 10_000),
    (0, 20_000, 1, 1),
    (0, 2, 1, 1),
)


def _look_up(few: int, edges: int, rows: int, a_call: int) -> None:
    pulling.AUTHORS_FEW = few
    pulling.ROWS_A_CALL = a_call
    follow_sets.AT_ONCE = edges
    by_time.ROWS_FIRST = rows


def live(in_world: EmbeddedWorld, of_seed: int, examples: int, steps: int) -> None:
    """Lives of `steps` steps each, from a seed, which is printed.

    Each is a run of its own: hypothesis takes the platform, which all of them share, for a test
    that has to do the same whenever it draws the same, and now and then found that it did not.
    """

    class Life(PlatformMachine):
        @staticmethod
        def world() -> World:
            return in_world

        @rule()
        def nothing(self) -> None:
            """The simplest life is made of this, and over at once."""

    print(f"DASHCELL_SIM_SEED={of_seed}")
    for number in range(examples):
        _look_up(*WAYS[number % len(WAYS)])
        run_state_machine_as_test(
            seed(of_seed * SEEDS_APART + number)(Life),
            settings=settings(
                max_examples=1 + TRIVIAL,
                stateful_step_count=steps,
                deadline=None,
                database=None,
                # A failing life is told as it was: another try runs in another state of the
                # platform.
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
