"""Faults that happen to moves in each of their states, on real servers: while one move is held in
every stage, and in every state, something dies; they go on in the middle of that, and all is right.
"""

import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import pytest

from cell import keys
from cell.dashboard import Context
from idgen.ids import spread
from ops.wiring.stack import StackSeams
from router.moves import STAGES, MoveState, Stage
from router.services import SERVICES, read_roles
from tests.contract.patience import until
from tests.higgs.driver import DEADLINE_MS, Ids, _send_all, asker, batches, insist, send
from tests.higgs.proof import watching
from tests.oracle.compare import compare
from tests.oracle.history import History
from tests.oracle.invariants import violations
from tests.oracle.model import Model
from tests.oracle.operations import (
    POSTS,
    Content,
    Followed,
    Liked,
    Marked,
    Operation,
    Published,
    Removed,
    Unfollowed,
)
from tests.stack.moves_held import WAIT_S, WAYS, MovesHeld, places
from tests.stack.sessions import end_session, password_of
from tests.stack.stack_world import READY_S, StackWorld

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(600)]

MOVED = range(1, len(places()) + 1)
USERS = range(1, 2 * len(places()) + 1)
PARTITIONS = 8
"""Fewer than by default: many moves at once ask both cells for the state of each."""
FOLLOWED = 6
FIRST_POSTS = 4
WATCHED = 5
PAUSE_S = 0.2
CATCH_UP_S = 180.0
SERVICES_SEEN = {"idgen", "firehose", "router", "dashboard", "ingest"}
HELD_TABLES = (keys.FOLLOWING, keys.LIKES, keys.FANS, keys.INBOX, keys.NOTICES)

Release = Callable[[], None]


class FaultedWorld(StackWorld):
    """The faults; each lets the moves go on as soon as it has begun."""

    def kill_gateways(self, release: Release) -> None:
        """Of both cells, so that whichever a move speaks to next is gone."""
        gateways = [
            f"hbase-{cell}-{kind}" for cell in self.cells for kind in ("thrift1", "thrift2")
        ]
        self._kill_all(gateways, release)

    def kill_region_servers(self, release: Release) -> None:
        """Of both cells."""
        self._kill_all([f"hbase-{cell}-regionserver" for cell in self.cells], release)

    def kill_ingest(self, release: Release) -> None:
        """The workers of both cells."""
        self._kill_all([f"ingest-{cell}" for cell in self.cells], release)

    def restart_zookeeper(self, release: Release) -> None:
        """It is killed, and started again on its files."""
        self._kill_all(["zookeeper"], release)

    def expire_sessions(self, release: Release) -> None:
        """The session of the mover, and that of every service."""
        mover = self.mover_seams._client.client_id
        assert password_of(mover[0]) == mover[1]
        end_session(self._zookeeper, mover[0])
        release()
        before = self._sessions()
        assert {role for role, _ in before} == SERVICES_SEEN
        for session in before.values():
            end_session(self._zookeeper, session)
        new = set(before.values())
        until(
            "every service has another session",
            lambda: (
                self._sessions().keys() == before.keys()
                and new.isdisjoint(self._sessions().values())
            ),
            READY_S,
        )
        assert self.mover_seams._client.client_id[0] != mover[0]

    def begin(self) -> None:
        """The stack's own mover is stopped: the test's carries the moves, in a session of its
        own."""
        self._running.supervisor.stop_child("mover")
        self.mover_seams = StackSeams(self._config, self._zookeeper)

    def left(self, cell: str, reader: int) -> int:
        """How many rows a cell has of a reader, of any band, besides marks."""
        tables = self._seams.cell(cell).tables
        place = spread(reader)
        start, stop = keys.place_bytes(place), keys.after_prefix(place)
        return sum(len(tables.scan(table, start, stop, 1_000)) for table in HELD_TABLES)

    def _sessions(self) -> dict[tuple[str, str], int]:
        """The session of each registered service, by role and id."""
        registry, client = self._seams.registry, self._seams._client
        found = {}
        for role in read_roles(registry):
            for name in registry.list(f"{SERVICES}/{role}"):
                stat = client.exists(registry.full(f"{SERVICES}/{role}/{name}"))
                if stat is not None:
                    found[role, name] = stat.ephemeralOwner
        return found

    def _kill_all(self, names: list[str], release: Release) -> None:
        supervisor = self._running.supervisor
        before = {name: supervisor.restarts(name) for name in names}
        for name in names:
            supervisor.kill(name, signal.SIGKILL)
        release()
        for name in names:
            until(f"{name} died", lambda n=name: supervisor.restarts(n) > before[n], READY_S)
        supervisor.wait_ready(names, READY_S)


FAULTS: dict[str, Callable[[FaultedWorld, Release], None]] = {
    "gateways killed": FaultedWorld.kill_gateways,
    "region servers killed": FaultedWorld.kill_region_servers,
    "ingest killed": FaultedWorld.kill_ingest,
    "ZooKeeper restarted": FaultedWorld.restart_zookeeper,
    "sessions expired": FaultedWorld.expire_sessions,
}


class Users:
    """What users do, all the while, one thing after the other; and what that has to look like."""

    def __init__(self, world: StackWorld, seed: int) -> None:
        self.world = world
        self.history = History()
        self._rnd = random.Random(seed)
        self._ids = Ids()
        self._posts: list[Published] = []
        self._dashboard = world.client()

    def begin(self) -> None:
        """Everybody follows some, and has written something."""
        done: list[Operation] = [self._post(user) for user in USERS for _ in range(FIRST_POSTS)]
        for user in USERS:
            authors = self._rnd.sample([other for other in USERS if other != user], FOLLOWED)
            done += [Followed(self._ids.take(), user, author) for author in authors]
        for batch in batches(done):
            sent = self.history.tick()
            insist(partial(_send_all, self._dashboard, batch))
            self.history.acknowledge_all(batch, sent)

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """While this lasts, they do things."""
        over = threading.Event()

        def go_on() -> None:
            while not over.is_set():
                self._something()
                over.wait(PAUSE_S)

        with ThreadPoolExecutor(1, "users") as pool:
            going = pool.submit(go_on)
            try:
                yield
            finally:
                over.set()
            going.result()

    def model(self) -> Model:
        """What it has to look like now."""
        model = Model()
        model.apply_all(self.history.operations())
        return model

    def _something(self) -> None:
        user, other = self._rnd.sample(USERS, 2)
        post = self._rnd.choice(self._posts)
        match self._rnd.randrange(8):
            case 0 | 1 | 2:
                self._do(self._post(user))
            case 3:
                self._do(Followed(self._ids.take(), user, other))
            case 4:
                self._do(Unfollowed(self._ids.take(), user, other))
            case 5:
                self._do(Removed(self._ids.take(), post.author, post.id))
            case 6:
                self._do(Liked(self._ids.take(), user, post.author, post.id))
            case _:
                self._do(Marked(self._ids.take(), user, POSTS, post.id))

    def _post(self, author: int) -> Published:
        mentions = tuple(self._rnd.sample(USERS, self._rnd.randrange(3)))
        post = Published(self._ids.take(), author, Content(body="text", mentions=mentions))
        self._posts.append(post)
        return post

    def _do(self, operation: Operation) -> None:
        sent = self.history.tick()
        insist(lambda: send(self._dashboard, Context(DEADLINE_MS), operation))
        self.history.acknowledge(operation, sent)


@pytest.fixture(scope="module")
def seed() -> int:
    seed = int(os.environ.get("DASHCELL_SIM_SEED", random.randrange(1, 10_000)))
    print(f"DASHCELL_SIM_SEED={seed}")
    return seed


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultedWorld]:
    with FaultedWorld(tmp_path_factory.mktemp("faults"), PARTITIONS) as made:
        made.begin()
        try:
            yield made
        finally:
            made.mover_seams.close()


@pytest.fixture(scope="module")
def users(world: FaultedWorld, seed: int) -> Users:
    made = Users(world, seed)
    made.begin()
    return made


def test_every_stage_and_every_state_is_a_place_to_be_held_at() -> None:
    assert WAYS.keys() == STAGES.keys() == set(MoveState), "a new state needs a way to it"
    assert {place.stage for place in places()} == set(Stage) - {Stage.FINISHED}
    assert {place.state for place in places()} == set(MoveState)


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_happens_in_any_state_moves_end_and_pages_are_right(
    world: FaultedWorld, users: Users, fault: str
) -> None:
    readers = dict(zip(places(), MOVED, strict=True))
    sources = {reader: world.home(spread(reader)) for reader in MOVED}
    targets = {reader: _other(world, cell) for reader, cell in sources.items()}
    until("every cell has applied the log", world.caught_up, CATCH_UP_S)
    held = MovesHeld(world.mover_seams, world.moves())
    watched = random.Random(fault).sample(MOVED, WATCHED)
    with users.going_on(), watching(world, watched, users.history), held.running():
        held.begin(readers, lambda reader: targets[reader])
        FAULTS[fault](world, held.let_go)
        until("the moves are over", lambda: insist(held.finished), WAIT_S)
    until("every cell has applied the log", world.caught_up, CATCH_UP_S)
    found = violations(users.history)
    assert not found, found[:10]
    model, ask = users.model(), asker(world.client())
    for reader in USERS:
        assert compare(model, ask, reader) == ""
    for place, reader in readers.items():
        stays = place.state in (MoveState.CANCELLED, MoveState.REVERSED)
        home = sources[reader] if stays else targets[reader]
        assert world.home(spread(reader)) == home, place
        assert world.left(_other(world, home), reader) == 0, place


def _other(world: StackWorld, cell: str) -> str:
    return next(each for each in world.cells if each != cell)
