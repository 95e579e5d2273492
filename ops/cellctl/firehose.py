"""`cellctl firehose`: the ordered log of all events, for people."""

import click

from ops.cellctl import firehose_export, firehose_tail


@click.group("firehose")
def command() -> None:
    """Read the firehose.

    Events are in order in each partition; an author's posts and followers are all in one.
    """


command.add_command(firehose_tail.command)
command.add_command(firehose_export.command)
