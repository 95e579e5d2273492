"""The proofs on real input, on the stack of two cells: a mixed load under faults, every dashboard
of the sampled readers against the model, a replay that changes nothing.

The first ACTIVITIES of the Higgs week with all its edges, or the shipped sample where the week is
not there (tests/higgs/data.py says where it is looked for). `DASHCELL_SIM_SEED` sets the seed.
"""

import os
import random
from collections.abc import Iterator

import pytest

from tests.higgs.data import week
from tests.higgs.moving import Moving
from tests.higgs.proof import Load, Loaded, check_dashboards, check_replay, load, sample
from tests.stack.stack_world import StackWorld

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(2400)]

ACTIVITIES = 60_000
READERS = 1_000
LARGEST = 50
READERS_DURING_REPLAY = 200
MOVING = Moving(readers=int(os.environ.get("DASHCELL_MOVING", "30")), slices=3)


@pytest.fixture(scope="module")
def sim_seed() -> int:
    seed = int(os.environ.get("DASHCELL_SIM_SEED", random.randrange(1, 10_000)))
    print(f"DASHCELL_SIM_SEED={seed}")
    return seed


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackWorld]:
    with StackWorld(tmp_path_factory.mktemp("stack")) as made:
        yield made


@pytest.fixture(scope="module")
def loaded(world: StackWorld, sim_seed: int) -> Loaded:
    return load(world, Load(week(), ACTIVITIES, sim_seed, world.faults, MOVING))


def test_every_page_of_the_sampled_readers_is_as_the_model_says(
    world: StackWorld, loaded: Loaded, sim_seed: int
) -> None:
    check_dashboards(world, loaded, sample(loaded, READERS, LARGEST, sim_seed))


def test_replay_changes_no_row_and_pages_are_right_meanwhile(
    world: StackWorld, loaded: Loaded, sim_seed: int
) -> None:
    readers = sample(loaded, READERS_DURING_REPLAY, 0, sim_seed)
    assert check_replay(world, loaded, readers) > 0
