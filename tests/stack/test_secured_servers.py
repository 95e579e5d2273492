"""Users, passwords and TLS, proven by handshakes with real servers, through the product's wiring.

Every server demands a user with a password and a certificate of one authority. Whoever comes with
another password, trusts another authority or has no certificate is turned away with a typed error
that names the settings to look at, and without a hang.
"""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import NoAuthError

from cell.ingest import group_of
from cell.post_cache_redis import RedisPostCache
from firehose.checkpoint_kafka import KafkaCheckpoints
from firehose.log_kafka import KafkaLog
from idgen.errors import BadRequest, DashcellError, PermissionDenied, Unauthenticated, Unavailable
from ops.config import environment_of
from ops.creation import tell_servers
from ops.wiring.seams import FIREHOSE
from ops.wiring.stack import StackSeams, kafka_settings
from router.cells import CellInfo, read_cell
from router.services import read_services
from tests.conftest import Servers
from tests.contract.patience import together, until
from tests.stack.secured_servers import CELL, PASSWORD, ROOT, Secured, secured_servers

pytestmark = [pytest.mark.stack, pytest.mark.slow]

GROUP = group_of(CELL)
NOBODY = ("127.0.0.1:1",)
"""The HBase of the cell, which nothing here asks."""

PATIENCE_S = 20.0
"""Above the time-outs that bound a refusal: Kafka's 10 s, ZooKeeper's 15 s, Redis's 3 s."""


@pytest.fixture(scope="module")
def secured(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    programs = servers.programs()
    with secured_servers(tmp_path_factory.mktemp("secured"), programs) as running:
        with_all = _open(running)
        tell_servers(with_all.registry, running.kafka, [_cell(running.redis)])
        with_all.close()
        yield running


@pytest.fixture
def let_in(secured: Secured) -> Iterator[StackSeams]:
    seams = _open(secured)
    yield seams
    seams.close()


def _open(secured: Secured, address: str = "", **changed: str) -> StackSeams:
    config = secured.config(**{"platform_partitions": "2", **changed})
    return StackSeams(config, address or secured.zookeeper)


def _cell(cache: str) -> CellInfo:
    return CellInfo(CELL, hbase_thrift1=NOBODY, hbase_thrift2=NOBODY, redis=cache)


def _raised(task: Callable[[], object]) -> DashcellError:
    """What the task raises, within PATIENCE_S."""
    with pytest.raises(DashcellError) as raised:
        together([task], PATIENCE_S)
    return raised.value


# -- Kafka ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_the_log_is_written_and_read(secured: Secured, mechanism: str) -> None:
    seams = _open(secured, kafka_mechanism=mechanism)
    log = seams.firehose()
    (appended,) = log.append([(1, mechanism.encode())])
    (record,) = log.read(1, appended.offset, 1, timeout_ms=5000)
    assert record.value == mechanism.encode()
    assert log.spans()[1].end == appended.offset + 1
    assert log.offsets_at(appended.at_ms)[1] <= appended.offset
    seams.close()


def test_a_group_reads_and_keeps_its_checkpoint(let_in: StackSeams) -> None:
    log, groups = let_in.firehose(), let_in.checkpoints()
    (appended,) = log.append([(0, b"for the group")])
    member = groups.join(GROUP, "one")

    def found() -> bool:
        return (0, appended.offset) in {
            (record.partition, record.offset) for record in member.poll(10, 200).records
        }

    until("the record", found, PATIENCE_S)
    member.commit({0: appended.offset + 1})
    assert groups.committed(GROUP)[0] == appended.offset + 1
    assert [one.client for one in groups.members(GROUP)] == ["one"]
    member.leave()
    groups.rewind(GROUP, {0: 0})
    assert groups.committed(GROUP)[0] == 0
    assert groups.groups() == [GROUP]
    groups.delete(GROUP)
    assert groups.groups() == []
    log.trim(0)


def test_what_the_user_is_not_granted_is_denied(secured: Secured) -> None:
    settings = kafka_settings(secured.config(), secured.kafka)
    member = KafkaCheckpoints(settings, FIREHOSE, 2).join("not-ours", "one")
    tasks: list[Callable[[], object]] = [
        lambda: KafkaLog(settings, "not-ours", 1),
        lambda: until("a refusal", lambda: member.poll(1, 200).records, PATIENCE_S),
    ]
    for task in tasks:
        error = _raised(task)
        assert type(error) is PermissionDenied
        assert "kafka-acls" in str(error)
    member.leave()


KAFKA_REFUSALS = {
    "wrong password": ({"kafka_password": "wrong"}, "check kafka.user, kafka.password"),
    "wrong user": ({"kafka_user": "else"}, "check kafka.user, kafka.password"),
    "another authority": ({"kafka_ca": "another/ca.pem"}, "check kafka.ca"),
    "no certificate": ({"kafka_cert": "", "kafka_key": ""}, "kafka.cert and kafka.key"),
    "certificate of another authority": (
        {"kafka_cert": "another/client.pem", "kafka_key": "another/client.key"},
        "kafka.cert and kafka.key",
    ),
}


@pytest.mark.parametrize("case", KAFKA_REFUSALS)
def test_kafka_turns_away(secured: Secured, case: str) -> None:
    changed, remedy = KAFKA_REFUSALS[case]
    seams = _open(secured, **_placed(secured, changed))
    error = _raised(seams.firehose)
    assert type(error) is Unauthenticated
    assert remedy in str(error)
    seams.close()


def test_what_ends_by_a_time_out_says_why_too(secured: Secured) -> None:
    """A listener with TLS hangs up on who speaks without; a group's checkpoints are asked for by
    a client that hears of the wrong password and goes on. Side by side, as each takes 10 s."""
    plain = _open(secured, kafka_tls="", kafka_cert="", kafka_key="")
    wrong = _open(secured, kafka_password="wrong")
    member = wrong.checkpoints().join(GROUP, "stranger")
    tasks: list[Callable[[], object]] = [
        plain.firehose,
        lambda: wrong.checkpoints().committed(GROUP),
        lambda: until("a refusal", lambda: member.poll(1, 200).records, PATIENCE_S),
    ]
    unspoken, committed, joined = together([partial(_raised, task) for task in tasks], PATIENCE_S)
    assert type(unspoken) is Unavailable
    assert "kafka.tls and kafka.user" in str(unspoken)
    for error in (committed, joined):
        assert type(error) is Unauthenticated
        assert "kafka.password" in str(error)
    member.leave()
    plain.close()
    wrong.close()


# -- ZooKeeper -----------------------------------------------------------------------------------


def test_the_registry_is_written_watched_and_read(secured: Secured, let_in: StackSeams) -> None:
    changed = threading.Event()
    watch = let_in.registry.watch("/watched", changed.set)
    other = _open(secured)
    other.registry.create("/watched", b"1")
    assert changed.wait(PATIENCE_S)
    assert let_in.registry.get("/watched").value == b"1"
    changed.clear()
    other.registry.set("/watched", b"2", 0)
    assert changed.wait(PATIENCE_S)
    assert let_in.registry.get("/watched").value == b"2"
    watch.cancel()
    other.registry.create("/here", b"", ephemeral=True)
    other.close()
    until("the ephemeral path gone", lambda: "here" not in let_in.registry.list("/"), PATIENCE_S)


def test_leases_are_taken_and_many_answers_arrive_at_once(let_in: StackSeams) -> None:
    now = let_in.clock.now_ms()
    taken = [let_in.leases.acquire(f"holder-{i}", now, 1000, 60_000) for i in range(60)]
    assert {lease.worker for lease in let_in.leases.leases()} == {one.worker for one in taken}
    renewed = let_in.leases.renew(taken[0], now + 5000)
    assert renewed.reserved_ms >= now + 5000
    for lease in taken:
        let_in.leases.release(lease, now)
    assert let_in.leases.leases() == []


def test_what_we_make_is_the_users_alone(secured: Secured, let_in: StackSeams) -> None:
    let_in.registry.create("/deep/down", b"")
    stranger = KazooClient(hosts=secured.zookeeper_plain)
    stranger.start(timeout=PATIENCE_S)
    for path in ("", "/deep", "/deep/down", "/servers"):
        with pytest.raises(NoAuthError):
            stranger.get(ROOT + path)
    stranger.stop()
    stranger.close()


@pytest.mark.parametrize(
    "changed",
    [
        {"zookeeper_password": "wrong"},
        {"zookeeper_user": "else"},
        {"zookeeper_user": "", "zookeeper_password": ""},
    ],
    ids=["wrong password", "wrong user", "no user"],
)
def test_zookeeper_shows_strangers_nothing(secured: Secured, changed: dict[str, str]) -> None:
    seams = _open(secured, **changed)
    registry, leases = seams.registry, seams.leases
    asked: list[Callable[[], object]] = [
        lambda: registry.get("/servers"),
        lambda: registry.list("/"),
        lambda: registry.create("/mine", b""),
        lambda: registry.watch("/", lambda: None),
        lambda: leases.acquire("stranger", 0, 1000, 1000),
        seams.firehose,
    ]
    for task in asked:
        error = _raised(task)
        assert type(error) is PermissionDenied
        assert "zookeeper.password" in str(error)
    seams.close()


ZOOKEEPER_REFUSALS = {
    "another authority": ({"zookeeper_ca": "another/ca.pem"}, "check ca of [zookeeper]"),
    "no certificate": (
        {"zookeeper_cert": "", "zookeeper_key": ""},
        "check cert and key of [zookeeper]",
    ),
    "certificate of another authority": (
        {"zookeeper_cert": "another/client.pem", "zookeeper_key": "another/client.key"},
        "check cert and key of [zookeeper]",
    ),
}


@pytest.mark.parametrize("case", ZOOKEEPER_REFUSALS)
def test_zookeeper_turns_away(secured: Secured, case: str) -> None:
    changed, remedy = ZOOKEEPER_REFUSALS[case]
    error = _raised(lambda: _open(secured, **_placed(secured, changed)))
    assert type(error) is Unauthenticated
    assert remedy in str(error)


def test_a_service_finds_its_files_and_is_let_in(
    secured: Secured, let_in: StackSeams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process of its own, in another folder than the one that its files are relative to."""
    monkeypatch.chdir(secured.ours)
    config = secured.config(
        servers_zookeeper=secured.zookeeper,
        zookeeper_ca="ca.pem",
        zookeeper_cert="client.pem",
        zookeeper_key="client.key",
    )
    serve = [sys.executable, "-m", "ops.cellctl.main", "serve", "idgen", "--data", str(tmp_path)]
    environment = environment_of(config)
    with (
        (tmp_path / "idgen.log").open("w") as log,
        subprocess.Popen(serve, cwd=tmp_path, env=environment, stderr=log) as service,
    ):
        try:
            registered = partial(read_services, let_in.registry, "idgen")
            (info,) = until("idgen in the registry", registered, PATIENCE_S)
            assert info.pid == service.pid
        finally:
            service.terminate()
    said = (tmp_path / "idgen.log").read_text()
    assert service.returncode == 0, said
    assert PASSWORD not in said
    assert registered() == []


# -- Redis ---------------------------------------------------------------------------------------


def _cache(seams: StackSeams) -> RedisPostCache:
    """The cell's cache without its logs, which take a second to open."""
    cache = seams._cache(read_cell(seams.registry, CELL).info)
    assert isinstance(cache, RedisPostCache)
    return cache


def test_the_cache_is_filled_and_read(let_in: StackSeams) -> None:
    """By a user who may do nothing but what the post cache needs."""
    cache = let_in.cell(CELL).cache
    assert isinstance(cache, RedisPostCache)
    cache.fill({b"1": b"one", b"2": b"two"})
    assert cache.set_gone({b"2": b"gone"})
    assert cache.get_many([b"1", b"2", b"3"]) == [b"one", b"gone", None]
    cache.flush()
    assert cache.get_many([b"1", b"2"]) == [None, None]
    assert cache.trouble is None
    assert cache.counts.failures == 0


REDIS_REFUSALS = {
    "wrong password": ({"redis_password": "wrong"}, Unauthenticated, "redis.password"),
    "wrong user": ({"redis_user": "else"}, Unauthenticated, "redis.password"),
    "another authority": ({"redis_ca": "another/ca.pem"}, Unauthenticated, "redis.ca"),
    # The relay hangs up without a word.
    "no certificate": ({"redis_cert": "", "redis_key": ""}, Unavailable, "closed"),
    "no tls": ({"redis_tls": ""}, Unavailable, "closed"),
}


@pytest.mark.parametrize("case", REDIS_REFUSALS)
def test_without_the_cache_nothing_fails_and_it_says_why(secured: Secured, case: str) -> None:
    changed, kind, remedy = REDIS_REFUSALS[case]
    seams = _open(secured, **_placed(secured, changed))
    cache = _cache(seams)
    (found,) = together([lambda: cache.get_many([b"1"])], PATIENCE_S)
    assert found == [None]
    assert type(cache.trouble) is kind
    assert remedy in str(cache.trouble)
    assert cache.counts.failures == 1
    seams.close()


# -- all three -----------------------------------------------------------------------------------


def test_names_are_checked(secured: Secured) -> None:
    """The certificates are for the address 127.0.0.1 and not for the name localhost."""
    error = _raised(lambda: _open(secured, _by_name(secured.zookeeper)))
    assert type(error) is Unauthenticated
    assert "localhost" in str(error)
    seams = _moved(secured, "names-kafka", kafka=_by_name(secured.kafka))
    assert type(_raised(seams.firehose)) is Unauthenticated
    seams.close()
    seams = _moved(secured, "names-redis", redis=_by_name(secured.redis))
    cache = _cache(seams)
    assert cache.get_many([b"1"]) == [None]
    assert type(cache.trouble) is Unauthenticated
    assert "localhost" in str(cache.trouble)
    seams.close()


def test_without_verify_any_name_and_authority_will_do(secured: Secured) -> None:
    careless = {}
    for section in ("kafka", "zookeeper", "redis"):
        careless |= {f"{section}_verify": "false", f"{section}_ca": "another/ca.pem"}
    seams = _moved(
        secured,
        "names",
        kafka=_by_name(secured.kafka),
        redis=_by_name(secured.redis),
        zookeeper=_by_name(secured.zookeeper),
        **_placed(secured, careless),
    )
    assert len(seams.firehose().spans()) == 2
    assert _cache(seams).set_gone({b"1": b"gone"})
    seams.close()


@pytest.mark.parametrize("section", ["kafka", "zookeeper", "redis"])
@pytest.mark.parametrize("file", ["another/none.pem", "another/ca.key"])
def test_a_file_that_is_no_use_is_named(secured: Secured, section: str, file: str) -> None:
    changed = _placed(secured, {f"{section}_ca": file})

    def use() -> None:
        seams = _open(secured, **changed)
        try:
            seams.cell(CELL)
        finally:
            seams.close()

    error = _raised(use)
    assert isinstance(error, BadRequest)
    assert error.field == f"{section}.ca"
    assert changed[f"{section}_ca"] in str(error)


def _placed(secured: Secured, changed: dict[str, str]) -> dict[str, str]:
    """Files of the other authority by their whole path."""
    return {
        name: str(secured.another / value.removeprefix("another/"))
        if value.startswith("another/")
        else value
        for name, value in changed.items()
    }


def _by_name(address: str) -> str:
    return address.replace("127.0.0.1", "localhost")


def _moved(
    secured: Secured,
    root: str,
    *,
    kafka: str = "",
    redis: str = "",
    zookeeper: str = "",
    **changed: str,
) -> StackSeams:
    """The seams of a platform of its own, which finds these addresses in its registry."""
    seams = _open(secured, zookeeper, zookeeper_root=f"{ROOT}/{root}", **changed)
    tell_servers(seams.registry, kafka or secured.kafka, [_cell(redis or secured.redis)])
    return seams
