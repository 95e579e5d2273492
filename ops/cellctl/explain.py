"""`cellctl explain`: why an entry is, or is not, in a dashboard."""

import click

from cell.explain import Explanation
from cell.materialization import Why
from cell.reader_coverage import CoverageFacts
from idgen.ids import iso_time
from ops.cellctl.plain import USER
from ops.cellctl.seat import Seat, at_platform
from ops.explanation import Verdict, judge

ID_MAX = (1 << 63) - 1


@click.command("explain")
@click.argument("reader", type=USER)
@click.argument("post", metavar="POST|AUTHOR/POST")
@at_platform
def command(seat: Seat, reader: int, post: str) -> None:
    """Say why an entry is, or is not, in a dashboard.

    Reads the reader's route, the edge with its floor and version, the post's row, the inbox row,
    whether it is pushed or pulled, since when and by which rule, and the position from the
    reader's home cell. With AUTHOR/POST also what was never delivered
    can be explained.

    \b
    Examples:
      cellctl explain 5 88/1099511627776
      cellctl explain 5 1099511627776 --json
    """
    author, post_id = _address(post)
    facts = seat.platform.explain(reader, author, post_id)
    verdict = judge(facts)
    document = {"verdict": verdict, "facts": facts}
    seat.answer(document, lambda: click.echo("\n".join(_lines(facts, verdict))))


def _address(text: str) -> tuple[int | None, int]:
    author, slash, post = text.rpartition("/")
    numbers = [author, post] if slash else [post]
    if not all(each.isdecimal() and 0 < int(each) <= ID_MAX for each in numbers):
        raise click.BadParameter(
            f"{text!r} is neither POST nor AUTHOR/POST; `cellctl page` has them, in numbers",
            param_hint="POST",
        )
    return (int(author) if slash else None), int(post)


def _lines(facts: Explanation, verdict: Verdict) -> list[str]:
    shown = "is" if verdict.shown else "is not"
    return [
        f"post {facts.post_id} {shown} in the dashboard of {facts.reader}: {verdict.because}",
        f"  route     cell {facts.cell} since epoch {facts.epoch}, band {facts.band}",
        f"  edge      {_edge(facts)}",
        f"  post      {_post(facts)}",
        f"  inbox     {_inbox(facts)}",
        *(f"  coverage  {_coverage(each)}" for each in facts.coverage),
        f"  position  {_position(facts)}",
    ]


def _edge(facts: Explanation) -> str:
    edge = facts.edge
    if facts.author == facts.reader:
        return "none is needed for one's own posts"
    if edge is None:
        return "none"
    state = "live" if edge.live else "gone"
    return f"{state} at {edge.at} in band {edge.band}, floor {edge.floor}"


def _post(facts: Explanation) -> str:
    post = facts.post
    if post is None:
        return "none"
    created = "unknown" if post.created_at is None else str(post.created_at)
    state = f"removed at {post.at}" if post.removed else "there"
    return f"{state}, created at {created}"


def _inbox(facts: Explanation) -> str:
    row = facts.inbox
    if row is None:
        return "none"
    return f"{row.kind or 'live' if row.live else 'gone'} at {row.at} in band {row.band}"


def _coverage(row: CoverageFacts) -> str:
    now = "pulled" if row.now else "pushed"
    why = Why(row.why).name.lower() if row.why in set(Why) else f"rule {row.why}"
    since = f" since {iso_time(row.at_ms)}" if row.at_ms else ""
    entry = "this entry is pulled" if row.pulled else "this entry is not pulled by it"
    return f"the {row.of} is {now}{since} ({why}); {entry}"


def _position(facts: Explanation) -> str:
    position = facts.position
    if position is None:
        return "unknown without the author"
    return (
        f"partition {position.partition} applied below {position.low}, begun below "
        f"{position.high}, of {position.end} (an event at offset n has n + {position.log_base + 1})"
    )
