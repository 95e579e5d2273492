"""The platform in containers: images built here, two cells, the same proof as on the stack.

Needs a Docker engine and DASHCELL_TEST_CONTAINERS=1 (docs/images.md). Everything about the images
that can be looked at without an engine is in tests/unit/test_images.py.
"""

import os
from collections.abc import Iterator
from contextlib import closing

import docker
import pytest
from docker.errors import DockerException

from cell.dashboard import Context, NewFollow, PageQuery
from firehose.event import Draft, PostKind
from ops.dashboard_client import DashboardClient
from tests.higgs import data, proof
from tests.stack.containers import ContainerPlatform, built_images

pytestmark = [pytest.mark.containers, pytest.mark.slow, pytest.mark.timeout(2400)]

SEED = 20120701
ACTIVITIES = 400
READERS, LARGEST = 60, 10
CTX = Context(deadline_ms=20_000)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContainerPlatform]:
    """A whole platform in containers, or a loud skip."""
    if os.environ.get("DASHCELL_TEST_CONTAINERS") != "1":
        pytest.skip("CONTAINERS NOT TESTED: set DASHCELL_TEST_CONTAINERS=1 where Docker runs")
    try:
        with closing(docker.from_env()) as engine:
            engine.ping()
    except DockerException as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"CONTAINERS NOT TESTED, no Docker engine answers: {error}")
    folder = tmp_path_factory.mktemp("images")
    with built_images(folder) as images, ContainerPlatform(images) as running:
        yield running


def test_a_client_publishes_follows_and_pages_through_the_routers_port(platform):
    with DashboardClient([platform.router]) as dashboard:
        first = dashboard.publish(CTX, 71, Draft(PostKind.TEXT, body="before the follow"), None)
        follow = dashboard.follow(CTX, NewFollow(72, 71))
        second = dashboard.publish(CTX, 71, Draft(PostKind.TEXT, body="after it"), None)
        tokens = tuple(receipt.token for receipt in (first, follow, second))
        page = dashboard.page(CTX, PageQuery(72, at_least=tokens))
        bodies = [entry.post.draft.body for entry in page.entries]
        assert bodies == ["after it", "before the follow"]


def test_readers_of_both_cells_are_served_by_their_own(platform):
    with DashboardClient([platform.router]) as dashboard:
        cells = {dashboard.route(CTX, reader).cell for reader in range(1, 40)}
        assert cells == set(platform.cells)


def test_every_part_is_known_and_ready(platform):
    status = platform.found().status()
    assert status.healthy, status
    assert {service.name for service in status.services} == {
        "idgen", "router", "firehose", "ingest-a", "ingest-b", "dashboard-a", "dashboard-b",
    }


def test_every_image_finds_its_container_healthy(platform):
    found = {name: platform.health(name) for name in platform.names()}
    assert {name: said for name, (code, said) in found.items() if code} == {}


@pytest.fixture(scope="module")
def loaded(platform):
    what = proof.Load(data.shipped(), ACTIVITIES, SEED, faults=platform.faults)
    return proof.load(platform, what)


def test_every_dashboard_is_what_the_model_says_after_faults(platform, loaded):
    proof.check_dashboards(platform, loaded, proof.sample(loaded, READERS, LARGEST, SEED))


def test_a_replay_changes_no_row(platform, loaded):
    proof.check_replay(platform, loaded, proof.sample(loaded, READERS, LARGEST, SEED))
