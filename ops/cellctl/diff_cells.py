"""`cellctl diff-cells`: whether two cells hold the same posts."""

from typing import Any

import click

from cell.post_compare import Digest, PostDifference, PostRow
from idgen.ids import U64
from ops.cellctl.findings import checking
from ops.cellctl.outcome import Ended, Exit
from ops.cellctl.rehome_slice import SliceRange
from ops.cellctl.seat import Seat, at_platform
from ops.checks_port import CellsDiff, PostsOfRange

SHOWN_MAX = 20


@click.command("diff-cells")
@click.argument("a")
@click.argument("b")
@click.option(
    "--range",
    "within",
    metavar="START-LAST",
    type=SliceRange(),
    default=(0, U64),
    show_default="all authors",
    help="Only authors at these places of the key space, both hexadecimal and included.",
)
@at_platform
def command(seat: Seat, a: str, b: str, within: tuple[int, int]) -> None:
    """Compare the posts of two cells.

    Posts, removed ones as well, are what every cell must hold alike. Both cells are read once,
    side by side; rows that are not the same are read again when both have applied a common end of
    the log, and what is not the same then is told. The exit code is 1 where anything differs.

    \b
    Examples:
      cellctl diff-cells a b
      cellctl diff-cells a b --range 0000000000000000-00ffffffffffffff --json
    """
    with checking("comparing posts") as moved_on:
        diff = seat.platform.checks.diff_cells(a, b, within, moved_on)
    seat.answer(_document(diff), lambda: _draw(diff))
    if diff.found or diff.unsettled:
        raise Ended(Exit.FAILED, _why(diff))


def _why(diff: CellsDiff) -> str:
    told = []
    if diff.found:
        told.append(
            f"{diff.found:,} posts are not the same in {diff.a} and {diff.b}: one of the cells may "
            "have put an event aside, see `cellctl dead-letters list CELL`"
        )
    if diff.unsettled:
        told.append(
            f"{diff.unsettled:,} rows changed whenever they were looked at: compare again, or a "
            "smaller --range"
        )
    return "; ".join(told)


def _document(diff: CellsDiff) -> dict[str, Any]:
    return {
        "same": not (diff.found or diff.unsettled),
        "cells": [diff.a, diff.b],
        "ranges": [
            {
                "range": _range(each),
                "rows": {diff.a: each.a.rows, diff.b: each.b.rows},
                "hash": {diff.a: _hash(each.a), diff.b: _hash(each.b)},
                "differences": each.differences,
            }
            for each in diff.ranges
        ],
        "found": diff.found,
        "unsettled": diff.unsettled,
        "differences": [
            {
                "key": each.key.hex(),
                "author": each.author,
                "post": each.post_id,
                diff.a: _row(each.source),
                diff.b: _row(each.target),
                "difference": _sentence(diff, each),
            }
            for each in diff.differences
        ],
    }


def _row(row: PostRow | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return {"version": row.version, "removed": row.gone, "hash": f"{row.hash:016x}"}


def _draw(diff: CellsDiff) -> None:
    rows = [sum(pick(each).rows for each in diff.ranges) for pick in (_of_a, _of_b)]
    same = "differ" if diff.found or diff.unsettled else "are the same"
    click.echo(f"posts of {diff.a} ({rows[0]:,}) and {diff.b} ({rows[1]:,}) {same}")
    for each in diff.ranges:
        click.echo(f"  {_range(each)}  {_hash(each.a)}  {_hash(each.b)}  {_state(each)}")
    for difference in diff.differences[:SHOWN_MAX]:
        click.echo(f"  {difference.key.hex()}  {_sentence(diff, difference)}")
    if diff.found > SHOWN_MAX:
        click.echo(f"  and {diff.found - SHOWN_MAX:,} more; --json has {len(diff.differences):,}")


def _of_a(each: PostsOfRange) -> Digest:
    return each.a


def _of_b(each: PostsOfRange) -> Digest:
    return each.b


def _range(each: PostsOfRange) -> str:
    return f"{each.start:016x}-{each.last:016x}"


def _hash(digest: Digest) -> str:
    return f"{digest.total:016x}"


def _state(each: PostsOfRange) -> str:
    rows = (
        f"{each.a.rows:,} rows"
        if each.a.rows == each.b.rows
        else (f"{each.a.rows:,} and {each.b.rows:,} rows")
    )
    if each.differences:
        return f"{rows}, {each.differences:,} differ"
    if each.a != each.b:
        return f"{rows}, the same but for what was applied meanwhile, or swept when gone"
    return f"{rows}, the same"


def _sentence(diff: CellsDiff, each: PostDifference) -> str:
    """Both rows in words: which cell lacks it, or what each of them holds."""
    mine, other = each.source, each.target
    post = f"post {each.author}/{each.post_id}"
    if mine is not None and other is not None:
        if (mine.version, mine.gone) == (other.version, other.gone):
            return f"{post}: {_held(mine)} in both, with other bytes"
        return f"{post}: {_held(mine)} in {diff.a}, {_held(other)} in {diff.b}"
    there, lacks = (diff.a, diff.b) if other is None else (diff.b, diff.a)
    row = mine or other
    assert row is not None
    return f"{post}: {_held(row)} in {there}, and {lacks} lacks it"


def _held(row: PostRow) -> str:
    return f"{'removed at ' if row.gone else ''}version {row.version}"
