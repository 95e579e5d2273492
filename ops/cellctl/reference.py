"""`python -m ops.cellctl.reference FILE`: docs/cellctl.md, made from the commands themselves."""

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from ops.cellctl.main import COMMANDS, cli
from ops.cellctl.outcome import Exit

HEAD = """# cellctl
Made from the commands by `make docs`; a test compares it.

Data goes to stdout; progress (on a terminal only), warnings and errors go to stderr, an error as
one sentence that says what to do next. `--json` answers with one JSON document: ids and users are
integers up to 2^63-1, cursors and tokens base64url text, names of kinds and lanes lower case.

Every command finds the platform by its folder (`--data`, else `DASHCELL_DATA`, else
`dashcell-data`) or, on other hosts, by `--registry ADDRESS`.
"""


def reference() -> str:
    """The whole page."""
    parts = [HEAD, "## Exit codes", "| code | name | meaning |", "|---|---|---|"]
    parts += [f"| {int(code)} | {code.name} | {code.meaning} |" for code in Exit]
    parts.append("")
    root = click.Context(cli, info_name="cellctl")
    for name in COMMANDS:
        command = cli.get_command(root, name)
        assert command is not None, f"{name} is in COMMANDS"
        parts += _command(command, click.Context(command, root, name), 2)
    return "\n".join(parts).rstrip() + "\n"


def _command(command: click.Command, ctx: click.Context, level: int) -> Iterator[str]:
    yield f"{'#' * level} {ctx.command_path.removeprefix('cellctl ')}"
    yield from _help(command)
    usage = " ".join(command.collect_usage_pieces(ctx))
    yield f"Usage: `{ctx.command_path} {usage}`"
    yield ""
    options = [p for p in command.params if isinstance(p, click.Option) and not p.hidden]
    if options:
        yield "| option | meaning |"
        yield "|---|---|"
        yield from (_option(option, ctx) for option in options)
        yield ""
    if isinstance(command, click.Group):
        for name in command.commands or command.list_commands(ctx):
            inner = command.get_command(ctx, name)
            assert inner is not None, f"{name} is listed"
            yield from _command(inner, click.Context(inner, ctx, name), level + 1)


def _help(command: click.Command) -> Iterator[str]:
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        lines = paragraph.splitlines()
        if lines and lines[0] == "\b":
            yield "```sh"
            yield from (line.strip() for line in lines[2:])
            yield "```"
        else:
            yield from lines
        yield ""


def _option(option: click.Option, ctx: click.Context) -> str:
    found = option.get_help_record(ctx)
    names, meaning = found if found is not None else (", ".join(option.opts), "")
    names, meaning = names.replace("|", "\\|"), meaning.replace("|", "\\|")
    return f"| `{names}` | {meaning} |"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference())
