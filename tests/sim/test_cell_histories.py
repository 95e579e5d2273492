"""Random lives of cells: killed, stalled, rewound and moved workers leave what the oracle says.

`DASHCELL_HISTORIES=20000` lives longer; `DASHCELL_SIM_SEED` begins elsewhere.
"""

import os
from collections.abc import Callable, Mapping
from unittest.mock import patch

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from cell.author_posts import newest
from cell.batch import Batch
from cell.changes import Changed
from cell.state import CellState, PartitionState
from tests.sim.cell_history import Life

HISTORIES = int(os.environ.get("DASHCELL_HISTORIES", "1000"))
SPOILT_HISTORIES = 1_000


def live(seed: int) -> None:
    life = Life(seed)
    try:
        with capture_logs():
            life.live(life.rnd.choice([4, 10, 25]))
    except AssertionError as error:
        told = "\n".join(life.told)
        raise AssertionError(f"seed {seed}, {life.bounds}\n{told}\n{error}") from error


def test_whatever_happens_a_cell_holds_what_the_oracle_says(sim_seed: int) -> None:
    for seed in range(sim_seed * 1_000_000, sim_seed * 1_000_000 + HISTORIES):
        live(seed)


def _state_first(self: Batch, tables: object, side_by_side: object) -> None:
    for table, rows in self.state.items():
        tables.put(table, rows)  # type: ignore[attr-defined]
    self.state = {}  # type: ignore[assignment]
    _write(self, tables, side_by_side)  # type: ignore[arg-type]


_write = Batch.write


def _last_writer_wins(
    self: CellState, states: Mapping[int, PartitionState]
) -> dict[int, PartitionState]:
    """Positions at versions above whatever is there."""
    now = self.read(states)
    above = {p: replace(s, generation=9, step=now[p].step) for p, s in states.items()}
    written = _advance(self, above)
    return {p: replace(s, step=written[p].step) for p, s in states.items()}


_advance = CellState.advance

SPOILT: dict[str, tuple[str, Callable[..., object]]] = {
    "state rows go first": ("cell.batch.Batch.write", _state_first),
    "reads past its own writes": ("cell.unacknowledged.Unacknowledged.put", lambda *_: None),
    "an event reads as of now": (
        "cell.reads.Reads.posts_alive",
        lambda self, author, at: (
            p for p in newest(self._tables, self._unacknowledged, author) if not p.gone_at
        ),
    ),
    "what is newer is not looked at": ("cell.evaluation._settled", lambda *_, **__: False),
    "a position passes open jobs": (
        "cell.progress.Progress.applied",
        lambda self, jobs: type(self.state.applied)(max(self.state.high, self.next)),
    ),
    "an arrival is not gone back for": (
        "cell.progress.Progress.go_back",
        lambda self, state, *_: state,
    ),
    "an arrival is forgotten with its worker": (
        "cell.state.PartitionState.unfinished",
        property(lambda self: self.applied.low),  # type: ignore[dict-item]
    ),
    "positions of who owned it once are believed": (
        "cell.state.CellState.advance",
        _last_writer_wins,
    ),
    "changes are not told": ("cell.ingest.changed_by", lambda batch: Changed()),
    "a new owner may have missed nothing": (
        "cell.freshness._is_next",
        lambda known, word: known is not None,
    ),
    "memory is kept over a failure": ("cell.followers.FollowerSets.clear", lambda self: None),
}


@pytest.mark.parametrize("spoil", SPOILT)
def test_a_rule_left_out_is_noticed(spoil: str) -> None:
    name, instead = SPOILT[spoil]
    with patch(name, instead):
        for seed in range(SPOILT_HISTORIES):
            try:
                live(seed)
            except (AssertionError, KeyError, IndexError):
                return
    pytest.fail(f"{SPOILT_HISTORIES} lives went well although {spoil}")
