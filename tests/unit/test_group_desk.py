"""A cell whose workers do not run is rewound by its checkpoints; one that is told and does not
obey is said to go back later."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cell.dashboard import Context
from firehose.event import Draft
from firehose.log_sqlite import SqliteLog
from firehose.places import Earliest
from idgen.errors import DeadlineExceeded
from ops import group_desk
from ops.embedded import Embedded
from ops.group_desk import GroupDesk
from router.moves import Refused
from tests.contract.patience import until

pytestmark = pytest.mark.slow

GROUP = "cell-a"


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Embedded]:
    with Embedded(tmp_path / "site") as found:
        for author in range(1, 6):
            found.dashboard.publish(Context(5_000), author, Draft(body="x"), None)
        stores = found.cells["a"].stores
        until("all is applied", lambda: not stores.behind(stores.ends()), 30)
        until(
            "and committed",
            lambda: sum(found.seams.checkpoints().committed(GROUP).values()) == 5,
            30,
        )
        yield found


def test_a_cell_that_does_not_run_is_rewound_by_its_checkpoints(platform: Embedded) -> None:
    desk, before = GroupDesk(platform.seams), platform.table_hash("a")
    platform.cells["a"].stop()
    plan = desk.rewind_plan(GROUP, ("--to-earliest", Earliest()), ())
    assert (plan.cell, plan.members, sum(s.replayed for s in plan.steps)) == ("a", (), 5)
    desk.rewind(plan, pause=False)
    assert set(platform.seams.checkpoints().committed(GROUP).values()) == {0}
    platform.restart_ingest("a")
    worker = platform.cells["a"].applying
    until("it was replayed", lambda: worker.worker.stats.events == 5, 30)
    assert platform.table_hash("a") == before


def forget(platform: Embedded) -> None:
    """The log forgets all that it has."""
    firehose = platform.seams.firehose()
    assert isinstance(firehose, SqliteLog)
    firehose.trim(platform.seams.clock.now_ms() + 60_000)
    assert all(span.start == span.end for span in firehose.spans())


def test_a_gap_is_passed_over_by_somebodys_word_alone(platform: Embedded) -> None:
    desk, groups = GroupDesk(platform.seams), platform.seams.checkpoints()
    groups.rewind("reports", dict.fromkeys(range(platform.seams.firehose().partitions), 0))
    forget(platform)
    plan = desk.rewind_plan("reports", ("--to-earliest", Earliest()), ())
    assert plan.gone == 5
    with pytest.raises(Refused, match=r"5 events .* --accept-gap"):
        desk.rewind(plan, pause=False)
    assert set(groups.committed("reports").values()) == {0}
    desk.rewind(plan, pause=False, accept_gap=True)
    assert sum(groups.committed("reports").values()) == 5
    assert desk.describe("reports").group.gone == 0


def test_a_cell_passes_over_no_gap(platform: Embedded) -> None:
    desk = GroupDesk(platform.seams)
    platform.cells["a"].stop()
    platform.dashboard.publish(Context(5_000), 1, Draft(body="missed"), None)
    forget(platform)
    plan = desk.rewind_plan(GROUP, ("--to-earliest", Earliest()), ())
    assert plan.gone == 1
    with pytest.raises(Refused, match="restore-cell"):
        desk.rewind(plan, pause=False, accept_gap=True)


def test_workers_that_do_not_obey_yet_are_said_to(
    platform: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = GroupDesk(platform.seams)
    plan = desk.rewind_plan(GROUP, ("--to-earliest", Earliest()), ())
    assert plan.members
    monkeypatch.setattr(group_desk, "LOOKS", 0)
    with pytest.raises(DeadlineExceeded, match="they will"):
        desk.rewind(plan, pause=True)
    worker = platform.cells["a"].applying.worker
    until("it was replayed", lambda: worker.stats.events == 10, 30)
