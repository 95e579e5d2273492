"""What every peer that delivers posts is measured through."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from idgen.errors import DashcellError
from idgen.ids import U64Array


class Fanout(NamedTuple):
    """One post and whom it goes to.

    `at` is the version of its rows (1..2^63 - 2) where the store has versions; `places` are the
    readers' places in the key space (`idgen.ids.spread_array`), n >= 0 unsigned 64-bit integers.
    """

    post_id: int
    author: int
    at: int
    places: U64Array


class Writer(Protocol):
    """A peer that delivers. For one thread; used until it is closed."""

    name: str

    def write(self, fanouts: Sequence[Fanout]) -> int:
        """Deliver to every reader; the number of rows that the store has acknowledged.

        Returns when all are. Raises PeerFailed otherwise.
        """
        ...

    def close(self) -> None:
        """Let go of connections and processes."""
        ...


class PeerMissing(DashcellError):
    """A peer cannot be run here; the message says what is missing and what would help."""

    reason = "peer_missing"


class PeerFailed(DashcellError):
    """A peer that was running did not do what was asked; the message ends with its last words."""

    reason = "peer_failed"


def rows_in(fanouts: Sequence[Fanout]) -> int:
    """How many rows these fan-outs are."""
    return sum(len(fanout.places) for fanout in fanouts)
