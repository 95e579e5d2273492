"""The service IdGen as it is hosted: what it answers, to clients of today and of v0.1.0."""

import tarfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import thriftpy2
from thriftpy2.thrift import TApplicationException, TClient
from thriftpy2.transport import TSocket

from idgen import idl
from idgen.clock_watch import Compared
from idgen.errors import Corrupt, Unavailable
from idgen.ids import MAX_ID, compose
from idgen.snowflake import Snowflake
from idgen.worker_lease_sqlite import SqliteWorkerLeases
from ops.bench.measures.ids import Ids, checked
from ops.config import Config
from ops.idgen_service import IdGenClients, idgen_service
from ops.template.host import ServiceHost, ServiceParts
from router.services import ServiceTable
from tests.golden.released import archive_of
from tests.unit.snowflake_world import NOW_MS, ManualClock


class Watch:
    last = Compared(-70, 2)


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    clock = ManualClock()
    leases = SqliteWorkerLeases(tmp_path / "leases.db", clock)
    ids = Snowflake(leases, clock, "host:1")
    ids.tend()
    service = idgen_service(ids, Watch())  # type: ignore[arg-type]
    host = ServiceHost("idgen", ServiceParts(service=service), Config())
    host.start()
    yield host.endpoints.thrift
    host.drain(5.0)
    leases.close()


@pytest.fixture
def old(tmp_path: Path) -> ModuleType:
    """The IDL of v0.1.0."""
    with tarfile.open(archive_of("v0.1.0")) as archive:
        idls = [each for each in archive.getmembers() if each.name.startswith("thrift")]
        archive.extractall(tmp_path / "old", idls, filter="data")
    path = tmp_path / "old" / "thrift" / "idgen.thrift"
    module: ModuleType = thriftpy2.load(str(path), module_name=f"old{tmp_path.name}_thrift")
    return module


def client(service: Any, address: str) -> TClient:
    host, _, port = address.rpartition(":")
    transports, protocols = idl.framed_pair()
    transport = transports.get_transport(TSocket(host, int(port), socket_timeout=10_000))
    transport.open()
    return TClient(service, protocols.get_protocol(transport))


def test_what_an_id_says_comes_as_numbers_and_as_text(address: str) -> None:
    wire = idl.load("idgen")
    server = client(wire.IdGen, address)
    event_id = compose(NOW_MS, 1_023, 4_095)
    found = server.decode(wire.DecodeRequest(id=event_id))
    assert (found.at_ms, found.worker, found.sequence) == (NOW_MS, 1_023, 4_095)
    assert (found.at, found.id_str) == ("2023-11-14T22:13:20.000Z", str(event_id))
    assert server.decode(wire.DecodeRequest(id=MAX_ID)).id_str == str(MAX_ID)
    for bad in (-1, None):
        with pytest.raises(wire.errors.BadRequest) as caught:
            server.decode(wire.DecodeRequest(id=bad))
        assert caught.value.field == "id"


def test_status_tells_lease_clock_and_what_was_given(address: str) -> None:
    wire = idl.load("idgen")
    server = client(wire.IdGen, address)
    given = server.next_ids(wire.NextIdsRequest(n=10_000))
    assert given == sorted(set(given))
    assert all(0 < each < 1 << 63 for each in given)
    status = server.status(wire.IdGenStatusRequest())
    assert (status.state, status.worker, status.epoch) == ("holding", 0, 1)
    assert status.lease_left_ms > 0
    assert status.ids_given == 10_000
    assert status.clock_ms >= NOW_MS
    assert (status.clock_offset_ms, status.clock_peers) == (-70, 2)


def test_a_client_of_the_first_release_is_answered(address: str, old: ModuleType) -> None:
    server = client(old.IdGen, address)
    first = server.next_id(old.NextIdRequest())
    assert server.next_id(old.NextIdRequest(after=first)) > first
    assert len(server.next_ids(old.NextIdsRequest(n=3))) == 3
    assert server.decode(old.DecodeRequest(id=first)).at_ms == NOW_MS
    assert server.status(old.IdGenStatusRequest()).ids_given == 5
    with pytest.raises(old.errors.BadRequest):
        server.next_ids(old.NextIdsRequest(n=10_001))


def test_fields_and_methods_were_only_added_since_the_first_release(old: ModuleType) -> None:
    new = idl.load("idgen")
    assert set(old.IdGen.thrift_services) <= set(new.IdGen.thrift_services)
    for name in ("NextIdRequest", "NextIdsRequest", "DecodeRequest", "DecodedId", "IdGenStatus"):
        before, after = getattr(old, name).thrift_spec, getattr(new, name).thrift_spec
        for number, spec in before.items():
            assert after[number][:2] == spec[:2], f"field {number} of {name} is another"
        added = [after[number] for number in after.keys() - before.keys()]
        assert not any(spec[-1] for spec in added), f"a new field of {name} is required"


def test_an_unknown_method_is_answered_as_such(address: str) -> None:
    class Later(idl.load("idgen").IdGen):  # type: ignore[misc]
        thrift_services = ("next_epoch",)

    Later.next_epoch_args = Later.status_args
    Later.next_epoch_result = Later.status_result
    with pytest.raises(TApplicationException) as caught:
        client(Later, address).next_epoch(idl.load("idgen").IdGenStatusRequest())
    assert caught.value.type == TApplicationException.UNKNOWN_METHOD


def test_servers_that_have_changed_meanwhile_are_asked_instead(address: str) -> None:
    told = [("127.0.0.1:1",), (address,)]

    class Changed:
        def addresses(self, _cell: str) -> tuple[str, ...]:
            return told.pop(0)

    clients = IdGenClients(Changed(), None)  # type: ignore[arg-type]
    assert len(clients.next_ids(3)) == 3
    clients.close()


def test_no_registered_server_is_unavailable() -> None:
    class Nobody:
        def addresses(self, _cell: str) -> tuple[str, ...]:
            return ()

    nobody: ServiceTable = Nobody()  # type: ignore[assignment]
    with pytest.raises(Unavailable, match="no id server"):
        IdGenClients(nobody, None).next_ids(1)


# -- what the bench asks -------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 10_000])
def test_the_benchs_calls_are_answered_and_looked_at(address: str, count: int) -> None:
    call = Ids(address, count)()
    for number in range(5):
        call(number)


@pytest.mark.parametrize("found", [[5, 6], [5, 6, 6], [4, 6, 7]])
def test_ids_that_do_not_increase_are_no_figure(found: list[int]) -> None:
    assert checked([5, 6, 7], 3, 4) == 7
    with pytest.raises(Corrupt):
        checked(found, 3, 4)


def test_an_error_is_no_answer_of_the_bench(tmp_path: Path) -> None:
    leases = SqliteWorkerLeases(tmp_path / "none.db", ManualClock())
    ids = Snowflake(leases, ManualClock(), "host:1")
    ids.tend()
    host = ServiceHost("idgen", ServiceParts(service=idgen_service(ids)), Config())
    host.start()
    call = Ids(host.endpoints.thrift)()
    call(1)
    ids.stop()
    with pytest.raises(Unavailable):
        call(1)
    host.drain(5.0)
    leases.close()
