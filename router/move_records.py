"""Moves in the registry: created, read, changed and finished by writes of versions.

`/moves/<id>` holds a move with its whole history; `/moves` which ones are not finished, so that two
moves never overlap; `/moves/<id>/mover`, ephemeral, who carries it.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import msgspec

from cell.slice_rows import Walked
from idgen.errors import Conflict, Corrupt, NotFound
from router.history import Happened
from router.holding import let_go
from router.moves import (
    ALREADY_MOVING,
    Move,
    MoveState,
    Refused,
    Stage,
    happened,
    under_way,
)
from router.registry import Check, Create, Node, Registry, Set
from router.routes import prepare_routes
from router.slices import Slices

MOVES = "/moves"
FINISHED_MAX = 1_000
"""So many finished moves are kept to be shown."""
_TRIES = 20
_DECODER = msgspec.json.Decoder(Move)


class Found(NamedTuple):
    """A move and the version of its record."""

    move: Move
    version: int


class Wanted(NamedTuple):
    """A move that somebody asks for; `reader` 0: a slice."""

    start: int
    last: int
    target: str
    reader: int = 0
    keep_ms: int = 3_600_000
    stop_before_switch: bool = False
    rehearsal: bool = False


class _Head(msgspec.Struct, frozen=True):
    next: int = 1
    open: dict[int, tuple[int, int]] = {}
    """The slices (start, last) of the moves that are not finished."""


def create_move(registry: Registry, wanted: Wanted, by: str, now_ms: int) -> Move:
    """Draw an epoch and write the move, in one call.

    Raises Refused when another move is under way in the range, when parts of it are homed in
    different cells, or when it is homed in the target already; BadRequest(range).
    """
    for _ in range(_TRIES):
        head, version = _read_head(registry)
        for other in _overlapping(head, wanted.start, wanted.last):
            raise Refused(ALREADY_MOVING, under_way(other))
        move = Move(
            id=head.next,
            start=wanted.start,
            last=wanted.last,
            source="",
            target=wanted.target,
            epoch=0,
            reader=wanted.reader,
            keep_ms=wanted.keep_ms,
            stop_before_switch=wanted.stop_before_switch,
            rehearsal=wanted.rehearsal,
            history=(Happened(now_ms, MoveState.CREATED, by),),
        )

        def draw(slices: Slices) -> Slices:
            nonlocal move
            source = source_of(slices, wanted)
            changed, epoch = slices.draw(wanted.start, wanted.last + 1)
            move = msgspec.structs.replace(move, source=source, epoch=epoch)
            return changed

        routes = prepare_routes(registry, draw)
        opened = _Head(head.next + 1, {**head.open, move.id: (move.start, move.last)})
        changes = [
            *routes.changes,
            Set(MOVES, msgspec.json.encode(opened), version),
            Create(move_path(move.id), msgspec.json.encode(move)),
        ]
        with suppress(Conflict, NotFound):  # somebody else was first: look again
            registry.multi(changes)
            return move
    raise Conflict("routes and moves change faster than this move could be created; try again")


def source_of(slices: Slices, wanted: Wanted) -> str:
    """The cell that all of a slice is homed in. Raises Refused, BadRequest(range)."""
    found = {slices[i].cell for i in slices.within(wanted.start, wanted.last + 1)}
    if len(found) > 1:
        cells = " and ".join(sorted(found))
        raise Refused("several_homes", f"the slice is homed in {cells}: move each part by itself")
    (source,) = found
    if source == wanted.target:
        raise Refused("already_home", f"it is homed in {source} already: nothing is to be done")
    return source


def overlapping(registry: Registry, start: int, last: int) -> list[int]:
    """The moves under way that overlap a slice."""
    return _overlapping(_read_head(registry)[0], start, last)


def open_moves(registry: Registry) -> list[int]:
    """The moves that are not finished, oldest first."""
    return sorted(_read_head(registry)[0].open)


def read_move(registry: Registry, move_id: int) -> Found:
    """A move. Raises NotFound, Corrupt."""
    try:
        node = registry.get(move_path(move_id))
    except NotFound:
        raise NotFound(
            f"no move {move_id}: `cellctl list-moves` has those that there are"
        ) from None
    try:
        return Found(_DECODER.decode(node.value), node.version)
    except msgspec.MsgspecError as error:
        raise Corrupt(f"{move_path(move_id)} in the registry cannot be read: {error}") from error


def read_moves(registry: Registry) -> list[Move]:
    """All moves that are remembered, oldest first."""
    found: list[Move] = []
    for name in sorted(registry.list(MOVES), key=int):
        with suppress(NotFound):  # forgotten since it was listed
            found.append(read_move(registry, int(name)).move)
    return found


def write_move(registry: Registry, move: Move, version: int) -> int:
    """Write a move that is still of `version`; the new one. Raises Conflict."""
    return registry.set(move_path(move.id), msgspec.json.encode(move), version)


def confirm_move(registry: Registry, found: Found) -> None:
    """Raises Conflict when the move was changed since it was read, by whatever server of the
    registry: a plain read may be of a moment ago."""
    registry.multi([Check(move_path(found.move.id), found.version)])


def switch_routes(
    registry: Registry, move: Move, version: int, change: Callable[[Slices], Slices]
) -> None:
    """Write a move that is still of `version` and change the routes, both or none.

    Raises Conflict when the move was changed meanwhile.
    """
    for _ in range(_TRIES):
        routes = prepare_routes(registry, change)
        written = Set(move_path(move.id), msgspec.json.encode(move), version)
        with suppress(Conflict, NotFound):
            registry.multi([*routes.changes, written])
            return
        if read_move(registry, move.id).version != version:
            raise Conflict(f"move {move.id} was changed by somebody else: look at it again")
    raise Conflict(f"the routes change faster than move {move.id} could be written; try again")


def reverse_move(
    registry: Registry, found: Found, ends: tuple[int, ...], by: str, now_ms: int
) -> Move:
    """Have the source be home again, after `ends` (what the target may have shown).

    Raises Conflict when it is not switched, or was changed meanwhile.
    """
    move = happened(found.move, "reverse", by, now_ms, ends=ends)

    def back(slices: Slices) -> Slices:
        drawn, epoch = slices.draw(move.start, move.end)
        return drawn.rehome(move.start, move.end, move.source, epoch, ends)

    switch_routes(registry, move, found.version, back)
    return move


def finish_move(registry: Registry, found: Found) -> None:
    """Write that nothing is left to be done, merge what the move had cut out of the routes, and
    forget the oldest of too many finished moves."""
    move = msgspec.structs.replace(found.move, stage=Stage.FINISHED, walked=Walked())
    for _ in range(_TRIES):
        head, version = _read_head(registry)
        others = {i: slice_ for i, slice_ in head.open.items() if i != move.id}
        written = Set(move_path(move.id), msgspec.json.encode(move), found.version)
        closed = Set(MOVES, msgspec.json.encode(_Head(head.next, others)), version)
        routes = prepare_routes(registry, Slices.merged)
        with suppress(Conflict, NotFound):
            registry.multi([*routes.changes, written, closed])
            _forget_oldest(registry, others)
            return
        if read_move(registry, move.id).version != found.version:
            raise Conflict(f"move {move.id} was changed by somebody else: look at it again")
    raise Conflict(f"moves change faster than move {move.id} could be finished; try again")


def _read_head(registry: Registry) -> tuple[_Head, int]:
    with suppress(NotFound):
        return _head(registry.get(MOVES))
    with suppress(Conflict):
        registry.create(MOVES, msgspec.json.encode(_Head()))
    return _head(registry.get(MOVES))


def _head(node: Node) -> tuple[_Head, int]:
    try:
        # Empty: the path was made as the parent of another.
        return msgspec.json.decode(node.value or b"{}", type=_Head), node.version
    except msgspec.MsgspecError as error:
        raise Corrupt(f"{MOVES} in the registry cannot be read: {error}") from error


def _overlapping(head: _Head, start: int, last: int) -> list[int]:
    return [i for i, (a, b) in sorted(head.open.items()) if a <= last and start <= b]


def give_up_all(registry: Registry, why: str, now_ms: int) -> None:
    """Write of all moves under way that they are over as they are: for a platform in which nothing
    runs, and nothing that they wait for will come."""
    for move_id in open_moves(registry):
        found = read_move(registry, move_id)
        state = _GIVEN_UP.get(found.move.state, found.move.state)
        note = Happened(now_ms, state, "up", why)
        move = msgspec.structs.replace(
            found.move, state=state, trouble="", history=(*found.move.history, note)
        )
        finish_move(registry, found._replace(move=move))


_GIVEN_UP = {
    MoveState.CREATED: MoveState.CANCELLED,
    MoveState.COPYING: MoveState.CANCELLED,
    MoveState.ARRIVING: MoveState.CANCELLED,
    MoveState.VERIFIED: MoveState.CANCELLED,
    MoveState.SWITCHED: MoveState.COMPLETED,
}


def _forget_oldest(registry: Registry, open_: dict[int, tuple[int, int]]) -> None:
    finished = [i for i in sorted(map(int, registry.list(MOVES))) if i not in open_]
    for move_id in finished[: max(0, len(finished) - FINISHED_MAX)]:
        let_go(registry, move_path(move_id))
        with suppress(NotFound, Conflict):
            registry.delete(move_path(move_id), registry.get(move_path(move_id)).version)


def move_path(move_id: int) -> str:
    """Where a move lies in the registry."""
    return f"{MOVES}/{move_id}"
