"""`cellctl audit`: reach, the share of readers who see an acknowledged post."""

import math
import random
from collections.abc import Sequence
from typing import Any

import click

from ops.cellctl.findings import checking, explain_command
from ops.cellctl.outcome import Ended, Exit
from ops.cellctl.rehoming import Span
from ops.cellctl.seat import Seat, at_platform
from ops.checks_port import Audit, AuditSettings

SEED_MAX = (1 << 32) - 1
SHOWN_MAX = 20
POSTS_MAX = 10_000
READERS_MAX = 1_000
PAIRS_MAX = 100_000
"""Posts times readers: each look asks for all of them that were not seen yet."""


@click.command("audit")
@click.option(
    "--for",
    "for_ms",
    type=Span(),
    default="30s",
    show_default=True,
    help="How long to follow the firehose.",
)
@click.option(
    "--wait",
    "wait_ms",
    type=Span(),
    default="60s",
    show_default=True,
    help="How much longer to look for posts that were not seen yet.",
)
@click.option(
    "--posts",
    type=click.IntRange(1, POSTS_MAX),
    default=100,
    show_default=True,
    help="How many posts are drawn of those that are published meanwhile.",
)
@click.option(
    "--readers",
    type=click.IntRange(1, READERS_MAX),
    default=20,
    show_default=True,
    help="How many followers of each are drawn in every cell, beside the author.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, SEED_MAX),
    help="Draw by this seed. Default: another each time.",
)
@at_platform
def command(
    seat: Seat, for_ms: int, wait_ms: int, posts: int, readers: int, seed: int | None
) -> None:
    """Measure which share of readers see a post, and how late.

    Follows the firehose for a while and draws some of the posts that are published meanwhile; of
    each it draws readers in every cell and looks into their inboxes until all have it. Who stops
    following, and a post that is removed meanwhile, do not count. The exit code is 1 when a reader
    has not seen a post in time, and 5 when nothing was published, so that nothing is known.

    \b
    Examples:
      cellctl audit
      cellctl audit --for 5m --posts 1000 --json
    """
    if not for_ms:
        raise click.BadParameter("0 is no time: follow for a second at least", param_hint="--for")
    if posts * readers > PAIRS_MAX:
        raise click.UsageError(f"--posts times --readers may be {PAIRS_MAX:,} at most")
    drawn = random.randrange(SEED_MAX + 1) if seed is None else seed
    settings = AuditSettings(for_ms, wait_ms, posts, readers, drawn)
    with checking("following the firehose, ms") as moved_on:
        audit = seat.platform.checks.audit(settings, moved_on)
    seat.answer(_document(audit), lambda: _draw(audit))
    _end(audit, for_ms)


def _end(audit: Audit, for_ms: int) -> None:
    pairs, late = _whole(audit)
    unknown = [cell.cell for cell in audit.cells if cell.unknown]
    if unknown:
        raise Ended(
            Exit.FAILED,
            f"cell {unknown[0]} did not tell who has to see the posts: see `cellctl status`",
        )
    if not pairs:
        what = "no post was published" if not audit.published else "nobody had to see the posts"
        raise Ended(
            Exit.PRECONDITION,
            f"reach is unknown: {what} within {for_ms / 1000:g} s; publish something meanwhile, "
            "or follow longer with --for",
        )
    if len(late) < pairs:
        raise Ended(
            Exit.FAILED,
            f"{pairs - len(late):,} of {pairs:,} did not see a post in time; see why with "
            f"`{explain_command(audit.missed[0])}`",
        )


def _whole(audit: Audit) -> tuple[int, list[int]]:
    """All pairs, and how late those were who saw their post."""
    pairs = sum(cell.pairs for cell in audit.cells)
    return pairs, sorted(late for cell in audit.cells for late in cell.late_ms)


def _document(audit: Audit) -> dict[str, Any]:
    return {
        "seed": audit.seed,
        "published": audit.published,
        "posts": audit.posts,
        **_figures(*_whole(audit)),
        "looks_apart_ms": audit.apart_ms,
        "cells": [
            {"cell": cell.cell, **_figures(cell.pairs, cell.late_ms), "unknown": cell.unknown}
            for cell in audit.cells
        ],
        "missed": [
            {
                "cell": each.cell,
                "reader": each.reader,
                "post": f"{each.post.author}/{each.post.id}",
                "see": explain_command(each),
            }
            for each in audit.missed
        ],
    }


def _figures(pairs: int, late: Sequence[int]) -> dict[str, Any]:
    found = {"p50": _rank(late, 50), "p99": _rank(late, 99), "max": _rank(late, 100)}
    return {
        "pairs": pairs,
        "seen": len(late),
        "reach": len(late) / pairs if pairs else None,
        "late_ms": found if late else None,
    }


def _rank(late: Sequence[int], percentile: int) -> int:
    """The value that so many of a hundred do not exceed (nearest rank)."""
    return late[max(0, math.ceil(len(late) * percentile / 100) - 1)] if late else 0


def _draw(audit: Audit) -> None:
    click.echo(
        f"{audit.posts:,} posts drawn of {audit.published:,} published meanwhile; seed {audit.seed}"
    )
    pairs, late = _whole(audit)
    for name, count, seen in (
        ("reach", pairs, late),
        *((f"cell {cell.cell}", cell.pairs, cell.late_ms) for cell in audit.cells),
    ):
        click.echo(f"  {name}: {_share(count, seen)}")
    if late:
        click.echo(
            f"  late is from the log's append to the look that found it; looks were at most "
            f"{audit.apart_ms:,} ms apart"
        )
    for each in audit.missed[:SHOWN_MAX]:
        click.echo(
            f"  reader {each.reader} of cell {each.cell} has not seen "
            f"{each.post.author}/{each.post.id}: `{explain_command(each)}`"
        )
    if pairs - len(late) > SHOWN_MAX:
        click.echo(f"  and {pairs - len(late) - SHOWN_MAX:,} more")


def _share(pairs: int, late: Sequence[int]) -> str:
    if not pairs:
        return "nobody had to see a post"
    # Rounded down, or one reader in a million would be lost in it.
    percent = math.floor(len(late) / pairs * 1_000_000) / 10_000
    told = f"{percent:g} %, {len(late):,} of {pairs:,} readers saw a post"
    if not late:
        return told
    p50, p99, most = (_rank(late, percentile) for percentile in (50, 99, 100))
    return f"{told}, late by p50 {p50:,} ms, p99 {p99:,} ms, at most {most:,} ms"
