"""What `cellctl` asks of checks: cells beside the log, beside each other, beside their readers.

`ops.check_desk` implements `Checks`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from cell.post_compare import Digest, PostDifference
from cell.reader_sample import Range, Sample
from firehose.event import PostRef

Steps = Callable[[int, int], None]
"""Is told how many steps of how many are done."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it must be, in a sentence, and the command that shows more."""

    sentence: str
    command: str


@dataclass(frozen=True, slots=True)
class CellCheck:
    """A sample of a cell's readers beside what the cell has to hold.

    `readers`: who was looked at; `moved_away` of them were homed elsewhere by then. `entries`,
    `edges`, `marks`: how many were looked at. `found`: how many findings there are; the first of
    them are in `findings`.
    """

    cell: str
    seed: int
    readers: tuple[int, ...]
    moved_away: int
    entries: int
    edges: int
    marks: int
    findings: tuple[Finding, ...]
    found: int


@dataclass(frozen=True, slots=True)
class PostsOfRange:
    """What two cells hold of the authors at places start..last, as it was when it was read, and
    how many of the differences are there."""

    start: int
    last: int
    a: Digest
    b: Digest
    differences: int


@dataclass(frozen=True, slots=True)
class CellsDiff:
    """The posts of two cells side by side; of a difference `source` is cell `a`.

    `found`: how many differences there are; the first of them are in `differences`. `unsettled`:
    rows that changed whenever they were looked at.
    """

    a: str
    b: str
    ranges: tuple[PostsOfRange, ...]
    differences: tuple[PostDifference, ...]
    found: int
    unsettled: int


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """Follow for `for_ms`, and look for up to `wait_ms` longer; of so many posts, and of each so
    many followers in every cell."""

    for_ms: int = 30_000
    wait_ms: int = 60_000
    posts: int = 100
    readers: int = 20
    seed: int = 0


@dataclass(frozen=True, slots=True)
class AuditedCell:
    """A cell's part in an audit. `pairs`: a post and a reader homed here who has to see it; of
    those who did, `late_ms` in order. `unknown`: posts whose readers the cell did not tell."""

    cell: str
    pairs: int
    late_ms: tuple[int, ...]
    unknown: int = 0


@dataclass(frozen=True, slots=True)
class Missed:
    """A reader who did not see a post in time."""

    cell: str
    reader: int
    post: PostRef


@dataclass(frozen=True, slots=True)
class Audit:
    """Who saw the posts that were published meanwhile: `posts` drawn of `published`, with `seed`.
    `apart_ms`: how far apart looks were at most; the first of `missed`."""

    seed: int
    published: int
    posts: int
    cells: tuple[AuditedCell, ...]
    missed: tuple[Missed, ...]
    apart_ms: int


class Checks(Protocol):
    """Checks of what cells hold, while the platform goes on."""

    def verify_cell(self, cell: str, sample: Sample, seed: int, moved_on: Steps) -> CellCheck:
        """A sample of a cell's readers beside what it has to hold. Raises NotFound,
        Unavailable."""
        ...

    def diff_cells(self, a: str, b: str, within: Range, moved_on: Steps) -> CellsDiff:
        """The posts of two cells, of the authors in a range of places. Raises NotFound,
        BadRequest(cells) for a cell and itself, Unavailable."""
        ...

    def audit(self, settings: AuditSettings, moved_on: Steps) -> Audit:
        """Who sees the posts that are published meanwhile, and how late. Raises Unavailable."""
        ...
