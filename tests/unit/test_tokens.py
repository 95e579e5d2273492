"""Tokens: what is kept and told of them, and who is let in while the registry is away."""

import hmac
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from firehose.access import Role
from idgen.clock import SystemClock
from idgen.errors import (
    BadRequest,
    DashcellError,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
)
from router import tokens
from router.registry import Node
from router.tokens import (
    BUCKETS,
    SECRET_CHARS,
    TOKEN_CHARS_MAX,
    TOKENS,
    TokenGate,
    Wanted,
    create_token,
    read_token,
    read_tokens,
    revoke_token,
    rotate_token,
)
from tests.unit.registry_world import NEVER_MS, FallibleRegistry

NOW_MS = 1_341_273_600_000
READER = Wanted("search", {Role.READ})
SCANNED = re.compile(r"\bdct_[a-z][a-z0-9-]{0,31}_[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])")
"""What docs/firehose.md tells those who search files for secrets."""


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[FallibleRegistry]:
    found = FallibleRegistry(tmp_path / "registry.sqlite")
    yield found
    found.close()


@pytest.fixture
def gate(registry: FallibleRegistry) -> Iterator[TokenGate]:
    found = TokenGate(registry, SystemClock(), NEVER_MS)
    yield found
    found.close()


def kept(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.glob("registry.sqlite*")))


def test_no_secret_is_kept_in_any_form(registry: FallibleRegistry, tmp_path: Path) -> None:
    made = [create_token(registry, READER, NOW_MS), rotate_token(registry, "search", NOW_MS)]
    stored = kept(tmp_path)
    assert b"search" in stored
    for token in made:
        assert token.removeprefix("dct_search_").encode() not in stored
    (token,) = read_tokens(registry)
    assert len({token.secret, token.previous}) == 2
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in (token.secret, token.previous))


def test_tokens_are_found_by_who_searches_for_secrets(registry: FallibleRegistry) -> None:
    made = [create_token(registry, READER._replace(name=f"c{n}"), NOW_MS) for n in range(40)]
    text = "\n".join(f"curl -H 'Authorization: Bearer {token}'" for token in made)
    assert SCANNED.findall(text) == made
    assert len({token.rpartition("_")[2] for token in made}) == 40
    longest = create_token(registry, READER._replace(name="x" * 32), NOW_MS)
    assert len(longest) == TOKEN_CHARS_MAX


def test_ten_thousand_names_spread_over_few_nodes() -> None:
    paths = [tokens._path(f"client-{n}") for n in range(10_000)]
    assert len(set(paths)) == BUCKETS
    assert max(paths.count(path) for path in set(paths)) < 300


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "x",
        "dct_",
        "dct__",
        "Bearer TOKEN",
        "TOKEN ",
        " TOKEN",
        "TOKEN\n",
        "TOKEN\x00",
        "TOKENTOKEN",
        "NAMEOFANOTHER",
        "é" * 60,
        "x" * 10_000_000,
    ],
)
def test_what_is_no_token_is_refused_and_never_repeated(
    registry: FallibleRegistry, gate: TokenGate, wrong: str
) -> None:
    token = create_token(registry, READER, NOW_MS)
    gate.refresh()
    sent = wrong.replace("TOKEN", token)
    if wrong == "NAMEOFANOTHER":
        create_token(registry, READER._replace(name="other"), NOW_MS)
        gate.refresh()
        sent = token.replace("search", "other")
    with pytest.raises(Unauthenticated) as caught:
        gate.admit(sent, Role.READ)
    assert token[-SECRET_CHARS:] not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_one_wrong_character_anywhere_lets_nobody_in(
    registry: FallibleRegistry, gate: TokenGate
) -> None:
    token = create_token(registry, READER, NOW_MS)
    gate.refresh()
    assert gate.admit(token, Role.READ).name == "search"
    for i, character in enumerate(token):
        other = "A" if character != "A" else "B"
        with pytest.raises(Unauthenticated) as caught:
            gate.admit(token[:i] + other + token[i + 1 :], Role.READ)
        assert token[-SECRET_CHARS:][:20] not in str(caught.value)


@pytest.mark.parametrize("name", ["search", "stranger"])
def test_secrets_are_compared_in_constant_time_whether_or_not_the_client_is_known(
    registry: FallibleRegistry, gate: TokenGate, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    token = create_token(registry, READER, NOW_MS)
    gate.refresh()
    compared = []
    real = hmac.compare_digest

    def counted(a: bytes, b: bytes) -> bool:
        compared.append((len(a), len(b)))
        return real(a, b)

    monkeypatch.setattr(tokens.hmac, "compare_digest", counted)
    wrong = token[:-2].replace("search", name) + "AA"
    with pytest.raises(Unauthenticated, match="not known"):
        gate.admit(wrong, Role.READ)
    assert compared == [(32, 32), (32, 32)]


def test_no_error_about_names_repeats_a_token_given_for_one(registry: FallibleRegistry) -> None:
    token = create_token(registry, READER, NOW_MS)
    for change in (
        lambda: create_token(registry, READER._replace(name=token), NOW_MS),
        lambda: rotate_token(registry, token, NOW_MS),
        lambda: revoke_token(registry, token),
        lambda: read_token(registry, token),
    ):
        with pytest.raises(BadRequest, match=r"^name:") as caught:
            change()
        assert token[-SECRET_CHARS:] not in str(caught.value)


def test_a_role_that_is_missing_is_named_and_the_token_is_not(
    registry: FallibleRegistry, gate: TokenGate
) -> None:
    token = create_token(registry, READER._replace(roles={Role.APPEND, Role.READ}), NOW_MS)
    gate.refresh()
    for role in (Role.APPEND, Role.READ):
        assert gate.admit(token, role).roles == {Role.APPEND, Role.READ}
    with pytest.raises(PermissionDenied, match="search does not have the role operate") as caught:
        gate.admit(token, Role.OPERATE)
    assert token not in str(caught.value)


def test_before_the_first_reading_nobody_is_known(
    registry: FallibleRegistry, gate: TokenGate
) -> None:
    token = create_token(registry, READER, NOW_MS)
    with pytest.raises(Unavailable):
        gate.admit(token, Role.READ)
    registry.down = True
    gate.start()
    assert gate.trouble
    assert gate.age_ms is None
    with pytest.raises(Unavailable):
        gate.admit(token, Role.READ)
    with pytest.raises(Unauthenticated):
        gate.admit("dct_", Role.READ)  # what can never be one needs no registry
    registry.down = False
    gate.refresh()
    assert gate.admit(token, Role.READ).name == "search"


def test_who_was_known_is_let_in_while_the_registry_is_away(
    registry: FallibleRegistry, gate: TokenGate
) -> None:
    token = create_token(registry, READER, NOW_MS)
    gate.start()
    revoked_in_vain = create_token(registry, READER._replace(name="other"), NOW_MS)
    gate.refresh()
    registry.down = True
    revoke_token(registry.real, "other")
    with pytest.raises(Unavailable):
        gate.refresh()
    for each in (token, revoked_in_vain):
        assert gate.admit(each, Role.READ)
    assert "down" in gate.trouble
    registry.down = False
    gate.refresh()
    assert gate.admit(token, Role.READ)
    with pytest.raises(Unauthenticated):
        gate.admit(revoked_in_vain, Role.READ)


def test_admitting_asks_nobody(
    registry: FallibleRegistry, gate: TokenGate, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = create_token(registry, READER, NOW_MS)
    gate.refresh()

    def asked(path: str) -> Node:
        raise AssertionError(f"the registry was asked for {path}")

    monkeypatch.setattr(registry, "get", asked)
    monkeypatch.setattr(registry, "list", asked)
    assert gate.admit(token, Role.READ)


@pytest.mark.parametrize(
    "bad", [b"", b"{", b'{"tokens": {"search": 1}}', b'{"tokens": {"search": {"secret": "xyz"}}}']
)
def test_a_damaged_node_takes_nobody_away_who_was_known(
    registry: FallibleRegistry, gate: TokenGate, bad: bytes
) -> None:
    token = create_token(registry, READER, NOW_MS)
    gate.refresh()
    path = tokens._path("search")
    registry.set(path, bad, registry.get(path).version)
    with pytest.raises(DashcellError, match=path):
        gate.refresh()
    assert gate.admit(token, Role.READ)
    assert path in gate.trouble


def test_a_digest_that_is_none_is_damage_and_lets_nobody_in(
    registry: FallibleRegistry, gate: TokenGate
) -> None:
    create_token(registry, READER, NOW_MS)
    path = tokens._path("search")
    bucket = msgspec.json.decode(registry.get(path).value)
    bucket["tokens"]["search"]["secret"] = "zz" * 32
    registry.set(path, msgspec.json.encode(bucket), 0)
    with pytest.raises(DashcellError, match="secret"):
        gate.refresh()


def test_roles_and_fields_of_a_later_program_are_no_damage(
    registry: FallibleRegistry, gate: TokenGate
) -> None:
    token = create_token(registry, READER, NOW_MS)
    path = tokens._path("search")
    bucket = msgspec.json.decode(registry.get(path).value)
    bucket["tokens"]["search"] |= {"roles": ["read", "dance"], "of_a_later_version": 1}
    registry.set(path, msgspec.json.encode(bucket), 0)
    gate.refresh()
    assert gate.admit(token, Role.READ).roles == {Role.READ}
    rotate_token(registry, "search", NOW_MS)
    assert read_token(registry, "search").roles == ("read", "dance")


def test_who_lost_the_answer_to_a_change_is_told_to_look_first(
    registry: FallibleRegistry, gate: TokenGate, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = create_token(registry, READER, NOW_MS)

    def lost(path: str, value: bytes, version: int = -1) -> int:
        if version < 0:
            registry.real.create(path, value)
        else:
            registry.real.set(path, value, version)
        raise Unavailable("the answer was lost")

    monkeypatch.setattr(registry, "set", lost)
    monkeypatch.setattr(registry, "create", lost)
    with pytest.raises(Unavailable, match="cellctl tokens list"):
        rotate_token(registry, "search", NOW_MS + 1)
    with pytest.raises(Unavailable, match="cellctl tokens list"):
        create_token(registry, READER._replace(name="other"), NOW_MS)
    assert [token.rotated_ms for token in read_tokens(registry)] == [0, NOW_MS + 1]
    gate.refresh()
    assert gate.admit(first, Role.READ)  # the client has not lost its way in


def test_nobody_waits_for_others_for_ever(
    registry: FallibleRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_token(registry, READER, NOW_MS)
    before = registry.get(tokens._path("search"))
    real = registry.real.get

    def stale(path: str) -> Node:
        node = real(path)
        return node._replace(version=node.version + 1)

    monkeypatch.setattr(registry, "get", stale)
    with pytest.raises(DashcellError, match="try again"):
        rotate_token(registry, "search", NOW_MS)
    assert real(f"{TOKENS}/{tokens._path('search').rpartition('/')[2]}") == before
