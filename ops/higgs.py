"""Reads edge lists and activity files, and turns their lines into follows and posts.

The formats are those of the Higgs Twitter Dataset of the SNAP collection (De Domenico, Lima,
Mougel, Musolesi, "The Anatomy of a Scientific Rumor", Scientific Reports 3, 2980, 2013):

- an edge list has a line `A B [times]` for each pair: A follows B;
- an activity file has a line `A B unix_seconds KIND` in time order: A reblogged (RT), mentioned
  (MT) or replied to (RE) B.

Files are plain or gzip (told by their first bytes) and are read as a stream. Empty lines and lines
that start with `#` are passed over. A small sample of the dataset ships with the package.
"""

import gzip
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import IO, NoReturn, cast

from firehose.event import Draft, PostRef
from idgen.errors import BadRequest, NotFound
from idgen.ids import MAX_USER

NETWORKS = ("retweet", "mention", "reply")
LINE_BYTES_MAX = 256
SECONDS_MAX = (1 << 41) // 1000
"""What the 41 bits of milliseconds of an id can say."""

_GZIP_MAGIC = b"\x1f\x8b"
_EDGE = "want 'A B' or 'A B times': two users, positive integers, and how often"
_ACTIVITY = "want 'A B unix_seconds KIND': two users, a time, and RT, MT or RE"


class ActivityKind(StrEnum):
    """What A did to B."""

    REBLOG = "RT"
    MENTION = "MT"
    REPLY = "RE"


@dataclass(frozen=True, slots=True)
class Activity:
    """One line of an activity file; `line` counts from 1, `at_s` is seconds since 1970."""

    line: int
    author: int
    other: int
    at_s: int
    kind: ActivityKind


@dataclass(frozen=True, slots=True)
class Recording:
    """The files of one recording: edge lists, and the activity."""

    edges: tuple[Path, ...]
    activity: Path


def sample() -> Recording:
    """The shipped sample: a busy neighbourhood of the Higgs week."""
    data = Path(str(resources.files("ops"))) / "data"
    return Recording((data / "higgs-sample.edges.txt.gz",), data / "higgs-sample.activity.txt.gz")


def recording(folder: Path) -> Recording:
    """The whole dataset in a folder, under the names it is published with, gzip or plain.

    Raises NotFound naming the first file that is missing.
    """
    networks = tuple(_published(folder, f"higgs-{name}_network.edgelist") for name in NETWORKS)
    return Recording(networks, _published(folder, "higgs-activity_time.txt"))


def edges(paths: Iterable[Path]) -> Iterator[tuple[int, int]]:
    """Each pair (follower, author) of the edge lists once, without pairs of one user.

    Keeps all pairs in memory to know them again: about 100 bytes each. Raises NotFound for a
    missing file and BadRequest(edges) for a line that is no edge, naming file and line.
    """
    seen: set[int] = set()
    for path in paths:
        for number, words in _lines(path, "edges"):
            if not 2 <= len(words) <= 3 or not all(word.isdigit() for word in words):
                _refuse("edges", path, number, _EDGE)
            follower, author = _user(words[0]), _user(words[1])
            if not follower or not author:
                _refuse("edges", path, number, _EDGE)
            pair = follower << 64 | author
            if follower != author and pair not in seen:
                seen.add(pair)
                yield follower, author


def activities(path: Path, limit: int | None = None) -> Iterator[Activity]:
    """The lines of an activity file in order, the first `limit` of them (None: all).

    Raises NotFound for a missing file and BadRequest(activity) for a line that is no activity,
    naming file and line.
    """
    for given, (number, words) in enumerate(_lines(path, "activity")):
        if limit is not None and given >= limit:
            return
        if len(words) != 4 or not all(word.isdigit() for word in words[:3]):
            _refuse("activity", path, number, _ACTIVITY)
        author, other, at_s = _user(words[0]), _user(words[1]), int(words[2][:20])
        try:
            kind = ActivityKind(words[3].decode("ascii", "replace"))
        except ValueError:
            _refuse("activity", path, number, _ACTIVITY)
        if not author or not other or at_s > SECONDS_MAX:
            _refuse("activity", path, number, _ACTIVITY)
        yield Activity(number, author, other, at_s, kind)


class Planner:
    """Turns activities, in the order of the file, into drafts.

    A reblog or a reply goes to the other's newest earlier post, so it must be told the id of each
    post once it has one. It keeps one id per author.
    """

    def __init__(self) -> None:
        self._newest: dict[int, int] = {}

    def draft(self, activity: Activity) -> Draft:
        """What the activity's author publishes; without an earlier post a mention of the other."""
        at_ms = activity.at_s * 1000
        other = activity.other
        if other == activity.author:
            return Draft(body=f"{other} writes", at_ms=at_ms)
        newest = self._newest.get(other)
        earlier = None if newest is None else PostRef(other, newest)
        if earlier is not None and activity.kind is ActivityKind.REBLOG:
            return Draft(body=f"by way of {other}", reblog_of=earlier, at_ms=at_ms)
        if earlier is not None and activity.kind is ActivityKind.REPLY:
            return Draft(body=f"in reply to {other}", reply_to=earlier, at_ms=at_ms)
        return Draft(body=f"about {other}", mentions=(other,), at_ms=at_ms)

    def published(self, activity: Activity, post_id: int) -> None:
        """The activity's post has this id; later activities may go to it."""
        self._newest[activity.author] = post_id


def _published(folder: Path, name: str) -> Path:
    for path in (folder / f"{name}.gz", folder / name):
        if path.is_file():
            return path
    raise NotFound(
        f"{folder} has neither {name}.gz nor {name}; give a folder with the files of the Higgs"
        " Twitter Dataset (SNAP), or name an edge list and an activity file"
    )


def _lines(path: Path, field: str) -> Iterator[tuple[int, list[bytes]]]:
    """Number (from 1) and words of each line that says something."""
    number = 0
    try:
        with _open(path) as file:
            while line := file.readline(LINE_BYTES_MAX + 1):
                number += 1
                if len(line) > LINE_BYTES_MAX:
                    _refuse(field, path, number, f"a line has at most {LINE_BYTES_MAX} bytes")
                words = line.split()
                if words and not words[0].startswith(b"#"):
                    yield number, words
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BadRequest(
            field,
            f"{path}, after line {number}: the gzip data is broken or cut short ({error});"
            " get the file again",
        ) from error


def _open(path: Path) -> IO[bytes]:
    try:
        file = path.open("rb")
    except (FileNotFoundError, IsADirectoryError) as error:
        raise NotFound(f"{path}: no such file; name one that exists, plain or gzip") from error
    magic = file.read(len(_GZIP_MAGIC))
    file.close()
    if magic == _GZIP_MAGIC:
        return cast("IO[bytes]", gzip.open(path, "rb"))  # it closes the file that it opens
    return path.open("rb")


def _user(word: bytes) -> int:
    """The user, or 0 for what cannot be one."""
    user = int(word) if len(word) <= 19 else 0
    return user if user <= MAX_USER else 0


def _refuse(field: str, path: Path, line: int, why: str) -> NoReturn:
    raise BadRequest(field, f"{path}, line {line}: {why}; correct the line or leave it out")
