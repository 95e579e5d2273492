"""A Thrift service as the template hosts it: from the bytes of a call to the bytes of its answer.

Handlers are functions of a context and a request struct that return a result struct, or its bytes.
Whatever else calls need (decoding, deadlines, request ids, errors by name, metrics) is here, once.
"""

import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog
from thriftpy2.protocol.cybin import TCyBinaryProtocol
from thriftpy2.thrift import TApplicationException, TMessageType
from thriftpy2.transport.memory import TCyMemoryBuffer

from cell.dashboard import Context
from idgen.errors import BadRequest, DashcellError, LeaseLost, Throttled, Unavailable
from idgen.idl import DEPTH_MAX
from ops.metrics import CallMetrics, Metrics
from ops.template.frames import CallHeader
from ops.template.gate import Gate
from ops.thrift_encoded import Encoded, encoded, message, reply_of
from ops.thrift_errors import to_wire

DEADLINE_MS_MAX: Final = 60_000
REQUEST_ID_MAX: Final = 64
THROTTLED_RETRY_MS: Final = 100

Handler = Callable[[Context, Any], Any]

_log = logging.getLogger("dashcell.calls")


@dataclass(frozen=True)
class ThriftService:
    """A service of an IDL and the function behind each of its methods.

    `idl` is what thriftpy2 makes of the service; `handlers` has every method's name.
    """

    idl: Any
    handlers: Mapping[str, Handler]

    def __post_init__(self) -> None:
        asked, given = set(self.idl.thrift_services), set(self.handlers)
        if asked != given:
            raise ValueError(f"{self.idl.__name__}: methods and handlers differ: {asked ^ given}")


@dataclass(frozen=True)
class _Method:
    name: str
    args: Any
    result: Any
    handler: Handler
    metrics: CallMetrics


class Calls:
    """Answers calls of a service; safe to use from many threads.

    `gate` bounds how many are worked on at once: the next one is answered with Throttled.
    """

    def __init__(
        self, service: ThriftService, gate: Gate, metrics: Metrics, deadline_default_ms: int
    ) -> None:
        self._gate = gate
        self._deadline_default_ms = deadline_default_ms
        self._unknown = metrics.calls("unknown")
        self._methods = {
            name: _Method(
                name,
                getattr(service.idl, f"{name}_args"),
                getattr(service.idl, f"{name}_result"),
                handler,
                metrics.calls(name),
            )
            for name, handler in service.handlers.items()
        }

    def answer(self, header: CallHeader, frame: bytes) -> bytes:
        """The answer to a call that `check_call` has let pass, as a message without its frame."""
        started = time.perf_counter()
        method = self._methods.get(header.method)
        if method is None:
            self._unknown.done(time.perf_counter() - started, "unknown_method")
            unknown = TApplicationException(
                TApplicationException.UNKNOWN_METHOD, f"no method {header.method!r} here"
            )
            return _message(header, TMessageType.EXCEPTION, unknown)
        if not self._gate.enter():
            busy = Throttled("too many calls at once", THROTTLED_RETRY_MS)
            reply = _error_reply(method, header, busy)
            method.metrics.done(time.perf_counter() - started, busy.reason)
            return reply
        method.metrics.begin()
        reason = ""
        try:
            reply, reason = self._serve(method, header, frame)
        finally:
            self._gate.leave()
            method.metrics.end()
            method.metrics.done(time.perf_counter() - started, reason)
        return reply

    def _serve(self, method: _Method, header: CallHeader, frame: bytes) -> tuple[bytes, str]:
        """The answer, and the error's reason ("" for none)."""
        structlog.contextvars.clear_contextvars()
        try:
            request = _decode(method, frame)
            ctx = self._context(request)
            structlog.contextvars.bind_contextvars(request_id=ctx.request_id, method=method.name)
            answer = method.handler(ctx, request)
            if isinstance(answer, Encoded):
                return reply_of(header.method, header.seqid, answer), ""
            result = method.result()
            result.success = answer
            return _message(header, TMessageType.REPLY, result), ""
        except DashcellError as error:
            _log.debug("refused: %s: %s", error.reason, error)
            return _error_reply(method, header, error), error.reason
        except Exception:  # noqa: BLE001 - a bug must end one call and not the connection
            _log.exception("call failed")
            failed = TApplicationException(
                TApplicationException.INTERNAL_ERROR, "internal error; the server's log has it"
            )
            return _message(header, TMessageType.EXCEPTION, failed), "internal_error"
        finally:
            structlog.contextvars.clear_contextvars()

    def _context(self, request: Any) -> Context:
        """What the request says of itself, with the defaults filled in."""
        given = getattr(request, "context", None)
        deadline_ms = given.deadline_ms if given else None
        request_id = given.request_id if given else None
        if deadline_ms is None:
            deadline_ms = self._deadline_default_ms
        elif not 1 <= deadline_ms <= DEADLINE_MS_MAX:
            raise BadRequest(
                "context.deadline_ms", f"{deadline_ms} is not between 1 and {DEADLINE_MS_MAX}"
            )
        if not request_id:
            request_id = f"{random.getrandbits(128):032x}"
        elif not isinstance(request_id, str):
            raise BadRequest("context.request_id", "is not valid UTF-8")
        elif len(request_id) > REQUEST_ID_MAX or not request_id.isprintable():
            raise BadRequest(
                "context.request_id", f"has to be at most {REQUEST_ID_MAX} printable characters"
            )
        return Context(deadline_ms, request_id)


def _decode(method: _Method, frame: bytes) -> Any:
    """The request struct in a checked frame. A string that is no UTF-8 is left as bytes: who
    converts the field knows its name."""
    protocol = TCyBinaryProtocol(TCyMemoryBuffer(frame), max_depth=DEPTH_MAX)
    protocol.read_message_begin()
    args = method.args()
    protocol.read_struct(args)
    if args.request is None:
        raise BadRequest("request", "is missing")
    return args.request


def _message(header: CallHeader, kind: int, struct: Any) -> bytes:
    return message(header.method, kind, header.seqid, encoded(struct))


def _error_reply(method: _Method, header: CallHeader, error: DashcellError) -> bytes:
    """The error by its own name where the method declares it, else an internal error that says
    its reason."""
    if isinstance(error, LeaseLost):
        error = Unavailable(f"{error}; another server answers soon")
    thrown = to_wire(error)
    for number, spec in method.result.thrift_spec.items():
        if number and spec[2] is type(thrown):
            result = method.result()
            setattr(result, spec[1], thrown)
            return _message(header, TMessageType.REPLY, result)
    undeclared = TApplicationException(
        TApplicationException.INTERNAL_ERROR, f"{error.reason}: {error}"
    )
    return _message(header, TMessageType.EXCEPTION, undeclared)
