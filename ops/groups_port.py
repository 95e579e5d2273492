"""What `cellctl firehose` asks of a platform about consumer groups; `ops.platform_port` has it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from firehose.groups import Group
from firehose.rewind import Step, Target


@dataclass(frozen=True, slots=True)
class GroupView:
    """A group; `cell`: whose ingest workers it is made of; `relay`: the group of cells whose relays
    it is made of; both empty for one that others run. `trouble`: why it is not known how far it is,
    for a cell behind a relay whose log is damaged; empty otherwise."""

    group: Group
    cell: str = ""
    relay: str = ""
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class RewindPlan:
    """What a rewind would do. `members`: the clients of the live members; `cell`: see GroupView."""

    group: str
    cell: str
    members: tuple[str, ...]
    steps: tuple[Step, ...]

    @property
    def gone(self) -> int:
        """How many events that the group had not read are no longer retained."""
        return sum(step.gone for step in self.steps)


class Groups(Protocol):
    """The consumer groups of the firehose."""

    def list(self, *, timed: bool) -> Sequence[GroupView]:
        """All by name; `timed`: with their lag in seconds, which takes longer."""
        ...

    def describe(self, name: str) -> GroupView:
        """One group, with its lag in seconds. Raises NotFound."""
        ...

    def rewind_plan(
        self, name: str, wanted: tuple[str, Target], partitions: Collection[int]
    ) -> RewindPlan:
        """What a rewind would do: `firehose.groups.plan_rewind`. Raises NotFound, BadRequest, and
        Refused for a cell that does not apply the firehose yet."""
        ...

    def rewind(self, plan: RewindPlan, *, pause: bool, accept_gap: bool = False) -> None:
        """Do it; returns once it has taken effect. With `pause`, a cell's workers that run go back
        between two batches. `accept_gap`: also past events that are gone before the group read
        them. Raises Refused for those otherwise, for those of a cell always, and while other
        members live; DeadlineExceeded when the workers were told, and have not obeyed yet."""
        ...

    def delete(self, name: str, *, execute: bool = True) -> GroupView:
        """Forget a group; without `execute` it is only seen whether that can be. What it was.
        Raises NotFound, and Refused while it has members or its cell is in use."""
        ...
