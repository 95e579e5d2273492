"""`cellctl completion`: the shell's own script."""

import click
from click.shell_completion import get_completion_class

SHELLS = ["bash", "zsh", "fish"]
PROGRAM = "cellctl"


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
def command(shell: str) -> None:
    """Print the completion script for a shell.

    \b
    Examples:
      cellctl completion bash > ~/.local/share/bash-completion/completions/cellctl
      cellctl completion zsh > ~/.zfunc/_cellctl
      cellctl completion fish > ~/.config/fish/completions/cellctl.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None, f"click knows {shell}"
    root = click.get_current_context().find_root().command
    # Bash's own version is not asked for (click would run it): the script says what it needs.
    click.echo(kind(root, {}, PROGRAM, f"_{PROGRAM.upper()}_COMPLETE").source_template % _words())


def _words() -> dict[str, str]:
    return {
        "complete_func": f"_{PROGRAM}_completion",
        "complete_var": f"_{PROGRAM.upper()}_COMPLETE",
        "prog_name": PROGRAM,
    }
