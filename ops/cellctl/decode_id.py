"""`cellctl decode-id`: what ids say of themselves."""

from typing import Any

import click

from idgen.ids import MAX_ID, decompose
from ops.cellctl.plain import as_json


@click.command("decode-id")
@click.argument("ids", type=click.IntRange(0, MAX_ID), nargs=-1, required=True, metavar="ID...")
@click.option("--json", "json_wanted", is_flag=True, help="Answer with one JSON document.")
def command(ids: tuple[int, ...], json_wanted: bool) -> None:
    """Say when and by which worker ids were given.

    Asks nobody: an id is a time, a worker id and a sequence number (docs/ids.md).

    \b
    Examples:
      cellctl decode-id 219943536030658560
      cellctl decode-id 219943536030658560 --json
    """
    found = [_document(each) for each in ids]
    if json_wanted:
        click.echo(as_json(found))
        return
    for each in found:
        click.echo("{id}  {at}  worker {worker}  sequence {sequence}".format(**each))


def _document(event_id: int) -> dict[str, Any]:
    parts = decompose(event_id)
    return {"id": event_id, "at": parts.at, **parts._asdict()}
