"""Why an entry is, or is not, in a reader's dashboard: the facts of the rows, and what they mean.

The rule (ARCHITECTURE.md, "The rule"): a post is in a reader's inbox iff it is not gone, and the
reader wrote it, or the reader's edge to the author is live and the post is newer than the edge or
was backfilled with it.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EdgeFacts:
    """The reader's edge to the author: at its version, with the floor of its backfill."""

    live: bool
    band: int
    at: int
    """The lower part of its version: log_base + offset + 1 of the follow or unfollow."""
    floor: int
    """The lowest creation version (lower part) among what was backfilled, else the edge's own."""


@dataclass(frozen=True, slots=True)
class PostFacts:
    """The post's row: where it was created in the log, and where removed."""

    removed: bool
    at: int
    """The lower part of the row's present version."""
    created_at: int | None
    """The same of its creation; None: a removal that came before its post."""


@dataclass(frozen=True, slots=True)
class InboxFacts:
    """The reader's inbox row for the post."""

    live: bool
    band: int
    at: int
    kind: str = ""


@dataclass(frozen=True, slots=True)
class PositionFacts:
    """How far the reader's cell has applied the author's partition, in offsets."""

    partition: int
    low: int
    high: int
    end: int
    log_base: int = 0

    def reached(self, at: int) -> bool:
        """Whether the event at `at` (the lower part of a version) is done for sure."""
        return self.log_base + self.low >= at


@dataclass(frozen=True, slots=True)
class Explanation:
    """All that decides over one entry, as read from the reader's home cell."""

    reader: int
    author: int | None
    """None: not given, and no inbox row that would tell."""
    post_id: int
    cell: str
    epoch: int
    band: int
    edge: EdgeFacts | None
    post: PostFacts | None
    inbox: InboxFacts | None
    position: PositionFacts | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """`shown`: the dashboard has the entry. `expected`: the rule says that it should.

    Where the two differ after the position has passed the events, something is wrong.
    """

    shown: bool
    expected: bool
    because: str


def judge(facts: Explanation) -> Verdict:
    """What the facts amount to, in one sentence."""
    shown = (
        facts.inbox is not None
        and facts.inbox.live
        and facts.inbox.band == facts.band
        and (facts.post is None or not facts.post.removed)
    )
    expected, because = _rule(facts)
    if shown == expected:
        return Verdict(shown, expected, because)
    if facts.position is not None and facts.position.low < facts.position.end:
        behind = facts.position.end - facts.position.low
        because += (
            f"; but the cell still has {behind} events of partition "
            f"{facts.position.partition} to apply, so ask again when it has"
        )
    else:
        because += "; the inbox row says otherwise, which is a fault: keep these facts"
    return Verdict(shown, expected, because)


def _rule(facts: Explanation) -> tuple[bool, str]:
    post, edge = facts.post, facts.edge
    if post is None or post.removed:
        return False, _post_missing(facts)
    if facts.author == facts.reader:
        return True, "the reader wrote it"
    if edge is None or edge.band != facts.band or not edge.live:
        return False, _edge_missing(facts, edge)
    created = post.created_at if post.created_at is not None else post.at
    if created > edge.at:
        return True, "the reader's edge to the author is older than the post"
    backfilled = created >= edge.floor
    what = "was backfilled" if backfilled else "is older than what was backfilled"
    return backfilled, f"the post {what} when the reader followed its author"


def _post_missing(facts: Explanation) -> str:
    if facts.author is None:
        return "no inbox row has this post id; name its author with AUTHOR/POST to know more"
    if facts.post is None:
        return f"the cell has no post {facts.post_id} of user {facts.author}"
    return "the post was removed"


def _edge_missing(facts: Explanation, edge: EdgeFacts | None) -> str:
    if edge is None:
        return f"the reader has never followed user {facts.author}"
    if edge.band != facts.band:
        return f"the edge is of band {edge.band}, which ended; the reader's is {facts.band}"
    return f"the reader unfollowed user {facts.author}"
