"""Consumer groups over HTTP: acknowledge, list, describe, delete.

A group belongs to the client whose name is before its first `.`; to operate on anybody's takes the
role for it. Groups of cells are the platform's.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from firehose.access import Client, Role
from firehose.checkpoint import Checkpoints
from firehose.cursor import parse_cursor
from firehose.groups import Group, look_at
from firehose.places import check_same_log
from idgen.clock import Clock
from idgen.errors import BadRequest, DashcellError, PermissionDenied, Throttled
from ops.stream.asked import check_client, check_group, parse_query
from ops.stream.member import GroupMember
from ops.stream.outlet import Caller
from ops.stream.problems import Elsewhere, NotOwned, plain_problem
from ops.stream.reader import Source
from router.tokens import OURS

CALLER = "caller"
_RETRY_MS = 1_000


class Ack(msgspec.Struct, forbid_unknown_fields=True):
    """The body of an acknowledgement."""

    client: str
    offsets: dict[int, int] | None = None
    cursor: str | None = None


class Groups:
    """The groups, and those of their members that are streams here; for the event loop's thread."""

    def __init__(self, source: Source, checkpoints: Checkpoints, clock: Clock) -> None:
        self.checkpoints = checkpoints
        self._source = source
        self._clock = clock
        self._members: dict[tuple[str, str], GroupMember] = {}
        self._count = 0

    def check_room(self) -> None:
        """Raises Throttled when this server has as many members as it takes."""
        if self._count >= self._source.limits.members:
            raise Throttled("this server has as many members of groups as it takes", _RETRY_MS)

    def enter(self, name: tuple[str, str], member: GroupMember) -> None:
        """A stream is this member, in place of an earlier one."""
        before = self._members.get(name)
        self._members[name] = member
        self._count += 1
        if before is not None:
            before.replace()

    def leave(self, name: tuple[str, str], member: GroupMember) -> None:
        """The stream has ended."""
        self._count -= 1
        if self._members.get(name) is member:
            del self._members[name]

    # -- requests --------------------------------------------------------------------------------

    async def ack(self, request: Request) -> Response:
        """POST /v1/groups/G/ack."""
        group = _named(request, Role.READ)
        body = await _body(request, self._source.limits.body_bytes, self._source.limits.head_s)
        told = _decoded(body)
        client = check_client("client", told.client)
        member = self._members.get((group, client))
        if member is None:
            raise await self._source.call(lambda: self._nobody(group, client))
        if told.cursor is not None:
            cursor = parse_cursor("cursor", told.cursor)
            check_same_log("cursor", cursor, self._source.log)
            moved = await member.acknowledge(cursor.offsets, cursor=True)
        else:
            moved = await member.acknowledge(told.offsets or {}, cursor=False)
        return _json({"group": group, "client": client, "checkpoints": moved})

    async def listed(self, request: Request) -> Response:
        """GET /v1/groups."""
        parse_nothing(request)
        client = _caller(request)
        names = await self._source.call(self.checkpoints.groups)
        mine = [name for name in names if Role.OPERATE in client.roles or _owns(client, name)]
        found = await self._source.call(lambda: [self._look(name, timed=False) for name in mine])
        return _json({"groups": [_summary(group) for group in found]})

    async def described(self, request: Request) -> Response:
        """GET /v1/groups/G."""
        parse_nothing(request)
        name = _named(request, Role.OPERATE)
        group = await self._source.call(lambda: self._look(name, timed=True))
        return _json(_document(group))

    async def deleted(self, request: Request) -> Response:
        """DELETE /v1/groups/G."""
        parse_nothing(request)
        name = _named(request, Role.OPERATE)
        refuse_ours(name)

        def delete() -> None:
            self._look(name, timed=False)
            self.checkpoints.delete(name)

        await self._source.call(delete)
        return _json({"deleted": name})

    def _look(self, name: str, *, timed: bool) -> Group:
        now_ms = self._clock.now_ms()
        return look_at(self._source.log, self.checkpoints, name, now_ms, timed=timed)

    def _nobody(self, group: str, client: str) -> DashcellError:
        for member in self.checkpoints.members(group):
            name, _, server = member.client.partition("@")
            if name == client and server:
                why = f"{client} of group {group} is a stream of {server}: acknowledge there"
                return Elsewhere(why, server)
        return NotOwned(f"{client} is no member of group {group} now: what it had is read again")


def parse_nothing(request: Request) -> None:
    """Raises BadRequest for any parameter."""
    for name in parse_query(request.scope["query_string"]):
        raise BadRequest(name[:40], "there is no such parameter here")


def refuse_ours(group: str) -> None:
    """Raises PermissionDenied for groups of the platform's own."""
    if group.startswith(OURS):
        raise PermissionDenied(f"group {group} is how the platform itself reads the firehose")


def check_owner(client: Client, group: str) -> None:
    """Raises PermissionDenied for a group that is somebody else's."""
    if not _owns(client, group):
        raise PermissionDenied(
            f"group {group} is not of client {client.name}: its own are {client.name} and those "
            f"that begin with {client.name}. (a dot)"
        )


def _owns(client: Client, group: str) -> bool:
    return group.partition(".")[0] == client.name


def _caller(request: Request) -> Client:
    caller: Caller = request.scope["state"][CALLER]
    return caller.client


def _named(request: Request, anybodys: Role) -> str:
    """The group of a path, which the client owns, or may have by a role."""
    client = _caller(request)
    group = check_group("group", request.path_params["group"])
    if anybodys is Role.READ:
        if Role.READ not in client.roles:
            raise PermissionDenied(f"client {client.name} does not have the role {Role.READ}")
        check_owner(client, group)
    elif Role.OPERATE not in client.roles:
        check_owner(client, group)
    return group


async def _body(request: Request, bytes_max: int, within_s: float) -> bytes:
    found = bytearray()
    try:
        async with asyncio.timeout(within_s):
            async for part in request.stream():
                found += part
                if len(found) > bytes_max:
                    raise TooLarge(bytes_max)
    except TimeoutError:
        raise BadRequest("body", f"did not come within {within_s:g} s") from None
    return bytes(found)


class TooLarge(Exception):
    """A body is over the cap."""

    def __init__(self, bytes_max: int) -> None:
        super().__init__(f"the body of a request has at most {bytes_max} bytes")

    def answer(self) -> Response:
        """The refusal; the connection is closed, since nobody reads the rest."""
        return plain_problem(413, "bad_request", str(self), Connection="close")


def _decoded(body: bytes) -> Ack:
    try:
        told = msgspec.json.decode(body, type=Ack)
    except msgspec.DecodeError as error:
        raise BadRequest("body", f"{error}: send {_EXAMPLE}") from None
    if (told.offsets is None) == (told.cursor is None):
        raise BadRequest("offsets", f"give either offsets or cursor: {_EXAMPLE}")
    return told


_EXAMPLE = '{"client": "a", "offsets": {"3": 1234}} or {"client": "a", "cursor": "c1..."}'


def _summary(group: Group) -> dict[str, object]:
    return {
        "group": group.name,
        "members": len(group.members),
        "events": group.events,
        "gone": group.gone,
        "seconds": group.seconds,
    }


def _document(group: Group) -> dict[str, object]:
    """As `cellctl firehose describe --json` has it, whose `rewind --from-file` reads it."""
    members = [{"client": m.client, "partitions": m.partitions} for m in group.members]
    partitions = [asdict(each) for each in group.partitions]
    return _summary(group) | {
        "members": members,
        "cursor": group.cursor,
        "partitions": partitions,
    }


def _json(told: Mapping[str, object]) -> Response:
    return Response(msgspec.json.encode(told) + b"\n", media_type="application/json")
