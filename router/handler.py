"""The router: the dashboard API for everybody, whichever cell a reader is homed in.

Writes are validated and appended to the firehose. Reads are relayed to the reader's home. What any
cell can answer (posts, an author's timeline) is asked of the author's home first, so that the
same author is read from the same cell, and of the other cells when that one does not answer.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Protocol, TypeVar

from cell.dashboard import (
    BATCH_MAX,
    Build,
    Context,
    Count,
    Dashboard,
    Follows,
    Home,
    Page,
    PageQuery,
    PostView,
    Topology,
)
from firehose.event import Lane, PostRef
from firehose.log import Log
from firehose.validation import check_batch, check_ref, check_user
from firehose.writes import Ids, Writes
from idgen.clock import Clock
from idgen.errors import (
    DashcellError,
    DeadlineExceeded,
    Moved,
    NotFound,
    Throttled,
    Unavailable,
)
from router.homes import Endpoints, Homes
from router.routes import RouteTable
from router.slices import Slice

IN_FLIGHT_PER_CELL = 64
WAITING_SHARE = 2
AVOID_MS = 1_000
"""So long a cell that did not answer is asked last, where another can answer."""
_MOVING_RETRY_MS = 200
_THROTTLED_RETRY_MS = 50

_Answer = TypeVar("_Answer")
_Ask = Callable[[Dashboard, Context], _Answer]


class CellClients(Endpoints, Protocol):
    """How the router reaches the cells; joined in `ops`."""

    def dashboards(self, cell: str) -> Dashboard:
        """A client of a cell's dashboard endpoints, which picks among them and skips dead ones.

        Its calls raise what the endpoint raised; Unavailable when none answers, and
        DeadlineExceeded when the context's deadline passed. Raises NotFound or Unavailable when no
        endpoint of the cell is known.
        """
        ...


class Router(Writes):
    """`cell.dashboard.Dashboard` over all cells: the writes, and reads that it relays.

    Used by any number of threads.

    At most `in_flight_per_cell` calls wait for a cell at any time, and one more is Throttled at
    once: so a slow cell is felt by its own readers only, as long as the server that hosts this has
    more threads than that. Pages that name `at_least` wait for the cell to apply a write, and may
    have half of that: so a cell that lags goes on serving everybody else.
    """

    def __init__(
        self,
        routes: RouteTable,
        cells: CellClients,
        firehose: Log,
        ids: Ids,
        clock: Clock,
        build: Build,
        *,
        backfill_default: int = 100,
        in_flight_per_cell: int = IN_FLIGHT_PER_CELL,
    ) -> None:
        super().__init__(firehose, ids, clock, backfill_default)
        self._routes = routes
        self._cells = cells
        self._homes = Homes(routes, cells)
        self._clock = clock
        self._build = build
        self._gates = _Gates(in_flight_per_cell)
        self._waiting = _Gates(max(1, in_flight_per_cell // WAITING_SHARE))
        self._avoided: dict[str, int] = {}

    def page(self, ctx: Context, query: PageQuery) -> Page:
        """A page, from the reader's home."""
        return self._at_home(
            ctx,
            query.reader,
            lambda cell, left: cell.page(left, query),
            waits=bool(query.at_least),
        )

    def author_posts(
        self, ctx: Context, author: int, before: bytes, after: bytes, limit: int
    ) -> Page:
        """An author's posts, from any cell."""
        check_user("author", author)
        return self._anywhere(
            ctx,
            author,
            lambda cell, left: cell.author_posts(left, author, before, after, limit),
        )

    def posts(self, ctx: Context, refs: Sequence[PostRef]) -> list[PostView]:
        """Posts, from any cell."""
        check_batch("refs", refs, BATCH_MAX)
        for i, ref in enumerate(refs):
            check_ref(f"refs[{i}]", ref)
        if not refs:
            return []
        return self._anywhere(ctx, refs[0].author, lambda cell, left: cell.posts(left, refs))

    def count_newer(self, ctx: Context, reader: int, lane: Lane, cursor: bytes, cap: int) -> Count:
        """How many entries are newer, from the reader's home."""
        return self._at_home(
            ctx, reader, lambda cell, left: cell.count_newer(left, reader, lane, cursor, cap)
        )

    def unread(self, ctx: Context, reader: int, lane: Lane, cap: int) -> Count:
        """How many entries are unread, from the reader's home."""
        return self._at_home(ctx, reader, lambda cell, left: cell.unread(left, reader, lane, cap))

    def following(self, ctx: Context, reader: int, after: int, limit: int) -> Follows:
        """Whom a reader follows, from the reader's home."""
        return self._at_home(
            ctx, reader, lambda cell, left: cell.following(left, reader, after, limit)
        )

    def is_following(self, ctx: Context, reader: int, authors: Sequence[int]) -> tuple[int, ...]:
        """Which of the authors a reader follows, from the reader's home."""
        return self._at_home(
            ctx, reader, lambda cell, left: cell.is_following(left, reader, authors)
        )

    def route(self, ctx: Context, reader: int) -> Home:
        """Where a reader is homed, as last known here."""
        check_user("reader", reader)
        return self._homes.of(reader)

    def topology(self, ctx: Context) -> Topology:
        """All slices and the cells that are home to somebody, as last known here."""
        return self._homes.topology()

    def version(self, ctx: Context) -> Build:
        """What this is."""
        return self._build

    def in_flight(self) -> dict[str, int]:
        """How many calls wait for each cell now, for the metrics."""
        return self._gates.in_flight()

    def _at_home(
        self, ctx: Context, reader: int, ask: _Ask[_Answer], *, waits: bool = False
    ) -> _Answer:
        """The answer of the reader's home; where the route turns out old, of the cell named."""
        check_user("reader", reader)
        deadline = _Deadline(ctx, self._clock)
        home = self._routes.home(reader)
        try:
            return self._ask(home.cell, deadline.left(), ask, waits=waits)
        except Moved as moved:
            cell = self._corrected(reader, home, moved)
        try:
            return self._ask(cell, deadline.left(), ask, waits=waits)
        except Moved as moved:
            raise Unavailable(
                f"the reader is being rehomed: {home.cell!r} names {cell!r}, which names "
                f"{moved.cell!r}",
                _MOVING_RETRY_MS,
            ) from moved

    def _corrected(self, reader: int, home: Slice, moved: Moved) -> str:
        """The cell to ask after a Moved: what the routes say now, or what the cell said if that
        is of a later epoch (or the routes cannot be read)."""
        try:
            self._routes.refresh()
        except DashcellError:
            return moved.cell
        now = self._routes.home(reader)
        return now.cell if now.epoch > max(home.epoch, moved.epoch) else moved.cell

    def _anywhere(self, ctx: Context, author: int, ask: _Ask[_Answer]) -> _Answer:
        """The answer of the first cell that has one; each try gets its share of the time left."""
        deadline = _Deadline(ctx, self._clock)
        cells = self._preferred(self._routes.home(author).cell)
        last: DashcellError | None = None
        for tried, cell in enumerate(cells):
            left = deadline.left(len(cells) - tried)
            try:
                return self._ask(cell, left, ask)
            except Throttled as error:
                last = error
            except (Unavailable, DeadlineExceeded) as error:
                self._avoided[cell] = self._clock.monotonic_ms() + AVOID_MS
                last = error
        assert last is not None, "routes name at least one cell"
        raise last

    def _preferred(self, first: str) -> list[str]:
        """All cells that are home to somebody: `first`, then by name; those avoided at the end."""
        now_ms = self._clock.monotonic_ms()
        return sorted(
            self._routes.slices().cells(),
            key=lambda cell: (self._avoided.get(cell, 0) > now_ms, cell != first, cell),
        )

    def _ask(self, cell: str, ctx: Context, ask: _Ask[_Answer], *, waits: bool = False) -> _Answer:
        try:
            client = self._cells.dashboards(cell)
        except NotFound as error:
            raise Unavailable(f"cell {cell!r} is not known (yet): {error}") from error
        waiting = self._waiting.passed(cell) if waits else nullcontext()
        with waiting, self._gates.passed(cell):
            return ask(client, ctx)


class _Deadline:
    """What is left of a call's time."""

    def __init__(self, ctx: Context, clock: Clock) -> None:
        self._ctx = ctx
        self._clock = clock
        self._end_ms = clock.monotonic_ms() + ctx.deadline_ms

    def left(self, shares: int = 1) -> Context:
        """The context for the next of `shares` tries. Raises DeadlineExceeded when none is left."""
        left_ms = self._end_ms - self._clock.monotonic_ms()
        if left_ms <= 0:
            raise DeadlineExceeded(f"no answer within {self._ctx.deadline_ms} ms")
        return replace(self._ctx, deadline_ms=max(1, left_ms // shares))


class _Gates:
    """Counts the calls in flight per cell and refuses those above the bound."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}

    @contextmanager
    def passed(self, cell: str) -> Iterator[None]:
        with self._lock:
            count = self._counts.get(cell, 0)
            if count >= self._bound:
                raise Throttled(
                    f"{count} calls wait for cell {cell!r} already", _THROTTLED_RETRY_MS
                )
            self._counts[cell] = count + 1
        try:
            yield
        finally:
            with self._lock:
                self._counts[cell] -= 1

    def in_flight(self) -> dict[str, int]:
        with self._lock:
            return dict(self._counts)
