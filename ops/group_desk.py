"""Consumer groups as `cellctl` asks for them: Kafka's own, or those in the platform's file.

A group that nobody reads by is rewound by its checkpoints. A worker of a cell that runs begins at
no checkpoint but goes on from its memory and its tables: it is told by a command, like all that
workers are told, and goes back between two batches. So nothing has to be stopped, and nothing
stays stopped when whoever asked dies in the middle.
"""

import threading
from collections.abc import Collection, Sequence

from cell.commands import GroupRewound, encode
from cell.ingest import group_of
from firehose.checkpoint import Checkpoints
from firehose.codec import UnknownKind
from firehose.groups import Group, look_at, plan_rewind
from firehose.relay import group_of as group_of_relay
from firehose.relayed import RelayGap
from firehose.rewind import Target
from idgen.errors import Corrupt, DeadlineExceeded, Unavailable
from ops.groups_port import GroupView, RewindPlan
from ops.wiring.seams import Seams
from router.cells import APPLYING, CellInfo, CellState, groups_of, read_cells
from router.moves import Refused

LOOKS = 100
LOOK_S = 0.1


class GroupDesk:
    """`ops.groups_port.Groups` over the seams of a platform."""

    def __init__(self, seams: Seams) -> None:
        self._seams = seams

    def list(self, *, timed: bool) -> Sequence[GroupView]:
        """All groups by name."""
        found = set(self._seams.checkpoints().groups())
        for info in read_cells(self._seams.registry):
            name = group_of(info.name)
            if info.group and name in self._checkpoints(name).groups():
                found.add(name)
        return [self._seen(name, timed=timed) for name in sorted(found)]

    def describe(self, name: str) -> GroupView:
        """One group."""
        return self._view(name, timed=True)

    def rewind_plan(
        self, name: str, wanted: tuple[str, Target], partitions: Collection[int]
    ) -> RewindPlan:
        """What a rewind would do."""
        seams, info = self._seams, self._cell_of(name)
        if cells := self._relay_of(name):
            raise Refused(
                "relay",
                f"group {name} is the relay of the cells of group {cells}: it goes on where their "
                "log ends, whatever its checkpoints are; rewind the cells instead",
            )
        log, applied = seams.firehose(), None
        if info is not None:
            if info.state not in APPLYING:
                raise Refused(
                    "not_applying",
                    f"cell {info.name} is {info.state}: it begins where its copy says; wait until "
                    f"`cellctl describe-cell {info.name}` says that it is dark or active",
                )
            stores = seams.cell(info.name)
            log, states = stores.firehose, stores.state().read()
            applied = {p: state.unfinished for p, state in states.items()}
        steps = plan_rewind(
            log,
            self._checkpoints(name),
            name,
            wanted,
            partitions,
            now_ms=seams.clock.now_ms(),
            applied=applied,
        )
        return RewindPlan(name, info.name if info else "", self._clients(name), steps)

    def rewind(self, plan: RewindPlan, *, pause: bool, accept_gap: bool = False) -> None:
        """Do it, and return once it has taken effect."""
        _refuse_gap(plan, accept_gap=accept_gap)
        clients = self._clients(plan.group)
        if not clients:
            offsets = {step.partition: step.offset for step in plan.steps}
            self._checkpoints(plan.group).rewind(plan.group, offsets)
            return
        live = f"group {plan.group} has live members ({', '.join(clients)})"
        if not plan.cell:
            raise Refused("live_members", f"{live} that Dashcell does not run: stop them first")
        if not pause:
            raise Refused("live_members", f"{live}: with --pause they go back between two batches")
        self._tell(plan)

    def delete(self, name: str, *, execute: bool = True) -> GroupView:
        """Forget a group, or only see whether that can be."""
        view = self._view(name, timed=False)
        if view.cell:
            raise Refused(
                "cell_in_use",
                f"group {name} is how cell {view.cell} reads the firehose: it can be deleted "
                f"after `cellctl retire-cell {view.cell}`",
            )
        clients = self._clients(name)
        if clients:
            raise Refused(
                "live_members",
                f"group {name} has live members ({', '.join(clients)}): stop them first",
            )
        if execute:
            self._checkpoints(name).delete(name)
        return view

    def _seen(self, name: str, *, timed: bool) -> GroupView:
        """A group among all; a cell whose relay's log is damaged hides none of the others."""
        try:
            return self._view(name, timed=timed)
        except (Corrupt, RelayGap, UnknownKind, Unavailable) as error:
            info = self._cell_of(name)
            if info is None or not info.group:
                raise
            members = tuple(self._checkpoints(name).members(name))
            return GroupView(Group(name, members, (), ""), info.name, trouble=str(error))

    def _view(self, name: str, *, timed: bool) -> GroupView:
        """By the firehose itself also for a cell behind a relay: how far it is behind what has
        happened, and not behind its relay."""
        seams, info = self._seams, self._cell_of(name)
        now_ms = seams.clock.now_ms()
        found = look_at(seams.firehose(), self._checkpoints(name), name, now_ms, timed=timed)
        return GroupView(found, info.name if info else "", self._relay_of(name))

    def _clients(self, name: str) -> tuple[str, ...]:
        return tuple(member.client for member in self._checkpoints(name).members(name))

    def _checkpoints(self, name: str) -> Checkpoints:
        """Where a group is: that of a cell behind a relay is with what the relay writes."""
        infos = read_cells(self._seams.registry)
        behind = (i.name for i in infos if i.group and group_of(i.name) == name)
        return self._seams.checkpoints(next(behind, ""))

    def _relay_of(self, name: str) -> str:
        """The cells whose relays a group is made of; empty: it is of others."""
        groups = groups_of(read_cells(self._seams.registry))
        return next((cells for cells in groups if group_of_relay(cells) == name), "")

    def _cell_of(self, name: str) -> CellInfo | None:
        """The cell whose workers are the group, unless it has been retired."""
        infos = read_cells(self._seams.registry)
        mine = (i for i in infos if group_of(i.name) == name and i.state != CellState.RETIRED)
        return next(mine, None)

    def _tell(self, plan: RewindPlan) -> None:
        stores = self._seams.cell(plan.cell)
        command = GroupRewound({s.partition: s.offset for s in plan.steps if s.replayed})
        if not command.offsets:
            return
        (told,) = stores.commands.append([(0, encode(command))])
        pause = threading.Event()
        for _ in range(LOOKS):
            states = stores.state().read(command.offsets)
            if all(state.commands > told.offset for state in states.values()):
                return
            pause.wait(LOOK_S)
        raise DeadlineExceeded(
            f"cell {plan.cell} is told, and its workers have not gone back yet; they will: see "
            f"`cellctl firehose describe {plan.group}`"
        )


def _refuse_gap(plan: RewindPlan, *, accept_gap: bool) -> None:
    """That events are passed over which nobody read is somebody's word, never a clamp's."""
    if not plan.gone:
        return
    gone = f"{plan.gone:,} events that group {plan.group} has not read are no longer retained"
    if plan.cell:
        raise Refused(
            "gap",
            f"{gone}, and a cell misses none: `cellctl restore-cell DIR` from a backup, or retire "
            f"{plan.cell} and add a cell that copies another's posts",
        )
    if not accept_gap:
        raise Refused("gap", f"{gone}: with --accept-gap it goes on without them")
