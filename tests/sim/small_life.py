"""A few authors and readers who publish, remove and follow at random, through any dashboard."""

import random
from collections.abc import Callable, Sequence

from cell.dashboard import Context, Dashboard, NewFollow
from firehose.event import Draft
from tests.oracle.operations import Content, Followed, Operation, Published, Removed

CTX = Context(10_000)
READERS, AUTHORS = range(20, 32), range(1, 6)
BACKFILL = 3


class SmallLife:
    """`acknowledged` is told each operation with its receipt's token."""

    def __init__(
        self,
        dashboard: Dashboard,
        acknowledged: Callable[[Operation, bytes], None],
        rnd: random.Random,
        body: str = "text",
        authors: Sequence[int] = AUTHORS,
    ) -> None:
        self.posts: list[Published] = []
        self._dashboard = dashboard
        self._acknowledged = acknowledged
        self._rnd = rnd
        self.body = body
        self._authors = authors

    def go_on(self, events: int = 1) -> None:
        """So many operations more."""
        for _ in range(events):
            what = self._rnd.random()
            if what < 0.3:
                self._follow()
            elif what < 0.45 and self.posts:
                self._remove(self._rnd.choice(self.posts))
            else:
                self._publish()

    def _publish(self) -> None:
        author = self._rnd.choice(self._authors)
        receipt = self._dashboard.publish(CTX, author, Draft(body=self.body), None)
        post = Published(receipt.id, author, Content(body=self.body))
        self.posts.append(post)
        self._acknowledged(post, receipt.token)

    def _remove(self, post: Published) -> None:
        receipt = self._dashboard.remove_post(CTX, post.author, post.id, None)
        self._acknowledged(Removed(receipt.id, post.author, post.id), receipt.token)

    def _follow(self) -> None:
        reader, author = self._rnd.choice(READERS), self._rnd.choice(self._authors)
        receipt = self._dashboard.follow(CTX, NewFollow(reader, author, None, BACKFILL))
        self._acknowledged(Followed(receipt.id, reader, author, BACKFILL), receipt.token)
