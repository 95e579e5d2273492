"""Changes: whose pages each acknowledged batch has changed, as records of a cell's own change log.

Dashboards keep pages in memory (cell.page_cache) and must know when one is out of date. A worker
writes its rows, then its applied positions, then a record that has both: the positions as they are
now, and the names of all whose pages are others now. So whoever has read the records up to a
position knows of every change up to it; that one is missing is seen by its step.

A name has 32 bits: a record of 100,000 readers is one of 400 KB. Where two share a name, a page is
read anew although it need not be.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from cell import keys
from cell.batch import Batch
from cell.state import PartitionState
from firehose.log import Log
from firehose.position import Applied
from idgen.errors import Corrupt
from idgen.ids import spread_array

Names = npt.NDArray[np.uint32]

NAMES_MAX: Final = 100_000
"""Of readers and of posts in one record: 800 KB, within the log's bound."""
RETENTION_MS: Final = 600_000
"""Readers begin at the end of the log and keep up with it, or begin at its end again."""
NONE: Final[Names] = np.empty(0, dtype=np.uint32)


class Reached(msgspec.Struct, frozen=True, array_like=True):
    """How far a partition is applied, as the `step`-th word of its owner of this `generation`, who
    has obeyed all `commands` below this offset."""

    generation: int
    step: int
    high: int
    open: tuple[int, ...] = ()
    commands: int = 0

    @property
    def applied(self) -> Applied:
        """The applied position."""
        return Applied(self.high, self.open)


class Changed(NamedTuple):
    """Names of readers whose pages, and of posts which are others now."""

    readers: Names = NONE
    posts: Names = NONE


class Change(NamedTuple):
    """A record: the partitions that have advanced, and what has changed up to there."""

    reached: Mapping[int, Reached]
    changed: Changed


class _Packed(msgspec.Struct, frozen=True, array_like=True):
    """A record's form: MessagePack, names as big-endian u32."""

    reached: dict[int, Reached]
    readers: bytes
    posts: bytes


_DECODER: msgspec.msgpack.Decoder[_Packed] = msgspec.msgpack.Decoder(_Packed)


def encode(change: Change) -> bytes:
    """A change as a record of the change log."""
    readers, posts = (names.astype(">u4").tobytes() for names in change.changed)
    return msgspec.msgpack.encode(_Packed(dict(change.reached), readers, posts))


def decode(value: bytes) -> Change:
    """The change in a record. Raises Corrupt for anything else."""
    try:
        packed = _DECODER.decode(value)
        return Change(packed.reached, Changed(_names(packed.readers), _names(packed.posts)))
    except (msgspec.DecodeError, ValueError) as e:
        raise Corrupt(f"not a change of this version: {e}; upgrade the dashboards first") from e


def reached_of(state: PartitionState) -> Reached:
    """What a partition's state says of its position."""
    return Reached(state.generation, state.step, state.high, state.open, state.commands)


def reader_name(place: int) -> int:
    """The name of the pages of the reader at `place`, whose bits are spread evenly."""
    return place >> 32


def post_names(post_keys: Iterable[bytes]) -> Names:
    """The names of the posts with these keys: a post changes when it comes and when it goes."""
    pairs = keys.key_numbers(np.frombuffer(b"".join(post_keys), dtype=np.uint8).reshape(-1, 16))
    names = (pairs[:, 0] ^ spread_array(~pairs[:, 1])) >> np.uint64(32)
    return names.astype(np.uint32)


def author_names(authors: Iterable[int]) -> Names:
    """The names of what authors have posted, whichever it is: of those whom everybody pulls, for
    nobody is told of their posts who does not look for them."""
    return post_names(keys.post_key(author, 0) for author in authors)


def changed_by(batch: Batch) -> Changed:
    """What a batch makes out of date."""
    of_readers = (keys.MARKS, keys.FOLLOWING)
    state = [row for table in of_readers for row in batch.state.get(table, ())]
    readers = [row.key[:4] for row in (*batch.notices, *state)]
    posts = post_names(row.key for row in (*batch.posts, *batch.state.get(keys.POSTS, ())))
    if batch.looked_up:
        posts = np.concatenate([posts, author_names(batch.looked_up)])
    entries = np.ascontiguousarray(batch.entries.rows().keys[:, :4])
    return Changed(np.concatenate([_names(entries.tobytes()), _names(b"".join(readers))]), posts)


def announce(log: Log, advanced: Mapping[int, PartitionState], changed: Changed) -> None:
    """Tell the positions that are stored now, and what has changed up to them.

    Raises Unavailable when it is not sure that it was told: then the worker has to claim its
    partitions anew, whose new generation tells readers that they may have missed something.
    """
    reached = {p: reached_of(state) for p, state in advanced.items()}
    parts = _in_parts(changed)
    if not reached and not parts:
        return
    # The positions come with the last part: they vouch for all of them.
    changes = [Change({}, part) for part in parts[:-1]]
    changes.append(Change(reached, parts[-1] if parts else Changed()))
    log.append([(0, encode(change)) for change in changes])


def _in_parts(changed: Changed) -> list[Changed]:
    """What has changed, in parts that fit into a record."""
    longest = max(len(names) for names in changed)
    return [
        Changed(*(names[at : at + NAMES_MAX] for names in changed))
        for at in range(0, longest, NAMES_MAX)
    ]


def _names(packed: bytes) -> Names:
    return np.frombuffer(packed, dtype=">u4").astype(np.uint32)
