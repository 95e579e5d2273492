"""Consumer groups and rewinds, as text and as JSON."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from firehose.rewind import Step
from ops.cellctl.plain import plain
from ops.cellctl.terminal import console, harmless
from ops.groups_port import GroupView, RewindPlan


def summary(view: GroupView) -> dict[str, object]:
    """A group in one line."""
    group = view.group
    return {
        "group": group.name,
        "cell": view.cell,
        "relay": view.relay,
        "members": len(group.members),
        "events": None if view.trouble else group.events,
        "gone": None if view.trouble else group.gone,
        "seconds": group.seconds,
        "trouble": view.trouble,
    }


def document(view: GroupView) -> dict[str, object]:
    """All that is known of a group; `--from-file` reads it."""
    members = [{"client": m.client, "partitions": m.partitions} for m in view.group.members]
    return summary(view) | {
        "members": members,
        "cursor": view.group.cursor,
        "partitions": plain(view.group.partitions),
    }


def plan_document(plan: RewindPlan, *, executed: bool) -> dict[str, object]:
    """A plan, or what was done; `--from-file` reads it."""
    return {
        "group": plan.group,
        "cell": plan.cell,
        "members": plan.members,
        "replayed": sum(step.replayed for step in plan.steps),
        "skipped": sum(step.skipped for step in plan.steps),
        "gone": plan.gone,
        "executed": executed,
        "partitions": plain(plan.steps),
    }


def draw_groups(views: Sequence[GroupView]) -> None:
    """One line for each."""
    table = _table("group", "cell", "members", "events", "seconds")
    for view in views:
        group = view.group
        table.add_row(
            Text(harmless(group.name)),
            f"relay of {view.relay}" if view.relay else view.cell or "-",
            f"{len(group.members):,}",
            "unknown" if view.trouble else _events(group.events, group.gone),
            _seconds(group.seconds),
        )
    console().print(table if views else "no groups read the firehose")
    for view in views:
        if view.trouble:
            console().print(Text(harmless(f"{view.group.name}: {view.trouble}")))


def draw_lag(view: GroupView) -> None:
    """A line for each partition, behind one for the group."""
    draw_groups([view])
    table = _table("partition", "reads next", "end", "events", "seconds", "member")
    for each in view.group.partitions:
        table.add_row(
            str(each.partition),
            "start" if each.offset is None else f"{each.offset:,}",
            f"{each.end:,}",
            _events(each.events, each.gone),
            _seconds(each.seconds),
            Text(harmless(each.client or "-")),
        )
    console().print(table)


def draw_steps(steps: Sequence[Step]) -> None:
    """A line for each partition of a plan."""
    table = _table("partition", "from", "to", "events", "clamped")
    for step in steps:
        events = f"skips {step.skipped:,}" if step.skipped else f"replays {step.replayed:,}"
        events += f", {step.gone:,} are gone" if step.gone else ""
        row = (str(step.partition), f"{step.before:,}", f"{step.offset:,}", events)
        table.add_row(*row, f"to the {step.clamped}" if step.clamped else "")
    console().print(table)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column)
    return table


def _events(events: int, gone: int) -> str:
    return f"{events:,} and {gone:,} that are gone" if gone else f"{events:,}"


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:,.1f}"
