"""A page as lines for a terminal."""

from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.text import Text

from cell.dashboard import Entry, EntryKind, Page, PostView
from firehose.event import Lane, PostRef
from ops.cellctl.plain import to_text
from ops.cellctl.terminal import shown, when

BODY_LINES_MAX = 6
UNREAD = "\N{BLACK CIRCLE}"
_NOTICES = {
    EntryKind.REPLY: "replied to your post",
    EntryKind.REBLOG: "reblogged your post",
    EntryKind.MENTION: "mentioned you in",
    EntryKind.LIKE: "likes your post",
    EntryKind.FOLLOW: "follows you",
}


def draw_page(console: Console, title: str, page: Page) -> None:
    """Title, entries, and how to go on."""
    head = Text(title, style="bold")
    head.append(f"  cell {page.cell} since epoch {page.epoch}, lag {page.lag_ms / 1000:.1f} s")
    console.print(head)
    for line in entry_lines(page.entries):
        console.print(line)
    if not page.entries:
        console.print(Text("(nothing here)", style="dim"))
    if page.end:
        console.print(Text("end", style="dim"))
    elif page.next_cursor:
        console.print(Text(f"next: {to_text(page.next_cursor)}", style="dim"))


def entry_lines(entries: Iterable[Entry]) -> Iterator[Text]:
    """The lines of entries, in their order."""
    for entry in entries:
        if entry.lane is Lane.NOTICES:
            yield from _notice(entry)
        else:
            yield from _post(entry)


def _head(entry: Entry, what: str) -> Text:
    line = Text(f"{UNREAD if entry.unread else ' '} ", style="bold cyan")
    line.append(when(entry.at_ms), style="dim")
    line.append(f"  {entry.actor}", style="bold")
    line.append(f"  {what}", style="")
    line.append(f"  {_ref(entry)}", style="dim")
    return line


def _ref(entry: Entry) -> str:
    return f"{entry.actor}/{entry.id}"


def _post(entry: Entry) -> Iterator[Text]:
    what = entry.kind.name.lower()
    draft = entry.post.draft if entry.post is not None else None
    if draft is not None and draft.reblog_of is not None:
        what += f", reblogs {draft.reblog_of.author}"
    elif draft is not None and draft.reply_to is not None:
        what += f", replies to {draft.reply_to.author}"
    yield _head(entry, what)
    if entry.post is not None:
        yield from _content(entry.post, "    ")


def _content(post: PostView, indent: str) -> Iterator[Text]:
    if post.removed or post.draft is None:
        yield Text(f"{indent}(removed)", style="dim italic")
        return
    if post.draft.title:
        yield Text(indent).append_text(shown(post.draft.title, "bold"))
    lines = post.draft.body.splitlines()
    for line in lines[:BODY_LINES_MAX]:
        yield Text(indent).append_text(shown(line))
    if len(lines) > BODY_LINES_MAX:
        yield Text(f"{indent}({len(lines) - BODY_LINES_MAX} more lines)", style="dim")
    if post.draft.tags:
        yield Text(indent).append_text(shown(" ".join(f"#{t}" for t in post.draft.tags), "green"))
    if post.original is not None:
        yield Text(f"{indent}| {post.original.ref.author} wrote", style="dim")
        yield from _content(post.original, f"{indent}| ")


def _notice(entry: Entry) -> Iterator[Text]:
    what = _NOTICES[entry.kind]
    if entry.target is not None:
        what += f" {_address(entry.target)}"
    yield _head(entry, what)
    if entry.post is not None and entry.kind is not EntryKind.LIKE:
        yield from _content(entry.post, "    ")


def _address(ref: PostRef) -> str:
    return f"{ref.author}/{ref.id}"
