"""Ids of posts and events, and the spread of user ids over the key space.

An id is a 63-bit Snowflake: 41 bits of milliseconds since `ID_EPOCH_MS`, 10 bits of worker id,
12 bits of sequence. Ids order a page; they never decide what is applied.
"""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

ID_EPOCH_MS = 1_288_834_974_657
"""2010-11-04T01:42:54.657Z, as Twitter's Snowflake has it, so that ids of 2012 exist."""

WORKER_BITS = 10
SEQUENCE_BITS = 12
WORKERS = 1 << WORKER_BITS
SEQUENCES = 1 << SEQUENCE_BITS
MAX_ID = (1 << 63) - 1
MAX_USER = (1 << 63) - 1
"""Users are positive signed 64-bit integers: what every client language and Thrift can carry."""

U64 = (1 << 64) - 1
_C1 = 0xFF51AFD7ED558CCD
_C2 = 0xC4CEB9FE1A85EC53
_C1_INVERSE = pow(_C1, -1, 1 << 64)
_C2_INVERSE = pow(_C2, -1, 1 << 64)

U64Array = npt.NDArray[np.uint64]


class IdParts(NamedTuple):
    """What an id says of itself: `at_ms` since 1970, worker id, sequence within the millisecond."""

    at_ms: int
    worker: int
    sequence: int

    @property
    def at(self) -> str:
        """The time as ISO 8601 has it, UTC, to the millisecond: `2012-07-03T00:00:00.000Z`."""
        return iso_time(self.at_ms)


def iso_time(at_ms: int) -> str:
    """Milliseconds since 1970 as ISO 8601 has them, UTC. No float takes part."""
    moment = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=at_ms)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def compose(at_ms: int, worker: int, sequence: int) -> int:
    """The id of the `sequence`-th event of `worker` in millisecond `at_ms` (since 1970)."""
    since = at_ms - ID_EPOCH_MS
    if not 0 <= since < 1 << 41:
        raise ValueError(f"at_ms={at_ms} is outside the 69 years that ids can express")
    if not 0 <= worker < WORKERS or not 0 <= sequence < SEQUENCES:
        raise ValueError(f"worker={worker} or sequence={sequence} does not fit its bits")
    return since << (WORKER_BITS + SEQUENCE_BITS) | worker << SEQUENCE_BITS | sequence


def decompose(event_id: int) -> IdParts:
    """The parts of an id; the inverse of `compose`."""
    if not 0 <= event_id <= MAX_ID:
        raise ValueError(f"{event_id} is no 63-bit id")
    return IdParts(
        (event_id >> (WORKER_BITS + SEQUENCE_BITS)) + ID_EPOCH_MS,
        event_id >> SEQUENCE_BITS & WORKERS - 1,
        event_id & SEQUENCES - 1,
    )


def at_ms(event_id: int) -> int:
    """When the id was given, in milliseconds since 1970."""
    return (event_id >> (WORKER_BITS + SEQUENCE_BITS)) + ID_EPOCH_MS


def spread(user: int) -> int:
    """Where a user lies in the key space: murmur3's 64-bit finalizer, a bijection on 64 bits.

    Source: Austin Appleby, MurmurHash3, `fmix64`. spread(1) = b456bcfc34c2cb2c.
    """
    x = user & U64
    x ^= x >> 33
    x = x * _C1 & U64
    x ^= x >> 33
    x = x * _C2 & U64
    return x ^ x >> 33


def unspread(place: int) -> int:
    """The user at a place of the key space; the inverse of `spread`."""
    x = place & U64
    x ^= x >> 33
    x = x * _C2_INVERSE & U64
    x ^= x >> 33
    x = x * _C1_INVERSE & U64
    return x ^ x >> 33


def spread_array(users: U64Array) -> U64Array:
    """`spread` of each of an array of unsigned 64-bit user ids."""
    x = users.astype(np.uint64, copy=True)
    shift = np.uint64(33)
    x ^= x >> shift
    x *= np.uint64(_C1)
    x ^= x >> shift
    x *= np.uint64(_C2)
    x ^= x >> shift
    return x


def unspread_array(places: U64Array) -> U64Array:
    """`unspread` of each of an array of unsigned 64-bit places."""
    x = places.astype(np.uint64, copy=True)
    shift = np.uint64(33)
    x ^= x >> shift
    x *= np.uint64(_C2_INVERSE)
    x ^= x >> shift
    x *= np.uint64(_C1_INVERSE)
    x ^= x >> shift
    return x


def partition_of(user: int, partitions: int) -> int:
    """The firehose partition of events keyed by `user`; computed by us, so every log agrees."""
    return spread(user) % partitions
