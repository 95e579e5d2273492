"""The requests that a stream server answers. Nothing is looked at before the token."""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from firehose.access import Client, Gate, Role
from idgen.clock import Clock
from idgen.errors import DashcellError, PermissionDenied, Throttled, Unavailable
from ops.stream.asked import LAST_EVENT_ID, Asked, Membership, parse_asked
from ops.stream.connection import CONNECTION
from ops.stream.frames import SSE, Framing
from ops.stream.group_pages import CALLER, Groups, TooLarge, check_owner, refuse_ours
from ops.stream.member import GroupMember
from ops.stream.outlet import Caller, Counts, Ended, Gone, Outlet
from ops.stream.problems import plain_problem, problem
from ops.stream.reader import Reader, Source, resolved

_log = logging.getLogger("dashcell.stream")
_RETRY_MS = 1_000
_Answer = Callable[[Request], Awaitable[Response]]


class Door:
    """Lets those in who have a token, before anything else is done with a request."""

    def __init__(self, gate: Gate, inside: ASGIApp) -> None:
        self._gate = gate
        self._inside = inside

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        try:
            scope["state"][CALLER] = self._admitted(scope)
        except DashcellError as error:
            await problem(error)(scope, receive, send)
            return
        await self._inside(scope, receive, send)

    def _admitted(self, scope: Scope) -> Caller:
        """Who is neither let in to read nor to operate is told of the former."""
        token = _token(scope)
        try:
            return Caller(self._gate.admit(token, Role.READ), token)
        except PermissionDenied as denied:
            try:
                return Caller(self._gate.admit(token, Role.OPERATE), token)
            except PermissionDenied:
                raise denied from None


def _token(scope: Scope) -> str:
    given = [value for name, value in scope["headers"] if name == b"authorization"]
    scheme, _, token = given[0].decode("latin-1").partition(" ") if len(given) == 1 else ("",) * 3
    return token.strip() if scheme.lower() == "bearer" else ""


class Streams:
    """The streams that are open, for the event loop's thread."""

    def __init__(
        self, source: Source, groups: Groups, gate: Gate, clock: Clock, counts: Counts
    ) -> None:
        self.source = source
        self.groups = groups
        self.counts = counts
        self.address = ""
        self.draining = False
        self._gate = gate
        self._clock = clock
        self._outlets: set[Outlet] = set()
        self._of_client: Counter[str] = Counter()

    async def stream(self, request: Request) -> Response:
        """GET /v1/stream."""
        if request.method != "GET":  # starlette takes HEAD too, which would hear nothing for ever
            raise HTTPException(405, headers={"Allow": "GET"})
        caller: Caller = request.scope["state"][CALLER]
        _check_role(caller.client, Role.READ)
        asked = parse_asked(
            request.scope["query_string"], request.headers.get(LAST_EVENT_ID), self._clock
        )
        if asked.member is not None:
            refuse_ours(asked.member.group)
            check_owner(caller.client, asked.member.group)
            self.groups.check_room()
        return _Streaming(self, caller, asked, request)

    @contextmanager
    def counted(self, client: Client) -> Iterator[None]:
        """A stream of the client. Raises Throttled above its quota."""
        if self._of_client[client.name] >= client.streams_max:
            raise Throttled(
                f"client {client.name} may have {client.streams_max} streams at once", _RETRY_MS
            )
        if self.draining:
            raise Unavailable("this server stops", _RETRY_MS)
        self._of_client[client.name] += 1
        self.counts.streams += 1
        try:
            yield
        finally:
            self.counts.streams -= 1
            self._of_client[client.name] -= 1
            if not self._of_client[client.name]:
                del self._of_client[client.name]

    @contextmanager
    def outlet(
        self, request: Request, send: Send, caller: Caller, framing: Framing
    ) -> Iterator[Outlet]:
        """The way out of one stream, told when the server drains."""
        outlet = Outlet(
            request.scope["state"][CONNECTION],
            send,
            framing,
            caller,
            self._gate,
            self._clock,
            self.source.limits,
            self.counts,
        )
        self._outlets.add(outlet)
        outlet.draining = self.draining
        try:
            yield outlet
        finally:
            self._outlets.discard(outlet)

    def drain(self) -> None:
        """End all streams, and take no more."""
        self.draining = True
        for outlet in self._outlets:
            outlet.draining = True
            outlet.wake.set()


class _Streaming(Response):
    """The answer to a request for a stream: goes on until the stream ends."""

    def __init__(self, streams: Streams, caller: Caller, asked: Asked, request: Request) -> None:
        super().__init__()
        self._streams = streams
        self._caller = caller
        self._asked = asked
        self._request = request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve it."""
        log, asked = self._streams.source.log, self._asked
        sse = SSE in self._request.headers.get("accept", "")
        framing = Framing(log.identity, log.partitions, sse=sse, each=asked.each)
        try:
            with self._streams.counted(self._caller.client):
                if asked.member is None:
                    await self._by_places(framing, send)
                else:
                    await self._as_member(asked.member, framing, send)
        except Gone:
            return
        except DashcellError as error:  # before the first frame
            await problem(error)(scope, receive, send)

    async def _by_places(self, framing: Framing, send: Send) -> None:
        source = self._streams.source
        try:
            # First the tail, then the places: so whoever begins at the end is in the window.
            await source.tail.need()
            where = await source.call(lambda: resolved(source.log, self._asked))
            with self._streams.outlet(self._request, send, self._caller, framing) as outlet:
                told = {"from": where.start, **({"until": where.until} if where.until else {})}
                await self._run(outlet, Reader(source, outlet, self._asked, where), told)
        finally:
            source.tail.spare()

    async def _as_member(self, asked: Membership, framing: Framing, send: Send) -> None:
        streams, name = self._streams, (asked.group, asked.client)
        checkpoints = streams.groups.checkpoints
        with streams.outlet(self._request, send, self._caller, framing) as outlet:
            member = GroupMember(
                streams.source, checkpoints, outlet, asked, self._asked.selection, streams.address
            )
            streams.groups.enter(name, member)
            try:
                told = {"from": {}, "group": asked.group, "client": asked.client}
                await self._run(outlet, member, told)
            finally:
                streams.groups.leave(name, member)

    async def _run(
        self, outlet: Outlet, feed: Reader | GroupMember, places: Mapping[str, object]
    ) -> None:
        try:
            await outlet.start(self._told(places), outlet.framing.cursor(feed.at()))
            await feed.run()
        except Ended as ended:
            await outlet.end(ended, feed.at())

    def _told(self, places: Mapping[str, object]) -> dict[str, object]:
        streams, selection = self._streams, self._asked.selection
        told: dict[str, object] = {
            "server": streams.address,
            "partitions": streams.source.log.partitions,
            **places,
            "heartbeat_ms": round(streams.source.limits.heartbeat_s * 1000),
        }
        if selection.kinds:
            told["kinds"] = sorted(selection.kinds)
        if selection.authors:
            told["authors"] = sorted(selection.authors)
        return told


def application(streams: Streams, gate: Gate) -> ASGIApp:
    """All of it."""
    groups = streams.groups
    inside = Starlette(
        routes=[
            Route("/v1/stream", _told_errors(streams.stream), methods=["GET"]),
            Route("/v1/groups", _told_errors(groups.listed), methods=["GET"]),
            Route("/v1/groups/{group}", _told_errors(groups.described), methods=["GET"]),
            Route("/v1/groups/{group}", _told_errors(groups.deleted), methods=["DELETE"]),
            Route("/v1/groups/{group}/ack", _told_errors(groups.ack), methods=["POST"]),
        ],
        exception_handlers={HTTPException: _http_error, Exception: _failed},
    )
    return Door(gate, inside)


def _told_errors(answer: _Answer) -> _Answer:
    async def told(request: Request) -> Response:
        try:
            return await answer(request)
        except DashcellError as error:
            return problem(error)
        except TooLarge as error:
            return error.answer()

    return told


def _check_role(client: Client, role: Role) -> None:
    if role not in client.roles:
        raise PermissionDenied(f"client {client.name} does not have the role {role}")


def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    reason = "not_found" if error.status_code == 404 else "bad_request"
    detail = "paths are /v1/stream and /v1/groups" if reason == "not_found" else error.detail
    return plain_problem(error.status_code, reason, detail, **(error.headers or {}))


def _failed(_: Request, error: Exception) -> Response:
    _log.error("a request failed", exc_info=error)
    return plain_problem(500, "internal_error", "the log of the server has the reason")
