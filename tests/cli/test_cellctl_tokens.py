"""cellctl's commands about tokens: of a stand-in, and of a platform that runs."""

import json
from collections.abc import Iterator

import pytest

from firehose.access import Client, Role
from idgen.clock import SystemClock
from idgen.errors import PermissionDenied, Unauthenticated
from ops.config import load_config
from ops.tokens_port import TokenView
from ops.wiring.embedded import EmbeddedSeams
from router.tokens import EVENTS_PER_S, STREAMS_MAX, TokenGate, Wanted
from tests.cli.shell import Shell
from tests.cli.stand_in import NOW_MS, Bench
from tests.contract.patience import until

SEARCH = TokenView("search", ("read",), 100, 10_000, NOW_MS, None, False)
SHOP = TokenView("shop", ("read", "append"), 3, 500, NOW_MS, NOW_MS + 86_400_000, True)


@pytest.fixture
def bench(tmp_path) -> Bench:
    found = Bench(tmp_path)
    found.platform.tokens.views = {view.name: view for view in (SHOP, SEARCH)}
    return found


def test_a_token_is_alone_on_stdout_and_said_to_be_shown_once(bench):
    for words, wanted in (
        (("--role", "read"), Wanted("x", {Role.READ}, STREAMS_MAX, EVENTS_PER_S)),
        (
            ("--role=append", "--role=read", "--streams-max=7", "--events-per-s=9"),
            Wanted("x", {Role.READ, Role.APPEND}, 7, 9),
        ),
    ):
        ended = bench.run("tokens", "create", "x", *words)
        assert ended.stdout == f"dct_x_{len(bench.platform.tokens.asked)}\n"
        assert "not shown again" in ended.stderr
        assert bench.platform.tokens.asked[-1] == ("create", wanted)
    assert bench.done("tokens", "rotate", "x") == "dct_x_3\n"
    document = json.loads(bench.done("tokens", "rotate", "x", "--json"))
    assert document == {"name": "x", "token": "dct_x_4"}


@pytest.mark.parametrize(
    "words",
    [
        ("x",),
        ("x", "--role", "everything"),
        ("x", "--role", "read", "--streams-max", "0"),
        ("x", "--role", "read", "--events-per-s", "1000001"),
        ("--role", "read"),
    ],
)
def test_what_cannot_be_asked_for_is_wrong_usage(bench, words):
    assert bench.run("tokens", "create", *words).exit_code == 2
    assert bench.platform.tokens.asked == []


def test_clients_are_listed_without_secrets(bench):
    search, shop = bench.done("tokens", "list").splitlines()[1:]
    assert search.split() == [
        *("search", "read", "100", "10,000", "2012-07-03", "00:00:00Z", "-", "-")
    ]
    assert shop.split()[-3:] == ["2012-07-04", "00:00:00Z", "valid"]
    first, second = json.loads(bench.done("tokens", "list", "--json"))
    assert first == {
        "name": "search",
        "roles": ["read"],
        "streams_max": 100,
        "events_per_s": 10_000,
        "created_ms": NOW_MS,
        "rotated_ms": None,
        "previous": False,
    }
    assert (second["roles"], second["previous"]) == (["read", "append"], True)
    bench.platform.tokens.views = {}
    assert "no client" in bench.done("tokens", "list")


@pytest.mark.parametrize("previous", [False, True])
def test_a_client_is_cut_off_only_with_execute(bench, previous):
    words = ("tokens", "revoke", "shop", *(["--previous"] if previous else []))
    planned = bench.done(*words)
    assert "would revoke" in planned
    assert "--execute" in planned
    assert "read, append" in planned
    assert not json.loads(bench.done(*words, "--json"))["executed"]
    assert bench.platform.tokens.asked == []
    assert "is revoked" in bench.done(*words, "--execute")
    assert bench.platform.tokens.asked == [("revoke", "shop", previous)]
    assert json.loads(bench.done(*words, "--execute", "--json")) == {
        "name": "shop",
        "previous": previous,
        "executed": True,
    }
    assert bench.run("tokens", "revoke", "nobody").exit_code == 3


# -- a platform that runs ------------------------------------------------------------------------


@pytest.fixture
def gate(shell: Shell) -> Iterator[TokenGate]:
    """The gate of another process, at the platform's registry."""
    config = load_config(overrides={"platform.data": str(shell.folder)})
    seams = EmbeddedSeams(config)
    found = TokenGate(seams.registry, SystemClock())
    found.start()
    yield found
    found.close()
    seams.close()


def let_in(gate: TokenGate, token: str) -> bool:
    try:
        gate.admit(token, Role.READ)
    except Unauthenticated:
        return False
    return True


@pytest.mark.slow
def test_a_token_lets_in_until_it_is_revoked(shell: Shell, gate: TokenGate):
    words = ("create", "search", "--role", "read", "--streams-max", "3", "--events-per-s", "5")
    first = shell.done("tokens", *words).strip()
    until("the token is known", lambda: let_in(gate, first), 20)
    assert gate.admit(first, Role.READ) == Client("search", frozenset({Role.READ}), 3, 5)
    with pytest.raises(PermissionDenied):
        gate.admit(first, Role.APPEND)
    assert shell.run("tokens", *words).returncode == 4
    second = shell.json("tokens", "rotate", "search")["token"]
    until("the second is known", lambda: let_in(gate, second), 20)
    assert let_in(gate, first)
    (listed,) = shell.json("tokens", "list")
    assert (listed["name"], listed["previous"]) == ("search", True)
    for text in (shell.done("tokens", "list"), json.dumps(listed)):
        assert not any(token.rpartition("_")[2] in text for token in (first, second))
    shell.done("tokens", "revoke", "search", "--previous")
    assert let_in(gate, first)
    shell.done("tokens", "revoke", "search", "--previous", "--execute")
    until("the first is revoked", lambda: not let_in(gate, first), 20)
    assert let_in(gate, second)
    assert shell.run("tokens", "revoke", "search", "--previous").returncode == 3
    shell.done("tokens", "revoke", "search", "--execute")
    until("the second is revoked", lambda: not let_in(gate, second), 20)
    assert shell.json("tokens", "list") == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "words"),
    [
        (3, ("rotate", "nobody")),
        (3, ("revoke", "nobody")),
        (2, ("create", "Search", "--role", "read")),
        (2, ("create", "cell-a", "--role", "read")),
        (2, ("rotate", "dct_search_" + "x" * 43)),
        (2, ("revoke", "dct_search_" + "x" * 43, "--execute")),
    ],
)
def test_what_cannot_be_is_told_without_a_secret(shell: Shell, code, words):
    ended = shell.run("tokens", *words)
    assert ended.returncode == code, ended.stderr
    assert "x" * 43 not in ended.stdout + ended.stderr
