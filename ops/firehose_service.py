"""The service Firehose on the wire, and what makes up the role of that name."""

from contextlib import ExitStack
from typing import Any

from cell.dashboard import Context
from firehose.access import Client, Role
from firehose.handler import FirehoseHandler
from firehose.receipts import NewEvent
from firehose.writes import Ids, Writes
from ops import firehose_values as values
from ops.config import Config
from ops.stream.server import StreamServer
from ops.template.host import ServiceParts
from ops.template.service import Handler, ThriftService
from ops.template.tls import server_context
from ops.wiring.seams import Seams
from router.tokens import TokenGate


def firehose_parts(config: Config, seams: Seams, ids: Ids) -> ServiceParts:
    """The role `firehose` over the seams of a platform; `close` lets go of what it opens."""
    closing = ExitStack()
    log, clock = seams.firehose(), seams.clock
    gate = TokenGate(seams.registry, clock)
    closing.callback(gate.close)
    gate.start()
    writes = Writes(log, ids, clock, config.ingest.backfill)
    handler = FirehoseHandler(log, writes, gate, clock, config.firehose.retention_ms)
    closing.callback(handler.close)
    stream = StreamServer(
        log,
        seams.checkpoints(),
        gate,
        clock,
        config.listen.host,
        config.listen.stream,
        tls=server_context(config.listen_tls),
    )
    return ServiceParts(
        service=firehose_service(handler),
        port=config.listen.firehose,
        beside={"stream": stream},
        sources=[stream.samples],
        readiness={"tokens": lambda: gate.trouble if gate.age_ms is None else ""},
        close=closing.close,
    )


def firehose_service(handler: FirehoseHandler) -> ThriftService:
    """The service for a server to host."""
    calls = _Calls(handler)
    idl = values.wire.Firehose
    handlers: dict[str, Handler] = {name: getattr(calls, name) for name in idl.thrift_services}
    return ThriftService(idl, handlers)


class _Calls:
    """Request structs in, result structs out. Nothing of a request is looked at before its token,
    but for what the template itself takes out of it: deadline and request id."""

    def __init__(self, handler: FirehoseHandler) -> None:
        self._to = handler

    def append(self, ctx: Context, request: Any) -> Any:
        client = self._admitted(request, Role.APPEND)
        event = values.new_event_from_wire(request.event, "event")

        def where(_: int, new: NewEvent, field: str) -> str:
            return f"event.{values.path_in_event(new, field)}"

        return values.receipt_to_wire(self._to.append(ctx, client, [event], where)[0])

    def append_many(self, ctx: Context, request: Any) -> Any:
        client = self._admitted(request, Role.APPEND)
        events = values.new_events_from_wire(request.events)
        receipts = self._to.append(ctx, client, events, values.path_in_events)
        return [values.receipt_to_wire(receipt) for receipt in receipts]

    def read(self, ctx: Context, request: Any) -> Any:
        client = self._admitted(request, Role.READ)
        return values.found_to_wire(self._to.read(ctx, client, values.asked_from_wire(request)))

    def positions(self, _ctx: Context, request: Any) -> Any:
        return values.spans_to_wire(self._to.positions(self._admitted(request, Role.READ)))

    def window(self, _ctx: Context, request: Any) -> Any:
        return values.window_to_wire(self._to.window(self._admitted(request, Role.READ)))

    def _admitted(self, request: Any, role: Role) -> Client:
        token = request.token
        # What is no UTF-8 is nobody's token.
        return self._to.admit(token if isinstance(token, str) else "", role)
