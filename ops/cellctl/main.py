"""`cellctl`: the commands by name, each imported only when it is called."""

import errno
import logging
from typing import Any

import click

from idgen.errors import DashcellError
from ops.cellctl.lazy import LazyCommands
from ops.cellctl.outcome import Ended, Exit, ended, is_stack_error, stack_ended

COMMANDS = {
    "up": "Start a platform: embedded, or on real servers.",
    "down": "Stop a platform and leave nothing behind.",
    "serve": "Run one service in the foreground.",
    "status": "Show servers, services, positions and lag.",
    "doctor": "Check this machine and its configuration, with remedies.",
    "plan": "Say how many machines a load takes, and what breaks first.",
    "simulate": "Work out what pushing and pulling cost on a published workload.",
    "version": "Tell the version of this program.",
    "page": "Show a reader's dashboard.",
    "publish": "Publish a post.",
    "remove": "Remove posts.",
    "follow": "Follow authors.",
    "unfollow": "Stop following authors.",
    "like": "Like a post.",
    "unlike": "Take a like back.",
    "mark-read": "Mark a reader's lane as read.",
    "unread": "Count what a reader has not read yet.",
    "author-posts": "Show an author's posts.",
    "load": "Bring edges and activities from files, in order, resumable.",
    "explain": "Say why an entry is, or is not, in a dashboard.",
    "list-cells": "List cells, their lag, and their share of the readers.",
    "describe-cell": "Describe a cell: its state, servers, readers, lag and moves.",
    "add-cell": "Add a cell: copied from another, compared with it, and activated later.",
    "cordon-cell": "Cordon a cell: no move may choose it as its target.",
    "drain-cell": "Drain a cell: move all its readers to the other cells.",
    "activate-cell": "Activate a cell: moves may choose it again.",
    "retire-cell": "Retire a cell that is home to nobody.",
    "backup-cell": "Back a cell up into a folder, while it goes on.",
    "restore-cell": "Restore a lost cell, or a slice, from a backup.",
    "rebalance": "Move slices so that all cells have about the same load.",
    "rehome-user": "Move readers to another cell.",
    "rehome-slice": "Move a range of readers to another cell.",
    "list-slices": "List which ranges of readers are homed where.",
    "list-moves": "List moves, those under way first.",
    "show-move": "Show a move, its progress and its history.",
    "switch-move": "Have a verified move switch that was told to stop before.",
    "verify-move": "Compare the two cells of a move once more.",
    "reverse-move": "Take a switched move back.",
    "complete-move": "Complete a switched move now.",
    "cancel-move": "Give up a move that has not switched.",
    "verify-user": "Work out anew what dashboards must hold, and compare.",
    "verify-cell": "Check a cell by a sample of its readers.",
    "diff-cells": "Compare the posts of two cells.",
    "audit": "Measure which share of readers see a post, and how late.",
    "decode-id": "Say when and by which worker ids were given.",
    "take-ids": "Take new ids: 1, or COUNT of them, increasing.",
    "list-id-servers": "List the servers of ids: worker id, epoch, lease, clock, ids given.",
    "flags": "List and change the platform's flags.",
    "pin": "Have a user pushed to or pulled, whatever the policy says.",
    "pins": "List the users who are pinned.",
    "dead-letters": "List, retry or discard events that a cell could not apply.",
    "firehose": "Read the firehose, append to it, and look after its consumer groups.",
    "tokens": "Make, list, rotate and revoke the tokens of the firehose's clients.",
    "completion": "Print the completion script for a shell.",
}
"""Every command and its line in the help; the same line heads the command's own help."""


_UNSAID = logging.NullHandler()


class Cellctl(LazyCommands):
    """All commands; how errors end them."""

    LINES = COMMANDS

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; the platform's errors end it with their exit code and a sentence."""
        try:
            return super().invoke(ctx)
        except DashcellError as error:
            raise ended(error) from error
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            where = f"{error.filename}: " if error.filename else ""
            raise Ended(Exit.FAILED, f"{where}{error.strerror or error}") from error
        except Exception as error:
            if is_stack_error(error):
                raise stack_ended(error) from error
            raise


@click.group(
    cls=Cellctl,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 conflict, 5 precondition, "
    "6 unreachable, 7 timed out but still running, 8 partial.",
)
def cli() -> None:
    """Start, ask and look after a Dashcell platform.

    Data goes to stdout, everything else to stderr. --data names the platform's folder, --registry
    finds one on other hosts.
    """
    # A command says how it ends in a sentence of its own; what libraries log, services show.
    logging.getLogger().addHandler(_UNSAID)


def main() -> None:
    """The program `cellctl`."""
    cli(prog_name="cellctl")


if __name__ == "__main__":
    main()
