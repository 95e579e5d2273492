"""Random lives of the whole embedded platform, two cells, against the model.

All lives share one platform, so that its log and tables grow and every rewind replays the lives
before; each has users of its own. The seed is printed; `DASHCELL_SIM_SEED` sets it, and
`make sim SEED=n` has the long form.
"""

import os
import random
from collections.abc import Iterator

import pytest

from tests.sim.embedded_world import EmbeddedWorld
from tests.sim.lives import TINY, live, replayed_alike

LIVES = 40
STEPS = 30
KEPT_SEEDS: tuple[int, ...] = ()
"""Seeds that once failed."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedWorld]:
    with EmbeddedWorld(tmp_path_factory.mktemp("machine"), TINY) as made:
        yield made


@pytest.mark.slow
@pytest.mark.parametrize("of_seed", [*KEPT_SEEDS, None])
def test_every_life_of_the_platform_is_as_the_model_says(
    world: EmbeddedWorld, of_seed: int | None
) -> None:
    chosen = of_seed or int(os.environ.get("DASHCELL_SIM_SEED", random.randrange(1, 10_000)))
    live(world, chosen, LIVES, STEPS)
    replayed_alike(world)
