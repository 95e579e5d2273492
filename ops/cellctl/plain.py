"""Values as JSON has them, and the text forms of cursors, tokens and posts' addresses."""

import base64
import binascii
import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import click

from firehose.event import PostRef


def plain(value: object) -> Any:
    """`value` as JSON can hold it: dataclasses by field, enums by lower-case name, bytes as text.

    Ids are JSON integers up to 2^63-1, and come as text too: JavaScript's numbers end at 2^53.
    `id` has `id_str` beside it, `post_id` has `post_id_str`.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return _members({each.name: getattr(value, each.name) for each in fields(value)})
    if isinstance(value, Mapping):
        return _members(value)
    if isinstance(value, AbstractSet):
        return sorted((plain(each) for each in value), key=str)
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return _scalar(value)


def _members(value: Mapping[Any, object]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, each in value.items():
        name = str(key)
        found[name] = plain(each)
        if type(each) is int and (name == "id" or name.endswith("_id")):
            found[f"{name}_str"] = str(each)
    return found


def _scalar(value: object) -> object:
    if isinstance(value, Enum):
        return value.name.lower()
    if isinstance(value, bytes):
        return to_text(value)
    return str(value) if isinstance(value, Path) else value


def as_json(value: object, *, one_line: bool = False) -> str:
    """The JSON document of `value`, in lines for people unless `one_line`."""
    return json.dumps(plain(value), ensure_ascii=False, indent=None if one_line else 2)


def to_text(opaque: bytes) -> str:
    """A cursor or token as text: base64url without padding."""
    return base64.urlsafe_b64encode(opaque).decode().rstrip("=")


class Opaque(click.ParamType[bytes]):
    """A cursor or token as `to_text` writes it."""

    name = "text"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> bytes:
        """The bytes; a usage error for what is no base64url."""
        if isinstance(value, bytes):
            return value
        try:
            padded = value + "=" * (-len(value) % 4)
            return base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True)
        except (binascii.Error, UnicodeEncodeError, ValueError):
            self.fail(f"{value!r} is no cursor or token; pass one on as it was printed", param, ctx)


class PostAddress(click.ParamType[PostRef]):
    """A post's address: AUTHOR/POST, two positive integers."""

    name = "author/post"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> PostRef:
        """The address; a usage error for anything else."""
        if isinstance(value, PostRef):
            return value
        author, _, post = value.partition("/")
        if not (author.isdecimal() and post.isdecimal()):
            self.fail(f"{value!r} is no AUTHOR/POST, as in 88/1234567890123", param, ctx)
        return PostRef(int(author), int(post))


OPAQUE = Opaque()
POST = PostAddress()
USER = click.IntRange(1, (1 << 63) - 1)
"""A user: a positive 63-bit integer."""
EVENT = click.IntRange(1, (1 << 63) - 1)
"""The id of a post or another event."""
