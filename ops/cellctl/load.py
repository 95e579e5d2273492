"""`cellctl load`: a network and its activity from files."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from firehose.receipts import Context
from idgen.clock import SystemClock
from ops.cellctl.outcome import Ended, Exit
from ops.cellctl.seat import Seat, at_platform
from ops.higgs import activities, edges
from ops.load_journal import Journal, fingerprint
from ops.loader import InDoubt, Loader, Source

DEADLINE_MS_MIN = 20_000


@click.command("load")
@click.argument("edge_lists", metavar="[EDGES]...", type=click.Path(path_type=Path), nargs=-1)
@click.option(
    "--activity",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Lines of `A B unix_seconds KIND`, in time order; KIND is RT, MT or RE.",
)
@click.option("--limit", type=click.IntRange(0), help="Only so many activities.")
@click.option(
    "--state",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where it is written down what was brought. Default: in the platform's folder.",
)
@at_platform
def command(
    seat: Seat,
    edge_lists: tuple[Path, ...],
    activity: Path | None,
    limit: int | None,
    state: Path | None,
) -> None:
    """Bring edges and activities from files, in order, resumable.

    EDGES are lists with lines of `A B`, A follows B; they are brought first. Files may be gzip.
    The formats are those of SNAP's Higgs Twitter Dataset. When a load ended early, the same
    command goes on where it was, and brings nothing twice.

    \b
    Examples:
      cellctl load edges.txt.gz --activity activity.txt.gz
      cellctl load --activity activity.txt --limit 1000 --json
    """
    inputs = [*edge_lists, *([activity] if activity else [])]
    if not inputs:
        raise click.UsageError("nothing to load: name edge lists, or an --activity file")
    mark = fingerprint(inputs)
    began = time.monotonic()
    with Journal(_state(seat, state, mark), mark) as journal, _bar() as moved_on:
        loader = Loader(_source(seat), journal, moved_on)
        try:
            loader.follows(edges(edge_lists))
            if activity is not None:
                loader.posts(activities(activity, limit))
        except InDoubt as error:
            raise Ended(Exit.PRECONDITION, str(error)) from error
        except KeyboardInterrupt:
            raise Ended(
                Exit.PARTIAL,
                f"stopped after {loader.counts.follows} follows and {loader.counts.posts} posts: "
                "the same command goes on where it was",
            ) from None
    counts = loader.counts
    seconds = round(time.monotonic() - began, 3)
    document = {
        "follows": counts.follows,
        "posts": counts.posts,
        "earlier": counts.earlier,
        "seconds": seconds,
    }
    text = f"brought {counts.follows} follows and {counts.posts} posts in {seconds} s"
    if counts.earlier:
        text += f"; {counts.earlier} were there from an earlier run"
    seat.answer(document, lambda: click.echo(text))


def _state(seat: Seat, given: Path | None, mark: str) -> Path:
    if given is not None:
        return given
    if seat.platform.folder is None:
        raise click.UsageError("name a --state file: the platform's folder is on another machine")
    return seat.platform.folder / "load" / f"{mark}.jsonl"


def _source(seat: Seat) -> Source:
    def caught_up() -> bool:
        cells = seat.platform.status().cells
        return all(each.low >= each.end for cell in cells for each in cell.positions)

    deadline_ms = max(seat.deadline_ms, DEADLINE_MS_MIN)
    platform = seat.platform
    return Source(
        platform.dashboard(), platform.take_ids, caught_up, SystemClock(), Context(deadline_ms)
    )


@contextmanager
def _bar() -> Iterator[Callable[[int], None]]:
    """Items as they are done; on a terminal only."""
    console = Console(file=sys.stderr)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("loading", total=None)
        yield lambda items: bar.advance(task, items)
