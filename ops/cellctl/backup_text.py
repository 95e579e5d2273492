"""Backups as commands show them: documents, sentences, and bars."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from cell.backup_files import Manifest
from ops.cellctl.terminal import harmless, when
from router.backup import log_base_above

MB = 1_000_000
Moved = Callable[[str, int, int, int], None]
"""Say what is done now, of all rows how many and of how many (0: not known), and bytes."""


def document(manifest: Manifest) -> dict[str, Any]:
    """A backup as JSON."""
    return {
        "cell": manifest.cell,
        "created_ms": manifest.created_ms,
        "program": manifest.program,
        "whole": manifest.whole,
        "slice": f"{manifest.start:016x}-{manifest.last:016x}",
        "posts": manifest.whole,
        "rows": manifest.rows,
        "bytes": manifest.bytes,
        "files": len(manifest.files),
        "since": list(manifest.since),
        "finished": manifest.finished,
        "log_base_above": log_base_above(manifest),
    }


def sentence(manifest: Manifest) -> str:
    """A backup in a line."""
    what = "" if manifest.whole else f" slice {manifest.start:016x}-{manifest.last:016x}, no posts,"
    return (
        f"cell {manifest.cell},{what} {when(manifest.created_ms)}: {manifest.rows:,} rows, "
        f"{manifest.bytes / MB:,.1f} MB in {len(manifest.files):,} files"
    )


@contextmanager
def bar() -> Iterator[Moved]:
    """Rows and megabytes as they are done; on a terminal only."""
    console = Console(file=sys.stderr)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[words]}"))
    with Progress(
        *columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal
    ) as shown:
        task = shown.add_task("", total=None, words="")

        def moved(what: str, rows: int, of: int, size: int) -> None:
            shown.update(
                task,
                description=harmless(what),
                completed=rows,
                total=of or None,
                words=f"{rows:,} rows, {size / MB:,.1f} MB" if rows else "",
            )

        yield moved
