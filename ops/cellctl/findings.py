"""What checks have found, for people and in JSON."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from ops.cellctl.outcome import Ended, Exit
from ops.cellctl.terminal import progress_bar
from ops.checks_port import Finding, Missed, Steps

SHOWN_MAX = 20


@contextmanager
def checking(what: str) -> Iterator[Steps]:
    """Shows how far a check has come; Ctrl-C ends it, with a code that is none of its answers."""
    with progress_bar(what) as moved_on:
        try:
            yield moved_on
        except KeyboardInterrupt:
            raise Ended(
                Exit.PARTIAL, "stopped before it was done, so nothing is known; nothing was changed"
            ) from None


def explain_command(missed: Missed) -> str:
    """The command that tells why a reader has not seen a post."""
    return f"cellctl explain {missed.reader} {missed.post.author}/{missed.post.id}"


def findings_document(findings: Sequence[Finding], found: int) -> dict[str, Any]:
    """`found`: how many there are in all; `findings`: the first of them."""
    return {
        "found": found,
        "findings": [{"finding": each.sentence, "see": each.command} for each in findings],
    }


def draw_findings(findings: Sequence[Finding], found: int) -> None:
    """Each with the command that shows more."""
    for each in findings[:SHOWN_MAX]:
        click.echo(f"  {each.sentence}")
        click.echo(f"    see `{each.command}`")
    if found > SHOWN_MAX:
        kept = f"; --json has {len(findings):,}" if len(findings) > SHOWN_MAX else ""
        click.echo(f"  and {found - SHOWN_MAX:,} more{kept}")
