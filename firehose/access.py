"""Who may do what with the firehose: clients, what they may, and how much.

A client is known by a bearer token. What is kept of tokens, and where, is for who has a `Gate`.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Role(StrEnum):
    """What a client may: `read` events and its own groups, `append` events, `operate` on groups of
    anybody."""

    READ = "read"
    APPEND = "append"
    OPERATE = "operate"


@dataclass(frozen=True, slots=True)
class Client:
    """One who was let in. `streams_max`: streams at once, `events_per_s`: events appended in a
    second, each at one server."""

    name: str
    roles: frozenset[Role]
    streams_max: int
    events_per_s: int


class Gate(Protocol):
    """Lets clients in; for any number of threads, and never waits for a server."""

    def admit(self, token: str, role: Role) -> Client:
        """The client of a token, who has the role.

        Raises Unauthenticated for no token, an unknown or a revoked one; PermissionDenied, naming
        the role that is missing; Unavailable while it is not known who there is.
        """
        ...
