"""What `cellctl up` does with cells of the registry, again and again; with servers for show."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from idgen.errors import Unavailable
from ops.running_stack import StackCells
from ops.stack.servers import CellAddresses
from router.cells import Bootstrap, CellInfo, CellState, add_cell, read_cell
from tests.unit.registry_world import FallibleRegistry

FOUND = CellAddresses("h:1", "h:2", "h:3", "/hbase-b")


class ForShow:
    """A stack whose children are names; it counts what was made."""

    def __init__(self) -> None:
        self.children: list[str] = ["ingest-a", "dashboard-a", "dashboard-a.2"]
        self.planned = self.specs = 0
        self.kept: list[str] = []
        self.supervisor = self

    def names(self) -> list[str]:
        return self.children

    def start_all(self, specs: Sequence[Any]) -> None:
        self.children += [spec.name for spec in specs]

    def wait_ready(self, names: Sequence[str], timeout_s: float) -> None:
        assert set(names) <= set(self.children)

    def stop_child(self, name: str) -> None:
        self.children.remove(name)

    def services_of(self, cell: str, _zookeeper: str) -> list[Any]:
        self.specs += 1
        return [SimpleNamespace(name=f"{role}-{cell}") for role in ("ingest", "dashboard")]

    def relay(self, group: str, _zookeeper: str) -> Any:
        self.specs += 1
        return SimpleNamespace(name=f"relay-{group}")

    def planner(self, _cells: Sequence[str]) -> Any:
        self.planned += 1
        children = [SimpleNamespace(name="hbase-b-master")]
        return SimpleNamespace(plan_cell=lambda *_: (children, FOUND), close=lambda: None)

    def without_servers(self, cell: str) -> None:
        """Nothing is kept of a cell here."""

    def with_servers(self, cell: str) -> None:
        self.kept.append(cell)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[FallibleRegistry]:
    made = FallibleRegistry(tmp_path / "registry.sqlite")
    yield made
    made.close()


def test_services_begin_once_and_stay_stopped(registry: FallibleRegistry) -> None:
    """Also where nobody changes anything: each service that is made holds ports."""
    stack = ForShow()
    cells = StackCells(stack, registry, "z:1")  # type: ignore[arg-type]
    for _ in range(3):
        cells.follow([CellInfo("a"), CellInfo("b", CellState.DARK)])
    assert stack.specs == 1
    assert stack.children[3:] == ["ingest-b", "dashboard-b"]
    stack.stop_child("ingest-a")
    cells.follow([CellInfo("a")])
    assert "ingest-a" not in stack.children


def test_a_group_has_a_relay_while_it_has_cells(registry: FallibleRegistry) -> None:
    stack = ForShow()
    cells = StackCells(stack, registry, "z:1")  # type: ignore[arg-type]
    begun = Bootstrap(donor="a", sample=0.1, trouble="its servers do not start")
    b = CellInfo("b", CellState.PROVISIONING, bootstrap=begun, group="east")
    c, d = CellInfo("c", CellState.RETIRED, group="west"), CellInfo("d", group="east")
    for _ in range(3):
        cells.follow([CellInfo("a"), b, c, d])
        assert [name for name in stack.children if "relay" in name] == ["relay-east"]
    stack.stop_child("relay-east")
    cells.follow([CellInfo("a"), b, c, d])
    assert "relay-east" not in stack.children, "whoever stops it means it"
    for retired in (1, 2):
        gone = [replace(info, state=CellState.RETIRED) for info in (b, d)[:retired]]
        cells.follow([CellInfo("a"), *gone, *(b, d)[retired:]])
    cells.follow([CellInfo("a"), CellInfo("e", group="east")])
    assert "relay-east" in stack.children
    cells.follow([CellInfo("a"), CellInfo("e", CellState.RETIRED, group="east")])
    assert "relay-east" not in stack.children


def test_servers_start_once_also_where_the_registry_is_away_then(
    registry: FallibleRegistry,
) -> None:
    info = CellInfo("b", CellState.PROVISIONING, bootstrap=Bootstrap(donor="a", sample=0.1))
    add_cell(registry, info)
    stack = ForShow()
    cells = StackCells(stack, registry, "z:1")  # type: ignore[arg-type]
    registry.down = True
    with pytest.raises(Unavailable):
        cells.follow([info])
    registry.down = False
    cells.follow([info])
    assert (stack.planned, stack.kept) == (1, ["b"])
    assert read_cell(registry, "b").info.redis == FOUND.redis
