"""What is allowed in a request and in an event: ranges, lengths, and what makes no sense.

The limits are design section 9's; lengths are of UTF-8 bytes. Everything here raises BadRequest,
naming the field and what is allowed. U+0000 is allowed in texts: every length here is counted, and
no store of ours ends a text at it. Lone surrogates are not: they are no Unicode text and have no
UTF-8 form.
"""

from collections.abc import Sequence
from dataclasses import replace

from firehose.event import Draft, Lane, PostKind, PostRef
from idgen.errors import BadRequest
from idgen.ids import MAX_ID, MAX_USER, at_ms

TITLE_BYTES_MAX = 1024
BODY_BYTES_MAX = 65_536
TAGS_MAX = 30
TAG_BYTES_MAX = 140
MENTIONS_MAX = 50
BACKFILL_MAX = 1000
BROUGHT_OFF_MS_MAX = 15 * 60_000
"""A brought id further off the server's clock than this is refused: the retry of a write is soon,
and what is older may have been swept."""
MARK_AHEAD_MS_MAX = 10_000
"""Ids of another server may be this far ahead of this one's clock."""
AT_MS_MAX = 253_402_300_799_999
"""The last millisecond of the year 9999: what every language's calendar can show."""

_KINDS = frozenset(PostKind)


def check_user(field: str, user: int) -> None:
    """Users are 1 to 2^63 - 1."""
    if not isinstance(user, int) or not 1 <= user <= MAX_USER:
        raise BadRequest(field, f"{user!r} is no user; users are 1 to 2^63 - 1")


def check_id(field: str, event_id: int) -> None:
    """Ids of posts and events are 1 to 2^63 - 1."""
    if not isinstance(event_id, int) or not 1 <= event_id <= MAX_ID:
        raise BadRequest(field, f"{event_id!r} is no id; ids are 1 to 2^63 - 1")


def check_ref(field: str, ref: PostRef) -> None:
    """A post's address: a user and an id."""
    check_user(f"{field}.author", ref.author)
    check_id(f"{field}.id", ref.id)


def check_pair(field: str, follower: int, author: int) -> None:
    """The two of a follow: users, and not the same; `field` is "" or ends with a dot."""
    check_user(f"{field}follower", follower)
    check_user(f"{field}author", author)
    if follower == author:
        raise BadRequest(
            f"{field}author", f"{author} follows themselves; an author's own posts show anyway"
        )


def check_backfill(field: str, backfill: int) -> None:
    """How many posts a follow brings along: 0 to 1,000."""
    if not isinstance(backfill, int) or not 0 <= backfill <= BACKFILL_MAX:
        raise BadRequest(field, f"{backfill!r} posts; allowed are 0 to {BACKFILL_MAX}")


def check_text(field: str, text: str, bytes_max: int) -> None:
    """A text of at most `bytes_max` bytes of UTF-8, without lone surrogates."""
    if not isinstance(text, str):
        raise BadRequest(field, "is no UTF-8 text")
    if text.isascii():
        size = len(text)
    else:
        try:
            size = len(text.encode())
        except UnicodeEncodeError as error:
            raise BadRequest(
                field,
                f"character {error.start} is a lone surrogate, which has no UTF-8 form",
            ) from None
    if size > bytes_max:
        raise BadRequest(field, f"has {size} bytes of UTF-8; allowed are {bytes_max}")


def check_draft(field: str, draft: Draft) -> None:
    """A draft within all limits; raises BadRequest("<field>.<part>")."""
    if draft.kind not in _KINDS:
        raise BadRequest(f"{field}.kind", f"{draft.kind!r} is no kind of post; {_allowed_kinds()}")
    if draft.title:
        check_text(f"{field}.title", draft.title, TITLE_BYTES_MAX)
    if draft.body:
        check_text(f"{field}.body", draft.body, BODY_BYTES_MAX)
    if draft.tags:
        _check_tags(f"{field}.tags", draft.tags)
    if draft.mentions:
        _check_mentions(f"{field}.mentions", draft.mentions)
    if draft.reblog_of is not None:
        check_ref(f"{field}.reblog_of", draft.reblog_of)
    if draft.reply_to is not None:
        check_ref(f"{field}.reply_to", draft.reply_to)
    if draft.at_ms is not None and not 0 <= draft.at_ms <= AT_MS_MAX:
        raise BadRequest(
            f"{field}.at_ms", f"{draft.at_ms} is outside the years 1970 to 9999 in milliseconds"
        )


def folded_draft(field: str, draft: Draft) -> Draft:
    """The draft with each mentioned user once, in the order of first mention.

    Raises BadRequest as `check_draft` does; the limit counts what is left after folding.
    """
    mentions = tuple(dict.fromkeys(draft.mentions))
    if len(mentions) != len(draft.mentions):
        draft = replace(draft, mentions=mentions)
    check_draft(field, draft)
    return draft


def check_brought_id(
    field: str, brought_id: int, now_ms: int, behind_ms_max: int = BROUGHT_OFF_MS_MAX
) -> None:
    """A brought id was given at most so long ago, or 15 minutes ahead, by this server's clock."""
    check_id(field, brought_id)
    off_ms = at_ms(brought_id) - now_ms
    if not -behind_ms_max <= off_ms <= BROUGHT_OFF_MS_MAX:
        where, most_ms = (
            ("ahead of", BROUGHT_OFF_MS_MAX) if off_ms > 0 else ("behind", behind_ms_max)
        )
        raise BadRequest(
            field,
            f"was given {abs(off_ms) // 1000} s {where} the server's clock; allowed are "
            f"{most_ms // 1000} s: take a new id from idgen",
        )


def check_mark(field: str, event_id: int, now_ms: int) -> None:
    """A mark names an event that can exist by now: 0 (nothing yet) is none, nor is the future."""
    check_id(field, event_id)
    ahead_ms = at_ms(event_id) - now_ms
    if ahead_ms > MARK_AHEAD_MS_MAX:
        raise BadRequest(
            field, f"lies {ahead_ms} ms in the future; mark what was seen, an entry's id"
        )


def lane(field: str, number: int) -> Lane:
    """The lane of that number; raises BadRequest for an unknown one."""
    try:
        return Lane(number)
    except ValueError:
        why = f"{number!r} is no lane; allowed are 1 (posts) and 2 (notices)"
        raise BadRequest(field, why) from None


def check_batch(field: str, batch: Sequence[object], count_max: int) -> None:
    """A batch has at most `count_max` entries; an empty one is allowed."""
    _check_count(field, len(batch), count_max)


def _check_tags(field: str, tags: Sequence[str]) -> None:
    _check_count(field, len(tags), TAGS_MAX)
    for i, tag in enumerate(tags):
        check_text(f"{field}[{i}]", tag, TAG_BYTES_MAX)


def _check_mentions(field: str, mentions: Sequence[int]) -> None:
    _check_count(field, len(mentions), MENTIONS_MAX)
    for i, user in enumerate(mentions):
        check_user(f"{field}[{i}]", user)


def _check_count(field: str, count: int, count_max: int) -> None:
    if count > count_max:
        raise BadRequest(field, f"has {count} entries; allowed are {count_max}")


def _allowed_kinds() -> str:
    return "allowed are " + ", ".join(f"{k.value} ({k.name.lower()})" for k in PostKind)
