"""Consumer groups as operators see them: members, lag by partition, and what a rewind would do."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from firehose.checkpoint import Checkpoints, MemberInfo
from firehose.cursor import Cursor, cursor_of
from firehose.log import Log, Span
from firehose.places import AtTime, check_same_log, resolve
from firehose.rewind import (
    Aim,
    Offsets,
    Shift,
    Step,
    Target,
    aimed,
    aimed_in_time,
    next_offsets,
    steps,
)
from idgen.errors import BadRequest, CursorTooOld, NotFound

READ_MS = 1_000


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """How far a group is in one partition.

    `offset`: its checkpoint; None: it has none, and begins at the log's start. `events`: how many
    it has to read; `gone`: how many the log forgot before it read them. `seconds`: the age of the
    oldest that it has to read, 0 where there is none; None: not asked for, or forgotten meanwhile.
    """

    partition: int
    client: str
    offset: int | None
    end: int
    events: int
    gone: int
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Group:
    """A group at one moment. `cursor`: where it reads next, for `--to-cursor`."""

    name: str
    members: tuple[MemberInfo, ...]
    partitions: tuple[PartitionLag, ...]
    cursor: str

    @property
    def events(self) -> int:
        """How many events it has to read."""
        return sum(each.events for each in self.partitions)

    @property
    def gone(self) -> int:
        """How many the log forgot before it read them."""
        return sum(each.gone for each in self.partitions)

    @property
    def seconds(self) -> float | None:
        """The age of the oldest event that it has to read; None: not known of every partition."""
        known = [each.seconds for each in self.partitions if each.seconds is not None]
        return max(known, default=None) if len(known) == len(self.partitions) else None


def look_at(
    log: Log, checkpoints: Checkpoints, name: str, now_ms: int, *, timed: bool = True
) -> Group:
    """A group; `timed`: with its lag in seconds, for which an event of each partition is read.

    Raises NotFound for one without members and checkpoints.
    """
    # The group first: what is appended meanwhile may count as lag, but a lag is never below zero.
    committed, members = _known(checkpoints, name)
    spans = log.spans()
    clients = {p: member.client for member in members for p in member.partitions}
    partitions = tuple(
        _lag(log, p, span, committed.get(p), clients.get(p, ""), now_ms if timed else None)
        for p, span in enumerate(spans)
    )
    cursor = cursor_of(log.identity, log.partitions, next_offsets(committed, spans))
    return Group(name, tuple(members), partitions, cursor.text())


def plan_rewind(
    log: Log,
    checkpoints: Checkpoints,
    name: str,
    wanted: tuple[str, Target],
    partitions: Collection[int] = (),
    *,
    now_ms: int,
    applied: Mapping[int, int] | None = None,
) -> tuple[Step, ...]:
    """What a rewind of a group would do. `wanted`: a target, with the field that errors name.
    `partitions`: which; empty: all that the target says something of. `applied`: see `steps`.

    Raises NotFound for an unknown group, BadRequest for what cannot be meant.
    """
    committed, _ = _known(checkpoints, name)
    spans = log.spans()
    for partition in partitions:
        if not 0 <= partition < len(spans):
            raise BadRequest("--partition", f"there is no partition {partition} of {len(spans)}")
    before = next_offsets(committed, spans)
    aims = _aims(log, spans, before, wanted, partitions, now_ms)
    return steps(before, aims, spans, applied)


def _known(checkpoints: Checkpoints, name: str) -> tuple[dict[int, int], list[MemberInfo]]:
    committed, members = checkpoints.committed(name), checkpoints.members(name)
    if not committed and not members:
        raise NotFound(f"no group {name!r} reads the firehose: see `cellctl firehose groups`")
    return committed, members


def _lag(
    log: Log, partition: int, span: Span, committed: int | None, client: str, now_ms: int | None
) -> PartitionLag:
    start, end = span
    offset = start if committed is None else committed
    first = max(offset, start)
    seconds = None
    if now_ms is not None:
        seconds = 0.0 if first >= end else _age_s(log, partition, first, now_ms)
    return PartitionLag(
        partition, client, committed, end, max(0, end - first), max(0, start - offset), seconds
    )


def _age_s(log: Log, partition: int, offset: int, now_ms: int) -> float | None:
    try:
        records = log.read(partition, offset, 1, READ_MS)
    except CursorTooOld:
        return None
    return max(0, now_ms - records[0].at_ms) / 1000 if records else None


def _aims(
    log: Log,
    spans: Sequence[Span],
    before: Mapping[int, int],
    wanted: tuple[str, Target],
    partitions: Collection[int],
    now_ms: int,
) -> dict[int, Aim]:
    field, target = wanted
    if isinstance(target, Cursor):
        check_same_log(field, target, log)
        return aimed(_picked(field, target.offsets, partitions, spans), spans)
    if isinstance(target, Offsets):
        return aimed(_picked(field, target.by_partition, partitions, spans), spans)
    chosen = sorted(set(partitions)) or range(len(spans))
    if isinstance(target, Shift):
        return aimed({p: before[p] + target.events for p in chosen}, spans)
    found = resolve(field, target, log, dict.fromkeys(chosen))
    if isinstance(target, AtTime):
        return aimed_in_time(found, spans, future=target.ms > now_ms)
    return aimed(found, spans)


def _picked(
    field: str, offsets: Mapping[int, int], partitions: Collection[int], spans: Sequence[Span]
) -> dict[int, int]:
    """The offsets of `partitions`; empty: all."""
    unknown = [p for p in offsets if not 0 <= p < len(spans)]
    if unknown:
        raise BadRequest(field, f"there is no partition {unknown[0]} of {len(spans)}")
    missing = sorted(set(partitions) - offsets.keys())
    if missing:
        raise BadRequest(field, f"it says nothing of partition {missing[0]}: leave that out")
    return {p: offsets[p] for p in partitions or offsets}
