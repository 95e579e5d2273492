"""What of performance.json (`ops.bench.report`) a plan is made from; no I/O.

All figures were taken on one machine that ran every server, every service and the load.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import msgspec

REMEDY = "take the figures with `make bench`, or name a file of them with --figures"
MIB = 1 << 20


class FigureMissing(Exception):
    """A figure that the plan needs is not there; the message names it and the remedy."""


class FigureUnfit(Exception):
    """A figure is there, but no plan can be made from it; the message names it and the remedy."""


class NoFigures(ValueError):
    """Bytes that are no performance.json."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What the machine of the bench did, each alone and with all of the machine.

    `deliveries_per_s`: entries of posts with 1,000 followers, by one ingest worker.
    `posts_per_s`: posts of the Higgs week, with the few entries that each has there.
    `kept_pages_per_s`, `read_pages_per_s`: pages of 20 posts, kept in memory or read from the
    tables.
    `entry_bytes`: on disk, compacted, one copy. `edge_bytes`: an ingest worker's memory by edge,
    everything else in it counted in. `million_s`: a post to a million followers.
    """

    deliveries_per_s: float
    posts_per_s: float
    kept_pages_per_s: float
    read_pages_per_s: float
    entry_bytes: float
    edge_bytes: float
    million_s: float


SOURCES = {
    "deliveries_per_s": "fanout-1000",
    "posts_per_s": "posts of week / its seconds",
    "kept_pages_per_s": "pages-most",
    "read_pages_per_s": "pages-read",
    "entry_bytes": "size",
    "edge_bytes": "memory / its edges",
    "million_s": "giant-warm",
}
"""Where each field of `Measured` is from, by the names of the measures."""
assert set(SOURCES) == {field.name for field in fields(Measured)}


@dataclass(frozen=True, slots=True)
class _Form:
    """How a figure has to be: its unit, and from where to where it is plausible."""

    unit: str
    least: float
    most: float


_RATE = (0.1, 1e9)
_SECONDS = (1e-3, 1e7)
_EACH_BYTES = (0.1, 1e9)
_COUNT_MOST = 10**12
_FORMS = {
    "fanout-1000": _Form("deliveries/s", *_RATE),
    "pages-most": _Form("pages/s", *_RATE),
    "pages-read": _Form("pages/s", *_RATE),
    "week": _Form("s", *_SECONDS),
    "size": _Form("bytes", *_EACH_BYTES),
    "memory": _Form("MiB", 1.0, 1e9),
    "giant-warm": _Form("s", *_SECONDS),
}
"""Of each measure that a plan is made from. Wide: for any machine, but for none that cannot be."""
_POSTS = _Form("posts/s", *_RATE)
_EDGE = _Form("bytes an edge", *_EACH_BYTES)


class _Line(msgspec.Struct, frozen=True):
    measure: str
    figure: float | None
    unit: str | None = None
    count: int = 0
    note: str | None = None


def measured(performance: bytes) -> Measured:
    """The figures in the bytes of a performance.json.

    Raises NoFigures, FigureMissing and FigureUnfit.
    """
    try:
        lines = msgspec.json.decode(performance, type=list[_Line])
    except (ValueError, RecursionError) as error:  # also of text that is not UTF-8, and nested
        raise NoFigures(str(error)) from error
    week, memory = _line(lines, "week"), _line(lines, "memory")
    posts_per_s = _count(week) / _figure(week)
    edge_bytes = _figure(memory) * MIB / _count(memory)
    return Measured(
        deliveries_per_s=_figure(_line(lines, "fanout-1000")),
        posts_per_s=_plausible("week", posts_per_s, _POSTS),
        kept_pages_per_s=_figure(_line(lines, "pages-most")),
        read_pages_per_s=_figure(_line(lines, "pages-read")),
        entry_bytes=_figure(_line(lines, "size")),
        edge_bytes=_plausible("memory", edge_bytes, _EDGE),
        million_s=_figure(_line(lines, "giant-warm")),
    )


def _line(lines: Sequence[_Line], measure: str) -> _Line:
    """The first line of a measure: they differ only in their peers."""
    for line in lines:
        if line.measure == measure:
            return line
    raise FigureMissing(f"there is no figure {measure!r}: {REMEDY}")


def _figure(line: _Line) -> float:
    name, form = line.measure, _FORMS[line.measure]
    if line.figure is None:
        why = f" ({line.note})" if line.note else ""
        raise FigureMissing(f"the figure {name!r} is missing{why}: {REMEDY}")
    if line.unit != form.unit:
        said = f"in {line.unit!r}" if line.unit else "without a unit"
        raise FigureUnfit(f"the figure {name!r} is {said} and not in {form.unit!r}: {REMEDY}")
    return _plausible(name, line.figure, form)


def _plausible(name: str, value: float, form: _Form) -> float:
    """The value, which no plan can be reckoned from when it is 0 or as good as endless."""
    if not form.least <= value <= form.most:
        raise FigureUnfit(
            f"the figure {name!r} says {value:g} {form.unit}, where {form.least:g} to "
            f"{form.most:g} are plausible: {REMEDY}"
        )
    return value


def _count(line: _Line) -> int:
    """Of how many things the figure is."""
    if line.count <= 0:
        raise FigureMissing(f"the figure {line.measure!r} has no count: {REMEDY}")
    if line.count > _COUNT_MOST:
        raise FigureUnfit(
            f"the figure {line.measure!r} says it is of more than {_COUNT_MOST:,}: {REMEDY}"
        )
    return line.count
