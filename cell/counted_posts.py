"""What a worker tells of a batch to what counts: whose posts were applied, what was not written.

Counted once they are acknowledged, for a batch that failed is evaluated again; and not when a
replay applies them once more.
"""

from cell.activity import Activity
from cell.batch import Batch
from cell.followers import FollowerSets
from cell.reads import Applying
from firehose.event import PostCreated
from idgen.ids import spread


class CountedPosts:
    """The posts of the batch on its way; used by one worker thread."""

    def __init__(self, activity: Activity, followers: FollowerSets) -> None:
        self._activity = activity
        self._followers = followers
        self._posts: list[tuple[int, int]] = []

    def add(self, applying: Applying, at_ms: int) -> None:
        """An event was evaluated that was appended at `at_ms`."""
        if isinstance(applying.event, PostCreated) and not applying.again:
            self._posts.append((applying.event.author, at_ms))

    def forget(self) -> None:
        """They will be evaluated again."""
        self._posts.clear()

    def acknowledged(self, batch: Batch) -> int:
        """All of it was written; how many entries were not, because their readers pull them."""
        if batch.entries.count:
            self._activity.costs.pushed(batch.entries.count, batch.entries_s)
        authors = {author for author, _ in self._posts}
        sizes = ((author, self._followers.size(spread(author))) for author in authors)
        known = {author: size for author, size in sizes if size is not None}
        self._activity.posted(self._posts, known)
        self._posts = []
        return batch.left_out + sum(map(self._activity.followers, batch.unpushed))
