"""Walk a reader's pages to the end and hold them against the model, entry by entry.

Reads the answers of the API by their attributes alone. `Ask` is how a page is asked for; the
driver makes one from whatever serves the API.
"""

from collections.abc import Collection, Sequence
from dataclasses import fields
from typing import Any, Protocol

from tests.oracle.model import BOTH, ID_EPOCH_MS, Line, Model, Shown
from tests.oracle.operations import Content, Ref

PAGES_MAX = 100_000
LINES_SHOWN_MAX = 20


class Ask(Protocol):
    """One call of `page`: whose, of which lanes, from where, which way, how many, how recent."""

    def __call__(
        self,
        reader: int,
        lanes: frozenset[int],
        *,
        before: bytes = b"",
        after: bytes = b"",
        oldest_first: bool = False,
        limit: int = 100,
        at_least: tuple[bytes, ...] = (),
    ) -> Any: ...


def walk(
    ask: Ask,
    reader: int,
    lanes: Collection[int] = BOTH,
    *,
    oldest_first: bool = False,
    limit: int = 100,
    at_least: tuple[bytes, ...] = (),
) -> list[Any]:
    """Every page's answer from one end of a dashboard to the other, by the cursors alone.

    Raises AssertionError when a page breaks the contract of paging: neither full nor the end nor
    with a cursor to go on at, more entries than asked for, or a cursor that leads nowhere.
    """
    pages: list[Any] = []
    cursor = b""
    for _ in range(PAGES_MAX):
        place = {"after" if oldest_first else "before": cursor} if cursor else {}
        page = ask(
            reader,
            frozenset(lanes),
            oldest_first=oldest_first,
            limit=limit,
            at_least=at_least,
            **place,
        )
        pages.append(page)
        assert len(page.entries) <= limit, f"{len(page.entries)} entries where {limit} were asked"
        if page.end:
            return pages
        assert page.next_cursor, f"page {len(pages)} of reader {reader} is not the end, has no next"
        assert page.next_cursor != cursor, f"page {len(pages)} of reader {reader} leads to itself"
        cursor = page.next_cursor
    raise AssertionError(f"reader {reader}: no end after {PAGES_MAX} pages")


def lines(pages: Sequence[Any]) -> list[Line]:
    """All entries of pages, as the model's lines."""
    return [line_of(entry) for page in pages for entry in page.entries]


def line_of(entry: Any) -> Line:
    """An entry of the API as the model's line."""
    return Line(
        id=int(entry.id),
        lane=int(entry.lane),
        kind=int(entry.kind),
        actor=int(entry.actor),
        unread=bool(entry.unread),
        post=shown_of(entry.post),
        target=_ref(entry.target),
    )


def shown_of(view: Any) -> Shown | None:
    """A post of the API as the model shows it; a removed one's time says nothing."""
    if view is None:
        return None
    if view.removed:
        assert view.draft is None, f"removed post {view.ref.id} still shows its content"
        return Shown(int(view.ref.author), int(view.ref.id), None, None)
    assert view.draft is not None, f"post {view.ref.id} is neither removed nor has content"
    return Shown(
        int(view.ref.author),
        int(view.ref.id),
        int(view.at_ms),
        _content(view.draft),
        shown_of(view.original),
    )


def difference(want: Sequence[Line], got: Sequence[Line]) -> str:
    """How two dashboards differ, readable; empty when they are the same."""
    if list(want) == list(got):
        return ""
    found: list[str] = []
    wanted = {line.key: line for line in want}
    gotten = {line.key: line for line in got}
    found.extend(f"missing: {_brief(w)}" for k, w in wanted.items() if k not in gotten)
    found.extend(f"ghost: {_brief(g)}" for k, g in gotten.items() if k not in wanted)
    for key, line in wanted.items():
        if key in gotten:
            found.extend(_fields(line, gotten[key]))
    seen: set[tuple[int, int, int]] = set()
    for line in got:
        if line.key in seen:
            found.append(f"twice: {_brief(line)}")
        seen.add(line.key)
    common = [line.key for line in want if line.key in gotten]
    if not found and common != [line.key for line in got]:
        found.append(f"order: want {common[:8]}..., got {[line.key for line in got][:8]}...")
    more = len(found) - LINES_SHOWN_MAX
    tail = [f"... and {more} more"] if more > 0 else []
    head = f"want {len(want)} entries, got {len(got)}"
    return "\n  ".join([head, *found[:LINES_SHOWN_MAX], *tail])


def compare(
    model: Model,
    ask: Ask,
    reader: int,
    lanes: Collection[int] = BOTH,
    *,
    oldest_first: bool = False,
    limit: int = 100,
    at_least: tuple[bytes, ...] = (),
) -> str:
    """The difference between what the model wants for a reader and all pages as served."""
    want = model.entries(reader, lanes)
    if oldest_first:
        want.reverse()
    pages = walk(ask, reader, lanes, oldest_first=oldest_first, limit=limit, at_least=at_least)
    found = difference(want, lines(pages)) or _times(pages)
    way = "oldest first" if oldest_first else "newest first"
    return found and f"reader {reader}, lanes {sorted(lanes)}, {way}, by {limit}: {found}"


def _times(pages: Sequence[Any]) -> str:
    """An entry's time is that of its event, or of a post its author's own: says what is neither."""
    for page in pages:
        for entry in page.entries:
            allowed = {(int(entry.id) >> 22) + ID_EPOCH_MS}
            if entry.post is not None:
                allowed.add(int(entry.post.at_ms))
            if int(entry.at_ms) not in allowed:
                return f"at_ms of entry {entry.id} is {entry.at_ms}, want one of {sorted(allowed)}"
    return ""


def _content(draft: Any) -> Content:
    return Content(
        kind=int(draft.kind),
        title=draft.title or "",
        body=draft.body or "",
        tags=tuple(draft.tags or ()),
        mentions=tuple(draft.mentions or ()),
        reblog_of=_ref(draft.reblog_of),
        reply_to=_ref(draft.reply_to),
    )


def _ref(ref: Any) -> Ref | None:
    return None if ref is None else (int(ref.author), int(ref.id))


def _brief(line: Line) -> str:
    return f"id={line.id} lane={line.lane} kind={line.kind} actor={line.actor}"


def _fields(want: Line, got: Line) -> list[str]:
    found = []
    for name in ("kind", "unread", "target"):
        if getattr(want, name) != getattr(got, name):
            values = f"want {getattr(want, name)}, got {getattr(got, name)}"
            found.append(f"differs: {_brief(want)}: {name}: {values}")
    found.extend(f"differs: {_brief(want)}: {d}" for d in _posts(want.post, got.post, "post"))
    return found


def _posts(want: Shown | None, got: Shown | None, path: str) -> list[str]:
    if want is None or got is None or want.content is None or got.content is None:
        return [] if want == got else [f"{path}: want {want}, got {got}"]
    found = []
    for name in ("author", "id", "at_ms"):
        if getattr(want, name) != getattr(got, name):
            found.append(f"{path}.{name}: want {getattr(want, name)}, got {getattr(got, name)}")
    for field in fields(Content):
        ours, theirs = getattr(want.content, field.name), getattr(got.content, field.name)
        if ours != theirs:
            found.append(f"{path}.{field.name}: want {ours!r:.80}, got {theirs!r:.80}")
    return found + _posts(want.original, got.original, f"{path}.original")
