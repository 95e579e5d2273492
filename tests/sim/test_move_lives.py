"""Moves in random lives, on two cells, with a manual clock: some here, thousands by
`make chaos-moves`. The seed is printed; `DASHCELL_SIM_SEED` sets it."""

import os

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.sim.move_machine import MoveMachine

LIVES = int(os.environ.get("DASHCELL_MOVE_LIVES", "60"))
STEPS = 60


@pytest.mark.slow
@pytest.mark.timeout(60 + 10 * LIVES)
def test_moves_lose_double_and_resurrect_nothing(sim_seed: int) -> None:
    run_state_machine_as_test(
        seed(sim_seed)(MoveMachine),
        settings=settings(
            max_examples=LIVES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
