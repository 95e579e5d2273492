"""The proofs on real input, on the embedded platform of two cells.

The shipped sample whole, with all its edges; the stack takes the week itself
(tests/stack/test_higgs.py). Three faults that one process can show: a worker crashes in mid-batch,
a worker stalls beyond its session while another takes over, the post caches are flushed.
"""

from collections.abc import Iterator

import pytest

from tests.higgs.data import shipped
from tests.higgs.moving import Moving
from tests.higgs.proof import Load, Loaded, check_dashboards, check_replay, load, sample
from tests.sim.embedded_world import EmbeddedWorld

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

ACTIVITIES = 12_000
READERS = 1_000
LARGEST = 50
READERS_DURING_REPLAY = 60
MOVING = Moving(readers=10, slices=2)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedWorld]:
    with EmbeddedWorld(tmp_path_factory.mktemp("higgs")) as made:
        yield made


@pytest.fixture(scope="module")
def loaded(world: EmbeddedWorld, sim_seed: int) -> Loaded:
    return load(world, Load(shipped(), ACTIVITIES, sim_seed, world.faults, MOVING))


def test_every_page_of_the_sampled_readers_is_as_the_model_says(
    world: EmbeddedWorld, loaded: Loaded, sim_seed: int
) -> None:
    check_dashboards(world, loaded, sample(loaded, READERS, LARGEST, sim_seed))


def test_replay_changes_no_row_and_pages_are_right_meanwhile(
    world: EmbeddedWorld, loaded: Loaded, sim_seed: int
) -> None:
    readers = sample(loaded, READERS_DURING_REPLAY, 0, sim_seed)
    assert check_replay(world, loaded, readers) > 0
