"""The Higgs week for tests: the whole of it where it lies, else the shipped sample.

Reads the files by a few lines of its own, so that the product's reader (`ops.higgs`) can be held
against it.
"""

import gzip
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from tests.oracle.operations import Content, Ref

REPOSITORY = Path(__file__).resolve().parents[2]
BESIDE = REPOSITORY.parent / "shared" / "data" / "higgs"
SAMPLE = REPOSITORY / "ops" / "data"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the activity: `number` from 0."""

    number: int
    author: int
    other: int
    at_s: int
    kind: str


@dataclass(frozen=True, slots=True)
class Week:
    """A recording's files."""

    networks: tuple[Path, ...]
    activity: Path
    whole: bool

    def edges(self) -> list[tuple[int, int]]:
        """Each pair (follower, author) once, in the order of the files."""
        found: dict[tuple[int, int], None] = {}
        for path in self.networks:
            with gzip.open(path, "rt") as file:
                for line in file:
                    a, b, _ = line.split()
                    if a != b:
                        found[int(a), int(b)] = None
        return list(found)

    def lines(self, limit: int | None = None) -> Iterator[Line]:
        """The first activities."""
        with gzip.open(self.activity, "rt") as file:
            for number, line in enumerate(islice(file, limit)):
                a, b, at_s, kind = line.split()
                yield Line(number, int(a), int(b), int(at_s), kind)


def content(line: Line, earlier: Ref | None) -> Content:
    """What the line's author publishes; `earlier` is the other's newest earlier post."""
    other, at_ms = line.other, line.at_s * 1000
    if other == line.author:
        return Content(body=f"{other} writes", at_ms=at_ms)
    if earlier is not None and line.kind == "RT":
        return Content(body=f"by way of {other}", reblog_of=earlier, at_ms=at_ms)
    if earlier is not None and line.kind == "RE":
        return Content(body=f"in reply to {other}", reply_to=earlier, at_ms=at_ms)
    return Content(body=f"about {other}", mentions=(other,), at_ms=at_ms)


def recording(folder: Path) -> Week:
    """The whole week in a folder."""
    names = ("retweet", "mention", "reply")
    networks = tuple(folder / f"higgs-{name}_network.edgelist.gz" for name in names)
    return Week(networks, folder / "higgs-activity_time.txt.gz", whole=True)


def shipped() -> Week:
    """The sample that ships with the product."""
    edges, activity = SAMPLE / "higgs-sample.edges.txt.gz", SAMPLE / "higgs-sample.activity.txt.gz"
    return Week((edges,), activity, whole=False)


@dataclass(frozen=True, slots=True)
class Thin(Week):
    """A recording with a part of its edges, so that its posts begin soon."""

    every: int = 8

    def edges(self) -> list[tuple[int, int]]:
        """Each of every so many."""
        return Week.edges(self)[:: self.every]


def thin() -> Week:
    """The sample that ships with the product, with an eighth of its edges."""
    whole = shipped()
    return Thin(whole.networks, whole.activity, whole.whole)


def week() -> Week:
    """The whole week from DASHCELL_HIGGS_DIR or from beside the repository, else the sample."""
    named = os.environ.get("DASHCELL_HIGGS_DIR")
    if named:
        return recording(Path(named))
    return recording(BESIDE) if BESIDE.is_dir() else shipped()
