"""Moves of slices of readers from one cell to another. Pure: records, and what may happen.

How they lie in the registry is in `router.move_records`, what a mover does in `router.carrier`.
"""

from enum import StrEnum

import msgspec

from cell.residents import Ranges
from cell.slice_rows import Walked
from idgen.errors import Conflict
from router.history import Happened

VERIFIED_MS_MAX = 600_000
"""A verification is too old to switch on after ten minutes."""


ALREADY_MOVING = "already_moving"
"""The cause of refusing a move in the range of another."""


class MoveState(StrEnum):
    """The life of a move."""

    CREATED = "created"
    COPYING = "copying"
    ARRIVING = "arriving"
    VERIFIED = "verified"
    SWITCHED = "switched"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    REVERSED = "reversed"


TRANSITIONS: dict[MoveState, dict[str, MoveState]] = {
    MoveState.CREATED: {"begin": MoveState.COPYING, "cancel": MoveState.CANCELLED},
    MoveState.COPYING: {"copied": MoveState.ARRIVING, "cancel": MoveState.CANCELLED},
    MoveState.ARRIVING: {"agreed": MoveState.VERIFIED, "cancel": MoveState.CANCELLED},
    MoveState.VERIFIED: {
        "verify": MoveState.ARRIVING,
        "switch": MoveState.SWITCHED,
        "cancel": MoveState.CANCELLED,
    },
    MoveState.SWITCHED: {"complete": MoveState.COMPLETED, "reverse": MoveState.REVERSED},
    MoveState.COMPLETED: {},
    MoveState.CANCELLED: {},
    MoveState.REVERSED: {},
}
"""What may happen to a move in each state, and the state it is in then."""
ENDS = frozenset({MoveState.COMPLETED, MoveState.CANCELLED, MoveState.REVERSED})


class Stage(StrEnum):
    """What the mover does next. A stage is one effect, then one write of the record; both may be
    done again."""

    BEGIN = "begin"
    COPY = "copy"
    TELL_ARRIVAL = "tell-arrival"
    AWAIT_ARRIVAL = "await-arrival"
    CATCH_UP = "catch-up"
    COMPARE = "compare"
    SWITCH = "switch"
    OPEN = "open"
    KEEP = "keep"
    TELL_LEFT = "tell-left"
    AWAIT_LEFT = "await-left"
    SWEEP = "sweep"
    FINISHED = "finished"


_LEAVING = (Stage.TELL_LEFT, Stage.AWAIT_LEFT, Stage.SWEEP, Stage.FINISHED)
STAGES: dict[MoveState, tuple[Stage, ...]] = {
    MoveState.CREATED: (Stage.BEGIN,),
    MoveState.COPYING: (Stage.COPY,),
    MoveState.ARRIVING: (Stage.TELL_ARRIVAL, Stage.AWAIT_ARRIVAL, Stage.CATCH_UP, Stage.COMPARE),
    MoveState.VERIFIED: (Stage.SWITCH,),
    MoveState.SWITCHED: (Stage.OPEN, Stage.KEEP),
    MoveState.COMPLETED: (Stage.OPEN, *_LEAVING),
    MoveState.CANCELLED: _LEAVING,
    MoveState.REVERSED: (Stage.OPEN, *_LEAVING),
}
"""The stages of each state, in order."""


class Refused(Conflict):
    """What cannot be done now. `cause` stays the same, the message says what to do."""

    def __init__(self, cause: str, why: str) -> None:
        super().__init__(why)
        self.cause = cause


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """Readers at places start..last (both included) on their way from `source` to `target`.

    `epoch`: of their home in the target, and the band of their rows there. `reader`: whom it is
    about; 0 for a slice. `keep_ms`: so long after the switch the source goes on delivering, and the
    move can be reversed. `stop_before_switch`: an operator looks first. `rehearsal`: a sample of a
    cell that is not active yet; it is compared, and never switched.

    `ranges`: what the source holds of them, with bands. `since`: offsets by partition from which
    the target applies the log. `told`: the offset behind the last command. `ends`: offsets that the
    present stage waits for. `walked`: how far it has come. `sweep_ms`: not before then are rows
    swept, for pages that were being read. `waits_for`: what keeps it just now.
    `trouble`: why it cannot go on by itself.
    """

    id: int
    start: int
    last: int
    source: str
    target: str
    epoch: int
    state: MoveState = MoveState.CREATED
    stage: Stage = Stage.BEGIN
    reader: int = 0
    keep_ms: int = 3_600_000
    stop_before_switch: bool = False
    rehearsal: bool = False
    ranges: Ranges = ()
    since: tuple[int, ...] = ()
    told: int = 0
    ends: tuple[int, ...] = ()
    walked: Walked = Walked()
    rows: int = 0
    edges: int = 0
    verified_ms: int = 0
    switched_ms: int = 0
    sweep_ms: int = 0
    waits_for: str = ""
    trouble: str = ""
    history: tuple[Happened, ...] = ()

    @property
    def end(self) -> int:
        """Where the slice ends (exclusive)."""
        return self.last + 1

    @property
    def finished(self) -> bool:
        """Whether nothing is left to be done."""
        return self.stage is Stage.FINISHED

    @property
    def home(self) -> str:
        """The cell that is home to the readers as of this state."""
        there = self.state in (MoveState.SWITCHED, MoveState.COMPLETED)
        return self.target if there else self.source

    @property
    def left(self) -> tuple[str, Ranges]:
        """The cell that a finished move leaves, and what it held, with bands."""
        if self.state is MoveState.COMPLETED:
            return self.source, self.ranges
        return self.target, ((self.start, self.last, self.epoch),)


def happened(
    move: Move, what: str, by: str, now_ms: int, note: str = "", **changes: object
) -> Move:
    """The move after something of TRANSITIONS has happened to it.

    Raises Refused when that cannot happen in its state; the message says what can.
    """
    following = TRANSITIONS[move.state].get(what)
    if following is None:
        raise refused(move, what)
    fresh = {"walked": Walked(), "trouble": "", "waits_for": ""}
    return msgspec.structs.replace(
        move,
        state=following,
        stage=STAGES[following][0],
        history=(*move.history, Happened(now_ms, following, by, note)),
        **{**fresh, **changes},
    )


def refused(move: Move, what: str) -> Refused:
    """Why something cannot be done to a move as it is, and what can."""
    if what == "switch" and move.rehearsal:
        why = f"move {move.id} is a rehearsal of cell {move.target}: it is compared, never switched"
        remedy = f"`cellctl activate-cell {move.target} --execute`, then move them"
        return Refused("rehearsal", f"{why}; {remedy}")
    possible = ", ".join(f"`cellctl {name}-move {move.id}`" for name in next_steps(move))
    instead = f"; what can be done: {possible}" if possible else ""
    why = f"move {move.id} is {move.state}: it cannot {what} now{instead}"
    return Refused(f"{move.state}", why)


def under_way(move_id: int) -> str:
    """Why another move cannot begin in the range of one that is not finished."""
    return f"move {move_id} is under way in this range: see `cellctl show-move {move_id}`"


def next_steps(move: Move) -> list[str]:
    """What an operator may do to a move in its state."""
    names = ("switch", "verify", "reverse", "complete", "cancel")
    possible = [name for name in names if name in TRANSITIONS[move.state]]
    if move.rehearsal and "switch" in possible:
        possible.remove("switch")
    if move.state is MoveState.ARRIVING and move.trouble:
        possible = ["verify", *possible]
    return possible


def let_switch(move: Move, by: str, now_ms: int) -> Move:
    """The move that an operator has looked at. Raises Refused when it is not verified, or when that
    is too long ago."""
    if move.state is not MoveState.VERIFIED or move.rehearsal:
        raise refused(move, "switch")
    if now_ms - move.verified_ms > VERIFIED_MS_MAX:
        raise Refused(
            "verification_stale",
            f"move {move.id} was verified more than {VERIFIED_MS_MAX // 60_000} minutes ago: "
            f"`cellctl verify-move {move.id} --execute`, and switch it then",
        )
    note = Happened(now_ms, move.state, by, "to be switched")
    return msgspec.structs.replace(move, stop_before_switch=False, history=(*move.history, note))


def verify_again(move: Move, by: str, now_ms: int) -> Move:
    """The move to be compared once more. Raises Refused when it is not at that."""
    if move.state is MoveState.ARRIVING and move.trouble:
        note = Happened(now_ms, move.state, by, f"to be compared again after: {move.trouble}")
        return msgspec.structs.replace(
            move, stage=Stage.TELL_ARRIVAL, trouble="", history=(*move.history, note)
        )
    return happened(move, "verify", by, now_ms)


def is_due(move: Move, now_ms: int) -> bool:
    """Whether a mover has something to do: not while an operator or time has to come first."""
    if move.finished or move.trouble:
        return False
    if move.stage is Stage.SWITCH:
        return not (move.stop_before_switch or move.rehearsal)
    if move.stage is Stage.KEEP:
        return now_ms >= move.switched_ms + move.keep_ms
    if move.stage is Stage.SWEEP:
        return now_ms >= move.sweep_ms
    return True
