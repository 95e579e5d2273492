"""The clients of the firehose as `cellctl` asks for them, in the registry."""

from collections.abc import Sequence

from ops.tokens_port import TokenView
from ops.wiring.seams import Seams
from router.tokens import (
    Token,
    Wanted,
    create_token,
    read_token,
    read_tokens,
    revoke_token,
    revoked,
    rotate_token,
)


class TokenDesk:
    """`ops.tokens_port.Tokens` over the registry of a platform."""

    def __init__(self, seams: Seams) -> None:
        self._registry = seams.registry
        self._clock = seams.clock

    def list(self) -> Sequence[TokenView]:
        """All by name."""
        return [_view(token) for token in read_tokens(self._registry)]

    def create(self, wanted: Wanted) -> str:
        """Make a client known."""
        return create_token(self._registry, wanted, self._clock.now_ms())

    def rotate(self, name: str) -> str:
        """Give a client a new secret."""
        return rotate_token(self._registry, name, self._clock.now_ms())

    def revoke(self, name: str, *, previous: bool, execute: bool = True) -> TokenView:
        """Let a client in no more, or not by its previous secret."""
        token = read_token(self._registry, name)
        revoked(token, previous=previous)
        if execute:
            revoke_token(self._registry, name, previous=previous)
        return _view(token)


def _view(token: Token) -> TokenView:
    return TokenView(
        token.name,
        token.roles,
        token.streams_max,
        token.events_per_s,
        token.created_ms,
        token.rotated_ms or None,
        bool(token.previous),
    )
