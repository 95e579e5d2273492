"""Routes: the slices as they lie in the registry, changed by one versioned `multi`.

`/routes` names the pieces in order, `/routes/<name>` holds a run of slices each; the few positions
that cells answer after, right after a move, are in `/routes`. Every change writes `/routes` too, so
its version tells whether pieces read one by one belong together. A router follows them by
`RouteTable`, with a copy on disk to go on from while the registry is down.
"""

import os
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import msgspec

from idgen.clock import Clock
from idgen.errors import BadRequest, Conflict, Corrupt, DashcellError, NotFound, Unavailable
from idgen.ids import spread
from router.live import REREAD_MS, Live
from router.registry import Change, Create, Delete, Node, Registry, Set
from router.slices import PIECE_BYTES_MAX, Slice, Slices, from_bytes, pieces, to_bytes

ROUTES = "/routes"
_TRIES = 8


class Routes(NamedTuple):
    """All slices as of a version of `/routes`."""

    slices: Slices
    version: int


class Prepared(NamedTuple):
    """Changes of the registry, none where nothing changes, and the routes after them."""

    changes: tuple[Change, ...]
    routes: Routes


class RouteStatus(NamedTuple):
    """How current a table is: `age_ms` None means it is the copy on disk, not yet confirmed."""

    slices: int
    version: int
    age_ms: int | None
    trouble: str


class _Head(msgspec.Struct, frozen=True):
    pieces: tuple[str, ...]
    next: int
    """The name of the next new piece; names are never given twice."""
    after: dict[str, tuple[int, ...]] = {}
    """`Slice.after` by the slice's start in hexadecimal, of those that have one."""


class _Piece(NamedTuple):
    name: str
    slices: list[Slice]
    node: Node


class _Loaded(NamedTuple):
    head: _Head
    version: int
    pieces: list[_Piece]

    @property
    def slices(self) -> Slices:
        return Slices(
            replace(s, after=self.head.after.get(_start(s), ()))
            for piece in self.pieces
            for s in piece.slices
        )


def create_routes(registry: Registry, slices: Slices) -> None:
    """Write the first routes of a platform. Raises Conflict when there are some."""
    runs = pieces(list(slices))
    head = _Head(tuple(str(i) for i in range(len(runs))), len(runs), _afters(slices))
    registry.multi(
        [
            Create(ROUTES, msgspec.json.encode(head)),
            *(Create(f"{ROUTES}/{i}", to_bytes(run)) for i, run in enumerate(runs)),
        ]
    )


def read_routes(registry: Registry) -> Routes:
    """The routes as they are. Raises NotFound before they were created, Corrupt, Unavailable."""
    loaded = _load(registry)
    return Routes(loaded.slices, loaded.version)


def change_routes(
    registry: Registry,
    change: Callable[[Slices], Slices],
    also: Sequence[Change] = (),
    piece_bytes_max: int = PIECE_BYTES_MAX,
) -> Routes:
    """Replace the routes by what the pure `change` makes of them, together with `also`, or not.

    When somebody else changed them meanwhile it is tried again on theirs. Raises what `change`
    raises, Conflict when that goes on or `also` is refused, Unavailable (done or not: read again).
    """
    for attempt in range(_TRIES):
        made = prepare_routes(registry, change, piece_bytes_max)
        if not made.changes and not also:
            return made.routes
        try:
            registry.multi([*made.changes, *also])
        except Conflict:
            if attempt == _TRIES - 1:
                raise
        else:
            return made.routes
    raise AssertionError("the last attempt returns or raises")


def prepare_routes(
    registry: Registry,
    change: Callable[[Slices], Slices],
    piece_bytes_max: int = PIECE_BYTES_MAX,
) -> "Prepared":
    """What a `multi` has to hold to replace the routes by what the pure `change` makes of them; it
    is refused when somebody else has changed them first. Raises what `change` raises."""
    loaded = _load(registry)
    slices = change(loaded.slices)
    if slices == loaded.slices:
        return Prepared((), Routes(slices, loaded.version))
    changes = tuple(_plan(loaded, slices, piece_bytes_max))
    return Prepared(changes, Routes(slices, loaded.version + 1))


class RouteTable:
    """The routes, kept current; look-ups never wait for the registry. Safe for many threads."""

    def __init__(
        self, registry: Registry, clock: Clock, copy: Path, reread_ms: int = REREAD_MS
    ) -> None:
        self._registry = registry
        self._copy = copy
        self._copied: Routes | None = None
        self._copy_trouble = ""
        self._live = Live(registry, (ROUTES,), self._read, clock, reread_ms)

    def start(self) -> None:
        """Read the routes, else take the copy on disk, and follow.

        Raises Unavailable when there is neither: nobody's home is known.
        """
        self._live.start()
        if self._live.value is None:
            try:
                self._live.seed(_read_copy(self._copy))
            except DashcellError as error:
                self._live.close()
                raise Unavailable(
                    f"no routes: the registry says {self._live.trouble!r}, and {error}"
                ) from error

    def close(self) -> None:
        """Stop following."""
        self._live.close()

    def slices(self) -> Slices:
        """All slices as last known."""
        return self._routes().slices

    def home(self, user: int) -> Slice:
        """The slice that a user is in."""
        return self._routes().slices.at(spread(user))

    def refresh(self) -> None:
        """Read the routes now. Raises Unavailable, and then the last ones go on."""
        self._live.refresh()

    def status(self) -> RouteStatus:
        """How many slices, of which version, how old, and what is wrong."""
        routes = self._routes()
        trouble = self._live.trouble or self._copy_trouble
        return RouteStatus(len(routes.slices), routes.version, self._live.age_ms, trouble)

    def _routes(self) -> Routes:
        routes = self._live.value
        if routes is None:
            raise Unavailable("the routes have not been read yet")
        return routes

    def _read(self) -> Routes:
        routes = read_routes(self._registry)
        if routes != self._copied:
            self._save(routes)
        return routes

    def _save(self, routes: Routes) -> None:
        """Keep a copy; a full disk must not stop the router, so it is told in the status."""
        try:
            _write_copy(self._copy, routes)
        except OSError as error:
            self._copy_trouble = f"the copy of the routes at {self._copy} is old: {error}"
        else:
            self._copied = routes
            self._copy_trouble = ""


def _load(registry: Registry) -> _Loaded:
    for _ in range(_TRIES):
        node = registry.get(ROUTES)
        head = _head(node.value)
        try:
            found = [_piece(registry, name) for name in head.pieces]
        except NotFound:
            continue  # a change has taken the piece away since; the head says which there are now
        if registry.get(ROUTES).version == node.version:
            return _Loaded(head, node.version, found)
    raise Unavailable("the routes change faster than they can be read")


def _start(s: Slice) -> str:
    return f"{s.start:016x}"


def _afters(slices: Slices) -> dict[str, tuple[int, ...]]:
    return {_start(s): s.after for s in slices if s.after}


def _head(value: bytes) -> _Head:
    try:
        return msgspec.json.decode(value, type=_Head)
    except msgspec.MsgspecError as error:
        raise Corrupt(f"{ROUTES} in the registry cannot be read: {error}") from error


def _piece(registry: Registry, name: str) -> _Piece:
    node = registry.get(f"{ROUTES}/{name}")
    return _Piece(name, from_bytes(node.value), node)


def _plan(loaded: _Loaded, slices: Slices, piece_bytes_max: int) -> list[Change]:
    """The changes from what was loaded to `slices`: pieces keep their bounds, so that a change
    touches those it concerns; one that has grown too long is divided, an empty one goes."""
    runs: list[list[Slice]] = [[] for _ in loaded.pieces]
    bounds = [piece.slices[0].start for piece in loaded.pieces]
    for s in slices:
        runs[bisect_right(bounds, s.start) - 1].append(s)
    changes: list[Change] = []
    names: list[str] = []
    following = loaded.head.next
    for piece, run in zip(loaded.pieces, runs, strict=True):
        path = f"{ROUTES}/{piece.name}"
        if not run:
            changes.append(Delete(path, piece.node.version))
            continue
        first, *rest = pieces(run, piece_bytes_max)
        names.append(piece.name)
        if to_bytes(first) != piece.node.value:
            changes.append(Set(path, to_bytes(first), piece.node.version))
        for part in rest:
            changes.append(Create(f"{ROUTES}/{following}", to_bytes(part)))
            names.append(str(following))
            following += 1
    head = _Head(tuple(names), following, _afters(slices))
    return [Set(ROUTES, msgspec.json.encode(head), loaded.version), *changes]


def _write_copy(path: Path, routes: Routes) -> None:
    data = b"%d\n%b\n" % (routes.version, to_bytes(routes.slices))
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    with fresh.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _read_copy(path: Path) -> Routes:
    try:
        version, _, data = path.read_bytes().partition(b"\n")
        return Routes(Slices(from_bytes(data)), int(version))
    except FileNotFoundError:
        raise NotFound(f"there is no copy at {path}") from None
    except (OSError, ValueError, Corrupt, BadRequest) as error:
        raise Corrupt(f"the copy at {path} cannot be read: {error}") from error
