"""The proofs on real input: a mixed load under faults, every dashboard against the model, a replay.

Used by the stack's tests and the embedded ones alike; see `tests.higgs.platform.Platform`.
"""

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial

from cell.dashboard import Dashboard
from tests.contract.patience import together, until
from tests.higgs import workload
from tests.higgs.data import Week
from tests.higgs.driver import WINDOW, Driver, asker
from tests.higgs.moving import Moving, moving
from tests.higgs.platform import Fault, Platform
from tests.oracle.compare import compare, lines, walk
from tests.oracle.history import History, Walk
from tests.oracle.invariants import violations
from tests.oracle.model import BOTH, Model
from tests.oracle.operations import Followed, Liked, Marked, Published, Unfollowed

THREADS = 4
WATCHED = 12
WALKS_MAX = 240
WATCH_PAUSE_S = 0.2
LOOK_PAUSE_S = 0.5
"""Between two dashboards during a replay, so that most of the machine is the replay's."""
DIFFERENCES_MAX = 5
CATCH_UP_S = 900.0
"""A bound for busy machines, not an expectation."""
OLDEST_FIRST_EVERY = 5
WINDOWS_PER_FAULT = 4


@dataclass(slots=True)
class Loaded:
    """A load that is over: what was done and seen, and what follows from it."""

    history: History
    model: Model = field(default_factory=Model)

    def __post_init__(self) -> None:
        self.model.apply_all(self.history.operations())


@dataclass(frozen=True, slots=True)
class Load:
    """What to load: activities of a week with all its edges, mixed by a seed, with faults, and with
    readers on the move."""

    week: Week
    activities: int
    seed: int
    faults: Sequence[Fault] = ()
    moving: Moving | None = None
    threads: int = THREADS
    extras_per_activity: float = workload.EXTRAS_PER_ACTIVITY
    catch_up_s: float = CATCH_UP_S

    def steps(self) -> list[workload.Step]:
        """The steps of the load, in order."""
        found = workload.steps(self.week, self.activities, self.seed, self.extras_per_activity)
        return list(found)


def load(platform: Platform, what: Load) -> Loaded:
    """Play the load, make its faults meanwhile, look at pages meanwhile; wait for the cells.

    Asserts that what was seen meanwhile broke no invariant, and that the lag went away by itself.
    """
    steps = what.steps()
    history = History()
    faults = _Faults(platform, what.faults, len(steps), what.seed)
    clients = [platform.client() for _ in range(what.threads)]
    window = min(WINDOW, len(steps) // (WINDOWS_PER_FAULT * (len(what.faults) + 1)) + 1)
    driver = Driver(clients, history, faults.progress, window=window)
    watched = _watched(steps, what.seed)
    on_the_move = (
        moving(platform, what.moving, watched, what.seed) if what.moving else nullcontext()
    )
    with watching(platform, watched, history), on_the_move:
        played = driver.play(steps)
        faults.finish()
    until("every cell applied the log", platform.caught_up, what.catch_up_s)
    assert played == len(steps)
    found = violations(history)
    assert not found, "\n".join([f"{len(found)} violations, seed {what.seed}", *found[:10]])
    return Loaded(history)


def sample(loaded: Loaded, count: int, largest: int, seed: int) -> list[int]:
    """Readers to look at: half of them anybody, half of those to whom more than posts happened,
    and those with the largest inboxes."""
    rnd = random.Random(seed)
    sizes = loaded.model.inbox_sizes()
    anybody = sorted(sizes)
    eventful = sorted(_eventful(loaded.history))
    chosen = set(rnd.sample(eventful, min(count // 2, len(eventful))))
    rnd.shuffle(anybody)
    for reader in anybody:
        if len(chosen) >= count:
            break
        chosen.add(reader)
    biggest = sorted(sizes, key=lambda reader: (-sizes[reader], reader))[:largest]
    return sorted(chosen | set(biggest))


def check_dashboards(platform: Platform, loaded: Loaded, readers: Sequence[int]) -> None:
    """Every page to the end of each reader, entry by entry as the model says; some both ways."""
    clients = [platform.client() for _ in range(THREADS)]

    def differences(share: tuple[Dashboard, Sequence[int]]) -> list[str]:
        dashboard, part = share
        ask = asker(dashboard)
        found: list[str] = []
        for at, reader in enumerate(part):
            found.append(compare(loaded.model, ask, reader))
            if at % OLDEST_FIRST_EVERY == 0:
                found.append(compare(loaded.model, ask, reader, oldest_first=True, limit=37))
        return [text for text in found if text]

    shares = [(client, readers[at::THREADS]) for at, client in enumerate(clients)]
    with ThreadPoolExecutor(THREADS, "reader") as pool:
        found = [text for texts in pool.map(differences, shares) for text in texts]
    report = "\n".join(found[:DIFFERENCES_MAX])
    assert not found, f"{len(found)} of {len(readers)} dashboards differ:\n{report}"


def check_replay(
    platform: Platform, loaded: Loaded, readers: Sequence[int], patience_s: float = CATCH_UP_S
) -> int:
    """Rewind all cells to the beginning: no row and no version is another afterwards, and pages
    are right all the while. Returns how many dashboards were looked at during the replay."""
    before = _hashes(platform)
    ask = asker(platform.client())
    for cell in platform.cells:
        platform.rewind(cell)
    looked = 0
    pause = threading.Event()

    def replayed() -> bool:
        nonlocal looked
        if all(platform.replayed(cell) for cell in platform.cells):
            return True
        found = compare(loaded.model, ask, readers[looked % len(readers)])
        assert not found, f"during the replay: {found}"
        looked += 1
        pause.wait(LOOK_PAUSE_S)
        return False

    until("the replay came to the end of the log", replayed, patience_s)
    assert _hashes(platform) == before, "a replay changed rows"
    return looked


def _hashes(platform: Platform) -> list[str]:
    return together([partial(platform.table_hash, cell) for cell in platform.cells], CATCH_UP_S)


class _Faults:
    """Makes each fault while the load goes on, the next one when the one before is over."""

    def __init__(self, platform: Platform, faults: Sequence[Fault], steps: int, seed: int) -> None:
        self._platform = platform
        share = steps / (len(faults) + 1)
        self._due = [((at + 1) * share, fault) for at, fault in enumerate(faults)]
        self._random = random.Random(seed)
        self._pool = ThreadPoolExecutor(1, "faults")
        self._wait: Callable[[], None] = lambda: None

    def progress(self, played: int) -> None:
        if self._due and played >= self._due[0][0]:
            self._wait()
            _, fault = self._due.pop(0)
            cell = self._random.choice(self._platform.cells)
            self._wait = self._pool.submit(self._platform.inject, fault, cell).result

    def finish(self) -> None:
        self._wait()
        self._pool.shutdown()
        assert not self._due, f"the load was over before {[fault for _, fault in self._due]}"


@contextmanager
def watching(platform: Platform, readers: Sequence[int], history: History) -> Iterator[None]:
    """Somebody looks at these readers' dashboards all the while."""
    over = threading.Event()
    dashboard = platform.client()

    def watch() -> None:
        ask = asker(dashboard)
        for at in range(WALKS_MAX):
            if over.is_set():
                return
            reader = readers[at % len(readers)]
            began = history.tick()
            pages = [tuple(lines([page])) for page in walk(ask, reader)]
            ended = history.tick()
            history.saw(Walk(reader, BOTH, False, began, ended, tuple(pages)))
            over.wait(WATCH_PAUSE_S)

    with ThreadPoolExecutor(1, "watcher") as pool:
        watching = pool.submit(watch)
        try:
            yield
        finally:
            over.set()
        watching.result()


def _watched(steps: Sequence[workload.Step], seed: int) -> list[int]:
    """Readers to whom something happens, but not so much that judging them takes long."""
    left = {step.follower for step in steps if isinstance(step, workload.Unfollow)}
    return random.Random(seed).sample(sorted(left), min(WATCHED, len(left)))


def _eventful(history: History) -> set[int]:
    """Readers who unfollowed, refollowed, were liked, or marked something."""
    found: set[int] = set()
    seen: set[tuple[int, int]] = set()
    for operation in history.operations():
        match operation:
            case Unfollowed():
                found.add(operation.follower)
            case Liked():
                found.add(operation.author)
            case Marked():
                found.add(operation.reader)
            case Followed():
                pair = (operation.follower, operation.author)
                if pair in seen:
                    found.add(operation.follower)
                seen.add(pair)
            case Published(author=author) if operation.content.reblog_of is not None:
                found.add(author)
            case _:
                pass
    return found
