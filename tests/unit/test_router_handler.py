"""The router: whom it asks, what it does about old routes, dead cells and slow ones."""

import inspect
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cell.dashboard import (
    Build,
    Context,
    Count,
    Dashboard,
    Home,
    NewFollow,
    NewPost,
    Page,
    PageQuery,
    PostView,
    SliceHome,
    Topology,
)
from firehose.codec import decode
from firehose.event import Draft, Lane, PostRef
from idgen.errors import (
    BadRequest,
    Behind,
    DeadlineExceeded,
    Moved,
    NotFound,
    Throttled,
    Unavailable,
)
from idgen.ids import MAX_USER, unspread
from router.handler import AVOID_MS, Router
from router.routes import RouteTable, change_routes, create_routes
from router.slices import PLACES, even
from tests.contract.patience import together
from tests.unit.firehose_world import IdsInARow, ManualClock, open_log
from tests.unit.registry_world import NEVER_MS, PATIENCE_S, FallibleRegistry

CTX = Context(1000, "request-1")
IN_A = next(user for user in map(unspread, range(5, 1000)) if user <= MAX_USER)
IN_B = next(u for u in map(unspread, range(PLACES // 2, PLACES // 2 + 99)) if u <= MAX_USER)
PAGE = Page((), b"", b"", end=True, token=b"t", cell="a", epoch=1, lag_ms=0)

Answer = Callable[[Context], Any]


class ScriptedCell:
    """Answers every read by `answer`, and remembers what it was asked."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked: list[tuple[str, Context]] = []
        self.answer: Answer = lambda ctx: f"from {name}"

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        def called(ctx: Context, *rest: object) -> Any:
            self.asked.append((verb, ctx))
            return self.answer(ctx)

        return called


class ScriptedClients:
    def __init__(self, *cells: ScriptedCell) -> None:
        self.cells = {cell.name: cell for cell in cells}

    def dashboards(self, cell: str) -> Dashboard:
        if cell not in self.cells:
            raise NotFound(f"no endpoint of cell {cell!r} is registered")
        return self.cells[cell]  # type: ignore[return-value]

    def addresses(self, cell: str) -> tuple[str, ...]:
        return (f"{cell}.example:9090",)


class World:
    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self.registry = FallibleRegistry(folder / "registry.sqlite")
        create_routes(self.registry, even(["a", "b"]))
        self.routes = RouteTable(self.registry, self.clock, folder / "routes", NEVER_MS)
        # Not started: so it knows of a change only when the router makes it read.
        self.routes.refresh()
        self.a, self.b = ScriptedCell("a"), ScriptedCell("b")
        self.clients = ScriptedClients(self.a, self.b)
        self.log = open_log(folder, 8)
        self.ids = IdsInARow()
        self.router = Router(
            self.routes,
            self.clients,
            self.log,
            self.ids,
            self.clock,
            Build("0.1.0", "router"),
            in_flight_per_cell=2,
        )

    def rehome(self, start: int, end: int, cell: str) -> None:
        def change(slices: Any) -> Any:
            drawn, epoch = slices.draw(start, end)
            return drawn.rehome(start, end, cell, epoch)

        change_routes(self.registry, change)

    def close(self) -> None:
        self.routes.close()
        self.registry.close()
        self.log.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = World(tmp_path)
    yield found
    found.close()


def fails(error: Exception) -> Answer:
    def answer(ctx: Context) -> Any:
        raise error

    return answer


READS: list[tuple[str, Callable[[Router, int], object]]] = [
    ("page", lambda r, u: r.page(CTX, PageQuery(u))),
    ("count_newer", lambda r, u: r.count_newer(CTX, u, Lane.POSTS, b"c", 10)),
    ("unread", lambda r, u: r.unread(CTX, u, Lane.NOTICES, 10)),
    ("following", lambda r, u: r.following(CTX, u, 0, 10)),
    ("is_following", lambda r, u: r.is_following(CTX, u, [1])),
]
ANYWHERE: list[tuple[str, Callable[[Router, int], object]]] = [
    ("author_posts", lambda r, u: r.author_posts(CTX, u, b"", b"", 20)),
    ("posts", lambda r, u: r.posts(CTX, [PostRef(u, 1), PostRef(IN_A, 2)])),
]


def test_it_has_every_method_of_the_api_with_the_same_arguments() -> None:
    for name, method in inspect.getmembers(Dashboard, inspect.isfunction):
        if not name.startswith("_"):
            expected = list(inspect.signature(method).parameters)
            assert list(inspect.signature(getattr(Router, name)).parameters) == expected


@pytest.mark.parametrize(("verb", "read"), READS, ids=lambda v: v if isinstance(v, str) else "")
def test_reads_go_to_the_readers_home(
    world: World, verb: str, read: Callable[[Router, int], object]
) -> None:
    assert read(world.router, IN_A) == "from a"
    assert read(world.router, IN_B) == "from b"
    assert world.a.asked == world.b.asked == [(verb, CTX)]


@pytest.mark.parametrize(("verb", "read"), ANYWHERE, ids=lambda v: v if isinstance(v, str) else "")
def test_posts_are_read_from_the_authors_home_first(
    world: World, verb: str, read: Callable[[Router, int], object]
) -> None:
    assert read(world.router, IN_B) == "from b"
    assert world.a.asked == []
    assert [v for v, _ in world.b.asked] == [verb]


@pytest.mark.parametrize(
    "error", [Unavailable("down"), DeadlineExceeded("slow"), Throttled("busy", 5)]
)
@pytest.mark.parametrize(("verb", "read"), ANYWHERE, ids=lambda v: v if isinstance(v, str) else "")
def test_posts_are_read_from_another_cell_when_that_one_has_no_answer(
    world: World, verb: str, read: Callable[[Router, int], object], error: Exception
) -> None:
    world.b.answer = fails(error)
    assert read(world.router, IN_B) == "from a"
    assert len(world.b.asked) == 1


def test_each_cell_gets_its_share_of_the_time(world: World) -> None:
    def slow(ctx: Context) -> Any:
        world.clock.pause(ctx.deadline_ms)
        raise DeadlineExceeded("slow")

    world.b.answer = slow
    assert world.router.author_posts(CTX, IN_B, b"", b"", 20) == "from a"
    assert world.b.asked[0][1] == Context(500, "request-1")
    assert world.a.asked[0][1] == Context(500, "request-1")


def test_a_cell_that_did_not_answer_is_asked_last_for_a_while(world: World) -> None:
    def posts() -> object:
        return world.router.posts(CTX, [PostRef(IN_B, 1)])

    world.b.answer = fails(Unavailable("down"))
    posts()
    world.b.answer = lambda ctx: "from b"
    assert posts() == "from a"
    world.clock.pause(AVOID_MS)
    assert posts() == "from b"


def test_when_no_cell_answers_the_last_error_is_told(world: World) -> None:
    world.b.answer = fails(Unavailable("b is down", 700))
    world.a.answer = fails(Unavailable("a is down", 800))
    with pytest.raises(Unavailable, match="a is down") as told:
        world.router.posts(CTX, [PostRef(IN_B, 1)])
    assert told.value.retry_after_ms == 800


def test_what_a_cell_refuses_is_told_and_not_tried_elsewhere(world: World) -> None:
    for error in (BadRequest("before", "not a cursor"), Behind("behind", b"t")):
        world.b.answer = fails(error)
        with pytest.raises(type(error)):
            world.router.author_posts(CTX, IN_B, b"x", b"", 20)
        with pytest.raises(type(error)):
            world.router.page(CTX, PageQuery(IN_B))
    assert world.a.asked == []


def test_moved_makes_it_read_the_routes_and_ask_the_cell_named(world: World) -> None:
    world.rehome(0, 1000, "b")
    world.a.answer = fails(Moved("b", 2))
    assert world.router.page(CTX, PageQuery(IN_A)) == "from b"
    world.a.asked.clear()
    assert world.router.page(CTX, PageQuery(IN_A)) == "from b"
    assert world.a.asked == []


def test_moved_is_believed_while_the_registry_is_down(world: World) -> None:
    world.registry.down = True
    world.a.answer = fails(Moved("b", 2))
    assert world.router.page(CTX, PageQuery(IN_A)) == "from b"


def test_routes_later_than_moved_says_are_believed(world: World) -> None:
    world.rehome(0, 1000, "b")
    world.rehome(0, 1000, "a")
    answers = iter([fails(Moved("b", 2)), lambda ctx: "from a, at last"])

    def one_after_the_other(ctx: Context) -> Any:
        return next(answers)(ctx)

    world.a.answer = one_after_the_other
    assert world.router.page(CTX, PageQuery(IN_A)) == "from a, at last"
    assert world.b.asked == []


def test_moved_twice_is_unavailable_for_a_moment(world: World) -> None:
    world.a.answer = fails(Moved("b", 2))
    world.b.answer = fails(Moved("a", 1))
    with pytest.raises(Unavailable, match="being rehomed") as told:
        world.router.page(CTX, PageQuery(IN_A))
    assert told.value.retry_after_ms <= 1000
    assert (len(world.a.asked), len(world.b.asked)) == (1, 1)


def test_the_second_try_has_the_time_that_is_left(world: World) -> None:
    def moved_late(ctx: Context) -> Any:
        world.clock.pause(600)
        raise Moved("b", 2)

    world.a.answer = moved_late
    world.router.page(CTX, PageQuery(IN_A))
    assert world.b.asked[0][1].deadline_ms == 400
    with pytest.raises(DeadlineExceeded, match="within 500 ms"):
        world.router.page(Context(500), PageQuery(IN_A))


def test_without_time_no_cell_is_asked(world: World) -> None:
    with pytest.raises(DeadlineExceeded):
        world.router.page(Context(0), PageQuery(IN_A))
    with pytest.raises(DeadlineExceeded):
        world.router.author_posts(Context(0), IN_A, b"", b"", 20)
    assert world.a.asked == []


def test_a_cell_without_endpoints_is_unavailable(world: World) -> None:
    del world.clients.cells["b"]
    with pytest.raises(Unavailable, match="cell 'b' is not known"):
        world.router.page(CTX, PageQuery(IN_B))
    assert world.router.posts(CTX, [PostRef(IN_B, 1)]) == "from a"


def test_a_slow_cell_is_felt_by_its_own_readers_only(world: World) -> None:
    entered = threading.Semaphore(0)
    leave = threading.Event()

    def slow(ctx: Context) -> Any:
        entered.release()
        assert leave.wait(PATIENCE_S)
        return "from b, late"

    world.b.answer = slow
    answers: list[object] = []

    def ask() -> None:
        answers.append(world.router.page(CTX, PageQuery(IN_B)))

    def judge() -> None:
        for _ in range(2):
            assert entered.acquire(timeout=PATIENCE_S)
        try:
            assert world.router.in_flight()["b"] == 2
            with pytest.raises(Throttled) as told:
                world.router.page(CTX, PageQuery(IN_B))
            assert told.value.retry_after_ms > 0
            assert world.router.page(CTX, PageQuery(IN_A)) == "from a"
            assert world.router.posts(CTX, [PostRef(IN_B, 1)]) == "from a"
        finally:
            leave.set()

    together([ask, ask, judge], PATIENCE_S)
    assert answers == ["from b, late"] * 2
    assert world.router.in_flight() == {"a": 0, "b": 0}
    world.b.answer = lambda ctx: "from b"
    assert world.router.page(CTX, PageQuery(IN_B)) == "from b"


def test_pages_that_wait_for_a_write_leave_room_for_those_that_do_not(world: World) -> None:
    entered, leave = threading.Event(), threading.Event()

    def lagging(ctx: Context) -> Any:
        entered.set()
        assert leave.wait(PATIENCE_S)
        return "with the write"

    world.b.answer = lagging
    waiting = PageQuery(IN_B, at_least=(b"token",))

    def wait() -> None:
        assert world.router.page(CTX, waiting) == "with the write"

    def judge() -> None:
        assert entered.wait(PATIENCE_S)
        try:
            with pytest.raises(Throttled):
                world.router.page(CTX, waiting)
            world.b.answer = lambda ctx: "at once"
            assert world.router.page(CTX, PageQuery(IN_B)) == "at once"
        finally:
            leave.set()

    together([wait, judge], PATIENCE_S)
    assert world.router.page(CTX, waiting) == "at once"


def test_a_failed_call_gives_its_place_back(world: World) -> None:
    world.b.answer = fails(Unavailable("down"))
    for _ in range(5):
        with pytest.raises(Unavailable):
            world.router.page(CTX, PageQuery(IN_B))


def test_who_is_no_user_is_asked_of_nobody(world: World) -> None:
    for _, read in READS:
        with pytest.raises(BadRequest, match=r"^reader:"):
            read(world.router, -1)
    with pytest.raises(BadRequest, match=r"^reader:"):
        world.router.route(CTX, 0)
    with pytest.raises(BadRequest, match=r"^author:"):
        world.router.author_posts(CTX, 0, b"", b"", 20)
    with pytest.raises(BadRequest, match=r"^refs\[1\].id:"):
        world.router.posts(CTX, [PostRef(1, 1), PostRef(1, 0)])
    with pytest.raises(BadRequest, match=r"^refs: has 1001"):
        world.router.posts(CTX, [PostRef(1, 1)] * 1001)
    assert world.router.posts(CTX, []) == []
    assert world.a.asked == world.b.asked == []


def test_writes_are_appended_and_no_cell_is_asked(world: World) -> None:
    router = world.router
    post = PostRef(5, 77)
    receipts = [
        router.publish(CTX, 5, Draft(), None),
        *router.publish_many(CTX, [NewPost(5, Draft()), NewPost(6, Draft())]),
        router.remove_post(CTX, 5, 77, None),
        router.follow(CTX, NewFollow(6, 5)),
        *router.follow_many(CTX, [NewFollow(6, 5)]),
        router.unfollow(CTX, 6, 5, None),
        router.like(CTX, 6, post, None),
        router.unlike(CTX, 6, post, None),
        router.mark_read(CTX, 6, Lane.POSTS, 77),
    ]
    written = [decode(r.value) for p in range(8) for r in world.log.read(p, 0, 100)]
    assert sorted(e.id for e in written) == [r.id for r in receipts]
    counts = Counter(type(e).__name__ for e in written)
    assert counts.pop("PostCreated") == 3
    assert counts.pop("Followed") == 2
    others = {"PostRemoved", "Unfollowed", "Liked", "Unliked", "MarkedRead"}
    assert counts == dict.fromkeys(others, 1)
    assert world.a.asked == world.b.asked == []


def test_routes_and_topology_are_answered_from_memory(world: World) -> None:
    world.registry.down = True
    assert world.router.route(CTX, IN_B) == Home("b", 1, ("b.example:9090",))
    assert world.router.topology(CTX) == Topology(
        (SliceHome(0, "a", 1), SliceHome(PLACES // 2, "b", 1)),
        {"a": ("a.example:9090",), "b": ("b.example:9090",)},
    )
    assert world.router.version(CTX) == Build("0.1.0", "router")


def test_answers_are_handed_on_unchanged(world: World) -> None:
    view = PostView(PostRef(IN_A, 1), 5, None, removed=True)
    for answer, read in (
        (PAGE, lambda: world.router.page(CTX, PageQuery(IN_A))),
        (Count(3, capped=True), lambda: world.router.unread(CTX, IN_A, Lane.POSTS, 3)),
        ([view], lambda: world.router.posts(CTX, [PostRef(IN_A, 1)])),
    ):
        world.a.answer = lambda ctx, answer=answer: answer
        assert read() is answer
