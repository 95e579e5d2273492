"""The client of the service IdGen against servers of thriftpy2's own."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from thriftpy2.server import TThreadedServer
from thriftpy2.thrift import TProcessor
from thriftpy2.transport import TServerSocket

from idgen import idl
from idgen.client import IdGenClient, Ids
from idgen.clock import SystemClock
from idgen.errors import BadRequest, DashcellError, DeadlineExceeded, Throttled, Unavailable
from idgen.handler import IdGenHandler
from idgen.snowflake import Snowflake
from idgen.worker_lease_sqlite import SqliteWorkerLeases
from tests.contract.patience import together

WIRE = idl.load("errors")
Serve = Callable[[Any], str]


class Served:
    """Structs to values and back, as far as these tests need it."""

    def __init__(self, handler: Any) -> None:
        self.handler = handler
        self.calls = 0

    def next_ids(self, request: Any) -> Any:
        self.calls += 1
        assert request.context.deadline_ms > 0
        try:
            return self.handler.next_ids(request.n)
        except BadRequest as error:
            raise WIRE.BadRequest(error.reason, error.field, error.why, str(error)) from error

    def next_id(self, request: Any) -> Any:
        self.calls += 1
        return self.handler.next_id(request.after)


class Listening(TServerSocket):
    """Listens from the beginning, so that its port is known."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        super().listen()

    def listen(self) -> None:
        pass


class Raising:
    def __init__(self, thrown: Any) -> None:
        self.thrown = thrown

    def next_ids(self, _: int) -> list[int]:
        raise self.thrown


@pytest.fixture
def serve() -> Iterator[Serve]:
    with contextlib.ExitStack() as stack:

        def serve(served: Any) -> str:
            listening = Listening("127.0.0.1", 0, client_timeout=None)
            transports, protocols = idl.framed_pair()
            server = TThreadedServer(
                TProcessor(idl.load("idgen").IdGen, served),
                listening,
                iprot_factory=protocols,
                itrans_factory=transports,
                daemon=True,
            )
            threading.Thread(target=server.serve, daemon=True).start()
            stack.callback(server.close)
            return f"127.0.0.1:{listening.sock.getsockname()[1]}"

        yield serve


@pytest.fixture
def ids(tmp_path: Path) -> Iterator[Snowflake]:
    leases = SqliteWorkerLeases(tmp_path / "leases.db", SystemClock())
    ids = Snowflake(leases, SystemClock(), "host:1")
    assert ids.start(wait_ms=30_000)
    yield ids
    ids.stop()
    leases.close()


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def gone() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"


@contextlib.contextmanager
def client(*addresses: str, timeout_ms: int = 10_000) -> Iterator[IdGenClient]:
    with contextlib.closing(IdGenClient(addresses, timeout_ms=timeout_ms)) as opened:
        yield opened


def test_the_service_and_the_library_give_ids_alike(serve: Serve, ids: Snowflake) -> None:
    with client(serve(Served(IdGenHandler(ids)))) as remote:
        sources: list[Ids] = [remote, ids, remote]
        found = [one for source in sources for one in source.next_ids(3)]
        found.append(remote.next_id(found[-1]))
    assert found == sorted(set(found))
    assert len(found) == 10


def test_many_threads_share_a_client(serve: Serve, ids: Snowflake) -> None:
    with client(serve(Served(IdGenHandler(ids)))) as remote:
        taken = together([lambda: remote.next_ids(100) for _ in range(24)])
    assert len({one for found in taken for one in found}) == 2_400


def test_errors_come_back_by_their_types(serve: Serve, ids: Snowflake) -> None:
    with client(serve(Served(IdGenHandler(ids)))) as remote:
        with pytest.raises(BadRequest) as caught:
            remote.next_ids(10_001)
        assert caught.value.field == "n"
        assert remote.next_ids(1), "the connection is whole"
    cases: list[tuple[Any, type[DashcellError]]] = [
        (WIRE.Unavailable("unavailable", "no lease", 77), Unavailable),
        (WIRE.Throttled("throttled", "too much", 88), Throttled),
        (WIRE.DeadlineExceeded("deadline_exceeded", "late"), DeadlineExceeded),
    ]
    for thrown, expected in cases:
        with client(serve(Served(Raising(thrown)))) as remote, pytest.raises(expected) as told:
            remote.next_ids(1)
        if isinstance(told.value, Unavailable | Throttled):
            assert told.value.retry_after_ms == thrown.retry_after_ms


def test_a_server_that_is_gone_is_passed_over_and_the_next_one_kept(
    serve: Serve, ids: Snowflake
) -> None:
    served = Served(IdGenHandler(ids))
    with client(gone(), gone(), serve(served)) as remote:
        assert len(remote.next_ids(2)) == 2
        remote._addresses[0] = remote._addresses[1] = "not asked:1"
        assert len(remote.next_ids(2)) == 2
    assert served.calls == 2


def test_a_server_that_hangs_leaves_time_for_the_next(
    serve: Serve, ids: Snowflake, silent: str
) -> None:
    with client(silent, serve(Served(IdGenHandler(ids))), timeout_ms=900) as remote:
        assert len(remote.next_ids(2)) == 2


def test_a_connection_that_died_is_replaced(serve: Serve, ids: Snowflake) -> None:
    with client(serve(Served(IdGenHandler(ids)))) as remote:
        remote.next_ids(1)
        remote._idle[0].socket.sock.shutdown(socket.SHUT_RDWR)
        assert remote.next_ids(1)


def test_when_nobody_answers_it_is_said_in_time(silent: str) -> None:
    with client(gone()) as remote, pytest.raises(Unavailable):
        remote.next_ids(1)
    begin = time.monotonic()
    with (
        client(silent, timeout_ms=300) as remote,
        pytest.raises((Unavailable, DeadlineExceeded)),
    ):
        remote.next_ids(1)
    assert time.monotonic() - begin < 5


def test_a_closed_client_and_a_wrong_address_are_refused(serve: Serve, ids: Snowflake) -> None:
    with client(serve(Served(IdGenHandler(ids)))) as remote:
        remote.next_ids(1)
    remote.close()
    with pytest.raises(Unavailable):
        remote.next_ids(1)
    for addresses in ([], ["host"], ["host:"], [":1"], ["h:x"], ["h:70000"]):
        with pytest.raises(BadRequest) as caught:
            IdGenClient(addresses)
        assert caught.value.field == "addresses"
