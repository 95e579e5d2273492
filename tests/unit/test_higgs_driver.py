"""The workload and its driver: what is recorded is what was done, whatever fails in between."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from cell.dashboard import Context, NewPost, Receipt
from idgen.errors import DashcellError, DeadlineExceeded, Throttled, Unavailable
from tests.higgs import workload
from tests.higgs.data import shipped
from tests.higgs.driver import Driver, Ids, asker, batches
from tests.oracle.compare import compare
from tests.oracle.history import History
from tests.oracle.model import Model
from tests.oracle.operations import (
    Followed,
    Liked,
    Operation,
    Published,
    Removed,
    Unfollowed,
    Unliked,
)
from tests.sim.eager import Eager

ACTIVITIES = 600
MANY_EXTRAS = 1.0


def mixed(seed: int = 1) -> list[workload.Step]:
    return list(workload.steps(shipped(), ACTIVITIES, seed, MANY_EXTRAS))


def differences(model: Model, eager: Eager) -> list[str]:
    readers = sorted(model.inbox_sizes())
    found = [compare(model, asker(eager), reader) for reader in readers]
    return [text for text in found if text]


def test_same_seed_gives_the_same_steps_and_another_gives_others() -> None:
    assert mixed(1) == mixed(1)
    assert mixed(1) != mixed(2)


def test_mix_has_all_edges_all_activities_and_some_of_everything() -> None:
    steps = mixed()
    counts = Counter(type(step).__name__ for step in steps)
    assert {s.line.number for s in steps if isinstance(s, workload.Publish)} == set(
        range(ACTIVITIES)
    )
    followed = {(s.follower, s.author) for s in steps if isinstance(s, workload.Follow)}
    assert followed == set(shipped().edges())
    assert set(counts) == {"Publish", "Remove", "Follow", "Unfollow", "Like", "Mark"}
    assert min(counts.values()) > 20


@pytest.mark.slow
def test_model_of_what_was_recorded_equals_what_an_eager_platform_shows() -> None:
    eager, history = Eager(), History()
    played = Driver([eager, eager, eager], history).play(mixed())
    assert played == len(history.done) == len(mixed())
    model = Model()
    model.apply_all(history.operations())
    assert differences(model, eager) == []


@pytest.mark.slow
def test_comparison_sees_a_rule_left_out() -> None:
    eager, history = Eager(spoil="unfollow leaves backfilled"), History()
    Driver([eager, eager], history).play(mixed())
    model = Model()
    model.apply_all(history.operations())
    assert any("ghost" in text for text in differences(model, eager))


@dataclass
class Flaky(Eager):
    """Fails now and then: before the write, after it, or in the middle of a batch."""

    rnd: random.Random = field(default_factory=lambda: random.Random(5))
    failed: int = 0

    def _fail(self) -> None:
        self.failed += 1
        errors: list[DashcellError] = [
            Unavailable("away", retry_after_ms=1),
            DeadlineExceeded("late"),
            Throttled("busy", retry_after_ms=1),
        ]
        raise self.rnd.choice(errors[:1] if self.failed % 10 else errors)

    def publish_many(self, ctx: Context, posts: Sequence[NewPost]) -> list[Receipt]:
        if self.rnd.random() < 0.5:
            super().publish_many(ctx, posts[: len(posts) // 2])
            self._fail()
        return super().publish_many(ctx, posts)

    def unfollow(self, ctx: Context, follower: int, author: int, brought_id: int | None) -> Receipt:
        receipt = super().unfollow(ctx, follower, author, brought_id)
        if self.rnd.random() < 0.3:
            self._fail()
        return receipt

    def remove_post(
        self, ctx: Context, author: int, post_id: int, brought_id: int | None
    ) -> Receipt:
        if self.rnd.random() < 0.3:
            self._fail()
        return super().remove_post(ctx, author, post_id, brought_id)


@pytest.mark.slow
def test_failed_calls_are_made_again_as_the_same_writes() -> None:
    flaky, history = Flaky(), History()
    Driver([flaky], history).play(mixed())
    assert flaky.failed > 20
    model = Model()
    model.apply_all(history.operations())
    assert differences(model, flaky) == []


def test_write_that_fails_for_good_is_raised() -> None:
    class Away(Eager):
        def publish_many(self, ctx: Context, posts: Sequence[NewPost]) -> list[Receipt]:
            raise Unavailable("gone for good", retry_after_ms=1)

    with pytest.raises(Unavailable, match="gone for good"):
        Driver([Away()], History(), patience_s=0.05).play(mixed())


def test_batches_keep_the_order_of_every_key_and_lose_nothing() -> None:
    rnd = random.Random(3)
    operations: list[Operation] = []
    for at in range(1, 4_000):
        key, other = rnd.randrange(1, 6), rnd.randrange(10, 20)
        kinds: list[Operation] = [
            Published(at, key),
            Followed(at, other, key),
            Unfollowed(at, other, key),
            Removed(at, key, other),
            Liked(at, key, other, 3),
            Unliked(at, key, other, 3),
        ]
        operations.append(rnd.choice(kinds[:2] if rnd.random() < 0.9 else kinds))
    made = list(batches(operations))
    flat = [operation for batch in made for operation in batch]
    for key in range(1, 6):
        assert [o for o in flat if o.key == key] == [o for o in operations if o.key == key]
    assert len(flat) == len(operations)
    assert all(len({type(o) for o in batch}) == 1 for batch in made)
    assert max(len(batch) for batch in made) > 1


def test_ids_ascend() -> None:
    ids = Ids()
    taken = [ids.take() for _ in range(20_000)]
    assert taken == sorted(set(taken))
