"""Errors on the wire: the types of idgen.errors as the exceptions of thrift/errors.thrift, and
back again. What arrives equals what was raised: type, text and details."""

from collections.abc import Callable
from typing import Any, Final

from idgen.errors import (
    BadRequest,
    Behind,
    Conflict,
    CursorTooOld,
    DashcellError,
    DeadlineExceeded,
    Moved,
    NotFound,
    PermissionDenied,
    Throttled,
    Unauthenticated,
    Unavailable,
)
from idgen.idl import load

_wire = load("errors")

_PLAIN: Final = (NotFound, Conflict, Unauthenticated, PermissionDenied, DeadlineExceeded)

I64_MAX: Final = 2**63 - 1


def to_wire(error: DashcellError) -> Any:
    """The Thrift exception of an error, or the error itself where the wire has no name for it."""
    known = getattr(_wire, type(error).__name__, None)
    if known is None:
        return error
    thrown = known(reason=error.reason, message=str(error))
    match error:
        case BadRequest():
            thrown.field, thrown.why = error.field, error.why
        case Throttled() | Unavailable():
            thrown.retry_after_ms = min(error.retry_after_ms, I64_MAX)
        case Behind():
            thrown.reached = error.reached
        case Moved():
            thrown.cell, thrown.epoch = error.cell, error.epoch
        case CursorTooOld():
            thrown.floor = error.floor
    return thrown


def from_wire(thrown: Any) -> DashcellError:
    """The error that a Thrift exception stands for."""
    name = type(thrown).__name__
    for plain in _PLAIN:
        if name == plain.__name__:
            return plain(thrown.message)
    build = _DETAILED.get(name)
    if build is None:
        return DashcellError(f"{name}: {thrown.message}")
    return build(thrown)


def _throttled(thrown: Any) -> Throttled:
    retry = thrown.retry_after_ms or 0
    return Throttled(thrown.message.removesuffix(f"; retry after {retry} ms"), retry)


_DETAILED: Final[dict[str, Callable[[Any], DashcellError]]] = {
    "BadRequest": lambda thrown: BadRequest(thrown.field, thrown.why),
    "Throttled": _throttled,
    "Behind": lambda thrown: Behind(thrown.message, thrown.reached or b""),
    "Moved": lambda thrown: Moved(thrown.cell, thrown.epoch),
    "Unavailable": lambda thrown: Unavailable(thrown.message, thrown.retry_after_ms or 0),
    "CursorTooOld": lambda thrown: CursorTooOld(thrown.message, thrown.floor or b""),
}
