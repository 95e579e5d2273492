"""`cellctl firehose`: the firehose and its consumer groups."""

import click

from ops.cellctl.lazy import LazyCommands

COMMANDS = {
    "tail": "Print events as they come, one JSON object on each line.",
    "export": "Write events into a new file, one JSON object on each line.",
    "append": "Append events from a file, in its order, in batches of 1,000.",
    "groups": "List the consumer groups of the firehose.",
    "describe": "Describe a group: its members, and how far it is in each partition.",
    "lag": "Show how much groups have to read yet, in events and seconds.",
    "rewind": "Have a group read again from another place, or skip to one.",
    "delete": "Forget a group and its checkpoints.",
}


class FirehoseCommands(LazyCommands):
    """The commands of `cellctl firehose`, one module each."""

    LINES = COMMANDS
    PREFIX = "firehose_"


@click.group("firehose", cls=FirehoseCommands)
def command() -> None:
    """Read the firehose, append to it, and look after its consumer groups.

    Events are in order in each partition; an author's posts and followers are all in one.
    Groups on Kafka are Kafka's own: its tools see the same members and offsets.
    """
