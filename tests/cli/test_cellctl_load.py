"""`cellctl load`: in order, resumable, each batch exactly once."""

import gzip
import json

import pytest

from cell.dashboard import PostView
from firehose.receipts import Context, Receipt
from idgen.clock import Clock
from idgen.errors import Unavailable
from idgen.ids import compose
from ops.higgs import activities, edges
from ops.load_journal import Batch, Journal, fingerprint
from ops.loader import BATCH_ITEMS, STALE_MS, TRIES, InDoubt, Loader, Source
from tests.cli.stand_in import NOW_MS, Bench

EDGES = 3 * BATCH_ITEMS + 7
POSTS = 2 * BATCH_ITEMS + 5


class StoppedClock(Clock):
    def __init__(self) -> None:
        self.ms = NOW_MS

    def now_ms(self) -> int:
        return self.ms

    def monotonic_ms(self) -> int:
        return self.ms

    def pause(self, ms: int) -> None:
        self.ms += ms


class Killed(BaseException):
    """The process ended here."""


class Site:
    """What a platform would have: a write under a known id is the same write."""

    def __init__(self) -> None:
        self.follows: dict[int, tuple[int, int]] = {}
        self.written: dict[int, tuple[int, object]] = {}
        self.order: list[int] = []
        self.refuse: list[Exception] = []
        self.calls = 0
        self.kill_before: int | None = None
        self.kill_after: int | None = None
        self.behind = False
        self.clock = StoppedClock()
        self._next = 0

    def source(self) -> Source:
        return Source(self, self.next_ids, lambda: not self.behind, self.clock, Context())

    def next_ids(self, n: int) -> list[int]:
        first, self._next = self._next, self._next + n
        places = range(first, first + n)
        return [compose(self.clock.ms, place // 4096, place % 4096) for place in places]

    def follow_many(self, _ctx, follows):
        self._called()
        for each in follows:
            self._take(self.follows, each.brought_id, (each.follower, each.author))
        return self._receipts(follows)

    def publish_many(self, _ctx, posts):
        self._called()
        for each in posts:
            self._take(self.written, each.brought_id, (each.author, each.draft))
        return self._receipts(posts)

    def posts(self, _ctx, refs):
        views = []
        for ref in refs:
            author, draft = self.written.get(ref.id, (0, None))
            found = draft if author == ref.author else None
            views.append(PostView(ref, NOW_MS, found, removed=found is None))
        return views

    def _called(self) -> None:
        self.calls += 1
        if self.calls == self.kill_before:
            raise Killed
        if self.refuse:
            raise self.refuse.pop(0)

    def _take(self, kept, brought_id, what):
        assert brought_id is not None, "every item brings its id"
        if brought_id in kept:
            assert kept[brought_id] == what, "one id, two contents"
        else:
            kept[brought_id] = what
            self.order.append(brought_id)

    def _receipts(self, items):
        if self.calls == self.kill_after:
            raise Killed
        return [Receipt(each.brought_id, b"t") for each in items]


@pytest.fixture
def files(tmp_path):
    edge_list = tmp_path / "edges.txt.gz"
    lines = [f"{1 + n} {100_000 + n % 31}\n" for n in range(EDGES)]
    edge_list.write_bytes(gzip.compress("".join(lines).encode()))
    activity = tmp_path / "activity.txt"
    kinds = ("RT", "MT", "RE")
    activity.write_text(
        "".join(
            f"{1 + n % 13} {1 + n % 7} {1_341_100_000 + n} {kinds[n % 3]}\n" for n in range(POSTS)
        )
    )
    return edge_list, activity


def run(site, files, state, limit=None):
    edge_list, activity = files
    with Journal(state, fingerprint(files)) as journal:
        loader = Loader(site.source(), journal)
        loader.follows(edges([edge_list]))
        loader.posts(activities(activity, limit))
        return loader.counts


def assert_complete(site):
    posts = site.written
    assert sorted(site.follows.values()) == sorted(
        (1 + n, 100_000 + n % 31) for n in range(EDGES)
    )
    assert len(posts) == POSTS
    ats = [draft.at_ms for _, draft in posts.values()]
    assert ats == [1000 * (1_341_100_000 + n) for n in range(POSTS)], "in the order of the file"
    ids = {i: author for i, (author, _) in posts.items()}
    for _, draft in posts.values():
        for ref in (draft.reblog_of, draft.reply_to):
            assert ref is None or ids[ref.id] == ref.author, "goes to a post that is there"


def test_all_is_brought_in_order(files, tmp_path):
    site = Site()
    counts = run(site, files, tmp_path / "state")
    assert (counts.follows, counts.posts, counts.earlier) == (EDGES, POSTS, 0)
    assert_complete(site)
    assert site.order == sorted(site.order)


def test_again_brings_nothing(files, tmp_path):
    site = Site()
    run(site, files, tmp_path / "state")
    calls = site.calls
    counts = run(site, files, tmp_path / "state")
    assert site.calls == calls
    assert (counts.follows, counts.posts, counts.earlier) == (0, 0, EDGES + POSTS)


@pytest.mark.parametrize("moment", ["kill_before", "kill_after"])
@pytest.mark.parametrize("call", range(1, 8))
def test_killed_at_any_call_it_goes_on_and_brings_each_once(files, tmp_path, moment, call):
    site = Site()
    setattr(site, moment, call)
    with pytest.raises(Killed):
        run(site, files, tmp_path / "state")
    site.kill_before = site.kill_after = None
    run(site, files, tmp_path / "state")
    assert_complete(site)
    assert len(site.follows) == EDGES


@pytest.mark.parametrize("torn", [b"{", b'{"done":', b'{"done":5}', b'{"batch":6,"ids":[1,2'])
def test_a_last_line_that_a_crash_cut_is_dropped(files, tmp_path, torn):
    site = Site()
    site.kill_after = 6
    state = tmp_path / "state"
    with pytest.raises(Killed):
        run(site, files, state)
    site.kill_after = None
    state.write_bytes(state.read_bytes() + torn)
    run(site, files, state)
    assert_complete(site)


def test_short_outages_are_waited_out_and_long_ones_end_it(files, tmp_path):
    site = Site()
    site.refuse = [Unavailable("away")] * (TRIES - 1)
    run(site, files, tmp_path / "state")
    assert_complete(site)
    site = Site()
    site.refuse = [Unavailable("away")] * TRIES
    with pytest.raises(Unavailable, match="run the same again"):
        run(site, files, tmp_path / "other")
    run(site, files, tmp_path / "other")
    assert_complete(site)


@pytest.mark.parametrize("moment", ["kill_before", "kill_after"])
def test_a_batch_in_doubt_for_long_is_looked_up_before_it_is_sent(files, tmp_path, moment):
    site = Site()
    setattr(site, moment, 6)
    with pytest.raises(Killed):
        run(site, files, tmp_path / "state")
    site.kill_before = site.kill_after = None
    site.clock.ms += STALE_MS + 1
    site.behind = True
    with pytest.raises(InDoubt, match="cellctl status"):
        run(site, files, tmp_path / "state")
    site.behind = False
    run(site, files, tmp_path / "state")
    assert_complete(site)


def test_follows_in_doubt_for_long_are_done_again_under_new_ids(files, tmp_path):
    site = Site()
    site.kill_after = 2
    with pytest.raises(Killed):
        run(site, files, tmp_path / "state")
    site.kill_after = None
    site.clock.ms += STALE_MS + 1
    run(site, files, tmp_path / "state")
    assert set(site.follows.values()) == {(1 + n, 100_000 + n % 31) for n in range(EDGES)}
    newest = [i for i in site.follows if i >= compose(NOW_MS + STALE_MS, 0, 0)]
    assert len(newest) == EDGES - BATCH_ITEMS, "the first batch was done and stays"


def test_a_limit_can_be_raised_later(files, tmp_path):
    site = Site()
    assert run(site, files, tmp_path / "state", limit=BATCH_ITEMS + 10).posts == BATCH_ITEMS + 10
    assert run(site, files, tmp_path / "state").posts == POSTS - BATCH_ITEMS - 10
    assert_complete(site)


def test_a_journal_of_other_files_is_refused(tmp_path):
    Journal(tmp_path / "state", "one").close()
    with pytest.raises(Exception, match="other files"):
        Journal(tmp_path / "state", "two")


def test_a_journal_is_for_one_load_at_a_time(tmp_path):
    with Journal(tmp_path / "state", "one"), pytest.raises(Exception, match="in use"):
        Journal(tmp_path / "state", "one")


def test_a_journal_keeps_what_was_begun_and_done(tmp_path):
    with Journal(tmp_path / "state", "one") as journal:
        journal.begin(Batch(0, "follow", (1, 2)))
        journal.finish(0)
        journal.begin(Batch(1, "publish", (3,), frozenset((0,))))
    with Journal(tmp_path / "state", "one") as journal:
        assert journal.batches == [
            Batch(0, "follow", (1, 2)),
            Batch(1, "publish", (3,), frozenset((0,))),
        ]
        assert journal.is_done(0)
        assert not journal.is_done(1)


def test_the_command_brings_files_and_says_how_much(files, tmp_path):
    bench = Bench(tmp_path / "platform")
    edge_list, activity = (str(path) for path in files)
    found = json.loads(bench.done("load", edge_list, "--activity", activity, "--json"))
    assert (found["follows"], found["posts"], found["earlier"]) == (EDGES, POSTS, 0)
    assert [name for name, _ in bench.api.asked[:1]] == ["follow_many"]
    again = bench.done("load", edge_list, "--activity", activity)
    assert f"{EDGES + POSTS} were there from an earlier run" in again


def test_the_command_names_what_is_wrong_with_its_files(tmp_path):
    bench = Bench(tmp_path / "platform")
    assert bench.run("load").exit_code == 2
    assert bench.run("load", str(tmp_path / "none")).exit_code == 3
    (tmp_path / "bad").write_text("1 2\n1\n")
    result = bench.run("load", str(tmp_path / "bad"))
    assert result.exit_code == 2
    assert "line 2" in result.stderr


def test_without_a_folder_the_state_file_must_be_named(files, tmp_path):
    bench = Bench(tmp_path / "platform")
    bench.platform.folder = None
    assert bench.run("load", str(files[0])).exit_code == 2
    bench.done("load", str(files[0]), "--state", str(tmp_path / "here"))
    assert (tmp_path / "here").exists()

