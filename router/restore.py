"""Restoring a lost cell from a backup: load its rows, and apply the log from there.

Every step may be repeated, and is when a restore that was cut off is begun again: rows are written
at their own versions, and the cell stays `restoring`, in which nobody applies anything to it, until
all of it is there. A backup is also what a new platform begins with, whose log is another one: then
nothing has to be applied, and every row is below the new log's versions.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from operator import le
from pathlib import Path
from typing import NamedTuple

from cell import keys
from cell.backup_files import Manifest, check_files, read_manifest
from cell.backup_load import holds_anything, load
from cell.commands import GroupRewound, encode
from cell.ingest import group_of
from cell.residents import Homes, Resident
from cell.state import CellLog, PartitionState
from cell.stores import CellStores
from firehose.checkpoint import Checkpoints
from idgen.clock import Clock
from idgen.errors import BadRequest, Conflict
from router.backup import outside, routed, slices_of
from router.cells import (
    TRANSITIONS,
    CellInfo,
    CellState,
    become,
    change_cell,
    read_cell,
    read_cells,
)
from router.cluster import read_cluster
from router.moves import Refused
from router.new_homes import tell_new_homes
from router.registry import Registry
from router.restore_checks import arrived_since, is_new_log, refuse_log, refuse_moves
from router.routes import change_routes, read_routes
from router.slices import Slices

MEMBERS_MS = 60_000
"""So long it is waited until a cell's workers have left their group; one that died takes 10 s."""
WAIT_MS = 50
GENERATIONS = 1_000_000
"""Owners of a partition since the backup are fewer: dashboards must not take what they knew of the
cell before it was lost for what it holds now."""
_TRIES = 8
_DONE = "done "


class Loaded(NamedTuple):
    """How far a restore has come: what is done, and rows and bytes of it."""

    what: str
    rows: int = 0
    bytes: int = 0


Tell = Callable[[Loaded], None]
Reach = Callable[[str], None]
"""The moments in which a restore may be cut off, as its tests have it be."""


class RestorePlan(NamedTuple):
    """What a restore would do. `new_log`: into a platform with another log. `events`: how many are
    applied after the rows. `restored`: it was done already; what is left is to catch up."""

    manifest: Manifest
    cell: str
    new_log: bool
    events: int
    restored: bool


class Restore:
    """One backup of a whole cell, to be restored into the cell of its name."""

    def __init__(
        self,
        registry: Registry,
        cells: Callable[[str], CellStores],
        checkpoints: Callable[[str], Checkpoints],
        clock: Clock,
        folder: Path,
        tell: Tell = lambda _: None,
        reach: Reach = lambda _: None,
    ) -> None:
        self._registry = registry
        self._cells = cells
        self._checkpoints = checkpoints
        self._clock = clock
        self._folder = folder
        self._tell = tell
        self._reach = reach

    def plan(self) -> RestorePlan:
        """Read all of the backup, and say what restoring it would do. Nothing is changed.

        Raises DamagedBackup, NotFound for a cell that there is not, and Refused: other_format,
        other_log, log_too_short, unfinished, routes_differ, arrived_since, moving, not_empty, or
        the cell's state.
        """
        return self._plan(read_whole(self._folder, self._tell))

    def execute(self) -> RestorePlan:
        """Do it; the plan that was followed. The cell's workers go on by themselves then, and its
        readers are answered once these have caught up (`catch_up`).

        Raises what `plan` raises, still_running too; DamagedBackup, Unavailable and Conflict in
        the middle, and then the same is to be done again.
        """
        plan = self.plan()
        if plan.restored:
            return plan
        manifest, stores = plan.manifest, self._cells(plan.cell)
        self._to_state("restore", plan.cell)
        self._reach("restoring")
        self._await_no_members(plan.cell)
        stores.tables.create(keys.TABLES)
        self._refuse_rows(stores, manifest)  # it may have applied until its workers left
        stores.state().begin_restoring(_name(manifest))
        cluster = read_cluster(self._registry)
        stores.state().begin_log(CellLog(cluster.log, cluster.log_base))
        self._reach("marked")
        if plan.new_log:
            self._take_homes(manifest)
        self._answer_after(stores)
        self._reach("routed")
        homes = Homes(routed(read_routes(self._registry).slices, plan.cell))
        load(stores, self._folder, manifest, homes, self._loaded)
        self._reach("loaded")
        states = self._states(plan, homes, stores)
        stores.state().begin_as(states)
        self._reach("begun")
        self._checkpoints(plan.cell).rewind(
            group_of(plan.cell), {p: s.high for p, s in states.items()}
        )
        stores.state().next_era(self._clock.now_ms())
        self._reach("rewound")
        stores.state().begin_restoring(_DONE + _name(manifest))
        self._reach("finished")
        self._to_state("restored", plan.cell)
        return plan

    def catch_up(self, cell: str, pause: Callable[[], bool]) -> bool:
        """Wait until the cell has applied what its readers may have seen, and have it answer them;
        False when `pause` said that it is enough."""
        stores = self._cells(cell)
        while True:
            slices = read_routes(self._registry).slices
            waiting = [s.after for s in slices if s.cell == cell and s.after]
            ends = tuple(map(max, *waiting, waiting[0])) if waiting else ()
            behind = stores.behind(ends) if ends else 0
            self._tell(Loaded(f"{behind:,} events to apply"))
            if not behind:
                change_routes(self._registry, partial(_opened, cell=cell, ends=ends))
                return True
            if not pause():
                return False

    # What stands in the way.

    def _plan(self, manifest: Manifest) -> RestorePlan:
        if not manifest.whole:
            raise Refused(
                "slice_only",
                f"{self._folder} holds the slice {manifest.start:016x}-{manifest.last:016x} of "
                f"cell {manifest.cell}, without posts: a cell is restored from a backup of all of "
                "it",
            )
        cluster = read_cluster(self._registry)
        new_log = is_new_log(manifest, cluster)
        info = read_cell(self._registry, manifest.cell).info
        stores = self._cells(info.name)
        restored = self._restored(stores) == _DONE + _name(manifest)
        if not (restored and info.state is not CellState.RESTORING):
            self._refuse(manifest, info, stores, new_log=new_log)
            restored = False
        since = self._since(manifest, new_log=new_log)
        events = sum(e - s for e, s in zip(stores.ends(), since, strict=True))
        return RestorePlan(manifest, info.name, new_log, events, restored)

    def _refuse(
        self, manifest: Manifest, info: CellInfo, stores: CellStores, *, new_log: bool
    ) -> None:
        if info.state is not CellState.RESTORING and "restore" not in TRANSITIONS[info.state]:
            raise Refused(
                info.state.value,
                f"cell {info.name} is {info.state}: a cell that was active is restored",
            )
        refuse_moves(self._registry, info.name)
        if new_log:
            self._refuse_new_log(manifest, stores)
        else:
            refuse_log(manifest, stores)
            missing = outside(
                routed(read_routes(self._registry).slices, info.name), manifest.ranges
            )
            if missing:
                raise Refused("arrived_since", arrived_since(info.name, missing))
        self._refuse_rows(stores, manifest)

    def _refuse_new_log(self, manifest: Manifest, stores: CellStores) -> None:
        if not manifest.finished or any(f.table == "dead-letters" for f in manifest.files):
            raise Refused(
                "unfinished",
                f"cell {manifest.cell} had not applied all of its log when it was backed up, or "
                "had open dead letters, and this platform has another log: stop who writes, wait "
                "for `cellctl status` to show no lag, and back it up again",
            )
        if any(span.start for span in stores.firehose.spans()):
            raise Refused(
                "log_too_short", "this platform's log no longer has its beginning: start a new one"
            )
        slices, then = read_routes(self._registry).slices, slices_of(manifest.platform)
        if homes_of(slices) == homes_of(then):
            return
        names = {info.name for info in read_cells(self._registry)}
        unknown = sorted(set(then.cells()) - names)
        if unknown:
            raise Refused(
                "routes_differ",
                f"the backed-up platform had readers in cell {unknown[0]}, which this one does not "
                f"have: start the new platform with the cells {', '.join(then.cells())}",
            )
        begun = [name for name in sorted(names - {manifest.cell}) if _holds(self._cells(name))]
        if begun or any(stores.ends()):
            raise Refused(
                "routes_differ",
                "readers are homed in other cells here than where the backup was taken, and "
                f"{f'cell {begun[0]} holds rows' if begun else 'the log has events'} already: back "
                "up all cells while no move is under way, and restore them before anybody writes",
            )

    def _refuse_rows(self, stores: CellStores, manifest: Manifest) -> None:
        if self._restored(stores).removeprefix(_DONE) == _name(manifest):
            return  # this restore, begun before
        table = _holds(stores)
        if table:
            raise Refused(
                "not_empty",
                f"cell {stores.name} holds rows of {table}, and a backup is restored into an empty "
                "cell: if it is lost, remove what is left of it (docs/disaster.md says how)",
            )

    def _restored(self, stores: CellStores) -> str:
        try:
            return stores.state().restoring()
        except BadRequest:
            return ""  # there are no tables

    # What is done.

    def _to_state(self, what: str, cell: str) -> None:
        for attempt in range(_TRIES):
            info, version = read_cell(self._registry, cell)
            following = TRANSITIONS[info.state].get(what)
            if following is None:
                return  # it is there already
            try:
                became = become(info, what, "restore-cell", self._clock.now_ms())
                change_cell(self._registry, became, version)
            except Conflict:
                if attempt == _TRIES - 1:
                    raise
            else:
                return

    def _await_no_members(self, cell: str) -> None:
        deadline_ms = self._clock.monotonic_ms() + MEMBERS_MS
        while members := self._checkpoints(cell).members(group_of(cell)):
            if self._clock.monotonic_ms() > deadline_ms:
                raise Refused(
                    "still_running",
                    f"{members[0].client} still is a worker of cell {cell}: stop it, and do this "
                    "again",
                )
            self._tell(Loaded(f"waiting for {len(members)} workers to leave"))
            self._clock.pause(WAIT_MS)

    def _take_homes(self, manifest: Manifest) -> None:
        then = slices_of(manifest.platform)
        tell_new_homes(self._registry, self._cells, then, manifest.cell)

    def _answer_after(self, stores: CellStores) -> None:
        """Nobody is answered before all is applied again that may have been seen."""
        ends = stores.ends()

        def after(slices: Slices) -> Slices:
            mine = (s for s in slices if s.cell == stores.name)
            return slices.replaced(replace(s, after=ends) for s in mine)

        change_routes(self._registry, after)

    def _loaded(self, rows: int, size: int) -> None:
        self._tell(Loaded("loading", rows, size))
        self._reach("loading")

    def _since(self, manifest: Manifest, *, new_log: bool) -> tuple[int, ...]:
        partitions = read_cluster(self._registry).partitions
        return tuple([0] * partitions) if new_log else manifest.since

    def _states(
        self, plan: RestorePlan, homes: Homes, stores: CellStores
    ) -> dict[int, PartitionState]:
        """The cell as it was backed up, with those who are homed in it now. What was commanded
        until now is in that: the commands are not read again.

        Dashboards that go on read all of the cell's coverage anew at a command of going back. And
        no switch has the number 0 then, at whose version rows are restored.
        """
        manifest = plan.manifest
        told = stores.commands.append([(0, encode(GroupRewound({})))])[-1].offset + 1
        generation = max(s.generation for s in manifest.states) + GENERATIONS
        return {
            p: PartitionState(
                generation=generation,
                high=since,
                commands=told,
                residents=tuple(Resident(*within, since) for within in homes.ranges),
            )
            for p, since in enumerate(self._since(manifest, new_log=plan.new_log))
        }


def homes_of(slices: Slices) -> list[tuple[int, str]]:
    """Who is homed where, whatever the epochs: starts of ranges, and their cells."""
    found: list[tuple[int, str]] = []
    for s in slices:
        if not found or found[-1][1] != s.cell:
            found.append((s.start, s.cell))
    return found


def _holds(stores: CellStores) -> str:
    try:
        return holds_anything(stores)
    except BadRequest:
        return ""  # there are no tables


def _opened(slices: Slices, cell: str, ends: tuple[int, ...]) -> Slices:
    """The same, with nothing to answer after in what is homed in the cell, up to `ends`."""
    return slices.replaced(
        replace(s, after=())
        for s in slices
        if s.cell == cell and s.after and all(map(le, s.after, ends))
    )


def _name(manifest: Manifest) -> str:
    """What a backup is remembered by in the tables that it is restored into."""
    return f"{manifest.cell} {manifest.created_ms} {manifest.rows} {manifest.bytes}"


def read_whole(folder: Path, tell: Tell) -> Manifest:
    """The manifest of a backup all of whose files were read and are as they were written. Raises
    DamagedBackup."""
    manifest = read_manifest(folder)
    for file in check_files(folder, manifest):
        tell(Loaded("checking", file.rows, file.bytes))
    return manifest
