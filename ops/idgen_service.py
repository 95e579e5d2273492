"""The service IdGen on the wire, and its clients that find the servers by the registry."""

import ssl
import threading
from collections.abc import Sequence
from typing import Any

from cell.dashboard import Context
from idgen.client import IdGenClient
from idgen.clock_watch import ClockWatch
from idgen.errors import Unavailable
from idgen.handler import IdGenHandler
from idgen.idl import load
from idgen.snowflake import Snowflake
from ops.template.service import ThriftService
from router.registry import Registry
from router.services import ServiceTable, read_services

RETRY_MS = 500
CLOCK_MS = 500
"""A peer that is asked for its clock has so long to answer."""
_idl = load("idgen")


def idgen_service(snowflake: Snowflake, clock_watch: ClockWatch | None = None) -> ThriftService:
    """The service over one generator, and over what is known of its peers' clocks."""
    calls = _Calls(IdGenHandler(snowflake, clock_watch))
    return ThriftService(
        _idl.IdGen,
        {
            "next_id": calls.next_id,
            "next_ids": calls.next_ids,
            "decode": calls.decode,
            "status": calls.status,
        },
    )


class _Calls:
    """Request structs in, result structs out."""

    def __init__(self, handler: IdGenHandler) -> None:
        self._handler = handler

    def next_id(self, _ctx: Context, request: Any) -> int:
        return self._handler.next_id(request.after or 0)

    def next_ids(self, _ctx: Context, request: Any) -> list[int]:
        return self._handler.next_ids(request.n or 0)

    def decode(self, _ctx: Context, request: Any) -> Any:
        event_id = -1 if request.id is None else request.id
        parts = self._handler.decode(event_id)
        return _idl.DecodedId(**parts._asdict(), at=parts.at, id_str=str(event_id))

    def status(self, _ctx: Context, _request: Any) -> Any:
        return _idl.IdGenStatus(**self._handler.status()._asdict())


class RegisteredPeers:
    """`idgen.clock_watch.Peers`: the id servers in the registry but the one of id `own`."""

    def __init__(self, registry: Registry, own: str, tls: ssl.SSLContext | None) -> None:
        self._registry = registry
        self._own = own
        self._tls = tls

    def addresses(self) -> Sequence[str]:
        """Those registered now. Raises Unavailable."""
        return [s.address for s in read_services(self._registry, "idgen") if s.id != self._own]

    def clock_ms(self, address: str) -> int | None:
        """What one tells of its clock. Raises Unavailable and DeadlineExceeded."""
        client = IdGenClient([address], timeout_ms=CLOCK_MS, tls=self._tls)
        try:
            return client.status().clock_ms or None
        finally:
            client.close()


class IdGenClients:
    """`idgen.client.Ids` from whichever servers are registered now; safe for many threads."""

    def __init__(self, services: ServiceTable, tls: ssl.SSLContext | None) -> None:
        self._services = services
        self._tls = tls
        self._lock = threading.Lock()
        self._addresses: tuple[str, ...] = ()
        self._client: IdGenClient | None = None

    def next_ids(self, n: int) -> list[int]:
        """`n` new ids. Raises Unavailable when no server is registered or none answers."""
        asked = self._current()
        try:
            return asked.next_ids(n)
        except Unavailable:
            # Other servers are registered by now, and their client has closed the one that we had.
            now = self._current()
            if now is asked:
                raise
            return now.next_ids(n)

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            if self._client is not None:
                self._client.close()

    def _current(self) -> IdGenClient:
        addresses = self._services.addresses("")
        with self._lock:
            if self._client is None or (addresses and addresses != self._addresses):
                if not addresses:
                    raise Unavailable("no id server is registered", RETRY_MS)
                if self._client is not None:
                    self._client.close()
                self._client = IdGenClient(addresses, tls=self._tls)
                self._addresses = addresses
            return self._client
