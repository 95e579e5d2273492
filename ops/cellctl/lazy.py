"""Groups of commands that are imported only when they are called."""

import importlib
from collections.abc import Mapping
from typing import ClassVar

import click


class LazyCommands(click.Group):
    """A group that imports `ops.cellctl.<prefix><command>` when it is asked for."""

    LINES: ClassVar[Mapping[str, str]] = {}
    """The commands by name, in the order of the help, each with the first line of its own help."""
    PREFIX: ClassVar[str] = ""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order of the help."""
        del ctx
        return list(self.LINES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now; None for an unknown name."""
        del ctx
        if cmd_name not in self.LINES:
            return None
        module = importlib.import_module(f"ops.cellctl.{self.PREFIX}{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in the help, without importing what is listed."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(self.LINES.items()))
