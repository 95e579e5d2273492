"""Records of the registry: JSON values of one type, below one path."""

from typing import TypeVar

import msgspec

from idgen.errors import Corrupt, NotFound
from router.registry import Registry

_Record = TypeVar("_Record", bound=msgspec.Struct)


def read_all(registry: Registry, parent: str, kind: type[_Record]) -> list[_Record]:
    """The records of the children of `parent`, by name. Raises Corrupt."""
    found: list[_Record] = []
    for name in registry.list(parent):
        path = f"{parent}/{name}"
        try:
            value = registry.get(path).value
        except NotFound:
            continue  # went away since it was listed
        found.append(decoded(path, value, kind))
    return found


def decoded(path: str, value: bytes, kind: type[_Record]) -> _Record:
    """The record at `path`. Raises Corrupt."""
    try:
        return msgspec.json.decode(value, type=kind)
    except msgspec.MsgspecError as error:
        raise Corrupt(f"{path} in the registry cannot be read: {error}") from error
