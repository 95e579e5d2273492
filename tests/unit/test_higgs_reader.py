"""Edge lists and activity files become follows and posts, and bad lines are named."""

import gzip
from itertools import islice
from pathlib import Path

import pytest

from firehose.event import Draft, PostRef
from idgen.errors import BadRequest, NotFound
from ops import higgs
from tests.higgs import data
from tests.oracle.operations import Content, Ref

SAMPLE_BYTES_MAX = 150_000


def as_content(draft: Draft) -> Content:
    def ref(of: PostRef | None) -> Ref | None:
        return None if of is None else (of.author, of.id)

    return Content(
        kind=int(draft.kind),
        title=draft.title,
        body=draft.body,
        tags=draft.tags,
        mentions=draft.mentions,
        reblog_of=ref(draft.reblog_of),
        reply_to=ref(draft.reply_to),
        at_ms=draft.at_ms,
    )


def write(path: Path, text: str, *, packed: bool = False) -> Path:
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    return path


@pytest.mark.parametrize("packed", [True, False])
def test_edges_are_given_once_and_never_of_one_user(tmp_path: Path, packed: bool) -> None:
    one = write(tmp_path / "one", "1 2 5\n# 9 9 9\n\n2 1 1\n3 3 1\n", packed=packed)
    two = write(tmp_path / "two", "1 2 7\n1 3\n9223372036854775807 1 1", packed=packed)
    assert list(higgs.edges([one, two])) == [(1, 2), (2, 1), (1, 3), (9223372036854775807, 1)]


@pytest.mark.parametrize(
    "line",
    ["1", "1 2 3 4", "a 2 3", "0 1 1", "-1 2 1", "1 9223372036854775808 1", "1 2 x", "1 " * 200],
)
def test_line_that_is_no_edge_is_named(tmp_path: Path, line: str) -> None:
    path = write(tmp_path / "edges", f"1 2 1\n{line}\n")
    with pytest.raises(BadRequest, match=r"edges: .*edges, line 2: .*; correct the line") as raised:
        list(higgs.edges([path]))
    assert raised.value.field == "edges"


@pytest.mark.parametrize(
    "line",
    [
        "1 2 3",
        "1 2 3 XX",
        "1 2 3 \xff",
        "1 2 99999999999999 RT",
        "1 2 -3 RT",
        "1 0 3 RT",
        "x y z RT",
    ],
)
def test_line_that_is_no_activity_is_named(tmp_path: Path, line: str) -> None:
    path = write(tmp_path / "activity", f"1 2 3 RT\n{line}\n")
    with pytest.raises(BadRequest, match=r"activity: .*, line 2: want 'A B unix_seconds KIND'"):
        list(higgs.activities(path))


def test_gzip_that_is_cut_short_is_named_with_the_line(tmp_path: Path) -> None:
    whole = data.shipped().activity.read_bytes()
    cut = tmp_path / "cut.gz"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadRequest, match=r"cut\.gz, after line \d+: .*get the file again"):
        list(higgs.activities(cut))


def test_missing_files_are_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nowhere: no such file; name one that exists"):
        list(higgs.activities(tmp_path / "nowhere"))
    with pytest.raises(NotFound, match=r"higgs-retweet_network\.edgelist\.gz nor .*SNAP"):
        higgs.recording(tmp_path)


def test_activities_stop_at_the_limit(tmp_path: Path) -> None:
    path = write(tmp_path / "activity", "1 2 3 RT\n2 2 4 MT\nbroken")
    assert [a.line for a in higgs.activities(path, 2)] == [1, 2]
    assert list(higgs.activities(path, 0)) == []


def test_lines_become_posts_by_the_rules_of_the_recording(tmp_path: Path) -> None:
    text = "1 2 10 RT\n2 2 11 MT\n1 2 12 RT\n3 2 13 RE\n3 1 14 MT\n2 9 15 RE\n1 2 16 RE\n"
    plan = higgs.Planner()
    drafts = []
    for activity in higgs.activities(write(tmp_path / "activity", text)):
        drafts.append(plan.draft(activity))
        plan.published(activity, 100 + activity.line)
    refs = [(d.reblog_of, d.reply_to, d.mentions, d.at_ms) for d in drafts]
    assert refs == [
        (None, None, (2,), 10_000),  # 2 has not posted yet
        (None, None, (), 11_000),  # a plain post
        (PostRef(2, 102), None, (), 12_000),
        (None, PostRef(2, 102), (), 13_000),
        (None, None, (1,), 14_000),
        (None, None, (9,), 15_000),
        (None, PostRef(2, 106), (), 16_000),
    ]


def test_shipped_sample_is_small_cited_and_busy() -> None:
    found = higgs.sample()
    files = [*found.edges, found.activity]
    assert sum(path.stat().st_size for path in files) <= SAMPLE_BYTES_MAX
    citation = (found.activity.parent / "CITATION.txt").read_text()
    assert all(path.name in citation for path in files)
    assert "Scientific Reports 3, 2980 (2013)" in citation
    pairs = list(higgs.edges(found.edges))
    lines = list(higgs.activities(found.activity))
    assert f"{len(pairs):,} pairs" in citation
    assert f"{len(lines):,} activities" in citation
    users = {user for pair in pairs for user in pair}
    assert {a.author for a in lines} | {a.other for a in lines} <= users
    assert [a.at_s for a in lines] == sorted(a.at_s for a in lines)


@pytest.mark.slow
@pytest.mark.parametrize("source", [data.shipped(), data.week()], ids=["sample", "week"])
def test_product_and_tests_read_a_recording_alike(source: data.Week) -> None:
    assert list(higgs.edges(source.networks)) == source.edges()
    plan = higgs.Planner()
    newest: dict[int, int] = {}
    read = zip(higgs.activities(source.activity, 60_000), source.lines(60_000), strict=True)
    for activity, line in islice(read, 60_000):
        assert (activity.line, activity.kind.value) == (line.number + 1, line.kind)
        earlier = (line.other, newest[line.other]) if line.other in newest else None
        assert as_content(plan.draft(activity)) == data.content(line, earlier)
        plan.published(activity, activity.line)
        newest[line.author] = activity.line
