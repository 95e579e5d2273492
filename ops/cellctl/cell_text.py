"""Cells as commands show them."""

import functools
from collections.abc import Sequence
from typing import Any

import click
from rich.table import Table

from ops.cellctl.seat import Command, Seat, at_platform
from ops.cellctl.terminal import console, shown, when
from ops.platform_port import CellView
from router.cells import Bootstrap, BootstrapStage


def document(view: CellView) -> dict[str, Any]:
    """A cell as JSON."""
    info, status = view.info, view.status
    return {
        "cell": info.name,
        "state": info.state.value,
        "cordoned": info.cordoned,
        "group": info.group,
        "lag_s": status.lag_s,
        "dead_letters": status.dead_letters,
        "slices": view.slices,
        "share": view.share,
        "moves_leaving": list(view.leaving),
        "moves_arriving": list(view.arriving),
        "hbase_thrift1": list(info.hbase_thrift1),
        "hbase_thrift2": list(info.hbase_thrift2),
        "redis": info.redis,
        "bootstrap": _bootstrap(info.bootstrap),
        "history": [
            {"at_ms": each.at_ms, "state": each.state, "by": each.by, "note": each.note}
            for each in info.history
        ],
        "partitions": [
            {"partition": p.partition, "low": p.low, "high": p.high, "end": p.end}
            for p in status.positions
        ],
    }


def _bootstrap(record: Bootstrap | None) -> dict[str, Any] | None:
    if record is None:
        return None
    return {
        "donor": record.donor,
        "dark_sample": record.sample,
        "stage": record.stage.value,
        "copied": round(record.copied, 4),
        "posts": record.rows,
        "bytes": record.size,
        "rehearsals": list(record.rehearsals),
        "verified_ms": record.verified_ms or None,
        "waits_for": record.waits_for,
        "trouble": record.trouble,
    }


def draw_list(views: Sequence[CellView]) -> None:
    """Cells in lines."""
    table = Table(box=None, pad_edge=False)
    for column in ("cell", "state", "group", "lag", "share", "slices", "moves"):
        table.add_column(column)
    for view in views:
        moves = len(view.leaving) + len(view.arriving)
        state = view.info.state.value + (", cordoned" if view.info.cordoned else "")
        group, share = view.info.group or "-", f"{view.share:.1%}"
        table.add_row(view.info.name, state, group, _lag(view), share, str(view.slices), str(moves))
    console().print(table)


def draw(view: CellView) -> None:
    """A cell for people."""
    info, out = view.info, console()
    cordoned = ", cordoned: no move may choose it" if info.cordoned else ""
    out.print(shown(f"cell {info.name}: {info.state}{cordoned}", "bold"))
    out.print(shown(f"home to {view.share:.2%} of the readers, in {view.slices} slices"))
    out.print(shown(f"behind the firehose: {_lag(view)}; dead letters: {view.status.dead_letters}"))
    if info.group:
        out.print(shown(f"behind the relay of group {info.group}"))
    for name, moves in (("leaving", view.leaving), ("arriving", view.arriving)):
        if moves:
            out.print(shown(f"moves {name}: {' '.join(map(str, moves))}"))
    for name, addresses in (
        ("HBase, Thrift 1", info.hbase_thrift1),
        ("HBase, Thrift 2", info.hbase_thrift2),
        ("Redis", (info.redis,) if info.redis else ()),
    ):
        if addresses:
            out.print(shown(f"{name}: {', '.join(addresses)}"))
    if info.bootstrap is not None and info.bootstrap.stage is not BootstrapStage.FINISHED:
        _draw_bootstrap(info.bootstrap)
    for each in info.history:
        line = f"  {when(each.at_ms)}  {each.state:13} {each.by}  {each.note}".rstrip()
        out.print(shown(line))


def _draw_bootstrap(record: Bootstrap) -> None:
    out = console()
    size = f"{record.size / 1e6:,.1f} MB"
    copied = f"{record.rows:,} posts ({size}, {record.copied:.0%}) copied from cell {record.donor}"
    out.print(shown(f"at {record.stage}; {copied}"))
    verified = f"since {when(record.verified_ms)}" if record.verified_ms else "not yet"
    out.print(shown(f"verified: {verified}; rehearsals: {_listed(record.rehearsals)}"))
    for name, text in (("waits for", record.waits_for), ("trouble", record.trouble)):
        if text:
            out.print(shown(f"{name}: {text}"))


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers)) or "none"


def changing(function: Command) -> Command:
    """CELL and --execute of what changes a cell's state; gives `cell` and `execute`."""

    @click.argument("cell")
    @click.option("--execute", is_flag=True, help="Do it; without, the plan is printed.")
    @at_platform
    @functools.wraps(function)
    def changed(*arguments: Any, **options: Any) -> None:
        function(*arguments, **options)

    return changed


def change(seat: Seat, cell: str, what: str, *, execute: bool) -> None:
    """Have something happen to a cell, or say that it would."""
    view = seat.platform.cells.change(cell, what, execute=execute)
    if execute:
        seat.answer(document(view), lambda: draw(view))
        return
    plan = {"plan": what, "cell": view.info.name, "state": view.info.state.value, "executed": False}
    text = f"would {what} cell {view.info.name}, which is {view.info.state}; do it with --execute"
    seat.answer(plan, lambda: click.echo(text))


def _lag(view: CellView) -> str:
    return "cannot be reached" if view.status.lag_s is None else f"{view.status.lag_s:.1f} s"
