"""Pins: users whom an operator has pushed to or pulled whatever the policy says, followed live.

All of them are one node, so that they are read at once and changed by compare-and-set.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from cell.materialization import Pin
from idgen.clock import Clock
from idgen.errors import BadRequest, Conflict, Corrupt, NotFound
from router.live import REREAD_MS, Live
from router.registry import Registry

PINS: Final = "/pins"
PINS_MAX: Final = 5_000
"""In one node, about 150 KB."""
TRIES: Final = 10

_DECODER: msgspec.json.Decoder[dict[int, int]] = msgspec.json.Decoder(dict[int, int])


def read_pins(registry: Registry) -> dict[int, Pin]:
    """All pins by user. Raises Unavailable, Corrupt."""
    try:
        return _pins(registry.get(PINS).value)
    except NotFound:
        return {}


def set_pin(registry: Registry, user: int, pin: Pin) -> Pin:
    """Pin a user, or with NONE no longer; what the user was before.

    Raises BadRequest(user) where there are too many, Conflict when others keep changing pins.
    """
    for _ in range(TRIES):
        try:
            node = registry.get(PINS)
        except NotFound:
            pins, version = {}, None
        else:
            pins, version = _pins(node.value), node.version
        before = pins.pop(user, Pin.NONE)
        if before is pin:
            return before
        if pin is not Pin.NONE:
            pins[user] = pin
        if len(pins) > PINS_MAX:
            raise BadRequest("user", f"{PINS_MAX:,} users are pinned already, and no more can be")
        data = msgspec.json.encode({str(each): int(code) for each, code in sorted(pins.items())})
        try:
            if version is None:
                registry.create(PINS, data)
            else:
                registry.set(PINS, data, version)
        except Conflict:
            continue
        return before
    raise Conflict("others keep changing pins; try again")


class Pins:
    """The pins, kept current. While the registry is down the last known ones hold."""

    def __init__(self, registry: Registry, clock: Clock, reread_ms: int = REREAD_MS) -> None:
        self._live = Live(registry, (PINS,), lambda: read_pins(registry), clock, reread_ms)

    def start(self) -> None:
        """Read and follow."""
        self._live.start()

    def close(self) -> None:
        """Stop following."""
        self._live.close()

    def refresh(self) -> None:
        """Read now. Raises Unavailable."""
        self._live.refresh()

    def all(self) -> Mapping[int, Pin]:
        """All of them, by user."""
        return self._live.value or {}


def _pins(data: bytes) -> dict[int, Pin]:
    try:
        return {user: Pin(code) for user, code in _DECODER.decode(data).items()}
    except (msgspec.MsgspecError, ValueError) as error:
        raise Corrupt(f"the pins in the registry cannot be read: {error}") from error
