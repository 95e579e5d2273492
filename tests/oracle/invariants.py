"""What must always hold (design section 10), as pure functions over a recorded history.

Each returns the violations it finds, as readable lines; an empty list means that it holds. A walk
that ran beside writes may have seen any prefix of each key's operations, from what it asked for
(`includes`) to what had been sent when it ended: an entry that all these prefixes show must have
been seen (I1), one that none of them shows must not (I4).
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tests.oracle.history import Acknowledged, History, Walk, concerns, may_hide
from tests.oracle.model import Key, Model
from tests.oracle.operations import (
    NOTICES,
    Followed,
    Liked,
    Marked,
    Published,
    Removed,
    Unfollowed,
    Unliked,
)


def nothing_missing(history: History) -> list[str]:
    """I1: no acknowledged post or notice is missing from a page that asked for it."""
    index = _Index(history)
    return [
        f"I1 missing: {key} from {walk.name}"
        for walk in history.walks
        for key in sorted(index.bounds(walk).always - walk.keys)
    ]


def nothing_twice(history: History) -> list[str]:
    """I2: no entry is on the pages of a walk twice."""
    return [
        f"I2 twice: {key} in {walk.name}"
        for walk in history.walks
        for key, count in Counter(line.key for line in walk.lines()).items()
        if count > 1
    ]


def in_order(history: History) -> list[str]:
    """I3: pages are in the order of ids, and no walk skips what was there before and after it."""
    found = []
    for walk in history.walks:
        keys = [line.key for line in walk.lines()]
        if keys != sorted(keys, reverse=not walk.oldest_first):
            found.append(f"I3 order: {walk.name}")
    hiding = _hiding(history)
    for walks in _by_reader(history).values():
        found.extend(_skipped(hiding, walks))
    return found


def no_ghosts(history: History) -> list[str]:
    """I4: nothing removed, unfollowed or never sent, no notice of what is gone."""
    index = _Index(history)
    return [
        f"I4 ghost: {key} in {walk.name}"
        for walk in history.walks
        for key in sorted(walk.keys - index.bounds(walk).ever)
    ]


def what_was_seen_stays(history: History) -> list[str]:
    """I5: what a reader has seen stays, until it is removed, unfollowed or unliked."""
    found = []
    hiding = _hiding(history)
    for walks in _by_reader(history).values():
        seen: dict[Key, Walk] = {}
        for walk in walks:
            keys = walk.keys
            for key, earlier in list(seen.items()):
                if key in keys or key[1] not in walk.lanes or earlier.ended >= walk.began:
                    continue
                del seen[key]
                if not _may_be_hidden(hiding, key, earlier, walk):
                    found.append(f"I5 lost: {key} of {earlier.name} is not in {walk.name}")
            for key in keys:
                seen.setdefault(key, walk)
    return found


def marks_never_go_back(history: History) -> list[str]:
    """I6: what was read stays read, and a mark that a page asked for shows in it."""
    found = []
    marked: dict[int, list[tuple[Acknowledged, Marked]]] = defaultdict(list)
    for entry in history.done:
        if isinstance(entry.operation, Marked):
            marked[entry.operation.reader].append((entry, entry.operation))
    for reader, walks in _by_reader(history).items():
        read: dict[Key, Walk] = {}
        for walk in walks:
            low, high = _marks(marked[reader], walk)
            for line in walk.lines():
                earlier = read.get(line.key)
                if line.unread and earlier is not None and earlier.ended < walk.began:
                    found.append(f"I6 unread again: {line.key} in {walk.name}")
                elif line.unread and line.id <= low.get(line.lane, 0):
                    found.append(f"I6 unread below the mark: {line.key} in {walk.name}")
                elif not line.unread and line.id > high.get(line.lane, 0):
                    found.append(f"I6 read above every mark: {line.key} in {walk.name}")
                if not line.unread:
                    read.setdefault(line.key, walk)
    return found


CHECKS = (
    nothing_missing,
    nothing_twice,
    in_order,
    no_ghosts,
    what_was_seen_stays,
    marks_never_go_back,
)


def violations(history: History) -> list[str]:
    """What all checks find."""
    return [line for check in CHECKS for line in check(history)]


@dataclass(slots=True)
class _Bounds:
    """Entries that every possible prefix shows, and those that some prefix shows."""

    always: set[Key] = field(default_factory=set)
    ever: set[Key] = field(default_factory=set)


@dataclass(slots=True)
class _Range:
    """Of one key: operations that a walk has seen for sure, and those that it may have seen."""

    sure: list[Acknowledged] = field(default_factory=list)
    open: list[Acknowledged] = field(default_factory=list)


class _Index:
    """A history by key, for those keys that matter to a reader."""

    def __init__(self, history: History) -> None:
        self._by_key: dict[int, list[Acknowledged]] = defaultdict(list)
        self._keys_of: dict[int, set[int]] = defaultdict(set)
        for entry in history.done:
            operation = entry.operation
            self._by_key[operation.key].append(entry)
            for reader in _readers(entry):
                self._keys_of[reader].add(operation.key)

    def bounds(self, walk: Walk) -> _Bounds:
        """What the walk must and may have shown."""
        keys = self._keys_of.get(walk.reader, set()) | {walk.reader}
        own = self._range(walk.reader, walk)
        result = _Bounds()
        for key in keys:
            one = self._one_key(walk, self._range(key, walk), own)
            result.always |= one.always
            result.ever |= one.ever
        return result

    def _range(self, key: int, walk: Walk) -> _Range:
        """A key's operations take effect in their order: all before a sure one are sure."""
        entries = [
            e
            for e in self._by_key.get(key, ())
            if e.sent < walk.ended and concerns(e.operation, walk.reader)
        ]
        sure = 0
        for at, entry in enumerate(entries, start=1):
            if entry.acknowledged <= walk.includes:
                sure = at
        return _Range(entries[:sure], entries[sure:])

    def _one_key(self, walk: Walk, part: _Range, own: _Range) -> _Bounds:
        """Entries that one key's operations bring, over all its possible prefixes."""
        model = Model()
        model.apply_all(e.operation for e in part.sure)
        always = self._shown(model, walk)
        ever = set(always)
        for entry in part.open:
            model.apply(entry.operation)
            now = self._shown(model, walk)
            always &= now
            ever |= now
        if NOTICES not in walk.lanes:
            return _Bounds(always, ever)
        likes = self._likes(walk, part, own)
        return _Bounds(always | likes.always, ever | likes.ever)

    def _shown(self, model: Model, walk: Walk) -> set[Key]:
        return {line.key for line in model.entries(walk.reader, walk.lanes)}

    def _likes(self, walk: Walk, part: _Range, own: _Range) -> _Bounds:
        """A like's notice needs the like, by its actor's key, and the post, by the reader's."""
        there_always, there_ever = self._posts_there(walk, own)
        model = Model()
        model.apply_all(e.operation for e in part.sure)
        always = _like_keys(model, walk.reader, there_always)
        ever = _like_keys(model, walk.reader, there_ever)
        for entry in part.open:
            model.apply(entry.operation)
            always &= _like_keys(model, walk.reader, there_always)
            ever |= _like_keys(model, walk.reader, there_ever)
        return _Bounds(always, ever)

    def _posts_there(self, walk: Walk, own: _Range) -> tuple[set[int], set[int]]:
        model = Model()
        model.apply_all(e.operation for e in own.sure)
        always = {post.id for post in model.timeline(walk.reader)}
        ever = set(always)
        for entry in own.open:
            model.apply(entry.operation)
            now = {post.id for post in model.timeline(walk.reader)}
            always &= now
            ever |= now
        return always, ever


def _like_keys(model: Model, reader: int, posts: set[int]) -> set[Key]:
    return {
        line.key
        for line in model.like_lines(reader)
        if line.target is not None and line.target[1] in posts
    }


def _readers(entry: Acknowledged) -> Iterable[int]:
    """Readers to whose pages the operation's key can bring something because of it."""
    operation = entry.operation
    match operation:
        case Published():
            refs = (operation.content.reblog_of, operation.content.reply_to)
            return {*operation.content.mentions, *(ref[0] for ref in refs if ref is not None)}
        case Followed():
            return (operation.follower,)
        case Liked():
            return (operation.author,)
        case _:
            return ()


def _by_reader(history: History) -> dict[int, list[Walk]]:
    found: dict[int, list[Walk]] = defaultdict(list)
    for walk in sorted(history.walks, key=lambda w: w.began):
        found[walk.reader].append(walk)
    return found


def _skipped(hiding: Sequence[Acknowledged], walks: Sequence[Walk]) -> list[str]:
    found = []
    for before, walk, after in zip(walks, walks[1:], walks[2:], strict=False):
        if before.ended >= walk.began or walk.ended >= after.began:
            continue
        stayed = {key for key in before.keys & after.keys if key[1] in walk.lanes}
        for key in sorted(stayed - walk.keys):
            if not _may_be_hidden(hiding, key, before, walk):
                found.append(f"I3 skipped: {key} by {walk.name}")
    return found


def _hiding(history: History) -> list[Acknowledged]:
    """Operations that take entries away."""
    kinds = (Removed, Unfollowed, Unliked)
    return [entry for entry in history.done if isinstance(entry.operation, kinds)]


def _may_be_hidden(hiding: Sequence[Acknowledged], key: Key, earlier: Walk, later: Walk) -> bool:
    """Whether anything that takes the entry away may have taken effect between two walks."""
    return any(
        entry.sent < later.ended
        and not 0 < entry.acknowledged <= earlier.includes
        and may_hide(entry.operation, later.reader, key)
        for entry in hiding
    )


def _marks(
    marked: Sequence[tuple[Acknowledged, Marked]], walk: Walk
) -> tuple[dict[int, int], dict[int, int]]:
    """Per lane: the least and the greatest mark that the walk may have seen."""
    low: dict[int, int] = {}
    high: dict[int, int] = {}
    for entry, operation in marked:
        if entry.acknowledged <= walk.includes:
            low[operation.lane] = max(low.get(operation.lane, 0), operation.upto)
        if entry.sent < walk.ended:
            high[operation.lane] = max(high.get(operation.lane, 0), operation.upto)
    return low, high
