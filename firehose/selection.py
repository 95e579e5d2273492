"""Which events of the firehose somebody wants: by partition, kind, and author."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from firehose.event import Event
from firehose.event_json import KINDS
from firehose.validation import check_user
from idgen.errors import BadRequest

AUTHORS_MAX = 1_000
_NAMES = frozenset(KINDS.values())


@dataclass(frozen=True, slots=True)
class Selection:
    """Events of these kinds and authors, of a share of the partitions; empty: of all.

    `authors` are those whom an event names as its author: of a post, of the post that is liked, the
    one who is followed. A mark that was read has none. What cannot be read is of every selection,
    so that nobody takes what they miss for nothing.
    """

    kinds: frozenset[str] = frozenset()
    authors: frozenset[int] = frozenset()
    share: tuple[int, int] = (0, 1)

    def partitions(self, of: int) -> dict[int, None]:
        """The partitions of a log of so many. Raises BadRequest(partitions) when that is none."""
        index, count = self.share
        found = dict.fromkeys(range(index, of, count))
        if not found:
            raise BadRequest(
                "partitions", f"{index}/{count} is no partition of {of}: use at most {of} readers"
            )
        return found

    def wants(self, event: Event | str) -> bool:
        """Whether it is one of them; a text is the kind of what cannot be read."""
        if isinstance(event, str):
            return True
        if self.kinds and KINDS[type(event)] not in self.kinds:
            return False
        return not self.authors or getattr(event, "author", 0) in self.authors


def parse_selection(kinds: str, authors: str, partitions: str) -> Selection:
    """A selection from texts: `post_created,liked`, `12,15` and `0/4` (the first of four readers);
    empty: all. Raises BadRequest(kinds|authors|partitions)."""
    return selection_of(_listed(kinds), _authors(authors), partitions)


def selection_of(kinds: Iterable[str], authors: Collection[int], partitions: str) -> Selection:
    """A selection of these; raises as `parse_selection`."""
    if len(authors) > AUTHORS_MAX:
        raise BadRequest("authors", f"{len(authors)} are more than {AUTHORS_MAX}: leave them out")
    for author in authors:
        check_user("authors", author)
    return Selection(_kinds(kinds), frozenset(authors), _share(partitions))


def _listed(text: str) -> Iterable[str]:
    return (part.strip() for part in text.split(",")) if text else ()


def _kinds(names: Iterable[str]) -> frozenset[str]:
    found = frozenset(names)
    for name in sorted(found - _NAMES):
        raise BadRequest(
            "kinds", f"{name[:40]!r} is no kind; kinds are {', '.join(sorted(_NAMES))}"
        )
    return found


def _authors(text: str) -> list[int]:
    parts = list(_listed(text))
    for part in parts:
        if not (part.isascii() and part.isdigit() and len(part) < 20):
            raise BadRequest("authors", f"{part[:40]!r} is no user: write 12,15")
    return [int(part) for part in parts]


def _share(text: str) -> tuple[int, int]:
    if not text:
        return (0, 1)
    index, _, count = text.partition("/")
    if all(part.isascii() and part.isdigit() and len(part) < 6 for part in (index, count)) and (
        int(index) < int(count)
    ):
        return (int(index), int(count))
    raise BadRequest(
        "partitions", f"{text[:40]!r} is no share: the readers of four say 0/4, 1/4, 2/4, 3/4"
    )
