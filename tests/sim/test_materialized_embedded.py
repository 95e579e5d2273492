"""On the embedded platform: who is hot or away becomes pulled, comes back, and sees it all."""

from pathlib import Path

import pytest

from cell import coverage, keys
from cell.coverage import Covered
from cell.dashboard import Context, NewFollow, PageQuery
from cell.materialization import Pin
from firehose.event import Draft, Lane
from idgen.ids import spread
from ops.config_settings import Config, Materialization, Platform
from ops.embedded import Embedded
from ops.metrics import Metrics
from ops.roles import dashboard_sources, ingest_source
from router.flags import set_flag
from router.pins import set_pin
from tests.contract.patience import until

CTX = Context(30_000)
HOT = 500
READERS = range(1, 21)
PATIENCE_S = 60.0
POSTS = frozenset((Lane.POSTS,))


def quick(folder: Path) -> Embedded:
    """A platform that decides twice a second and forgets in seconds."""
    section = Materialization(
        hot_entries_per_s=5.0,
        away_s=1,
        events_half_life_s=1,
        save_interval_ms=100,
        pass_interval_ms=100,
    )
    config = Config(platform=Platform(data=str(folder)), materialization=section)
    return Embedded(folder, config=config)


def hot(platform: Embedded, author: int) -> Covered:
    (row,) = platform.cells["a"].stores.tables.get(keys.CELL, [keys.hot_key(spread(author))])
    return Covered() if row is None else coverage.decode(row.value)


def reader(platform: Embedded, user: int) -> Covered:
    key = keys.pair_key(spread(user), coverage.EVERYBODY)
    (row,) = platform.cells["a"].stores.tables.get(keys.COVERAGE, [key])
    return Covered() if row is None else coverage.decode(row.value)


def shown(platform: Embedded, user: int, tokens: list[bytes]) -> list[int]:
    query = PageQuery(user, POSTS, limit=100, at_least=tuple(tokens[-1:]))
    return [entry.id for entry in platform.dashboard.page(CTX, query).entries]


@pytest.mark.slow
def test_a_hot_author_and_an_away_reader_are_pulled_and_come_back(tmp_path: Path) -> None:
    with quick(tmp_path) as platform:
        board, registry = platform.dashboard, platform.seams.registry
        tokens = [board.follow(CTX, NewFollow(user, HOT, backfill=0)).token for user in READERS]
        ids: list[int] = []

        def post() -> None:
            receipt = board.publish(CTX, HOT, Draft(body="x"), None)
            ids.append(receipt.id)
            tokens.append(receipt.token)

        set_flag(registry, "materialize.hot_author", 10_000)

        def pulled_while_it_posts() -> bool:
            post()
            return hot(platform, HOT).pulled

        until("a hot author is pulled", pulled_while_it_posts, PATIENCE_S)
        for _ in range(3):
            post()
        assert shown(platform, 1, tokens) == ids[:-101:-1]
        until("it is pushed again", lambda: not hot(platform, HOT).pulled, PATIENCE_S)
        post()
        assert shown(platform, 2, tokens) == ids[:-101:-1]

        set_flag(registry, "materialize.away", 10_000)
        until("an away reader is pulled", lambda: reader(platform, 3).pulled, PATIENCE_S)
        post()
        assert shown(platform, 3, tokens) == ids[:-101:-1]

        def back_while_it_looks() -> bool:
            assert shown(platform, 3, tokens) == ids[:-101:-1]
            return not reader(platform, 3).pulled

        until("one that looks is pushed to", back_while_it_looks, PATIENCE_S)
        set_flag(registry, "materialize.away", 0)
        set_pin(registry, 4, Pin.PULL)
        until(
            "a pinned reader alone is pulled",
            lambda: reader(platform, 4).pulled and not reader(platform, 5).pulled,
            PATIENCE_S,
        )
        post()
        assert shown(platform, 4, tokens) == shown(platform, 5, tokens) == ids[:-101:-1]
        cell = platform.cells["a"]
        metrics = Metrics()
        metrics.add_source(ingest_source(cell.stores, cell.applying))
        for source in dashboard_sources(cell.stores, cell.handler, cell.letters):
            metrics.add_source(source)
        text = metrics.text().decode()
        for name in ("deliveries_saved_total", "switches_total", "pages_pulled_total"):
            value = text.split(f'\ndashcell_{name}{{cell="a"}} ')[1].split("\n")[0]
            assert float(value) > 0, name
