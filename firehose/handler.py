"""The verbs of the service Firehose (thrift/firehose.thrift) over domain values."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from firehose.access import Client, Gate, Role
from firehose.cursor import cursor_of
from firehose.log import Log, Span
from firehose.quota import Quotas
from firehose.reads import Asked, Found, Reads
from firehose.receipts import BATCH_MAX, Context, EventReceipt, NewEvent
from firehose.validation import check_batch
from firehose.writes import Where, Writes
from idgen.clock import Clock

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Window:
    """What can be read now: the cursors of its ends; when its oldest and its newest event were
    appended (None: there is none); how long events are kept; the server's clock."""

    oldest: str
    newest: str
    oldest_ms: int | None
    newest_ms: int | None
    retention_ms: int
    now_ms: int


class FirehoseHandler:
    """Called by the server template, from many threads.

    `admit` comes first: the other verbs take the client that it lets in.
    """

    def __init__(
        self, log: Log, writes: Writes, gate: Gate, clock: Clock, retention_ms: int
    ) -> None:
        self._log = log
        self._writes = writes
        self._gate = gate
        self._clock = clock
        self._retention_ms = retention_ms
        self._quotas = Quotas(clock)
        self._reads = Reads(log, clock)

    def admit(self, token: str, role: Role) -> Client:
        """Who has this token. Raises Unauthenticated, PermissionDenied, Unavailable."""
        return self._gate.admit(token, role)

    def append(
        self, ctx: Context, client: Client, news: Sequence[NewEvent], where: Where
    ) -> list[EventReceipt]:
        """Write up to BATCH_MAX events in their order; the receipts are in that order too.

        Raises BadRequest before anything is written, Throttled above the client's quota,
        Unavailable, DeadlineExceeded.
        """
        check_batch("events", news, BATCH_MAX)
        self._quotas.take(client, len(news))
        return self._writes.append(ctx, news, where)

    def read(self, ctx: Context, client: Client, asked: Asked) -> Found:
        """See `Reads.read`."""
        return self._reads.read(ctx, client, asked)

    def positions(self, _client: Client) -> Sequence[Span]:
        """The retained offsets, by partition number."""
        return self._log.spans()

    def window(self, _client: Client) -> Window:
        """How far back it can be read."""
        log, now_ms = self._log, self._clock.now_ms()
        spans = log.spans()
        starts, ends = [span.start for span in spans], [span.end for span in spans]
        oldest_ms = newest_ms = None
        if starts != ends:
            # Brokers have clocks of their own, which may be ahead.
            after_ms = now_ms + DAY_MS
            oldest_ms = _last(after_ms, lambda ms: _none_above(log.offsets_at(ms), starts))
            newest_ms = _last(after_ms, lambda ms: not _none_above(ends, log.offsets_at(ms)))
        return Window(
            cursor_of(log.identity, log.partitions, dict(enumerate(starts))).text(),
            cursor_of(log.identity, log.partitions, dict(enumerate(ends))).text(),
            oldest_ms,
            newest_ms,
            self._retention_ms,
            now_ms,
        )

    def close(self) -> None:
        """Let go of what is kept for calls that may follow."""
        self._reads.close()


def _none_above(offsets: Sequence[int], others: Sequence[int]) -> bool:
    return all(offset <= other for offset, other in zip(offsets, others, strict=True))


def _last(before_ms: int, holds: Callable[[int], bool]) -> int:
    """The last millisecond for which something holds that held at 0, and once it does not, never
    holds again: some 40 look-ups by time, where reading would take one for each partition."""
    first_ms = 0
    while before_ms - first_ms > 1:
        middle_ms = (first_ms + before_ms) // 2
        if holds(middle_ms):
            first_ms = middle_ms
        else:
            before_ms = middle_ms
    return first_ms
