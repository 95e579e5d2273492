"""What checks have found, for people and in JSON."""

from collections.abc import Sequence
from typing import Any

import click

from ops.platform_port import Finding

SHOWN_MAX = 20


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
