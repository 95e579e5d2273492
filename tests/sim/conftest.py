"""The seed of what is simulated: `DASHCELL_SIM_SEED` (make sim SEED=n), else another each time."""

import os
import random

import pytest


@pytest.fixture(scope="session")
def sim_seed() -> int:
    """Printed, so that a failure tells how to come back to it."""
    seed = int(os.environ.get("DASHCELL_SIM_SEED", random.randrange(1, 10_000)))
    print(f"DASHCELL_SIM_SEED={seed}")
    return seed
