"""Tokens beside a model of them: who is let in after any sequence of changes; and faults planted in
the product, each of which the comparison must notice."""

import random
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from firehose.access import Role
from idgen.clock import SystemClock
from idgen.errors import Conflict, NotFound, PermissionDenied, Unauthenticated
from router import tokens
from router.registry import Node
from router.tokens import TokenGate, Wanted, create_token, revoke_token, rotate_token

NAMES = ("a", "b", "a-b", "shop")
ROLES = (Role.READ, Role.APPEND, Role.OPERATE)
LIVES = 40
STEPS = 30


class DictRegistry:
    """What tokens need of a registry, in memory."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}

    def get(self, path: str) -> Node:
        if path not in self.nodes:
            raise NotFound(path)
        return self.nodes[path]

    def create(self, path: str, value: bytes) -> None:
        if path in self.nodes:
            raise Conflict(path)
        self.nodes[path] = Node(value, 0)

    def set(self, path: str, value: bytes, version: int) -> int:
        if self.nodes[path].version != version:
            raise Conflict(path)
        self.nodes[path] = Node(value, version + 1)
        return version + 1

    def list(self, path: str) -> list[str]:
        return [each.removeprefix(f"{path}/") for each in sorted(self.nodes)]


class Life:
    """One sequence of changes, and the model: the valid texts of each name, newest first."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.registry: Any = DictRegistry()
        self.gate = TokenGate(self.registry, SystemClock())
        self.valid: dict[str, list[str]] = {}
        self.roles: dict[str, set[Role]] = {}
        self.ever: set[str] = set()

    def step(self) -> None:
        name = self.random.choice(NAMES)
        known = name in self.valid
        match self.random.choice(("create", "rotate", "rotate", "previous", "revoke")):
            case "create":
                roles = set(self.random.sample(ROLES, self.random.randint(1, 3)))
                token = _tried(lambda: create_token(self.registry, Wanted(name, roles), 1))
                assert (token is not None) == (not known), "create"
                if token is not None:
                    self.valid[name], self.roles[name] = [token], roles
            case "rotate":
                token = _tried(lambda: rotate_token(self.registry, name, 2))
                assert (token is not None) == known, "rotate"
                if token is not None:
                    self.valid[name] = [token, self.valid[name][0]]
            case "previous":
                done = _tried(lambda: revoke_token(self.registry, name, previous=True) or "done")
                assert (done is not None) == (len(self.valid.get(name, ())) == 2), "previous"
                self.valid[name] = self.valid.get(name, [])[:1]
                if not self.valid[name]:
                    del self.valid[name]
            case "revoke":
                done = _tried(lambda: revoke_token(self.registry, name) or "done")
                assert (done is not None) == known, "revoke"
                self.valid.pop(name, None)
        self.ever |= {token for each in self.valid.values() for token in each}

    def compare(self) -> None:
        """Everybody who ever had a token, and strangers, with every role."""
        self.gate.refresh()
        owners = {token: name for name, each in self.valid.items() for token in each}
        forged = {token[:-1] + ("A" if token[-1] != "A" else "E") for token in self.ever}
        swapped = {token.replace("dct_a_", "dct_b_") for token in self.ever}
        for token in self.ever | (forged - self.ever) | (swapped - self.ever):
            for role in ROLES:
                name = owners.get(token)
                expected: Any = Unauthenticated
                if name is not None:
                    expected = name if role in self.roles[name] else PermissionDenied
                assert self._admitted(token, role) == expected, (token[:8], role)

    def _admitted(self, token: str, role: Role) -> Any:
        try:
            return self.gate.admit(token, role).name
        except (Unauthenticated, PermissionDenied) as error:
            return type(error)


def _tried(change: Callable[[], str]) -> str | None:
    try:
        return change()
    except (Conflict, NotFound):
        return None


def live(first: int) -> None:
    """LIVES of them, by seeds from `first` on."""
    for seed in range(first, first + LIVES):
        life = Life(seed)
        for _ in range(STEPS):
            life.step()
            life.compare()


def test_who_is_let_in_is_who_the_model_lets_in() -> None:
    first = random.randrange(10**9)
    print(f"seeds {first} to {first + LIVES - 1}")
    live(first)


def _keeps_the_oldest(token: Any, **changes: Any) -> Any:
    """A rotation that leaves a previous secret as it was."""
    if "rotated_ms" in changes and token.previous:
        changes["previous"] = token.previous
    return _replace(token, **changes)


def _drops_the_previous(token: Any, **changes: Any) -> Any:
    """A rotation that ends the secret until now at once."""
    if "rotated_ms" in changes:
        changes["previous"] = ""
    return _replace(token, **changes)


_replace = msgspec.structs.replace
_FAULTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "a rotation keeps the oldest secret": lambda patch: patch.setattr(
        tokens.msgspec.structs, "replace", _keeps_the_oldest
    ),
    "a rotation ends the present secret": lambda patch: patch.setattr(
        tokens.msgspec.structs, "replace", _drops_the_previous
    ),
    "revoking does nothing": lambda patch: patch.setattr(
        tokens, "revoked", lambda token, *, previous: token
    ),
    "revoking ends the previous secret alone": lambda patch: patch.setattr(
        tokens, "revoked", lambda token, *, previous: _replace(token, previous="")
    ),
    "any secret will do": lambda patch: patch.setattr(
        tokens.hmac, "compare_digest", lambda a, b: any(b)
    ),
    "a stranger's secret is nobody's": lambda patch: patch.setattr(
        tokens.hmac, "compare_digest", lambda a, b: a == b or not any(b)
    ),
    "any role will do": lambda patch: patch.setattr(
        tokens, "Client", lambda name, _, *quotas: _Client(name, frozenset(Role), *quotas)
    ),
    "a client of another name will do": lambda patch: patch.setattr(
        tokens, "Client", lambda name, roles, *quotas: _Client(name[:1], roles, *quotas)
    ),
}
_Client = tokens.Client


@pytest.mark.parametrize("fault", _FAULTS)
def test_a_planted_fault_is_noticed(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _FAULTS[fault](monkeypatch)
    with pytest.raises(AssertionError):
        live(0)
