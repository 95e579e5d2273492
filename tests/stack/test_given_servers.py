"""Servers that run already are used where they are; `cellctl up` adds the services alone."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cell.dashboard import Context, NewFollow, PageQuery
from firehose.event import Draft
from ops import addresses
from ops.config_settings import CellServers, Config, Platform, ZooKeeper
from ops.config_settings import Servers as ServersSection
from ops.running_stack import RunningStack
from tests.conftest import Servers

pytestmark = [pytest.mark.stack, pytest.mark.slow]

CONTEXT = Context(deadline_ms=10_000)


@pytest.fixture(scope="module")
def config(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Config:
    cell = servers.hbase()
    given = CellServers(
        hbase_thrift1=cell.hbase_thrift1, hbase_thrift2=cell.hbase_thrift2, redis=servers.redis()
    )
    return Config(
        platform=Platform(
            data=str(tmp_path_factory.mktemp("given")), profile="stack", cells=("a",), partitions=4
        ),
        servers=ServersSection(
            zookeeper=servers.zookeeper(), kafka=servers.kafka(), cells={"a": given}
        ),
        zookeeper=ZooKeeper(root="/given-servers"),
    )


@pytest.fixture(scope="module")
def running(config: Config) -> Iterator[RunningStack]:
    made = RunningStack(config, print)
    yield made
    made.platform.close()
    made.stop()


def test_only_services_are_started(running: RunningStack) -> None:
    assert running.supervisor.names() == ["idgen", "router", "ingest-a", "dashboard-a"]
    assert running.platform.status().healthy


def test_a_post_reaches_its_follower(running: RunningStack) -> None:
    dashboard = running.platform.dashboard()
    followed = dashboard.follow(CONTEXT, NewFollow(2, 1))
    published = dashboard.publish(CONTEXT, 1, Draft(body="over given servers"), None)
    query = PageQuery(2, at_least=(followed.token, published.token))
    (entry,) = dashboard.page(CONTEXT, query).entries
    assert entry.id == published.id
    direct = running.platform.dashboard("a").page(CONTEXT, query)
    assert direct.entries == (entry,)


def test_it_is_found_by_its_registry_alone(running: RunningStack, config: Config) -> None:
    registry = addresses.read(Path(config.platform.data)).registry
    found = _cellctl("status", "--registry", registry, "--json", root=config.zookeeper.root)
    assert found["healthy"], found
    assert [cell["name"] for cell in found["status"]["cells"]] == ["a"]


def test_writes_go_on_while_ids_and_router_are_started_again(running: RunningStack) -> None:
    dashboard = running.platform.dashboard()
    for service in ("idgen", "router"):
        running.supervisor.restart(service)
        running.supervisor.wait_ready([service])
    assert dashboard.publish(CONTEXT, 1, Draft(body="after the restarts"), None).id


def _cellctl(*arguments: str, root: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "ops.cellctl.main", *arguments],
        capture_output=True,
        text=True,
        check=True,
        env={"DASHCELL_ZOOKEEPER_ROOT": root, "PATH": ""},
    )
    return json.loads(done.stdout)
