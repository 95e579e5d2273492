"""Plays a workload through any Dashboard and records what was acknowledged, in order.

Every write brings its id, so a call that failed is made again as the same write until its receipt
comes. Operations of one key are played by one thread, one after the other, so the recorded order of
each key is the order of its receipts. What a call that seemed to fail may still do later is at
most the same write once more, between two others of its key only if the log itself delays it
beyond the receipt of its repetition; the log's producer keeps its order, so it does not.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import TypeVar, assert_never

from cell.dashboard import (
    BATCH_MAX,
    Context,
    Dashboard,
    NewFollow,
    NewPost,
    Page,
    PageQuery,
    Receipt,
)
from firehose.event import Draft, Lane, PostKind, PostRef
from idgen.errors import DeadlineExceeded, Throttled, Unavailable
from idgen.ids import SEQUENCES, WORKERS, compose
from tests.higgs import workload
from tests.higgs.data import content
from tests.oracle.compare import Ask
from tests.oracle.history import History
from tests.oracle.operations import (
    Content,
    Followed,
    Liked,
    Marked,
    Operation,
    Published,
    Ref,
    Removed,
    Unfollowed,
    Unliked,
)

Answer = TypeVar("Answer")

WINDOW = 8_000
DEADLINE_MS = 20_000
PATIENCE_S = 180.0
PAUSE_MS_MAX = 500
TOKENS_MAX = 64


class Ids:
    """Ids of this machine's clock, ascending, by one of the last worker ids (no lease gives them
    so soon)."""

    def __init__(self, worker: int = WORKERS - 1) -> None:
        self._worker = worker
        self._lock = threading.Lock()
        self._at_ms = 0
        self._sequence = 0

    def take(self) -> int:
        """The next id."""
        with self._lock:
            now_ms = time.time_ns() // 1_000_000
            if now_ms > self._at_ms:
                self._at_ms, self._sequence = now_ms, 0
            elif self._sequence + 1 < SEQUENCES:
                self._sequence += 1
            else:
                self._at_ms, self._sequence = self._at_ms + 1, 0
            return compose(self._at_ms, self._worker, self._sequence)


def insist(
    call: Callable[[], Answer], patience_s: float = PATIENCE_S, stop: threading.Event | None = None
) -> Answer:
    """Make a call again while servers are away, for `patience_s`; the last error is raised."""
    pause = stop or threading.Event()
    until = time.monotonic() + patience_s
    while True:
        try:
            return call()
        except (Unavailable, DeadlineExceeded, Throttled) as error:
            left_s = until - time.monotonic()
            if left_s <= 0 or pause.is_set():
                raise
            wait_ms = min(getattr(error, "retry_after_ms", PAUSE_MS_MAX), PAUSE_MS_MAX)
            pause.wait(min(wait_ms / 1000, left_s))


def asker(dashboard: Dashboard, deadline_ms: int = DEADLINE_MS) -> Ask:
    """How the oracle asks this dashboard for pages."""

    def ask(
        reader: int,
        lanes: frozenset[int],
        *,
        before: bytes = b"",
        after: bytes = b"",
        oldest_first: bool = False,
        limit: int = 100,
        at_least: tuple[bytes, ...] = (),
    ) -> Page:
        query = PageQuery(
            reader,
            frozenset(Lane(lane) for lane in lanes),
            before=before,
            after=after,
            oldest_first=oldest_first,
            limit=limit,
            at_least=at_least,
        )
        return insist(lambda: dashboard.page(Context(deadline_ms), query))

    return ask


def draft_of(of: Content) -> Draft:
    """What is published, in the API's words."""

    def ref(of: Ref | None) -> PostRef | None:
        return None if of is None else PostRef(*of)

    return Draft(
        kind=PostKind(of.kind),
        title=of.title,
        body=of.body,
        tags=of.tags,
        mentions=of.mentions,
        reblog_of=ref(of.reblog_of),
        reply_to=ref(of.reply_to),
        at_ms=of.at_ms,
    )


def send(dashboard: Dashboard, ctx: Context, operation: Operation) -> Receipt:
    """One operation as one call, with the id that it brings."""
    match operation:
        case Published(id=id_, author=author):
            return dashboard.publish(ctx, author, draft_of(operation.content), id_)
        case Removed(id=id_, author=author, post=post):
            return dashboard.remove_post(ctx, author, post, id_)
        case Followed(id=id_, follower=follower, author=author, backfill=backfill):
            return dashboard.follow(ctx, NewFollow(follower, author, id_, backfill))
        case Unfollowed(id=id_, follower=follower, author=author):
            return dashboard.unfollow(ctx, follower, author, id_)
        case Liked(id=id_, actor=actor, author=author, post=post):
            return dashboard.like(ctx, actor, PostRef(author, post), id_)
        case Unliked(id=id_, actor=actor, author=author, post=post):
            return dashboard.unlike(ctx, actor, PostRef(author, post), id_)
        case Marked(reader=reader, lane=lane, upto=upto):
            return dashboard.mark_read(ctx, reader, Lane(lane), upto)
        case _:
            assert_never(operation)


@dataclass(slots=True)
class Driver:
    """Plays steps through `dashboards`, one thread with each, and records them in `history`.

    `window` steps are shared out at a time; `progress`, if given, is called after each with the
    number of steps played.
    """

    dashboards: Sequence[Dashboard]
    history: History
    progress: Callable[[int], None] = lambda played: None
    patience_s: float = PATIENCE_S
    window: int = WINDOW
    _ids: Ids = field(default_factory=Ids)
    _posts: dict[int, int] = field(default_factory=dict)
    _tokens: deque[bytes] = field(default_factory=lambda: deque(maxlen=TOKENS_MAX))

    def play(self, steps: Iterable[workload.Step]) -> int:
        """Play all steps; how many there were. Raises what a write failed with for good."""
        played = 0
        left = iter(steps)
        count = len(self.dashboards)
        with ThreadPoolExecutor(count, "driver") as pool:
            while window := list(islice(left, self.window)):
                shards: list[list[Operation]] = [[] for _ in range(count)]
                for step in window:
                    shards[step.key % count].append(self._operation(step))
                for done in pool.map(self._play_shard, self.dashboards, shards):
                    played += done
                self.progress(played)
        return played

    def tokens(self) -> tuple[bytes, ...]:
        """Tokens of the newest receipts: an answer that includes them is recent."""
        return tuple(self._tokens)

    def _operation(self, step: workload.Step) -> Operation:
        """The step with its ids; a line's post keeps its id, so publishing it again is a retry."""
        match step:
            case workload.Publish(line=line, earlier=earlier):
                post = self._posts.get(line.number) or self._ids.take()
                self._posts[line.number] = post
                ref = None if earlier is None else (line.other, self._posts[earlier])
                return Published(post, line.author, content(line, ref))
            case workload.Remove(author=author, line=number):
                return Removed(self._ids.take(), author, self._posts[number])
            case workload.Follow(follower=follower, author=author, backfill=backfill):
                return Followed(self._ids.take(), follower, author, backfill)
            case workload.Unfollow(follower=follower, author=author):
                return Unfollowed(self._ids.take(), follower, author)
            case workload.Like(actor=actor, author=author, line=number, back=back):
                kind = Unliked if back else Liked
                return kind(self._ids.take(), actor, author, self._posts[number])
            case workload.Mark(reader=reader, lane=lane, line=number):
                return Marked(self._ids.take(), reader, lane, self._posts[number])
            case _:
                assert_never(step)

    def _play_shard(self, dashboard: Dashboard, operations: Sequence[Operation]) -> int:
        for batch in batches(operations):
            sent = self.history.tick()
            receipts = insist(partial(_send_all, dashboard, batch), self.patience_s)
            for operation, receipt in zip(batch, receipts, strict=True):
                if not isinstance(operation, Marked):
                    assert receipt.id == operation.id, f"{operation} got the receipt {receipt.id}"
            self._tokens.append(receipts[-1].token)
            self.history.acknowledge_all(batch, sent)
        return len(operations)


def batches(operations: Sequence[Operation]) -> Iterator[list[Operation]]:
    """Calls to make, one after the other: full batches of posts and of follows, and singles.

    Only the order of each key is kept, which is all that matters; so the leading posts of all keys
    go into one batch, then their leading follows.
    """
    queues: dict[int, deque[Operation]] = {}
    for operation in operations:
        queues.setdefault(operation.key, deque()).append(operation)
    while queues:
        for kind in (Followed, Published):
            run: list[Operation] = []
            for queue in queues.values():
                while queue and isinstance(queue[0], kind):
                    run.append(queue.popleft())
            for at in range(0, len(run), BATCH_MAX):
                yield run[at : at + BATCH_MAX]
        for queue in queues.values():
            if queue and not isinstance(queue[0], Followed | Published):
                yield [queue.popleft()]
        queues = {key: queue for key, queue in queues.items() if queue}


def _send_all(dashboard: Dashboard, batch: Sequence[Operation]) -> Sequence[Receipt]:
    ctx = Context(DEADLINE_MS)
    if len(batch) == 1:
        return [send(dashboard, ctx, batch[0])]
    posts = [
        NewPost(o.author, draft_of(o.content), o.id) for o in batch if isinstance(o, Published)
    ]
    if posts:
        return dashboard.publish_many(ctx, posts)
    follows = [
        NewFollow(o.follower, o.author, o.id, o.backfill) for o in batch if isinstance(o, Followed)
    ]
    return dashboard.follow_many(ctx, follows)
