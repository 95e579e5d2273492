"""Why an entry is, or is not, in a reader's dashboard: the facts of the rows, and what they mean.

The rule (ARCHITECTURE.md, "The rule"): a post is in a reader's dashboard iff it is not gone, and
the reader wrote it, or the reader's edge to the author is live and the post is newer than the edge
or was backfilled with it. It is pulled where a switch says so: then pages look it up, and whether
the inbox has it too does not matter.
"""

from dataclasses import dataclass

from cell.explain import EdgeFacts, Explanation


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
    pulled = is_pulled(facts)
    shown = pulled or (
        facts.inbox is not None
        and facts.inbox.live
        and facts.inbox.band == facts.band
        and (facts.post is None or not facts.post.removed)
    )
    expected, because = _rule(facts)
    if shown == expected:
        if pulled:
            by = next(each.of for each in facts.coverage if each.pulled)
            because += f"; it is pulled, by a switch of the {by}, and looked up for each page"
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


def is_pulled(facts: Explanation) -> bool:
    """Whether pages look the entry up. What was written or backfilled for the reader is not."""
    post, edge = facts.post, facts.edge
    if post is None or post.removed or post.created_at is None or facts.author == facts.reader:
        return False
    if edge is None or edge.band != facts.band or not edge.live or post.created_at <= edge.at:
        return False
    return any(each.pulled for each in facts.coverage)


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
