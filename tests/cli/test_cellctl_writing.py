"""cellctl's commands that write: what reaches the platform, and the receipts."""

import json

import pytest

from cell.dashboard import PageQuery
from firehose.event import Draft, Lane, PostKind, PostRef
from firehose.receipts import NewFollow
from idgen.errors import BadRequest, NotFound
from ops.cellctl.plain import to_text
from tests.cli.stand_in import FIRST_ID, TOKEN, Bench, page_of, post_entry


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def test_publish_sends_the_draft_and_prints_id_and_token(bench):
    text = bench.done(
        *("publish", "88", "It is there", "--title", "Higgs", "--kind", "quote", "--tag", "a"),
        *("--tag", "b", "--mention", "677", "--reply-to", "5/9", "--at-ms", "17", "--id", "99"),
    )
    draft = Draft(
        PostKind.QUOTE,
        title="Higgs",
        body="It is there",
        tags=("a", "b"),
        mentions=(677,),
        reply_to=PostRef(5, 9),
        at_ms=17,
    )
    assert bench.api.asked == [("publish", (88, draft, 99))]
    assert text == f"id {FIRST_ID}  token {to_text(TOKEN)}\n"


def test_publish_reads_a_body_from_stdin(bench):
    bench.done("publish", "88", "-", stdin="zwei\nZeilen \N{SNOWMAN}")
    assert bench.api.asked[0][1][1].body == "zwei\nZeilen \N{SNOWMAN}"


def test_publish_refuses_a_body_that_is_no_utf8(bench):
    result = bench.run("publish", "88", "-", stdin=b"\xff\xfe")
    assert result.exit_code == 2
    assert "UTF-8" in result.stderr
    assert bench.api.asked == []


def test_publish_as_json_has_the_token_that_page_takes(bench):
    found = json.loads(bench.done("publish", "88", "x", "--json"))
    assert found["id"] == FIRST_ID
    bench.done("page", "5", "--at-least", found["token"])
    assert bench.api.asked[-1][1][0].at_least == (TOKEN,)


def test_a_refused_draft_names_the_field(bench):
    bench.api.failures["publish"] = [BadRequest("tags", "at most 30")]
    result = bench.run("publish", "88", "x")
    assert result.exit_code == 2
    assert "tags: at most 30" in result.stderr


def test_remove_takes_several_posts(bench):
    bench.done("remove", "88", "1", "2")
    assert bench.api.asked == [("remove_post", (88, 1, None)), ("remove_post", (88, 2, None))]


def test_some_done_and_some_not_is_partial_and_says_which(bench):
    bench.api.failures["remove_post"] = [None, NotFound("no such thing")]
    result = bench.run("remove", "88", "1", "2", "--json")
    assert result.exit_code == 8
    assert len(json.loads(result.stdout)) == 1
    assert "88/2: no such thing" in result.stderr


def test_nothing_done_ends_as_the_first_failure_did(bench):
    bench.api.failures["unfollow"] = [NotFound("one"), BadRequest("author", "two")]
    result = bench.run("unfollow", "5", "88", "677")
    assert result.exit_code == 3
    assert result.stdout == ""


def test_follow_is_one_call_for_all_authors(bench):
    bench.done("follow", "5", "88", "677", "--backfill", "0")
    follows = [NewFollow(5, 88, backfill=0), NewFollow(5, 677, backfill=0)]
    assert bench.api.asked == [("follow_many", (follows,))]


def test_follow_leaves_the_backfill_to_the_platform(bench):
    bench.done("follow", "5", "88")
    assert bench.api.asked[0][1][0][0].backfill is None


@pytest.mark.parametrize("name", ["like", "unlike"])
def test_like_and_unlike_name_a_post_by_author_and_id(bench, name):
    bench.done(name, "5", "88/123")
    assert bench.api.asked == [(name, (5, PostRef(88, 123), None))]
    assert bench.run(name, "5", "123").exit_code == 2


def test_unfollow_takes_several_authors(bench):
    bench.done("unfollow", "5", "88", "677")
    assert bench.api.asked == [("unfollow", (5, 88, None)), ("unfollow", (5, 677, None))]


def test_mark_read_marks_up_to_an_event(bench):
    bench.done("mark-read", "5", "77", "--lane", "notices")
    assert bench.api.asked == [("mark_read", (5, Lane.NOTICES, 77))]


def test_mark_read_without_an_event_marks_up_to_the_newest_entry(bench):
    bench.api.answers["page"] = page_of(post_entry())
    bench.done("mark-read", "5")
    newest = PageQuery(5, frozenset((Lane.POSTS,)), limit=1, hydrate=False)
    assert bench.api.asked == [
        ("page", (newest,)),
        ("mark_read", (5, Lane.POSTS, FIRST_ID)),
    ]


def test_mark_read_of_an_empty_lane_finds_nothing(bench):
    result = bench.run("mark-read", "5")
    assert result.exit_code == 3
    assert [name for name, _ in bench.api.asked] == ["page"]
