"""What a request for a stream asks for. What cannot be meant is refused, and never guessed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from firehose.cursor import parse_cursor
from firehose.places import AtTime, Earliest, Latest, Place, parse_past_place
from firehose.selection import Selection, parse_selection
from idgen.clock import Clock
from idgen.errors import BadRequest

LAST_EVENT_ID = "Last-Event-ID"
_PLACES = ("from", "until", "partitions")
_OF_A_MEMBER = ("client", "ack")
_KNOWN = (*_PLACES, "kinds", "authors", "cursors", "group", *_OF_A_MEMBER)
_PARAMETERS_MAX = 64
_GROUP = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}")
_CLIENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Membership:
    """A stream that is a member of a group; `manual`: its client acknowledges."""

    group: str
    client: str
    manual: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """One stream: by places, or as a member of a group, whose places are its checkpoints."""

    selection: Selection
    start: Place
    until: Place | None
    each: bool
    member: Membership | None


def parse_asked(query: bytes, last_event_id: str | None, clock: Clock) -> Asked:
    """What is asked for by a query string; `last_event_id` wins over `from`.

    Raises BadRequest naming the parameter.
    """
    given = parse_query(query)
    for name in given:
        if name not in _KNOWN:
            raise BadRequest(name[:40], f"there is no such parameter; {', '.join(_KNOWN)} are")
    each = _one_of("cursors", given.get("cursors"), {"each": True, None: False})
    selection = parse_selection(
        given.get("kinds", ""), given.get("authors", ""), given.get("partitions", "")
    )
    member = _member(given)
    if member is not None:
        return Asked(selection, Latest(), None, each, member)
    start = parse_past_place("from", given.get("from", "latest"), clock)
    if last_event_id is not None:
        start = parse_cursor(LAST_EVENT_ID, last_event_id)
    until = _until(given["until"], start, clock) if "until" in given else None
    return Asked(selection, start, until, each, None)


def parse_query(query: bytes) -> dict[str, str]:
    """The parameters of a query string, none of them empty or given twice."""
    if not query:
        return {}
    try:
        pairs = parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=_PARAMETERS_MAX,
        )
    except ValueError:
        raise BadRequest("query", "write it as name=value&name=value, in UTF-8") from None
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            raise BadRequest(name[:40], "is given twice: give it once")
        if not value:
            raise BadRequest(name[:40], "is empty: leave it out")
        found[name] = value
    return found


def check_group(field: str, name: str) -> str:
    """A group's name. Raises BadRequest(field)."""
    if not _GROUP.fullmatch(name):
        raise BadRequest(
            field, f"{name[:40]!r} is no name of a group: a-z, 0-9, then also `.`, `_` and `-`"
        )
    return name


def check_client(field: str, name: str) -> str:
    """A member's name. Raises BadRequest(field)."""
    if not _CLIENT.fullmatch(name):
        raise BadRequest(
            field, f"{name[:40]!r} is no name: up to 64 letters, digits, `.`, `_`, `-`"
        )
    return name


def _member(given: Mapping[str, str]) -> Membership | None:
    if "group" not in given:
        for name in _OF_A_MEMBER:
            if name in given:
                raise BadRequest(name, "is for members of a group: give group too")
        return None
    for name in _PLACES:
        if name in given:
            raise BadRequest(
                name,
                "a group has checkpoints and shares out the partitions: leave it out "
                "(`cellctl firehose rewind` moves checkpoints)",
            )
    if "client" not in given:
        raise BadRequest("client", "a member of a group needs a name of its own: give client")
    manual = _one_of("ack", given.get("ack"), {"manual": True, "auto": False, None: False})
    group, client = check_group("group", given["group"]), check_client("client", given["client"])
    return Membership(group, client, manual)


def _until(text: str, start: Place, clock: Clock) -> Place:
    place = parse_past_place("until", text, clock)
    if isinstance(start, Latest):
        raise BadRequest("until", "nothing lies between the end and an earlier place: give from")
    if isinstance(place, Earliest):
        raise BadRequest("until", "nothing lies before the earliest")
    if isinstance(start, AtTime) and isinstance(place, AtTime) and place.ms < start.ms:
        raise BadRequest("until", "lies before from")
    return place


def _one_of(name: str, value: str | None, allowed: Mapping[str | None, bool]) -> bool:
    if value not in allowed:
        words = " or ".join(each for each in allowed if each)
        raise BadRequest(name, f"{(value or '')[:40]!r} is not {words}")
    return allowed[value]
