"""Tokens: the clients of the firehose, in the registry, and the gate that lets them in by one.

A token is `dct_<name>_<secret>`: the prefix for those who search files for secrets, the name so
that it is found without a search, and 32 random bytes as 43 characters of base64url. Kept of a
secret is its SHA-256 alone, which is enough for what nobody can guess. A token that was rotated has
two valid secrets, the present one and the one before, until the next rotation.

`/tokens/<n>` holds the tokens whose names have the crc32c `n` modulo BUCKETS: ten thousand are read
again by some dozens of requests, so that a revocation is felt within a second. Every change is of a
version of one bucket.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Collection, Mapping
from typing import Annotated, NamedTuple

import msgspec
from crc32c import crc32c

from firehose.access import Client, Role
from idgen.clock import Clock
from idgen.errors import (
    BadRequest,
    Conflict,
    NotFound,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
)
from router.live import REREAD_MS, Live
from router.records import decoded, read_all
from router.registry import Registry

TOKENS = "/tokens"
BUCKETS = 64
TOKENS_MAX = 10_000
STREAMS_MAX = 100
"""Streams at once at one server, where nothing else was said."""
EVENTS_PER_S = 10_000
"""Events appended in a second at one server, where nothing else was said."""
STREAMS_LIMIT = 10_000
EVENTS_PER_S_LIMIT = 1_000_000
SECRET_BYTES = 32
SECRET_CHARS = 43
NAME_CHARS_MAX = 32
TOKEN_CHARS_MAX = len("dct_") + NAME_CHARS_MAX + len("_") + SECRET_CHARS
OURS = ("cell-", "relay-")
"""Groups of the platform begin so; a client's groups begin with its name."""
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
_TOKEN = re.compile(r"dct_([a-z][a-z0-9-]{0,31})_([A-Za-z0-9_-]{43})")
_TRIES = 20
_NOBODY = bytes(hashlib.sha256().digest_size)
"""No secret has this digest."""
_Digest = Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{64})?$")]


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A client and what it is known by: SHA-256 (hex) of its secret, and of the one before, empty
    where there is none. Times are in ms since 1970; `rotated_ms` 0: never was. Roles of a later
    program are kept, and mean nothing here."""

    name: str
    roles: tuple[str, ...]
    streams_max: int
    events_per_s: int
    created_ms: int
    secret: _Digest
    previous: _Digest = ""
    rotated_ms: int = 0


class Bucket(msgspec.Struct, frozen=True):
    """The tokens of one node, by name."""

    tokens: dict[str, Token] = {}


class Wanted(NamedTuple):
    """A token that somebody asks for."""

    name: str
    roles: Collection[Role]
    streams_max: int = STREAMS_MAX
    events_per_s: int = EVENTS_PER_S


def create_token(registry: Registry, wanted: Wanted, now_ms: int) -> str:
    """Make a client known; its token, which nobody can be told again.

    Raises BadRequest(name|roles|streams_max|events_per_s), Conflict when there is one of this name
    or TOKENS_MAX of them (counted before: who create at the same time may exceed it by one each).
    """
    _check(wanted)
    if len(read_tokens(registry)) >= TOKENS_MAX:
        raise Conflict(f"there are {TOKENS_MAX:,} tokens, and no more can be: revoke some")
    text, digest = _minted(wanted.name)
    made = Token(
        name=wanted.name,
        roles=tuple(role.value for role in Role if role in wanted.roles),
        streams_max=wanted.streams_max,
        events_per_s=wanted.events_per_s,
        created_ms=now_ms,
        secret=digest,
    )

    def add(before: Token | None) -> Token:
        if before is not None:
            raise Conflict(
                f"there is a token {wanted.name} already: `cellctl tokens rotate {wanted.name}` "
                "gives it a new secret"
            )
        return made

    _change(registry, wanted.name, add)
    return text


def rotate_token(registry: Registry, name: str, now_ms: int) -> str:
    """Give a client a new secret; its token. The present secret stays valid as the previous one;
    what was the previous one until now is valid no more. Raises NotFound, BadRequest(name)."""
    text, digest = _minted(name)

    def rotate(before: Token | None) -> Token:
        token = _there(name, before)
        return msgspec.structs.replace(
            token, secret=digest, previous=token.secret, rotated_ms=now_ms
        )

    _change(registry, name, rotate)
    return text


def revoke_token(registry: Registry, name: str, *, previous: bool = False) -> None:
    """Let a client in no more, or, with `previous`, not by the secret before its last rotation.

    Raises NotFound, also where there is no previous secret; BadRequest(name).
    """
    _change(registry, name, lambda before: revoked(_there(name, before), previous=previous))


def revoked(token: Token, *, previous: bool) -> Token | None:
    """A token without its previous secret, or none at all. Raises NotFound where there is no
    previous one."""
    if not previous:
        return None
    if not token.previous:
        raise NotFound(f"token {token.name} has no previous secret: it was not rotated since")
    return msgspec.structs.replace(token, previous="")


def read_token(registry: Registry, name: str) -> Token:
    """One token. Raises NotFound, BadRequest(name)."""
    return _there(name, _bucket(registry, _path(name))[0].tokens.get(name))


def read_tokens(registry: Registry) -> list[Token]:
    """All tokens, by name."""
    buckets = read_all(registry, TOKENS, Bucket)
    found = [token for bucket in buckets for token in bucket.tokens.values()]
    return sorted(found, key=lambda token: token.name)


class _Known(NamedTuple):
    """A client and the digests of its valid secrets; _NOBODY where there is no previous one."""

    client: Client
    secret: bytes
    previous: bytes


_STRANGER = _Known(Client("", frozenset(), 0, 0), _NOBODY, _NOBODY)


class TokenGate:
    """`firehose.access.Gate` over the tokens in the registry, followed live.

    What changes is felt within a second, while the registry answers. While it does not, those who
    were known before go on being let in, and none besides: `age_ms` and `trouble` tell.
    """

    def __init__(self, registry: Registry, clock: Clock, reread_ms: int = REREAD_MS) -> None:
        self._live = Live(registry, (TOKENS,), lambda: _known(registry), clock, reread_ms)

    def start(self) -> None:
        """Read and follow; without a registry nobody is known, and `trouble` says so."""
        self._live.start()

    def close(self) -> None:
        """Stop following."""
        self._live.close()

    def refresh(self) -> None:
        """Read now. Raises Unavailable, Corrupt."""
        self._live.refresh()

    def admit(self, token: str, role: Role) -> Client:
        """See `firehose.access.Gate.admit`. No error repeats a token."""
        if not token:
            raise Unauthenticated("no token was given: send it as Authorization: Bearer TOKEN")
        # Strangers choose its length, so nothing is done with it before this.
        matched = _TOKEN.fullmatch(token) if len(token) <= TOKEN_CHARS_MAX else None
        if matched is None:
            raise Unauthenticated("what was given is no token: they begin with dct_")
        known = self._live.value
        if known is None:
            raise Unavailable("it is not known yet who has a token: the registry was not read")
        found = known.get(matched[1], _STRANGER)
        digest = hashlib.sha256(matched[2].encode()).digest()
        # Both are compared, so that the time tells nothing of which one it is.
        if not hmac.compare_digest(digest, found.secret) | hmac.compare_digest(
            digest, found.previous
        ):
            raise Unauthenticated("the token is not known: was it revoked, or rotated twice?")
        if role not in found.client.roles:
            raise PermissionDenied(f"client {found.client.name} does not have the role {role}")
        return found.client

    @property
    def age_ms(self) -> int | None:
        """Since when this has not been confirmed; None: never was."""
        return self._live.age_ms

    @property
    def trouble(self) -> str:
        """Why the last read failed; empty after a success."""
        return self._live.trouble


def _known(registry: Registry) -> Mapping[str, _Known]:
    return {token.name: _known_by(token) for token in read_tokens(registry)}


def _known_by(token: Token) -> _Known:
    roles = frozenset(role for role in Role if role.value in token.roles)
    client = Client(token.name, roles, token.streams_max, token.events_per_s)
    previous = bytes.fromhex(token.previous) if token.previous else _NOBODY
    return _Known(client, bytes.fromhex(token.secret), previous)


def _minted(name: str) -> tuple[str, str]:
    """A new token, and the digest of its secret."""
    secret = secrets.token_urlsafe(SECRET_BYTES)
    return f"dct_{name}_{secret}", hashlib.sha256(secret.encode()).hexdigest()


def _there(name: str, token: Token | None) -> Token:
    if token is None:
        raise NotFound(f"no token {name}: `cellctl tokens list` has those that there are")
    return token


def _check(wanted: Wanted) -> None:
    _path(wanted.name)
    if wanted.name.startswith(OURS):
        raise BadRequest("name", f"{wanted.name} begins as the platform's own groups do")
    if not wanted.roles:
        raise BadRequest("roles", f"none; give at least one of {', '.join(Role)}")
    for field, value, limit in (
        ("streams_max", wanted.streams_max, STREAMS_LIMIT),
        ("events_per_s", wanted.events_per_s, EVENTS_PER_S_LIMIT),
    ):
        if not 1 <= value <= limit:
            raise BadRequest(field, f"{value}; allowed are 1 to {limit:,}")


def _path(name: str) -> str:
    """Where a token lies. A name that cannot be is not repeated: it may be a token."""
    if not _NAME.fullmatch(name):
        raise BadRequest("name", f"a-z first, then up to {NAME_CHARS_MAX - 1} of a-z, 0-9 and `-`")
    return f"{TOKENS}/{crc32c(name.encode()) % BUCKETS}"


def _bucket(registry: Registry, path: str) -> tuple[Bucket, int | None]:
    """The tokens at `path` and its version; None: it does not exist."""
    try:
        node = registry.get(path)
    except NotFound:
        return Bucket(), None
    return decoded(path, node.value, Bucket), node.version


def _change(registry: Registry, name: str, change: Callable[[Token | None], Token | None]) -> None:
    """Write what `change` makes of a token; None: there is none. Who else changes tokens of the
    same bucket meanwhile is not undone."""
    path = _path(name)
    for _ in range(_TRIES):
        bucket, version = _bucket(registry, path)
        tokens = dict(bucket.tokens)
        made = change(tokens.pop(name, None))
        if made is not None:
            tokens[name] = made
        value = msgspec.json.encode(Bucket(tokens))
        try:
            if version is None:
                registry.create(path, value)
            else:
                registry.set(path, value, version)
        except Conflict:
            continue  # others were faster, with this token or another of the bucket
        except Unavailable as error:
            # Another rotation would end the secret that the client has now.
            raise Unavailable(
                f"{error}; it may have been done: look at `cellctl tokens list` first"
            ) from error
        return
    raise Conflict(f"others change tokens all the time: token {name} is as it was; try again")
