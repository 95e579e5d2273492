"""Adding a cell: what a mover does in each of its states, and what may be asked of it. Pure.

A new cell comes to hold what all cells hold (posts), applies the firehose from where the copying
began, and is compared with the others before it may be home to anybody.
"""

from collections.abc import Callable, Iterator, Sequence

import msgspec

from router.cells import Bootstrap, BootstrapStage, CellInfo, CellState
from router.move_records import Wanted
from router.moves import VERIFIED_MS_MAX, Refused
from router.slices import PLACES, Slices

STAGES: dict[CellState, tuple[BootstrapStage, ...]] = {
    CellState.PROVISIONING: (BootstrapStage.PROVISION,),
    CellState.BOOTSTRAPPING: (BootstrapStage.BEGIN, BootstrapStage.COPY, BootstrapStage.POSITION),
    CellState.DARK: (
        BootstrapStage.CATCH_UP,
        BootstrapStage.COMPARE,
        BootstrapStage.SAMPLE,
        BootstrapStage.AGREE,
        BootstrapStage.VERIFIED,
    ),
    CellState.ACTIVE: (BootstrapStage.RELEASE, BootstrapStage.FINISHED),
    CellState.RETIRED: (BootstrapStage.RELEASE, BootstrapStage.FINISHED),
}
"""The stages of each state in which a mover has something to do, in order."""
REHEARSALS = 8
"""The sample comes from so many places of the key space."""
AGAIN_MS = VERIFIED_MS_MAX // 2
"""The sample of a dark cell is compared again so often: a verification is never too old then."""


def at_stage(info: CellInfo, stage: BootstrapStage, **changes: object) -> CellInfo:
    """The cell at another stage of its state."""
    return changed(info, stage=stage, waits_for="", **changes)


def changed(info: CellInfo, **changes: object) -> CellInfo:
    """The cell with another record of its bootstrap."""
    bootstrap = msgspec.structs.replace(bootstrap_of(info), **changes)
    return msgspec.structs.replace(info, bootstrap=bootstrap)


def bootstrap_of(info: CellInfo) -> Bootstrap:
    """The bootstrap of a cell that has one."""
    assert info.bootstrap is not None, "asked of cells that is_due let through"
    return info.bootstrap


def is_due(info: CellInfo, now_ms: int) -> bool:
    """Whether a mover has something to do."""
    bootstrap = info.bootstrap
    if bootstrap is None or bootstrap.trouble or bootstrap.stage is BootstrapStage.FINISHED:
        return False
    if bootstrap.stage not in STAGES.get(info.state, ()):
        return False  # retired, drained or restored meanwhile
    if bootstrap.stage is BootstrapStage.VERIFIED:
        return now_ms - bootstrap.verified_ms >= AGAIN_MS
    return True


def check_verified(info: CellInfo, now_ms: int) -> None:
    """Raises Refused for a cell that is not verified, or was too long ago; the message says what
    it waits for."""
    bootstrap = bootstrap_of(info)
    show = f"`cellctl describe-cell {info.name}`"
    if bootstrap.trouble:
        raise Refused("not_verified", f"cell {info.name} is not verified: {bootstrap.trouble}")
    if not bootstrap.verified_ms:
        what = bootstrap.waits_for or f"it is at `{bootstrap.stage}`"
        raise Refused(
            "not_verified", f"cell {info.name} is not verified yet ({what}): wait, see {show}"
        )
    if now_ms - bootstrap.verified_ms > VERIFIED_MS_MAX:
        raise Refused(
            "verification_stale",
            f"cell {info.name} was verified more than {VERIFIED_MS_MAX // 60_000} minutes ago, "
            f"and movers compare it every {AGAIN_MS // 60_000}: see that one runs, then {show}",
        )


Part = tuple[int, int]
"""Readers at places start..last, both included."""
ReaderAt = Callable[[str, int, int], int | None]
"""The place of the first reader with entries in a part (start, last) of a cell; None: none."""


def sample_of(
    slices: Slices, share: float, target: str, moving: Sequence[Part], reader_at: ReaderAt
) -> Iterator[Wanted]:
    """The rehearsals of a new cell: about `share` of the key space, one from each of REHEARSALS
    parts of it, beside the slices that other moves carry."""
    width = max(1, int(PLACES * share) // REHEARSALS)
    for i in range(REHEARSALS):
        start, last = PLACES * i // REHEARSALS, PLACES * (i + 1) // REHEARSALS - 1
        for j in slices.within(start, last + 1):
            cell = slices[j].cell
            part = max(start, slices[j].start), min(slices.end(j) - 1, last)
            found = None if cell == target else _first_free(cell, part, moving, reader_at)
            if found is not None:
                yield Wanted(found[0], min(found[0] + width - 1, found[1]), target, rehearsal=True)
                break


def _first_free(cell: str, part: Part, moving: Sequence[Part], reader_at: ReaderAt) -> Part | None:
    """The first reader of a part whom no move carries, and how far none does."""
    at, last = part
    for start, end in (*sorted(moving), (last + 1, last + 1)):
        if start > at:
            bound = min(start - 1, last)
            found = reader_at(cell, at, bound) if at <= bound else None
            if found is not None:
                return found, bound
        at = max(at, end + 1)
    return None


def of_part(parts: Sequence[Part], number: int) -> bool:
    """Whether one of the parts begins in a numbered one of the REHEARSALS parts."""
    return any(start * REHEARSALS // PLACES == number for start, _ in parts)
