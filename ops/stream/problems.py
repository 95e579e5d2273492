"""Errors as `application/problem+json` (RFC 9457)."""

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.responses import Response

from idgen.errors import (
    BadRequest,
    Conflict,
    CursorTooOld,
    DashcellError,
    DeadlineExceeded,
    NotFound,
    PermissionDenied,
    Throttled,
    Unauthenticated,
    Unavailable,
)

MEDIA_TYPE = "application/problem+json"
_STATUS: Mapping[type[DashcellError], int] = {
    BadRequest: 400,
    Unauthenticated: 401,
    PermissionDenied: 403,
    NotFound: 404,
    Conflict: 409,
    CursorTooOld: 410,
    Throttled: 429,
    Unavailable: 503,
    DeadlineExceeded: 503,
}


class Elsewhere(Conflict):
    """A member of a group is on another server: ask there."""

    reason = "elsewhere"

    def __init__(self, why: str, server: str) -> None:
        super().__init__(why)
        self.server = server


class NotOwned(Conflict):
    """A partition is not the member's (any more)."""

    reason = "not_owned"


def problem(error: DashcellError) -> Response:
    """The answer to a request that is refused."""
    status = next((s for kind, s in _STATUS.items() if isinstance(error, kind)), 500)
    more: dict[str, Any] = {}
    headers: dict[str, str] = {}
    if isinstance(error, BadRequest):
        more["field"] = error.field
    if isinstance(error, CursorTooOld):
        more["floor"] = error.floor.decode("ascii", "ignore")
    if isinstance(error, Elsewhere):
        more["server"] = error.server
    if isinstance(error, Throttled | Unavailable):
        more["retry_after_ms"] = error.retry_after_ms
        headers["Retry-After"] = str(math.ceil(error.retry_after_ms / 1000))
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    return Response(
        problem_bytes(status, error.reason, str(error), **more),
        status,
        headers,
        media_type=MEDIA_TYPE,
    )


def plain_problem(status: int, reason: str, detail: str, **headers: str) -> Response:
    """A refusal that is none of our errors."""
    body = problem_bytes(status, reason, detail)
    return Response(body, status, headers, media_type=MEDIA_TYPE)


def problem_bytes(status: int, reason: str, detail: str, **more: Any) -> bytes:
    """The JSON of a refusal."""
    told = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "reason": reason,
        **more,
    }
    return msgspec.json.encode(told) + b"\n"
