"""What the servers are told: pure functions from folder, ports and settings."""

import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from ops.stack import hbase, kafka, redis, zookeeper
from ops.stack.child import ChildSpec
from ops.stack.disk import disk_full_is_clear, require_free_space
from ops.stack.errors import DiskFull, PortInUse
from ops.stack.jars import JarSets
from ops.stack.java import Java
from ops.stack.ports import PortReservation, ephemeral_low, require_free
from ops.stack.servers import CellOverrides, Memory, Overrides, Planner, Programs

JAVA = Java("java", 17)


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(JAVA, JarSets(tmp_path / "h", tmp_path / "k", tmp_path / "z"), "redis-server")


def settings_of(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if line)


def by_name(children: list[ChildSpec]) -> dict[str, ChildSpec]:
    return {child.name: child for child in children}


def test_zookeeper_listens_on_loopback_alone(tmp_path: Path) -> None:
    text = zookeeper.configuration(tmp_path, zookeeper.ZooKeeperSettings(port=2181))
    found = settings_of(text)
    assert found["clientPort"] == "2181"
    assert found["clientPortAddress"] == "127.0.0.1"
    assert found["dataDir"] == str(tmp_path / "data")
    assert "srvr" in found["4lw.commands.whitelist"], "the readiness probe asks this"


def test_kafka_is_durable_and_makes_no_topic_by_accident(tmp_path: Path) -> None:
    found = settings_of(kafka.configuration(tmp_path, kafka.KafkaSettings(9092, 9093)))
    assert found["auto.create.topics.enable"] == "false"
    assert found["unclean.leader.election.enable"] == "false"
    assert found["log.message.timestamp.type"] == "LogAppendTime"
    assert found["log.retention.hours"] == "168"
    assert found["controller.quorum.voters"] == "1@127.0.0.1:9093"
    assert "PLAINTEXT://127.0.0.1:9092" in found["listeners"]


def test_redis_is_bounded_and_never_saves(tmp_path: Path) -> None:
    text = redis.configuration(tmp_path, redis.RedisSettings("a", 6379, memory_mb=64))
    lines = text.splitlines()
    assert "maxmemory 64mb" in lines
    assert "maxmemory-policy allkeys-lru" in lines
    assert 'save ""' in lines
    assert "bind 127.0.0.1" in lines


def test_cells_of_one_zookeeper_have_different_parents(tmp_path: Path) -> None:
    sites = [
        hbase.site(tmp_path / cell, hbase.HBaseSettings(cell, "127.0.0.1:2181", 1, 2, 3, 4))
        for cell in ("a", "b")
    ]
    assert [site["zookeeper.znode.parent"] for site in sites] == ["/hbase-a", "/hbase-b"]
    for site in sites:
        assert site["hbase.cluster.distributed"] == "true"
        assert site["hbase.rootdir"].startswith("file:///")
        assert site["hbase.hregion.majorcompaction"] == "0"
        assert site["zookeeper.session.timeout"] == "6000"
        assert int(site["hbase.thrift.maxWorkerThreads"]) <= 256


def test_the_hbase_site_is_xml_whatever_the_folder_is_called(tmp_path: Path) -> None:
    folder = tmp_path / "a & <b>"
    settings = hbase.HBaseSettings("a", "127.0.0.1:2181", 1, 2, 3, 4)
    hbase.write_configuration(folder, settings)
    root = ET.parse(folder / "conf" / "hbase-site.xml").getroot()
    found = {row.findtext("name"): row.findtext("value") for row in root}
    assert found["hbase.tmp.dir"] == str(folder / "tmp")
    assert found == hbase.site(folder, settings)


def test_two_cells_have_all_children_and_distinct_ports(tmp_path: Path, programs: Programs) -> None:
    planner = Planner(tmp_path, programs)
    stack = planner.stack(["a", "b"])
    planner.close()
    names = [child.name for child in stack.children]
    roles = [f"hbase-{cell}-{role}" for cell in "ab" for role in hbase.ROLES]
    assert sorted(names) == sorted(["zookeeper", "kafka", "redis-a", "redis-b", *roles])
    for child in stack.children:
        assert all(names.index(need) < names.index(child.name) for need in child.needs)
    ports = [port for child in stack.children for port in child.ports.values()]
    assert len(ports) == len(set(ports)) == 13
    cell = stack.addresses.cells["b"]
    thrift2 = by_name(stack.children)["hbase-b-thrift2"].ports["thrift2"]
    assert cell.hbase_thrift2 == f"127.0.0.1:{thrift2}"
    assert cell.znode_parent == "/hbase-b"
    assert len({str(child.log) for child in stack.children}) == len(stack.children)


def test_an_hbase_whose_folder_was_lost_does_not_meet_its_past(
    tmp_path: Path, programs: Programs
) -> None:
    def parent() -> str:
        planner = Planner(tmp_path, programs)
        found = planner.stack(["a"]).addresses.cells["a"].znode_parent
        planner.close()
        return found

    assert parent() == "/hbase-a"
    (counted,) = tmp_path.rglob("hbase-a.life")
    data = counted.with_suffix("") / "data"
    data.mkdir(parents=True)
    assert [parent(), parent()] == ["/hbase-a", "/hbase-a"]
    data.rmdir()
    assert parent() == "/hbase-a.2"
    data.mkdir()
    assert parent() == "/hbase-a.2"


def test_a_cell_added_later_shares_nothing_with_those_before(
    tmp_path: Path, programs: Programs
) -> None:
    planner = Planner(tmp_path, programs)
    before = planner.stack(["a"])
    children, addresses = planner.plan_cell("b", before.addresses.zookeeper)
    planner.close()
    assert {child.name for child in children}.isdisjoint(by_name(before.children))
    assert addresses.redis != before.addresses.cells["a"].redis
    assert by_name(children)["hbase-b-master"].needs == ("zookeeper",)


def test_servers_that_run_elsewhere_are_left_out(tmp_path: Path, programs: Programs) -> None:
    elsewhere = Overrides(
        zookeeper="zk.internal:2181",
        kafka="k1:9092,k2:9092",
        cells={"a": CellOverrides("h:9090", "h:9091", "r:6379")},
    )
    planner = Planner(tmp_path, programs, elsewhere)
    stack = planner.stack(["a", "b"])
    planner.close()
    assert {child.name.split("-")[1] for child in stack.children} == {"b"}
    assert stack.addresses.zookeeper == "zk.internal:2181"
    assert stack.addresses.kafka == "k1:9092,k2:9092"
    assert stack.addresses.cells["a"].hbase_thrift1 == "h:9090"
    assert by_name(stack.children)["hbase-b-master"].needs == (), (
        "ZooKeeper is not ours to wait for"
    )


def test_heap_bounds_reach_the_command_lines(tmp_path: Path, programs: Programs) -> None:
    memory = Memory(zookeeper_mb=99, kafka_mb=333, hbase=hbase.HBaseHeaps(200, 700, 301))
    planner = Planner(tmp_path, programs, memory=memory)
    children = by_name(planner.stack(["a"]).children)
    planner.close()
    heaps = {name: child.argv[1] for name, child in children.items() if child.argv[0] == "java"}
    assert heaps == {
        "zookeeper": "-Xmx99m",
        "kafka": "-Xmx333m",
        "hbase-a-master": "-Xmx200m",
        "hbase-a-regionserver": "-Xmx700m",
        "hbase-a-thrift1": "-Xmx301m",
        "hbase-a-thrift2": "-Xmx301m",
    }


def test_class_archives_are_used_where_they_were_made(tmp_path: Path, programs: Programs) -> None:
    archives = tmp_path / "archives"
    archives.mkdir()
    (archives / "hbase-master.jsa").touch()
    planner = Planner(tmp_path, replace(programs, archives=archives))
    children = by_name(planner.stack(["a", "b"]).children)
    planner.close()
    option = f"-XX:SharedArchiveFile={archives / 'hbase-master.jsa'}"
    assert {name for name, child in children.items() if option in child.argv} == {
        "hbase-a-master",
        "hbase-b-master",
    }
    others = [child.argv for name, child in children.items() if not name.endswith("master")]
    assert not any("SharedArchiveFile" in text for argv in others for text in argv)


def test_a_configured_port_that_is_taken_is_named_with_who_wants_it(
    tmp_path: Path, programs: Programs
) -> None:
    taken = PortReservation()
    port = taken.take()
    planner = Planner(tmp_path, programs, Overrides(ports={"hbase-a-thrift2": port}))
    try:
        with pytest.raises(PortInUse, match=f"port {port}, wanted by hbase-a-thrift2, is in use"):
            planner.stack(["a"])
        taken.release(port)
        again = by_name(planner.stack(["a"]).children)
        assert again["hbase-a-thrift2"].ports == {"thrift2": port}
    finally:
        taken.close()
        planner.close()


def test_reserved_ports_are_distinct_held_and_outside_the_kernels_range() -> None:
    first, second = PortReservation(seed=1), PortReservation(seed=1)
    try:
        ports = [first.take() for _ in range(20)] + [second.take() for _ in range(20)]
        assert len(set(ports)) == 40
        assert all(port < ephemeral_low() for port in ports)
        with pytest.raises(PortInUse):
            require_free(ports[0], "kafka")
        first.release(ports[0])
        require_free(ports[0], "kafka")
    finally:
        first.close()
        second.close()


def test_too_little_room_is_said_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(DiskFull, match="free some space or choose another folder"):
        require_free_space(tmp_path / "not" / "there" / "yet", free_bytes_min=1 << 60)


def test_a_disk_that_fills_up_while_writing_is_said_clearly(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full on this system")
    with (
        pytest.raises(DiskFull, match=f"the disk of {tmp_path} is full"),
        disk_full_is_clear(tmp_path),
    ):
        full.write_text("x")
    with pytest.raises(IsADirectoryError), disk_full_is_clear(tmp_path):
        tmp_path.write_text("other errors stay what they are")
