"""The Higgs week mixed with all else that users do, from a seed: an ordered stream of steps.

Steps name posts by the line of the activity they came from, since ids are given when they are
played. Most edges come first; the rest come between the posts, so that follows bring posts along.
After some activities comes something else: an unfollow, a refollow, a removal, a like, an unlike,
a mark, or one of these again, also where it changes nothing.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tests.higgs.data import Line, Week
from tests.oracle.operations import BACKFILL_DEFAULT, NOTICES, POSTS

EDGES_FIRST = 0.8
EXTRAS_PER_ACTIVITY = 0.2
RETRIED_AMONG = 1_000
BACKFILLS = (BACKFILL_DEFAULT, BACKFILL_DEFAULT, 3, 0)


@dataclass(frozen=True, slots=True)
class Publish:
    """The line's author publishes; `earlier` is the line of the other's newest earlier post."""

    line: Line
    earlier: int | None

    @property
    def key(self) -> int:
        """The author."""
        return self.line.author


@dataclass(frozen=True, slots=True)
class Remove:
    """The post of a line is removed."""

    author: int
    line: int

    @property
    def key(self) -> int:
        """The author."""
        return self.author


@dataclass(frozen=True, slots=True)
class Follow:
    """`follower` follows `author`."""

    follower: int
    author: int
    backfill: int = BACKFILL_DEFAULT

    @property
    def key(self) -> int:
        """The author."""
        return self.author


@dataclass(frozen=True, slots=True)
class Unfollow:
    """`follower` no longer follows `author`."""

    follower: int
    author: int

    @property
    def key(self) -> int:
        """The author."""
        return self.author


@dataclass(frozen=True, slots=True)
class Like:
    """`actor` likes the post of a line, or takes the like back."""

    actor: int
    author: int
    line: int
    back: bool = False

    @property
    def key(self) -> int:
        """The actor."""
        return self.actor


@dataclass(frozen=True, slots=True)
class Mark:
    """`reader` has read the lane up to the id of the post of a line."""

    reader: int
    lane: int
    line: int

    @property
    def key(self) -> int:
        """The reader."""
        return self.reader


Step = Publish | Remove | Follow | Unfollow | Like | Mark


def steps(
    week: Week, limit: int, seed: int, extras_per_activity: float = EXTRAS_PER_ACTIVITY
) -> Iterator[Step]:
    """The first `limit` activities and all edges, mixed by `seed`; the same seed, the same steps.

    Each operation is in the order in which it has to be acknowledged among those of its key.
    """
    rnd = random.Random(seed)
    edges = week.edges()
    rnd.shuffle(edges)
    first = int(len(edges) * EDGES_FIRST)
    mix = _Mix(rnd)
    for follower, author in edges[:first]:
        yield mix.follow(follower, author, BACKFILL_DEFAULT)
    lines = list(week.lines(limit))
    later = edges[first:]
    for at, line in enumerate(lines):
        begin, end = len(later) * at // len(lines), len(later) * (at + 1) // len(lines)
        for follower, author in later[begin:end]:
            yield mix.follow(follower, author, rnd.choice(BACKFILLS))
        yield mix.publish(line)
        if rnd.random() < extras_per_activity:
            yield mix.extra()


class _Mix:
    """What has happened so far, as far as the choice of the next step needs it."""

    def __init__(self, rnd: random.Random) -> None:
        self._rnd = rnd
        self._live: list[tuple[int, int]] = []
        self._ended: list[tuple[int, int]] = []
        self._published: list[Publish] = []
        self._removed: list[Remove] = []
        self._newest: dict[int, int] = {}
        self._likes: list[Like] = []
        kinds: Sequence[tuple[Callable[[], Step], int]] = (
            (self._unfollow, 4),
            (self._refollow, 3),
            (self._follow_again, 1),
            (self._unfollow_again, 1),
            (self._remove, 3),
            (self._remove_again, 1),
            (self._like, 5),
            (self._like_again, 1),
            (self._unlike, 2),
            (self._relike, 1),
            (self._mark, 3),
            (self._publish_again, 1),
        )
        self._kinds = [kind for kind, _ in kinds]
        self._weights = [weight for _, weight in kinds]

    def follow(self, follower: int, author: int, backfill: int) -> Follow:
        self._live.append((follower, author))
        return Follow(follower, author, backfill)

    def publish(self, line: Line) -> Publish:
        earlier = self._newest.get(line.other) if line.kind in ("RT", "RE") else None
        step = Publish(line, None if line.other == line.author else earlier)
        self._newest[line.author] = line.number
        self._published.append(step)
        return step

    def extra(self) -> Step:
        return self._rnd.choices(self._kinds, self._weights)[0]()

    def _post(self) -> Publish:
        """A post, one of the last thousand as often as not."""
        recent = self._rnd.random() < 0.5
        low = max(0, len(self._published) - 1000) if recent else 0
        return self._published[self._rnd.randrange(low, len(self._published))]

    def _edge(self) -> tuple[int, int]:
        return self._rnd.choice(self._live)

    def _unfollow(self) -> Step:
        at = self._rnd.randrange(len(self._live))
        self._live[at], self._live[-1] = self._live[-1], self._live[at]
        edge = self._live.pop()
        self._ended.append(edge)
        return Unfollow(*edge)

    def _refollow(self) -> Step:
        if not self._ended:
            return self._follow_again()
        edge = self._ended.pop(self._rnd.randrange(len(self._ended)))
        return self.follow(*edge, self._rnd.choice(BACKFILLS))

    def _follow_again(self) -> Step:
        return Follow(*self._edge())

    def _unfollow_again(self) -> Step:
        if self._ended:
            return Unfollow(*self._rnd.choice(self._ended))
        return self._unfollow()

    def _remove(self) -> Step:
        line = self._post().line
        step = Remove(line.author, line.number)
        self._removed.append(step)
        return step

    def _remove_again(self) -> Step:
        return self._rnd.choice(self._removed) if self._removed else self._remove()

    def _like(self) -> Step:
        line = self._post().line
        # Somebody whose pages are read too; now and then the author.
        actor = self._edge()[0] if self._rnd.random() < 0.95 else line.author
        step = Like(actor, line.author, line.number)
        self._likes.append(step)
        return step

    def _like_again(self) -> Step:
        return self._rnd.choice(self._likes) if self._likes else self._like()

    def _unlike(self) -> Step:
        like = self._like_again()
        assert isinstance(like, Like)
        return Like(like.actor, like.author, like.line, back=True)

    def _relike(self) -> Step:
        """Often of what was taken back, now and then of what was removed."""
        return self._like_again()

    def _mark(self) -> Step:
        line = self._post().line
        reader = self._edge()[0] if self._rnd.random() < 0.5 else line.other
        return Mark(reader, self._rnd.choice((POSTS, NOTICES)), line.number)

    def _publish_again(self) -> Step:
        """The same post with the same id: what a client's retry is, and soon, as a retry has to be
        (the platform refuses ids that were given long ago)."""
        return self._rnd.choice(self._published[-RETRIED_AMONG:])
