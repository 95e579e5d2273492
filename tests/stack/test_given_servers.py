"""Servers that run already are used where they are; `cellctl up` adds the services alone."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cell.dashboard import Context, NewFollow, PageQuery
from cell.ingest import group_of
from firehose.access import Role
from firehose.event import Draft
from idgen.errors import Unauthenticated
from idgen.idl import load
from idgen.ids import decompose
from ops import addresses
from ops.config_settings import CellServers, Config, Ingest, Listen, Platform, ZooKeeper
from ops.config_settings import Servers as ServersSection
from ops.running_stack import RunningStack
from ops.stack.state import read_state
from ops.thrift_calls import Channel
from ops.wiring.stack import StackSeams
from router.tokens import Wanted
from tests.conftest import Servers
from tests.contract.patience import until

pytestmark = [pytest.mark.stack, pytest.mark.slow]

CONTEXT = Context(deadline_ms=10_000)
LISTENING = "0A"
"""TCP_LISTEN in /proc/net/tcp."""


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
        ingest=Ingest(workers=2),
        listen=Listen(routers=2, dashboards=2),
    )


@pytest.fixture(scope="module")
def running(config: Config) -> Iterator[RunningStack]:
    made = RunningStack(config, print)
    yield made
    made.platform.close()
    made.stop()


def test_only_services_are_started(running: RunningStack) -> None:
    services = ["idgen", "mover", "firehose", "router", "ingest-a", "dashboard-a"]
    several = [f"{name}.2" for name in services[3:]]
    assert sorted(running.supervisor.names()) == sorted(services + several)
    # A worker is not ready while its group shares out anew.
    until("all is healthy", lambda: running.platform.status().healthy, 60)


def test_the_workers_of_a_cell_share_its_partitions(running: RunningStack, config: Config) -> None:
    seams = StackSeams(config, config.servers.zookeeper)

    def owned() -> list[int]:
        return [len(m.partitions) for m in seams.checkpoints().members(group_of("a"))]

    try:
        until("both workers own partitions", lambda: owned() == [2, 2], 60)
    finally:
        seams.close()


def test_routers_share_a_port_and_dashboards_have_their_own(
    running: RunningStack, config: Config
) -> None:
    recorded = read_state(Path(config.platform.data))
    assert recorded is not None
    ports = {child.name: child.ports.get("thrift") for child in recorded.children}
    assert ports["router"] == ports["router.2"]
    assert ports["dashboard-a"] != ports["dashboard-a.2"]
    listening = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    of_routers = [
        line
        for line in listening
        if line[3] == LISTENING and int(line[1].rpartition(":")[2], 16) == ports["router"]
    ]
    assert len(of_routers) == 2
    running.supervisor.wait_ready(["router", "router.2"])


def test_a_post_reaches_its_follower(running: RunningStack) -> None:
    dashboard = running.platform.dashboard()
    followed = dashboard.follow(CONTEXT, NewFollow(2, 1))
    published = dashboard.publish(CONTEXT, 1, Draft(body="over given servers"), None)
    query = PageQuery(2, at_least=(followed.token, published.token))
    (entry,) = dashboard.page(CONTEXT, query).entries
    assert entry.id == published.id
    direct = running.platform.dashboard("a").page(CONTEXT, query)
    assert direct.entries == (entry,)


def test_a_program_without_cells_appends_and_reads(running: RunningStack) -> None:
    wire = load("firehose")
    token = running.platform.tokens.create(Wanted("search", {Role.READ, Role.APPEND}))
    (service,) = [s for s in running.platform.status().services if s.name == "firehose"]
    channel = Channel(wire.Firehose, [service.address])
    context = wire.context.Context(deadline_ms=20_000)

    def call(method: str, request: Any) -> Any:
        return channel.call(method, request, 20_000, repeatable=False)

    def window() -> Any:
        try:
            return call("window", wire.WindowRequest(token=token, context=context))
        except Unauthenticated:
            return None

    begin = until("the new token is known", window, 20).newest_cursor
    event = wire.NewEvent(followed=wire.Followed(follower=2, author=77))
    first = call("append", wire.AppendRequest(token=token, event=event, context=context))
    draft = wire.dashboard.Draft(body="from outside")
    event = wire.NewEvent(post_created=wire.PostCreated(author=77, draft=draft))
    second = call("append", wire.AppendRequest(token=token, event=event, context=context))
    assert decompose(first.id).worker == decompose(second.id).worker
    query = PageQuery(2, at_least=(first.token, second.token))
    page = running.platform.dashboard().page(CONTEXT, query)
    assert second.id in {entry.id for entry in page.entries}
    request = wire.ReadRequest(token=token, start=begin, authors=[77], context=context)
    assert [e.id for e in call("read", request).events] == [first.id, second.id]
    channel.close()


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
