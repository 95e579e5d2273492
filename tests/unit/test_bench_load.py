"""The loads of benches, and what is read from processes and metrics."""

import os

import numpy as np
import pytest

from firehose.event import PostCreated
from idgen.ids import decompose, spread, spread_array
from ops.bench.load import READERS_FROM, crowd, higgs_week, repeated, zipf_order
from ops.bench.processes import peak_mib, processor_s, resident_mib, sum_of
from ops.bench.stage import Ids
from ops.metrics import ROWS_WRITTEN


def test_a_crowd_has_its_shape_and_is_the_same_again():
    group = crowd(5, 30, 100, place=2)
    assert group.each == 30
    assert all(len(set(row)) == 30 for row in group.followers.tolist())
    assert np.array_equal(group.followers, crowd(5, 30, 100, place=2).followers)
    others = crowd(5, 30, 100, place=3)
    assert not set(others.authors) & set(group.authors)
    assert not set(others.followers.ravel().tolist()) & set(group.followers.ravel().tolist())
    assert int(group.followers.min()) >= READERS_FROM


def test_a_post_goes_to_followers_and_to_its_author():
    group = crowd(3, 10, 50, place=1)
    author = group.authors[2]
    users = [*group.followers[2].tolist(), author]
    assert sorted(group.places(author).tolist()) == sorted(spread(user) for user in users)


def test_the_last_follower_lies_last_in_the_table():
    group = crowd(3, 10, 50, place=1)
    places = spread_array(group.followers[1])
    assert spread(group.last(group.authors[1])) == int(places.max())


def test_popular_readers_are_asked_for_as_zipf_says():
    order = zipf_order(100, 50_000, seed=3)
    counts = np.sort(np.bincount(order, minlength=100))[::-1]
    assert counts[0] / counts[9] == pytest.approx(10, rel=0.25)
    assert np.array_equal(order, zipf_order(100, 50_000, seed=3))


def test_the_deliveries_of_the_sample_are_those_of_its_posts():
    week = higgs_week(None)
    assert not week.whole
    followers: dict[int, int] = {}
    for _, author in week.edges.tolist():
        followers[author] = followers.get(author, 0) + 1
    wanted = sum(1 + followers.get(activity.author, 0) for activity in week.activities)
    assert week.deliveries() == wanted


def test_every_round_of_the_week_has_posts_of_its_own():
    week, ids = higgs_week(None, limit=200), Ids()
    first, second = list(week.posts(ids)), list(week.posts(ids))
    assert all(isinstance(post, PostCreated) for post in first)
    assert not {post.id for post in first} & {post.id for post in second}
    refs = [ref for post in second for ref in (post.draft.reblog_of, post.draft.reply_to)]
    named = {ref.id for ref in refs if ref is not None}
    assert named
    assert named <= {post.id for post in second}


def test_ids_grow_and_come_from_a_worker_that_the_server_gives_last():
    ids = Ids()
    taken = ids.take(10_000) + ids.take(10)
    assert taken == sorted(set(taken))
    assert {decompose(taken[0]).worker, decompose(taken[-1]).worker} == {1023}


def test_authors_take_turns():
    assert repeated((7, 8), 5) == [7, 8, 7, 8, 7]


def test_a_metric_is_summed_over_labels_and_not_taken_for_another():
    name = ROWS_WRITTEN.name
    lines = [f'{name}{{cell="a"}} 5.0', f'{name}{{cell="b"}} 2', f"{name}_created 9", "# x"]
    assert sum_of(lines, ROWS_WRITTEN) == 7


def test_what_this_process_uses_can_be_told():
    pid = os.getpid()
    assert 10 < resident_mib(pid) <= peak_mib(pid) + 1
    assert processor_s(pid) > 0
