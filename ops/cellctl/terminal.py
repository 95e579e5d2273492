"""Writing for people: stdout for data, stderr for progress, and nothing that commands a terminal.

Colours, boxes and progress appear on terminals alone; what goes into a pipe is plain lines.
"""

import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

PIPE_COLUMNS = 10_000
"""Lines in a pipe are not wrapped."""
_KEEP = {"\n", "\t"}
_DROPPED = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Unicode categories that can move the cursor, turn text around or hide it."""


def console() -> Console:
    """Stdout."""
    if sys.stdout.isatty():
        return Console(file=sys.stdout, highlight=False)
    return Console(
        file=sys.stdout, highlight=False, width=PIPE_COLUMNS, no_color=True, force_terminal=False
    )


def harmless(text: str) -> str:
    """Users' text without what a terminal would obey: escapes, controls, overrides of direction."""
    return "".join(
        c if c in _KEEP or unicodedata.category(c) not in _DROPPED else "\N{REPLACEMENT CHARACTER}"
        for c in text
    )


def shown(text: str, style: str = "") -> Text:
    """Users' text, harmless and without being taken for markup."""
    return Text(harmless(text), style=style)


def when(at_ms: int) -> str:
    """Milliseconds since 1970 as UTC."""
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return f"{at_ms} ms"


@contextmanager
def progress_line() -> Iterator[Callable[[str], None]]:
    """Say on stderr what is being done; in one moving line, and on a terminal only."""
    stderr = Console(file=sys.stderr, highlight=False)
    if not stderr.is_terminal:
        yield _silent
        return
    with stderr.status("") as status:
        yield lambda text: status.update(harmless(text))


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show on stderr how many steps of how many are done; on a terminal only."""
    stderr = Console(file=sys.stderr)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, TimeRemainingColumn(), console=stderr, disable=not stderr.is_terminal
    ) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, steps: bar.update(task, completed=done, total=steps)


def _silent(text: str) -> None:
    del text
