"""New events from JSON in the form of `firehose.event_json`: what was exported can be appended.

What the log gives is ignored: partition, offset, times. `authored_ms` of a post is the author's
own time where it is not that of the id. An id is brought along; of an event without one a new one
is taken. Whole numbers may come as text alone (`id_str`), and where both are there they have to be
the same: a program that keeps numbers as floating point has lost digits of one.
"""

from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum
from typing import Any, Final, TypeVar

from firehose.event import Draft, Lane, PostKind, PostRef
from firehose.event_json import KINDS
from firehose.receipts import (
    NewEvent,
    NewFollow,
    NewLike,
    NewMark,
    NewPost,
    NewRemoval,
    NewUnfollow,
    NewUnlike,
)
from idgen.errors import BadRequest
from idgen.ids import at_ms

IGNORED: Final = frozenset(("partition", "offset", "appended_ms", "authored_ms", "brought"))
_NAMES: Final = {
    "brought_id": "id",
    "draft.kind": "post_kind",
    "draft.at_ms": "authored_ms",
}
_Enum = TypeVar("_Enum", bound=IntEnum)


def new_event(document: Any) -> NewEvent:
    """The event in a document. Raises BadRequest that names its field; whether a value makes sense
    is for who writes it to judge."""
    if not isinstance(document, dict):
        raise BadRequest("event", "is no JSON object")
    kind = document.get("kind")
    if not isinstance(kind, str) or kind not in _MAKERS:
        known = ", ".join(KINDS.values())
        raise BadRequest("kind", f"{kind!r:.40} cannot be appended; kinds are {known}")
    fields = _Fields(document)
    event_id = fields.number("id", None)
    made = _MAKERS[kind](fields, event_id)
    fields.check_all_read()
    return made


def name_of(field: str) -> str:
    """How a field of a new event is called in JSON."""
    return _NAMES.get(field, field.removeprefix("draft."))


class _Fields:
    """The fields of a document; knows at the end which nobody has asked for."""

    def __init__(self, document: Mapping[str, Any], at: str = "") -> None:
        self._document = document
        self._at = at
        self._read = {"kind", *IGNORED} if not at else set()

    def get(self, name: str) -> Any:
        self._read.add(name)
        return self._document.get(name)

    def wrong(self, name: str, why: str) -> BadRequest:
        return BadRequest(f"{self._at}{name}", why)

    def number(self, name: str, *default: int | None) -> Any:
        """A whole number; refused where it is missing, unless there is a default."""
        value, text = self.get(name), self.get(f"{name}_str")
        if value is None and text is None:
            if default:
                return default[0]
            raise self.wrong(name, "is missing")
        found = [self._whole(name, each) for each in (value, text) if each is not None]
        if found[0] != found[-1]:
            lost = f"is {found[0]}, and {name}_str is {found[1]}: a program has lost digits"
            raise self.wrong(name, f"{lost}; keep {name}_str, and leave {name} out")
        return found[0]

    def numbers(self, name: str) -> tuple[int, ...]:
        value, text = self.get(name), self.get(f"{name}_str")
        found = [
            tuple(self._whole(name, each) for each in self._list(name, several))
            for several in (value, text)
            if several is not None
        ]
        if found and found[0] != found[-1]:
            raise self.wrong(name, f"is not what {name}_str is: a program has lost digits")
        return found[0] if found else ()

    def text(self, name: str) -> str:
        value = self.get(name)
        if value is not None and not isinstance(value, str):
            raise self.wrong(name, f"{value!r:.40} is no text")
        return value or ""

    def texts(self, name: str) -> tuple[str, ...]:
        values = self._list(name, self.get(name) or [])
        if not all(isinstance(each, str) for each in values):
            raise self.wrong(name, "is no list of texts")
        return tuple(values)

    def ref(self, name: str) -> PostRef | None:
        value = self.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.wrong(name, "is no object with author and id")
        inner = _Fields(value, f"{name}.")
        found = PostRef(inner.number("author"), inner.number("id"))
        inner.check_all_read()
        return found

    def member(self, name: str, kind: type[_Enum]) -> _Enum:
        value = self.get(name)
        for each in kind:
            if value == each.name.lower():
                return each
        known = ", ".join(each.name.lower() for each in kind)
        raise self.wrong(name, f"{value!r:.40} is none of {known}")

    def check_all_read(self) -> None:
        for name in self._document:
            if name not in self._read and name.removesuffix("_str") not in self._read:
                raise self.wrong(name, "is no field of such an event")

    def _whole(self, name: str, value: Any) -> int:
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
            return int(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        raise self.wrong(name, f"{value!r:.40} is no whole number")

    def _list(self, name: str, value: Any) -> Iterable[Any]:
        if not isinstance(value, list):
            raise self.wrong(name, "is no list")
        return value


def _post(fields: _Fields, event_id: int | None) -> NewPost:
    authored_ms = fields.number("authored_ms", None)
    if event_id is not None and event_id > 0 and authored_ms == at_ms(event_id):
        authored_ms = None
    draft = Draft(
        fields.member("post_kind", PostKind),
        fields.text("title"),
        fields.text("body"),
        fields.texts("tags"),
        fields.numbers("mentions"),
        fields.ref("reblog_of"),
        fields.ref("reply_to"),
        authored_ms,
    )
    return NewPost(fields.number("author"), draft, event_id)


def _removal(fields: _Fields, event_id: int | None) -> NewRemoval:
    return NewRemoval(fields.number("author"), fields.number("post_id"), event_id)


def _follow(fields: _Fields, event_id: int | None) -> NewFollow:
    backfill = fields.number("backfill", None)
    return NewFollow(fields.number("follower"), fields.number("author"), event_id, backfill)


def _unfollow(fields: _Fields, event_id: int | None) -> NewUnfollow:
    return NewUnfollow(fields.number("follower"), fields.number("author"), event_id)


def _like(fields: _Fields, event_id: int | None) -> NewLike:
    return NewLike(*_like_parts(fields), event_id)


def _unlike(fields: _Fields, event_id: int | None) -> NewUnlike:
    return NewUnlike(*_like_parts(fields), event_id)


def _like_parts(fields: _Fields) -> tuple[int, int, int]:
    return fields.number("actor"), fields.number("author"), fields.number("post_id")


def _mark(fields: _Fields, event_id: int | None) -> NewMark:
    lane = fields.member("lane", Lane)
    return NewMark(fields.number("reader"), lane, fields.number("event_id"), event_id)


_MAKERS: Final[dict[str, Callable[[_Fields, int | None], NewEvent]]] = dict(
    zip(
        KINDS.values(),
        (_post, _removal, _follow, _unfollow, _like, _unlike, _mark),
        strict=True,
    )
)
