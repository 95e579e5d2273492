"""What a setting's type allows, in words: for errors and for the reference."""

import types
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from msgspec import Meta

from ops.config_settings import CellServers, Secret

_WORDS: Final[dict[Any, str]] = {
    bool: "true or false",
    Secret: "text, never shown",
    CellServers: "tables of addresses",
}

_PATTERNS: Final = {
    "^[a-z][a-z0-9-]{0,31}$": "a name of small letters, digits and hyphens",
    "^(/[A-Za-z0-9._-]+)+$": "a path that begins with a slash",
}


def plain_type(kind: Any) -> Any:
    """A type without its annotations: `int`, `tuple`, `dict`, a class, or a union."""
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    origin = get_origin(kind)
    return origin if origin in (tuple, dict) else kind


def allowed(kind: Any) -> str:
    """What may be written for a value of this type."""
    metas: list[Meta] = []
    while get_origin(kind) is Annotated:
        metas += getattr(kind, "__metadata__", ())
        kind = get_args(kind)[0]
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Literal:
        return "one of " + ", ".join(str(each) for each in parts)
    if origin in (Union, types.UnionType):
        return ", or ".join(allowed(each) for each in parts)
    if origin in (tuple, dict):
        holds = allowed(parts[0] if origin is tuple else parts[1])
        return f"a list, each {holds}" if origin is tuple else f"a table, its values {holds}"
    if kind is int:
        return _number(metas)
    return _WORDS.get(kind) or _text(metas)


def _number(metas: list[Meta]) -> str:
    least = next((each.ge for each in metas if each.ge is not None), None)
    most = next((each.le for each in metas if each.le is not None), None)
    if least is not None and most is not None:
        return f"a whole number from {least} to {most}"
    if least is not None:
        return f"a whole number from {least}"
    return "a whole number"


def _text(metas: list[Meta]) -> str:
    pattern = next((each.pattern for each in metas if each.pattern), None)
    if pattern is None:
        return "text"
    return _PATTERNS.get(pattern, "host:port")
