"""A server's clock beside those of its peers: what is compared, and when a start is refused."""

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from idgen import idl
from idgen.client import IdGenClient
from idgen.clock_watch import PEERS_MAX, ClockWatch, Compared, middle
from idgen.errors import Unavailable
from idgen.snowflake import CLOCKS_MS_MAX
from ops.config import Config
from ops.config_settings import Platform
from ops.roles import parts_of
from ops.template.host import ServiceHost, ServiceParts
from ops.template.service import ThriftService
from ops.wiring.embedded import EmbeddedSeams
from router.moves import Refused
from router.services import ServiceInfo, register
from tests.contract.patience import until
from tests.unit.snowflake_world import NOW_MS, ManualClock

HOUR_MS = 3_600_000


class Told:
    """Peers by address: how far their clocks are ahead of NOW_MS, None for a silent old release,
    an error for one that is gone."""

    def __init__(self, clocks: Mapping[str, int | Exception | None]) -> None:
        self.clocks = clocks
        self.asked: list[str] = []

    def addresses(self) -> list[str]:
        return list(self.clocks)

    def clock_ms(self, address: str) -> int | None:
        self.asked.append(address)
        found = self.clocks[address]
        if isinstance(found, Exception):
            raise found
        return None if found is None else NOW_MS + found


def compared(*clocks: int | Exception | None) -> Compared:
    told = Told({f"h:{n}": clock for n, clock in enumerate(clocks)})
    return ClockWatch(told, ManualClock()).compare()


def test_without_peers_nothing_is_known_and_nothing_is_wrong() -> None:
    for found in (compared(), compared(None), compared(Unavailable("gone"), OSError("odd"))):
        assert found == (None, 0)
        assert found.trouble == ""


@pytest.mark.parametrize("side", [1, -1])
def test_ten_seconds_off_are_allowed_and_not_more(side: int) -> None:
    assert compared(side * CLOCKS_MS_MAX).trouble == ""
    trouble = compared(side * (CLOCKS_MS_MAX + 1)).trouble
    assert "10001 ms" in trouble
    assert ("behind" if side > 0 else "ahead of") in trouble
    assert "NTP" in trouble, "it names the remedy"


def test_one_bad_clock_does_not_speak_for_the_others() -> None:
    assert compared(HOUR_MS, 3).trouble == ""
    assert compared(-HOUR_MS, 3, None, Unavailable("gone")) == (3, 2)
    assert compared(HOUR_MS, -HOUR_MS, 7).offset_ms == 7
    assert compared(HOUR_MS, HOUR_MS + 5, 2).trouble
    assert middle([4]) == 4


def test_only_so_many_peers_are_asked() -> None:
    told = Told({f"h:{n}": n for n in range(PEERS_MAX + 5)})
    assert ClockWatch(told, ManualClock()).compare().peers == PEERS_MAX
    assert len(told.asked) == PEERS_MAX


def test_the_watch_goes_on_whatever_the_registry_does() -> None:
    class Away(Told):
        def addresses(self) -> list[str]:
            self.asked.append("")
            if len(self.asked) < 3:
                raise Unavailable("the registry is away")
            return super().addresses()

    stop, told = threading.Event(), Away({"h:1": 20_000})
    watch = ClockWatch(told, ManualClock())
    running = threading.Thread(target=watch.run, args=(stop, 0.001))
    running.start()
    until("it has compared", lambda: watch.last.peers, 30)
    stop.set()
    running.join(30)
    assert watch.last.offset_ms == 20_000


# -- servers that start beside others ----------------------------------------------------------


class Registered:
    """A registry in a folder, and servers of ids in it, each with a clock of its own."""

    def __init__(self, folder: Path, closing: ExitStack) -> None:
        self.config = Config(platform=Platform(data=str(folder)))
        self.closing = closing

    def seams(self, ahead_ms: int = 0) -> EmbeddedSeams:
        """The registry in a file keeps sessions by the one clock of its machine; ours differ."""
        seams = EmbeddedSeams(self.config, ManualClock())
        assert seams.registry is not None
        seams.clock = ManualClock(NOW_MS + ahead_ms)
        return seams

    def start(self, ahead_ms: int = 0) -> ServiceHost:
        parts = parts_of("idgen", "", self.config, self.seams(ahead_ms))
        host = ServiceHost("idgen", parts, self.config)
        host.start()
        self.closing.callback(host.drain, 5.0)
        return host

    def listed(self, address: str) -> None:
        seams = self.seams()
        self.closing.callback(seams.close)
        register(seams.registry, ServiceInfo("idgen", f"by-hand-{address}", address))


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Registered]:
    with ExitStack() as closing:
        yield Registered(tmp_path, closing)


def status_of(host: ServiceHost) -> Any:
    client = IdGenClient([host.endpoints.thrift], timeout_ms=10_000)
    try:
        return client.status()
    finally:
        client.close()


def test_a_start_is_refused_while_the_clock_is_off_its_peers(platform: Registered) -> None:
    first = platform.start()
    assert status_of(first)[-2:] == (None, 0), "there was nobody to compare with"
    for ahead_ms in (11_000, -11_000, HOUR_MS):
        with pytest.raises(Refused, match="clock") as caught:
            platform.start(ahead_ms)
        assert caught.value.cause == "clock"
    seams = platform.seams()
    platform.closing.callback(seams.close)
    assert len(seams.leases.leases()) == 1, "who may not start takes no worker id"
    second = platform.start(-9_000)
    assert status_of(second).clock_ms == NOW_MS - 9_000
    assert status_of(second)[-2:] == (9_000, 1)


def test_peers_that_are_gone_or_of_an_old_release_stop_nobody(platform: Registered) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        gone = f"127.0.0.1:{closed.getsockname()[1]}"
    wire = idl.load("idgen")

    def old(_ctx: Any, _request: Any) -> Any:
        """What v0.1.0 answers: nine fields."""
        return wire.IdGenStatus("holding", 1, 1, "old", 0, 0, 0, 0, "")

    calls = dict.fromkeys(("next_id", "next_ids", "decode", "status"), old)
    host = ServiceHost(
        "idgen", ServiceParts(service=ThriftService(wire.IdGen, calls)), platform.config
    )
    host.start()
    platform.closing.callback(host.drain, 5.0)
    platform.listed(gone)
    platform.listed(host.endpoints.thrift)
    started = platform.start(HOUR_MS)
    assert status_of(host).clock_ms == 0
    assert status_of(started)[-2:] == (None, 0)
