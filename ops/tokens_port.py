"""What `cellctl tokens` asks of a platform; `ops.platform_port` has it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from router.tokens import Wanted


@dataclass(frozen=True, slots=True)
class TokenView:
    """A client of the firehose, without its secrets. Times are in ms since 1970; `rotated_ms` None:
    never was; `previous`: whether the secret before the last rotation is still valid."""

    name: str
    roles: tuple[str, ...]
    streams_max: int
    events_per_s: int
    created_ms: int
    rotated_ms: int | None
    previous: bool


class Tokens(Protocol):
    """The clients of the firehose."""

    def list(self) -> Sequence[TokenView]:
        """All by name."""
        ...

    def create(self, wanted: Wanted) -> str:
        """Make a client known; its token, which is told only now.

        Raises BadRequest(name|roles|streams_max|events_per_s), Conflict.
        """
        ...

    def rotate(self, name: str) -> str:
        """Give a client a new secret; its token. The one until now stays valid as the previous
        one, and the one before it does not. Raises NotFound, BadRequest(name)."""
        ...

    def revoke(self, name: str, *, previous: bool, execute: bool = True) -> TokenView:
        """Let a client in no more, or not by its previous secret; without `execute` it is only seen
        whether that can be. What it was. Raises NotFound, BadRequest(name)."""
        ...
