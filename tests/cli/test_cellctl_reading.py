"""cellctl's commands that read: what they ask, and how they answer people and programs."""

import json
from dataclasses import replace

import pytest

from cell.dashboard import Count, Entry, EntryKind, PageQuery, PostView
from firehose.event import Draft, Lane, PostRef
from idgen.errors import Behind, DeadlineExceeded, Moved, Unavailable
from ops.cellctl.plain import to_text
from tests.cli.stand_in import FIRST_ID, NOW_MS, TOKEN, Bench, page_of, post_entry


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def test_page_shows_author_time_text_and_unread_mark(bench):
    bench.api.answers["page"] = page_of(post_entry(88), replace(post_entry(677, 1), unread=False))
    first, second = [line for line in bench.done("page", "5").splitlines() if "2012-07" in line]
    assert "88" in first
    assert "2012-07-03 00:00:00Z" in first
    assert "\N{BLACK CIRCLE}" in first
    assert "\N{BLACK CIRCLE}" not in second


def test_page_shows_a_reblog_with_its_original(bench):
    original = PostView(PostRef(14454, 9), NOW_MS, Draft(body="the original"))
    draft = Draft(body="look", reblog_of=PostRef(14454, 9))
    bench.api.answers["page"] = page_of(post_entry(88, draft=draft, original=original))
    text = bench.done("page", "5")
    assert "reblogs 14454" in text
    assert "the original" in text


def test_page_shows_a_removed_original_as_removed(bench):
    original = PostView(PostRef(14454, 9), NOW_MS, None, removed=True)
    draft = Draft(body="look", reblog_of=PostRef(14454, 9))
    bench.api.answers["page"] = page_of(post_entry(88, draft=draft, original=original))
    assert "(removed)" in bench.done("page", "5")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (EntryKind.REPLY, "replied to your post 5/9"),
        (EntryKind.REBLOG, "reblogged your post 5/9"),
        (EntryKind.MENTION, "mentioned you in 5/9"),
        (EntryKind.LIKE, "likes your post 5/9"),
    ],
)
def test_page_tells_notices_in_words(bench, kind, words):
    entry = Entry(FIRST_ID, Lane.NOTICES, kind, 88, NOW_MS, True, b"c", None, PostRef(5, 9))
    bench.api.answers["page"] = page_of(entry)
    assert words in bench.done("page", "5", "--lane", "notices")


def test_page_obeys_no_escape_sequences_in_posts(bench):
    hostile = Draft(title="\x1b]0;owned\x07", body="\x1b[2Jgone\u202eesrever", tags=("\x1b[31m",))
    bench.api.answers["page"] = page_of(post_entry(draft=hostile))
    text = bench.done("page", "5")
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "\u202e" not in text
    assert "gone" in text


def test_page_takes_no_post_for_markup(bench):
    bench.api.answers["page"] = page_of(post_entry(draft=Draft(body="[bold]x[/bold] [/]")))
    assert "[bold]x[/bold] [/]" in bench.done("page", "5")


def test_page_passes_all_its_options_on(bench):
    bench.done(
        *("page", "5", "--lane", "both", "--kinds", "photo", "--kinds", "like"),
        *("--before", to_text(b"\xff\x00b"), "--after", to_text(b"a"), "--oldest-first"),
        *("--limit", "7", "--ids-only", "--at-least", to_text(TOKEN), "--cell", "a"),
    )
    assert bench.api.asked == [
        (
            "page",
            (
                PageQuery(
                    5,
                    lanes=frozenset(Lane),
                    kinds=frozenset((EntryKind.PHOTO, EntryKind.LIKE)),
                    before=b"\xff\x00b",
                    after=b"a",
                    oldest_first=True,
                    limit=7,
                    hydrate=False,
                    at_least=(TOKEN,),
                ),
            ),
        )
    ]
    assert bench.platform.cells_asked == ["a"]


def test_page_prints_the_cursor_to_go_on_with(bench):
    bench.api.answers["page"] = page_of(post_entry(), end=False, next_cursor=b"\xfe\xff")
    cursor = to_text(b"\xfe\xff")
    assert f"next: {cursor}" in bench.done("page", "5")


def test_page_as_json_is_one_document_whose_cursor_goes_back_in(bench):
    bench.api.answers["page"] = page_of(post_entry(), end=False, next_cursor=b"\xfe\xff")
    found = json.loads(bench.done("page", "5", "--json"))
    assert found["entries"][0]["id"] == FIRST_ID
    assert found["entries"][0]["lane"] == "posts"
    assert found["entries"][0]["post"]["draft"]["body"] == "post 0"
    bench.done("page", "5", "--before", found["next_cursor"])
    assert bench.api.asked[-1][1][0].before == b"\xfe\xff"


def test_page_watched_looks_again_and_prints_a_document_a_line(bench):
    bench.looks = 3
    lines = bench.done("page", "5", "--watch", "--json").splitlines()
    assert len(lines) == 3
    assert all(json.loads(line)["end"] for line in lines)


def test_an_empty_page_says_so(bench):
    assert "(nothing here)" in bench.done("page", "5")


@pytest.mark.parametrize(
    "words",
    [
        ("page", "0"),
        ("page", "-1"),
        ("page", str(1 << 63)),
        ("page", "somebody"),
        ("page", "5", "--limit", "0"),
        ("page", "5", "--limit", "101"),
        ("page", "5", "--before", "not base64!"),
        ("page", "5", "--lane", "sideways"),
        ("page", "5", "--kinds", "poem"),
        ("page", "5", "--kinds", "like"),
        ("page", "5", "--lane", "notices", "--kinds", "text"),
        ("page", "5", "--deadline", "0"),
        ("unread", "5", "--cap", "1001"),
        ("unread", "5", "--lane", "both"),
        ("author-posts", "5", "--limit", "101"),
        ("explain", "5", "x/y"),
        ("nonsense",),
    ],
)
def test_wrong_words_are_usage_errors_that_ask_nothing(bench, words):
    result = bench.run(*words)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert bench.api.asked == []


def test_a_kind_of_the_other_lane_is_told_its_lane(bench):
    assert "add --lane notices" in bench.run("page", "5", "--kinds", "like").stderr


@pytest.mark.parametrize(
    ("error", "code", "hint"),
    [
        (Unavailable("router is away"), 6, "cellctl status"),
        (Behind("the cell is at 7", b""), 7, "--deadline"),
        (DeadlineExceeded("5 s passed"), 7, "--deadline"),
        (Moved("b", 3), 4, "'b'"),
    ],
)
def test_errors_end_with_their_code_and_one_sentence_on_stderr(bench, error, code, hint):
    bench.api.failures["page"] = [error]
    result = bench.run("page", "5")
    assert result.exit_code == code
    assert result.stdout == ""
    assert result.stderr.startswith("cellctl: ")
    assert hint in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert bench.platform.closed == 1


def test_without_a_platform_every_question_ends_as_unreachable(bench):
    bench.doors.runs = False
    result = bench.run("page", "5")
    assert result.exit_code == 6
    assert "cellctl up" in result.stderr


def test_a_cell_that_is_not_there_is_not_found(bench):
    assert bench.run("page", "5", "--cell", "z").exit_code == 3


def test_a_registry_is_handed_to_discovery(bench):
    bench.done("page", "5", "--registry", "zk1:2181,zk2:2181")
    assert bench.doors.asked == [("discover", (str(bench.folder), "zk1:2181,zk2:2181"))]


def test_data_on_the_command_line_wins_over_the_environment(bench, tmp_path):
    bench.done("page", "5", "--data", str(tmp_path / "other"))
    assert bench.doors.asked == [("discover", (str(tmp_path / "other"), None))]


def test_unread_prints_the_count_and_where_it_stopped(bench):
    bench.api.answers["unread"] = Count(100, True)
    assert bench.done("unread", "5") == "100+\n"
    bench.api.answers["unread"] = Count(3, False)
    assert bench.done("unread", "5") == "3\n"
    assert json.loads(bench.done("unread", "5", "--json")) == {"count": 3, "capped": False}
    assert bench.api.asked[-1] == ("unread", (5, Lane.POSTS, 100))


def test_unread_watched_looks_until_it_is_stopped(bench):
    bench.looks = 2
    bench.api.answers["unread"] = Count(1, False)
    assert bench.done("unread", "5", "--lane", "notices", "--watch") == "1\n1\n"


def test_author_posts_shows_what_one_author_wrote(bench):
    bench.api.answers["author_posts"] = page_of(post_entry(88))
    assert "post 0" in bench.done("author-posts", "88", "--limit", "3", "--before", to_text(b"x"))
    assert bench.api.asked == [("author_posts", (88, b"x", b"", 3))]


def test_status_tells_services_cells_and_lag_in_seconds(bench):
    bench.platform.lag_s = 1.25
    text = bench.done("status", "--positions")
    assert "router" in text
    assert "127.0.0.1:4000" in text
    assert "127.0.0.1:4001" in text
    assert "1.2 s" in text
    assert "positions of a" in text


def test_status_is_partial_where_something_is_not_ready(bench):
    bench.platform.service_state = "down"
    result = bench.run("status", "--json")
    assert result.exit_code == 8
    found = json.loads(result.stdout)
    assert found["healthy"] is False
    assert found["status"]["services"][0]["state"] == "down"
    assert found["status"]["services"][0]["admin"] == "127.0.0.1:4001"


def test_status_watched_does_not_end_by_what_it_saw(bench):
    bench.platform.service_state = "down"
    bench.looks = 2
    assert len(bench.done("status", "--watch", "--json").splitlines()) == 2
