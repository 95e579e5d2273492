"""Each limit at its edge: what is allowed is allowed, one more names its field."""

from dataclasses import replace

import pytest

from firehose import validation as v
from firehose.event import Draft, Lane, PostRef
from idgen.errors import BadRequest
from idgen.ids import MAX_ID, MAX_USER, compose

NOW_MS = 1_700_000_000_000


def refused(field: str, why: str = "") -> object:
    return pytest.raises(BadRequest, match=rf"^{field}: .*{why}")


def test_users_are_1_to_2_to_the_63_less_1() -> None:
    for user in (1, MAX_USER):
        v.check_user("author", user)
    for user in (0, -1, MAX_USER + 1, None, "1"):
        with refused("author", "users are 1 to"):
            v.check_user("author", user)  # type: ignore[arg-type]


def test_ids_are_1_to_2_to_the_63_less_1() -> None:
    for event_id in (1, MAX_ID):
        v.check_id("post_id", event_id)
    for event_id in (0, -1, MAX_ID + 1):
        with refused("post_id", "ids are 1 to"):
            v.check_id("post_id", event_id)


def test_texts_are_measured_in_bytes_of_utf_8() -> None:
    allowed = Draft(
        title="\u00e9" * 512, body="\U0001f600" * 16_384, tags=("\u65e5" * 46 + "xx",) * 30
    )
    v.check_draft("draft", allowed)
    for changes, field in (
        ({"title": "\u00e9" * 512 + "x"}, "draft.title"),
        ({"body": "\U0001f600" * 16_384 + "x"}, "draft.body"),
        ({"tags": ("ok", "\u65e5" * 47)}, r"draft.tags\[1\]"),
        ({"tags": ("x",) * 31}, "draft.tags"),
    ):
        with refused(field, "allowed are"):
            v.check_draft("draft", replace(allowed, **changes))  # type: ignore[arg-type]


def test_a_lone_surrogate_is_refused_with_its_place() -> None:
    with refused("draft.body", "character 2 is a lone surrogate"):
        v.check_draft("draft", Draft(body="ab\ud800"))
    with refused("draft.title", "surrogate"):
        v.check_draft("draft", Draft(title="\udfff"))


def test_bytes_are_no_text() -> None:
    with refused("draft.body", "no UTF-8 text"):
        v.check_draft("draft", Draft(body=b"\xff"))  # type: ignore[arg-type]


def test_nul_and_other_control_characters_are_text() -> None:
    v.check_draft("draft", Draft(title="a\x00b", body="\x1b[2J", tags=("",)))


def test_a_post_may_be_empty() -> None:
    v.check_draft("draft", Draft())


def test_unknown_kinds_and_lanes_are_refused() -> None:
    with refused("draft.kind", "1 .text."):
        v.check_draft("draft", Draft(kind=8))  # type: ignore[arg-type]
    with refused("lane"):
        v.lane("lane", 3)
    assert v.lane("lane", 2) is Lane.NOTICES


def test_mentions_are_folded_before_they_are_counted() -> None:
    draft = Draft(mentions=(3, 1, 3, *range(1, 51)))
    assert v.folded_draft("draft", draft).mentions == (
        3,
        1,
        *(u for u in range(1, 51) if u not in (1, 3)),
    )
    with refused("draft.mentions", "51 entries"):
        v.folded_draft("draft", Draft(mentions=tuple(range(1, 52))))


def test_refs_name_author_and_id() -> None:
    with refused("draft.reblog_of.author"):
        v.check_draft("draft", Draft(reblog_of=PostRef(0, 1)))
    with refused("draft.reply_to.id"):
        v.check_draft("draft", Draft(reply_to=PostRef(1, -1)))


def test_nobody_follows_themselves() -> None:
    v.check_pair("", 1, 2)
    with refused(r"follows\[2\].author", "themselves"):
        v.check_pair("follows[2].", 7, 7)


def test_backfill_is_0_to_1000() -> None:
    v.check_backfill("backfill", 0)
    v.check_backfill("backfill", 1000)
    for backfill in (-1, 1001):
        with refused("backfill", "0 to 1000"):
            v.check_backfill("backfill", backfill)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_brought_id_is_within_15_minutes_of_the_clock(sign: int) -> None:
    off_ms = sign * 15 * 60_000
    v.check_brought_id("brought_id", compose(NOW_MS + off_ms, 1, 1), NOW_MS)
    with refused("brought_id", "take a new id"):
        v.check_brought_id("brought_id", compose(NOW_MS + off_ms + sign, 1, 1), NOW_MS)


def test_a_mark_lies_in_the_past_or_within_the_skew_of_clocks() -> None:
    v.check_mark("event_id", compose(NOW_MS + v.MARK_AHEAD_MS_MAX, 0, 0), NOW_MS)
    v.check_mark("event_id", 1, NOW_MS)
    with refused("event_id", "in the future"):
        v.check_mark("event_id", compose(NOW_MS + v.MARK_AHEAD_MS_MAX + 1, 0, 0), NOW_MS)


def test_the_authors_own_time_is_of_this_calendar() -> None:
    v.check_draft("draft", Draft(at_ms=0))
    for at_ms in (-1, v.AT_MS_MAX + 1):
        with refused("draft.at_ms", "1970"):
            v.check_draft("draft", Draft(at_ms=at_ms))
