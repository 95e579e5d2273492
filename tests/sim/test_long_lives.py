"""The long form of tests/properties/test_platform_machine.py, by `make sim SEED=n`."""

import os
from pathlib import Path

import pytest

from tests.sim.embedded_world import EmbeddedWorld
from tests.sim.lives import TINY, live, replayed_alike

LIVES = 400
STEPS = 60


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif("DASHCELL_SIM_SEED" not in os.environ, reason="long: make sim SEED=n runs it")
def test_long_lives_of_the_platform_are_as_the_model_says(tmp_path: Path, sim_seed: int) -> None:
    with EmbeddedWorld(tmp_path, TINY) as world:
        live(world, sim_seed, LIVES, STEPS)
        replayed_alike(world)
