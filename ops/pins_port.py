"""What commands ask of a platform's pins."""

from collections.abc import Mapping
from typing import Protocol


class Pins(Protocol):
    """The users who are pushed to or pulled whatever the policy says, in every cell."""

    def all(self) -> Mapping[int, str]:
        """`push` or `pull` for each who is pinned."""
        ...

    def set(self, user: int, how: str) -> str:
        """Pin a user to `push` or `pull`, or with `auto` no longer; what it was before.

        Raises BadRequest(user) where too many are pinned, and Conflict.
        """
        ...
