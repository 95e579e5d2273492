"""The errors every part of Dashcell raises, by the same names as on the wire.

Each has a `reason`: a stable machine-readable word for clients to branch on. The message is for
people: it names the subject and what to do next.
"""

from typing import ClassVar


class DashcellError(Exception):
    """Base of all errors that cross a package or a wire boundary."""

    reason: ClassVar[str] = "error"


class BadRequest(DashcellError):
    """The request itself is wrong; sending it again unchanged cannot succeed."""

    reason = "bad_request"

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field}: {why}")
        self.field = field
        self.why = why


class NotFound(DashcellError):
    """What was asked for by name does not exist."""

    reason = "not_found"


class Conflict(DashcellError):
    """The thing exists already, or is of another version than the caller expects."""

    reason = "conflict"


class Unauthenticated(DashcellError):
    """The caller did not say who they are, or not credibly."""

    reason = "unauthenticated"


class PermissionDenied(DashcellError):
    """The caller is known and may not do this."""

    reason = "permission_denied"


class Throttled(DashcellError):
    """Too much at once; come back after `retry_after_ms`."""

    reason = "throttled"

    def __init__(self, why: str, retry_after_ms: int) -> None:
        super().__init__(f"{why}; retry after {retry_after_ms} ms")
        self.retry_after_ms = retry_after_ms


class Behind(DashcellError):
    """The cell had not applied the position asked for when the deadline passed.

    `reached` is the position token that it had applied.
    """

    reason = "behind"

    def __init__(self, why: str, reached: bytes) -> None:
        super().__init__(why)
        self.reached = reached


class Moved(DashcellError):
    """The reader is homed in `cell` since `epoch`; ask there."""

    reason = "moved"

    def __init__(self, cell: str, epoch: int) -> None:
        super().__init__(f"the reader is homed in cell {cell!r} since epoch {epoch}; ask there")
        self.cell = cell
        self.epoch = epoch


class Unavailable(DashcellError):
    """A server that is needed does not answer; nothing was lost, try again later."""

    reason = "unavailable"

    def __init__(self, why: str, retry_after_ms: int = 1000) -> None:
        super().__init__(why)
        self.retry_after_ms = retry_after_ms


class DeadlineExceeded(DashcellError):
    """The caller's deadline passed; a write may or may not have been done."""

    reason = "deadline_exceeded"


class CursorTooOld(DashcellError):
    """The log no longer reaches back to the cursor; `floor` is the oldest it can serve."""

    reason = "cursor_too_old"

    def __init__(self, why: str, floor: bytes) -> None:
        super().__init__(why)
        self.floor = floor


class Corrupt(DashcellError):
    """Stored or received bytes are not what was written: wrong magic, length or checksum."""

    reason = "corrupt"


class LeaseLost(DashcellError):
    """The holder of a lease can no longer be sure that it holds it, so it must stop."""

    reason = "lease_lost"
