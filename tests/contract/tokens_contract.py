"""What tokens and their gate must do over every registry. Subclass it and override
`open_registry`, as in `registry_contract`."""

from collections.abc import Iterator

import pytest

from firehose.access import Client, Role
from idgen.clock import SystemClock
from idgen.errors import BadRequest, Conflict, NotFound, PermissionDenied, Unauthenticated
from router import tokens
from router.registry import Registry
from router.tokens import (
    TOKENS,
    TokenGate,
    Wanted,
    create_token,
    read_tokens,
    revoke_token,
    rotate_token,
)
from tests.contract.patience import together, until
from tests.contract.registry_contract import OpenRegistry

NOW_MS = 1_341_273_600_000
NEVER_MS = 3_600_000
"""What is followed is followed by watch: no test lives to see the next reading."""
PATIENCE_S = 20.0
READER = Wanted("search", {Role.READ}, 7, 70)


def refused(gate: TokenGate, token: str) -> bool:
    try:
        gate.admit(token, Role.READ)
    except Unauthenticated:
        return True
    return False


class TokensContract:
    """The contract of router.tokens."""

    @pytest.fixture
    def open_registry(self) -> OpenRegistry:
        """Override: see `RegistryContract.open_registry`."""
        raise AssertionError("the subclass gives the fixture open_registry")

    @pytest.fixture
    def registry(self, open_registry: OpenRegistry) -> Registry:
        return open_registry()

    @pytest.fixture
    def gate(self, open_registry: OpenRegistry) -> Iterator[TokenGate]:
        gate = TokenGate(open_registry(), SystemClock(), NEVER_MS)
        gate.start()
        yield gate
        gate.close()

    def test_a_client_is_let_in_with_what_it_was_given(self, registry, gate) -> None:
        token = create_token(registry, READER, NOW_MS)
        until("the token is known", lambda: not refused(gate, token), PATIENCE_S)
        assert gate.admit(token, Role.READ) == Client("search", frozenset({Role.READ}), 7, 70)
        with pytest.raises(PermissionDenied, match="append"):
            gate.admit(token, Role.APPEND)

    def test_a_gate_that_starts_late_knows_who_there_is(self, registry, open_registry) -> None:
        token = create_token(registry, READER, NOW_MS)
        gate = TokenGate(open_registry(), SystemClock(), NEVER_MS)
        gate.start()
        assert gate.admit(token, Role.READ).name == "search"
        gate.close()

    def test_a_rotated_token_is_valid_beside_the_new_one_until_the_next(
        self, registry, gate
    ) -> None:
        first = create_token(registry, READER, NOW_MS)
        second = rotate_token(registry, "search", NOW_MS + 1)
        until("the second is known", lambda: not refused(gate, second), PATIENCE_S)
        assert gate.admit(first, Role.READ) == gate.admit(second, Role.READ)
        third = rotate_token(registry, "search", NOW_MS + 2)
        until("the third is known", lambda: not refused(gate, third), PATIENCE_S)
        assert [refused(gate, each) for each in (first, second, third)] == [True, False, False]
        revoke_token(registry, "search", previous=True)
        until("the second is not", lambda: refused(gate, second), PATIENCE_S)
        assert not refused(gate, third)
        with pytest.raises(NotFound, match="previous"):
            revoke_token(registry, "search", previous=True)

    def test_a_revoked_client_is_let_in_by_neither_secret(self, registry, gate) -> None:
        first = create_token(registry, READER, NOW_MS)
        second = rotate_token(registry, "search", NOW_MS)
        until("the second is known", lambda: not refused(gate, second), PATIENCE_S)
        revoke_token(registry, "search")
        until("it is revoked", lambda: refused(gate, second), PATIENCE_S)
        assert refused(gate, first)
        again = create_token(registry, READER, NOW_MS)
        until("it is known again", lambda: not refused(gate, again), PATIENCE_S)
        assert refused(gate, first)
        assert refused(gate, second)

    def test_tokens_are_listed_by_name(self, registry) -> None:
        names = [f"client-{n}" for n in range(30)]
        for name in names:
            create_token(registry, READER._replace(name=name), NOW_MS)
        rotate_token(registry, "client-7", NOW_MS + 5)
        found = read_tokens(registry)
        assert [token.name for token in found] == sorted(names)
        rotated = {token.name: token.rotated_ms for token in found if token.previous}
        assert rotated == {"client-7": NOW_MS + 5}
        assert {(t.roles, t.streams_max, t.events_per_s, t.created_ms) for t in found} == {
            (("read",), 7, 70, NOW_MS)
        }

    def test_what_is_there_or_not_is_told(self, registry) -> None:
        create_token(registry, READER, NOW_MS)
        with pytest.raises(Conflict, match="tokens rotate search"):
            create_token(registry, READER, NOW_MS)
        for change in (
            lambda: rotate_token(registry, "nobody", NOW_MS),
            lambda: revoke_token(registry, "nobody"),
            lambda: revoke_token(registry, "nobody", previous=True),
        ):
            with pytest.raises(NotFound, match="tokens list"):
                change()
        with pytest.raises(NotFound, match="not rotated"):
            revoke_token(registry, "search", previous=True)

    def test_tokens_are_bounded(self, registry, monkeypatch) -> None:
        monkeypatch.setattr(tokens, "TOKENS_MAX", 3)
        for n in range(3):
            create_token(registry, READER._replace(name=f"c{n}"), NOW_MS)
        with pytest.raises(Conflict, match="revoke"):
            create_token(registry, READER._replace(name="c3"), NOW_MS)
        revoke_token(registry, "c1")
        create_token(registry, READER._replace(name="c3"), NOW_MS)

    def test_who_changes_tokens_at_once_undoes_nothing_of_others(
        self, registry, open_registry, monkeypatch
    ) -> None:
        monkeypatch.setattr(tokens, "BUCKETS", 1)  # all in one node: everybody in everybody's way
        others = [registry, open_registry(), open_registry()]
        made: list[list[str]] = [[], [], []]

        def work(i: int) -> None:
            for n in range(4):
                wanted = READER._replace(name=f"c{i}-{n}")
                create_token(others[i], wanted, NOW_MS)
                made[i].append(rotate_token(others[i], wanted.name, NOW_MS))

        together([lambda i=i: work(i) for i in range(3)])
        gate = TokenGate(registry, SystemClock(), NEVER_MS)
        gate.refresh()
        assert all(not refused(gate, token) for each in made for token in each)
        assert len(read_tokens(registry)) == 12

    def test_of_many_who_create_one_name_one_is_told_a_token(self, registry, open_registry) -> None:
        others = [registry, open_registry(), open_registry()]
        told: list[str] = []

        def work(i: int) -> None:
            try:
                told.append(create_token(others[i], READER, NOW_MS))
            except Conflict:
                return

        together([lambda i=i: work(i) for i in range(3)])
        (token,) = told
        gate = TokenGate(registry, SystemClock(), NEVER_MS)
        gate.refresh()
        assert not refused(gate, token)

    @pytest.mark.parametrize(
        ("field", "wanted"),
        [
            ("name", READER._replace(name="")),
            ("name", READER._replace(name="Search")),
            ("name", READER._replace(name="a.b")),
            ("name", READER._replace(name="a_b")),
            ("name", READER._replace(name="a/b")),
            ("name", READER._replace(name="a\n")),
            ("name", READER._replace(name="x" * 33)),
            ("name", READER._replace(name="cell-a")),
            ("name", READER._replace(name="relay-a")),
            ("roles", READER._replace(roles=())),
            ("streams_max", READER._replace(streams_max=0)),
            ("streams_max", READER._replace(streams_max=10_001)),
            ("events_per_s", READER._replace(events_per_s=0)),
            ("events_per_s", READER._replace(events_per_s=1_000_001)),
        ],
    )
    def test_what_cannot_be_is_refused_by_field(self, registry, field, wanted) -> None:
        with pytest.raises(BadRequest) as caught:
            create_token(registry, wanted, NOW_MS)
        assert caught.value.field == field
        assert registry.list(TOKENS) == []
