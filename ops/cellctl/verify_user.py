"""`cellctl verify-user`: whether dashboards are what edges and posts say."""

from typing import Any

import click

from ops.cellctl.outcome import Ended, Exit
from ops.cellctl.plain import USER
from ops.cellctl.seat import Seat, at_platform
from ops.platform_port import ReaderCheck

SHOWN_MAX = 10


@click.command("verify-user")
@click.argument("readers", type=USER, nargs=-1, required=True)
@at_platform
def command(seat: Seat, readers: tuple[int, ...]) -> None:
    """Work out anew what dashboards must hold, and compare.

    What each reader must see is worked out from edges and posts of the reader's home cell, and
    compared with the inbox and with the pages that are made of it and of what is pulled. The exit
    code is 1 where anything differs.

    \b
    Examples:
      cellctl verify-user 5
      cellctl verify-user 5 88 --json
    """
    checks = [seat.platform.verify_reader(reader) for reader in dict.fromkeys(readers)]
    seat.answer([_document(check) for check in checks], lambda: _draw(checks))
    wrong = [check.reader for check in checks if check.missing or check.extra]
    if wrong:
        raise Ended(
            Exit.FAILED,
            f"{len(wrong)} of {len(checks)} dashboards are not what they should be: see why with "
            f"`cellctl explain {wrong[0]} AUTHOR/POST`",
        )


def _document(check: ReaderCheck) -> dict[str, Any]:
    return {
        "reader": check.reader,
        "cell": check.cell,
        "authors": check.authors,
        "entries": check.entries,
        "pulled": check.pulled,
        "missing": [f"{ref.author}/{ref.id}" for ref in check.missing],
        "extra": [f"{ref.author}/{ref.id}" for ref in check.extra],
    }


def _pulled(check: ReaderCheck) -> str:
    return f" ({check.pulled:,} pulled)" if check.pulled else ""


def _draw(checks: list[ReaderCheck]) -> None:
    for check in checks:
        same = "as they should be" if not (check.missing or check.extra) else "NOT as they should"
        click.echo(
            f"reader {check.reader} in cell {check.cell}: {check.entries:,} entries of "
            f"{check.authors:,} authors and the reader{_pulled(check)}, {same}"
        )
        for name, refs in (("missing", check.missing), ("not to be there", check.extra)):
            for ref in refs[:SHOWN_MAX]:
                click.echo(f"  {name}: {ref.author}/{ref.id}")
            if len(refs) > SHOWN_MAX:
                click.echo(f"  and {len(refs) - SHOWN_MAX:,} more")
