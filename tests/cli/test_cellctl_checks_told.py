"""What checks have found, as people and scripts are told it."""

import json
from pathlib import Path
from typing import Any

import pytest

from cell import keys
from cell.post_compare import Digest, PostDifference, PostRow
from cell.reader_sample import Sample
from firehose.event import PostRef
from ops.checks_port import (
    Audit,
    AuditedCell,
    AuditSettings,
    CellCheck,
    CellsDiff,
    Finding,
    Missed,
    PostsOfRange,
)
from tests.cli.stand_in import Bench

HALF = 1 << 63
LAST = (1 << 64) - 1


class StandInChecks:
    """Answers with what it was given, or raises it; keeps what it was asked."""

    def __init__(self, answer: object) -> None:
        self.answer = answer
        self.asked: tuple[Any, ...] = ()

    def __getattr__(self, name: str) -> Any:
        def check(*arguments: Any) -> Any:
            *self.asked, moved_on = arguments  # type: ignore[assignment]
            moved_on(1, 2)
            if isinstance(self.answer, BaseException):
                raise self.answer
            return self.answer

        return check


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def given(bench: Bench, answer: object) -> StandInChecks:
    checks = StandInChecks(answer)
    bench.platform.checks = checks  # type: ignore[attr-defined]
    return checks


def checked(*findings: Finding, found: int | None = None) -> CellCheck:
    count = len(findings) if found is None else found
    return CellCheck("a", 7, (5, 6), 1, 1_234, 56, 3, findings, count)


def test_a_verified_cell_is_told_with_the_seed_that_repeats_it(bench: Bench) -> None:
    checks = given(bench, checked())
    text = bench.done("verify-cell", "a", "--sample", "1%", "--seed", "7")
    assert checks.asked == ["a", Sample(0, 0.01), 7]
    assert text.splitlines() == [
        (
            "cell a verified: 2 readers, 1,234 entries, 56 edges, 3 marks; the same again with "
            "--seed 7"
        ),
        "  1 of the readers had moved to another cell meanwhile",
    ]
    found = json.loads(bench.done("verify-cell", "a", "--json"))
    assert (found["verified"], found["seed"], found["readers"], found["found"]) == (
        True,
        7,
        [5, 6],
        0,
    )


def test_a_sample_of_nobody_is_told(bench: Bench) -> None:
    given(bench, CellCheck("a", 7, (), 0, 0, 0, 0, (), 0))
    ended = bench.run("verify-cell", "a")
    assert ended.exit_code == 5
    assert "no reader was picked, so nothing is known" in ended.stderr
    assert "cell a NOT verified" in ended.stdout


def test_without_a_seed_another_is_drawn_each_time(bench: Bench) -> None:
    checks = given(bench, checked())
    seeds = set()
    for _ in range(5):
        bench.done("verify-cell", "a")
        seeds.add(checks.asked[2])
        assert checks.asked[1] == Sample(20)
    assert len(seeds) > 1


def test_findings_are_told_with_the_command_that_shows_more(bench: Bench) -> None:
    given(
        bench, checked(*(Finding(f"finding {n}", f"cellctl see {n}") for n in range(25)), found=30)
    )
    ended = bench.run("verify-cell", "a")
    assert ended.exit_code == 1
    lines = ended.stdout.splitlines()
    assert lines[0].startswith("cell a NOT verified: ")
    assert lines[2:4] == ["  finding 0", "    see `cellctl see 0`"]
    assert lines[-1] == "  and 10 more; --json has 25"
    assert ended.stderr == "cellctl: cell a is not verified: 30 things are not as they must be\n"
    found = json.loads(bench.run("verify-cell", "a", "--json").stdout)
    assert (found["verified"], found["found"], len(found["findings"])) == (False, 30, 25)
    assert found["findings"][0] == {"finding": "finding 0", "see": "cellctl see 0"}


KEY = keys.post_key(88, 5)
LIVE, OTHER, GONE = PostRow(17, False, 1), PostRow(17, False, 2), PostRow(20, True, 3)


def diff_of(*differences: PostDifference, unsettled: int = 0) -> CellsDiff:
    ranges = (
        PostsOfRange(0, HALF - 1, Digest(3, 0xAB), Digest(3, 0xAB), 0),
        PostsOfRange(HALF, LAST, Digest(2, 1), Digest(1, 2), len(differences)),
    )
    return CellsDiff("a", "b", ranges, differences, len(differences), unsettled)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ((LIVE, None), "version 17 in a, and b lacks it"),
        ((None, GONE), "removed at version 20 in b, and a lacks it"),
        ((LIVE, GONE), "version 17 in a, removed at version 20 in b"),
        ((LIVE, OTHER), "version 17 in both, with other bytes"),
    ],
)
def test_a_difference_is_told_by_what_each_cell_holds(
    bench: Bench, rows: tuple[PostRow | None, PostRow | None], said: str
) -> None:
    checks = given(bench, diff_of(PostDifference(KEY, *rows)))
    ended = bench.run("diff-cells", "a", "b")
    assert checks.asked == ["a", "b", (0, LAST)]
    assert ended.exit_code == 1
    assert ended.stdout.splitlines() == [
        "posts of a (5) and b (4) differ",
        "  0000000000000000-7fffffffffffffff  00000000000000ab  00000000000000ab  3 rows, the same",
        (
            "  8000000000000000-ffffffffffffffff  0000000000000001  0000000000000002  "
            "2 and 1 rows, 1 differ"
        ),
        f"  {KEY.hex()}  post 88/5: {said}",
    ]
    (found,) = json.loads(bench.run("diff-cells", "a", "b", "--json").stdout)["differences"]
    assert (found["key"], found["author"], found["post"]) == (KEY.hex(), 88, 5)
    held = [None if row is None else (row.version, row.gone) for row in rows]
    assert [found[c] and (found[c]["version"], found[c]["removed"]) for c in ("a", "b")] == held


def test_cells_without_differences_are_the_same_whatever_their_hashes_were(bench: Bench) -> None:
    checks = given(bench, diff_of())
    text = bench.done("diff-cells", "a", "b", "--range", "8-f")
    assert checks.asked[2] == (8, 15)
    assert text.startswith("posts of a (5) and b (4) are the same\n")
    assert "the same but for what was applied meanwhile, or swept when gone" in text
    assert json.loads(bench.done("diff-cells", "a", "b", "--json"))["same"]


def test_rows_that_change_all_the_time_are_no_success(bench: Bench) -> None:
    given(bench, diff_of(unsettled=3))
    ended = bench.run("diff-cells", "a", "b")
    assert ended.exit_code == 1
    assert "3 rows changed whenever they were looked at" in ended.stderr


def audit_of(*cells: AuditedCell, missed: tuple[Missed, ...] = (), published: int = 9) -> Audit:
    return Audit(7, published, min(published, 4), cells, missed, 120)


MISSED = Missed("b", 5, PostRef(88, 99))


def test_reach_is_told_in_all_and_by_cell(bench: Bench) -> None:
    first = AuditedCell("a", 100, tuple(range(1, 101)))
    checks = given(bench, audit_of(first, AuditedCell("b", 1, (500,))))
    text = bench.done("audit", "--for", "5s", "--wait", "1m", "--posts", "4", "--seed", "7")
    assert checks.asked == [AuditSettings(5_000, 60_000, 4, 20, 7)]
    assert text.splitlines() == [
        "4 posts drawn of 9 published meanwhile; seed 7",
        (
            "  reach: 100 %, 101 of 101 readers saw a post, late by p50 51 ms, p99 100 ms, at most "
            "500 ms"
        ),
        (
            "  cell a: 100 %, 100 of 100 readers saw a post, late by p50 50 ms, p99 99 ms, at most "
            "100 ms"
        ),
        (
            "  cell b: 100 %, 1 of 1 readers saw a post, late by p50 500 ms, p99 500 ms, at most "
            "500 ms"
        ),
        (
            "  late is from the log's append to the look that found it; looks were at most 120 ms "
            "apart"
        ),
    ]


def test_who_missed_a_post_is_told_and_no_reach_is_rounded_up(bench: Bench) -> None:
    seen = AuditedCell("b", 3_000_001, (1,) * 3_000_000)
    given(bench, audit_of(seen, missed=(MISSED,)))
    ended = bench.run("audit")
    assert ended.exit_code == 1
    assert "  reach: 99.9999 %, 3,000,000 of 3,000,001 readers" in ended.stdout
    assert "  reader 5 of cell b has not seen 88/99: `cellctl explain 5 88/99`" in ended.stdout
    assert "1 of 3,000,001 did not see a post in time" in ended.stderr
    found = json.loads(bench.run("audit", "--json").stdout)
    assert found["reach"] < 1
    assert found["missed"] == [
        {"cell": "b", "reader": 5, "post": "88/99", "see": "cellctl explain 5 88/99"}
    ]


def test_unknown_reach_has_a_code_of_its_own(bench: Bench) -> None:
    given(bench, audit_of(AuditedCell("a", 0, ()), published=0))
    ended = bench.run("audit")
    assert ended.exit_code == 5
    assert "reach is unknown: no post was published within 30 s" in ended.stderr
    assert json.loads(bench.run("audit", "--json").stdout)["reach"] is None
    given(bench, audit_of(AuditedCell("a", 0, ())))
    assert "nobody had to see the posts" in bench.run("audit").stderr


def test_a_cell_that_did_not_answer_is_no_success(bench: Bench) -> None:
    given(bench, audit_of(AuditedCell("a", 1, (1,)), AuditedCell("b", 0, (), unknown=4)))
    ended = bench.run("audit")
    assert ended.exit_code == 1
    assert "cell b did not tell who has to see the posts" in ended.stderr


@pytest.mark.parametrize("words", [("verify-cell", "a"), ("diff-cells", "a", "b"), ("audit",)])
def test_ctrl_c_ends_a_check_with_a_code_that_is_none_of_its_answers(
    bench: Bench, words: tuple[str, ...]
) -> None:
    given(bench, KeyboardInterrupt())
    ended = bench.run(*words)
    assert ended.exit_code == 8
    assert "stopped before it was done" in ended.stderr
