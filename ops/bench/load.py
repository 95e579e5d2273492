"""Loads: synthetic graphs of given shapes, and the Higgs week as arrays; no I/O but its files."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from firehose.event import Followed, PostCreated
from idgen.errors import NotFound
from idgen.ids import U64Array, spread_array
from ops.bench.stage import Ids
from ops.higgs import Activity, Planner, activities, edges, recording, sample

AUTHORS_FROM = 10_000_000
READERS_FROM = 1_000_000_000
"""Users of graphs that are made up lie from here on: far above those of the Higgs week."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """Some authors, each followed by the same number of readers.

    Readers are drawn from a population and overlap, as real ones do; nobody follows oneself.
    `followers` is (authors, followers each), users and not places.
    """

    authors: tuple[int, ...]
    followers: npt.NDArray[np.uint64]

    @property
    def each(self) -> int:
        """Followers of each author."""
        return int(self.followers.shape[1])

    def places(self, author: int) -> U64Array:
        """Where a post of the author goes: its followers' places, and its own."""
        index = author - self.authors[0]
        users = np.append(self.followers[index], np.uint64(author))
        return spread_array(users)

    def last(self, author: int) -> int:
        """The follower whose entry lies last in the table."""
        users = self.followers[author - self.authors[0]]
        return int(users[np.argmax(spread_array(users))])


def crowd(authors: int, followers: int, population: int, place: int, seed: int = 1) -> Crowd:
    """A crowd; those of different `place` (0..99) share no user."""
    draw = np.random.default_rng(seed)
    first_author = AUTHORS_FROM + place * 100_000
    first_reader = READERS_FROM + place * 10_000_000
    drawn = [
        draw.choice(population, followers, replace=False).astype(np.uint64)
        + np.uint64(first_reader)
        for _ in range(authors)
    ]
    return Crowd(tuple(range(first_author, first_author + authors)), np.stack(drawn))


def zipf_order(readers: int, count: int, seed: int, exponent: float = 1.0) -> npt.NDArray[np.int64]:
    """`count` indexes below `readers`, the k-th most popular 1 / k^exponent as often as the first.

    Which reader is how popular is drawn too, so that neighbours are not alike.
    """
    draw = np.random.default_rng(seed)
    weights = 1 / np.arange(1, readers + 1, dtype=np.float64) ** exponent
    ranks = draw.choice(readers, count, p=weights / weights.sum())
    return draw.permutation(readers)[ranks]


@dataclass(frozen=True, slots=True)
class Week:
    """The Higgs week: edges as (n, 2) of (follower, author), and its activities in order.

    `whole` is False where the dataset is not there and the shipped sample was taken.
    """

    edges: npt.NDArray[np.uint64]
    activities: tuple[Activity, ...]
    whole: bool

    @property
    def authors(self) -> U64Array:
        """The author of each activity."""
        return np.array([a.author for a in self.activities], dtype=np.uint64)

    def deliveries(self) -> int:
        """Entries of all posts in order after all follows: followers', and the author's own."""
        authors, counts = np.unique(self.edges[:, 1], return_counts=True)
        posting = self.authors
        at = np.minimum(np.searchsorted(authors, posting), len(authors) - 1)
        followed = np.where(authors[at] == posting, counts[at], 0)
        return int(followed.sum()) + len(posting)

    def follows(self, ids: Ids) -> Iterator[Followed]:
        """Every edge as a follow, with nothing to bring along: there are no posts yet."""
        taken = ids.take(len(self.edges))
        for follow_id, (follower, author) in zip(taken, self.edges.tolist(), strict=True):
            yield Followed(follow_id, follower, author)

    def posts(self, ids: Ids) -> Iterator[PostCreated]:
        """Every activity as a post, as `make higgs` has them, with new ids."""
        planner = Planner()
        taken = ids.take(len(self.activities))
        for post_id, activity in zip(taken, self.activities, strict=True):
            draft = planner.draft(activity)
            planner.published(activity, post_id)
            yield PostCreated(post_id, activity.author, draft)


def higgs_week(folder: Path | None, limit: int | None = None) -> Week:
    """The week of a folder (None, or without the files: the shipped sample)."""
    whole = True
    try:
        found = recording(folder) if folder is not None else sample()
        whole = folder is not None
    except NotFound:
        found, whole = sample(), False
    pairs = np.array(list(edges(found.edges)), dtype=np.uint64)
    return Week(pairs, tuple(activities(found.activity, limit)), whole)


def repeated(authors: Sequence[int], posts: int) -> list[int]:
    """`posts` authors, each in turn."""
    return [authors[n % len(authors)] for n in range(posts)]
