"""What stands in the way of restoring a backup: words that stay the same, each with a sentence that
says what to do."""

import msgspec

from cell.backup_files import Manifest
from cell.residents import Ranges
from cell.stores import CellStores
from router.backup import log_base_above
from router.cluster import ClusterValues
from router.move_records import open_moves, read_move
from router.moves import Move, MoveState, Refused
from router.registry import Registry

_OVER = (MoveState.COMPLETED, MoveState.CANCELLED, MoveState.REVERSED)


def is_new_log(manifest: Manifest, cluster: ClusterValues) -> bool:
    """Whether this platform's log is another one than the backup's, and goes on above it."""
    then = msgspec.convert(manifest.platform.cluster, ClusterValues)
    for name in ("spread", "id_epoch_ms", "event_format"):
        if getattr(then, name) != getattr(cluster, name):
            raise Refused(
                "other_format",
                f"the backup has {name} {getattr(then, name)}, this platform "
                f"{getattr(cluster, name)}: restore it into one of the program "
                f"{manifest.program}",
            )
    if then == cluster:
        return False
    if cluster.log_base < manifest.at_max:
        raise Refused(
            "other_log",
            f"this platform's log is not the one that cell {manifest.cell} was backed up with, "
            f"and its versions begin at {cluster.log_base}, below those of the backup: start a "
            f"new platform with `cellctl up --log-base {log_base_above(manifest)}`, and restore"
            " every cell into it",
        )
    return True


def refuse_moves(registry: Registry, cell: str) -> None:
    """While readers of a cell are on their way, it cannot be restored. Raises Refused."""
    moves = [read_move(registry, move_id).move for move_id in open_moves(registry)]
    theirs = [m for m in moves if cell in (m.source, m.target) and m.state not in _OVER]
    if not theirs:
        return
    by = [
        f"`cellctl {what}-move {' '.join(str(m.id) for m in able)} --execute`"
        for what in ("cancel", "reverse", "complete")
        if (able := [m for m in theirs if _way_out(m, cell) == what])
    ]
    raise Refused(
        "moving",
        f"{len(theirs)} moves from or to cell {cell} are under way: end them first, by "
        f"{' and '.join(by)}: who went to the lost cell goes back, who left it stays away",
    )


def _way_out(move: Move, cell: str) -> str:
    """Completing a move to the lost cell would have the only whole copy swept."""
    if move.state is not MoveState.SWITCHED:
        return "cancel"
    return "reverse" if move.target == cell else "complete"


def refuse_log(manifest: Manifest, stores: CellStores) -> None:
    """The log has to reach back to where the backup was made. Raises Refused."""
    starts = [span.start for span in stores.firehose.spans()]
    for partition, (since, start, end) in enumerate(
        zip(manifest.since, starts, stores.ends(), strict=True)
    ):
        if start > since:
            raise Refused(
                "log_too_short",
                f"partition {partition} of the log begins at offset {start}, and the backup "
                f"needs it from {since} on: {start - since} events are no longer retained; "
                "restore a later backup, or have a new cell take the place of this one "
                "(`cellctl add-cell`)",
            )
        if end < since:
            raise Refused(
                "other_log",
                f"partition {partition} of the log ends at offset {end}, before the backup's "
                f"position {since}: events were lost; start a new platform with `cellctl up "
                f"--log-base {log_base_above(manifest)}`, and restore every cell into it",
            )


def arrived_since(cell: str, missing: Ranges) -> str:
    """Why a cell that is home to more readers than the backup has is not restored from it."""
    shown = ", ".join(f"{start:016x}-{last:016x}" for start, last, _ in missing[:5])
    more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
    return (
        f"cell {cell} is home to readers whom the backup does not have, who moved there after it: "
        f"{shown}{more}; restore a later backup, or take their moves back with `cellctl "
        "reverse-move` while the cells that they came from still have them (`cellctl list-moves`)"
    )
