"""What all processes must agree on, and who is registered where."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from firehose.position import log_fingerprint
from idgen.clock import SystemClock
from idgen.errors import BadRequest, Conflict, Corrupt, NotFound
from router.cells import CellInfo, CellState, add_cell, change_cell, read_cell, read_cells
from router.cluster import CLUSTER, ClusterValues, agree, check, read_cluster, values_of
from router.placement import first_routes
from router.services import (
    ServiceInfo,
    ServiceTable,
    deregister_all,
    read_roles,
    read_services,
    register,
)
from router.slices import PLACES, Slice
from tests.contract.patience import together, until
from tests.unit.firehose_world import open_log
from tests.unit.registry_world import NEVER_MS, PATIENCE_S, FallibleRegistry

VALUES = ClusterValues(partitions=64, log=7)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[FallibleRegistry]:
    found = FallibleRegistry(tmp_path / "registry.sqlite")
    yield found
    found.close()


def test_the_first_process_writes_the_values_and_the_others_agree(
    registry: FallibleRegistry,
) -> None:
    with pytest.raises(NotFound, match="no platform was created"):
        check(registry, VALUES)
    together([lambda: agree(registry, VALUES)] * 4)
    check(registry, VALUES)
    assert read_cluster(registry) == VALUES


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"partitions": 8}, "partitions is 8 here and 64 in the registry"),
        ({"log": 8}, "log is 8 here and 7 .* another firehose"),
        ({"log_base": 1}, "log_base is 1 here and 0"),
        ({"spread": "identity"}, "spread is identity here"),
        ({"id_epoch_ms": 0}, "id_epoch_ms is 0 here"),
        ({"event_format": 2}, "event_format is 2 here"),
    ],
)
def test_another_value_refuses_to_start_and_says_which(
    registry: FallibleRegistry, changed: dict[str, object], sentence: str
) -> None:
    agree(registry, VALUES)
    with pytest.raises(Conflict, match=sentence):
        agree(registry, ClusterValues(**{"partitions": 64, "log": 7, **changed}))  # type: ignore[arg-type]
    assert read_cluster(registry) == VALUES


def test_values_that_cannot_be_read_are_told(registry: FallibleRegistry) -> None:
    registry.create(CLUSTER, b"{}")
    with pytest.raises(Corrupt, match=CLUSTER):
        agree(registry, VALUES)


def test_a_process_takes_its_values_from_its_log(tmp_path: Path) -> None:
    log = open_log(tmp_path, 8)
    assert values_of(log, 5) == ClusterValues(8, log_fingerprint(log.identity), 5)
    log.close()


def test_cells_are_added_once_and_changed_by_version(registry: FallibleRegistry) -> None:
    assert read_cells(registry) == []
    cell = CellInfo("a", CellState.ACTIVE, ("h:1", "h:2"), ("h:3",), "r:6379")
    add_cell(registry, cell)
    add_cell(registry, CellInfo("b"))
    with pytest.raises(Conflict):
        add_cell(registry, CellInfo("a"))
    with pytest.raises(BadRequest, match=r"^cell:"):
        add_cell(registry, CellInfo("A/B"))
    assert read_cells(registry) == [cell, CellInfo("b")]
    draining = CellInfo("a", CellState.DRAINING)
    assert change_cell(registry, draining, read_cell(registry, "a").version) == 1
    with pytest.raises(Conflict):
        change_cell(registry, cell, 0)
    assert read_cell(registry, "a") == (draining, 1)
    with pytest.raises(NotFound):
        read_cell(registry, "c")


def test_a_cell_that_cannot_be_read_is_told(registry: FallibleRegistry) -> None:
    registry.create("/cells/a", b'{"name":"a","state":"asleep"}')
    with pytest.raises(Corrupt, match="/cells/a"):
        read_cells(registry)


def test_services_are_found_while_they_run(registry: FallibleRegistry, tmp_path: Path) -> None:
    services = ServiceTable(registry, "dashboard", SystemClock(), NEVER_MS)
    services.start()
    assert services.addresses("a") == ()
    one = ServiceInfo("dashboard", "d1", "h:1", "h:2", "a", 17, "0.1.0")
    deregister = register(registry, one)
    register(registry, ServiceInfo("dashboard", "d2", "h:3", cell="a"))
    register(registry, ServiceInfo("dashboard", "d3", "h:4", cell="b"))
    register(registry, ServiceInfo("router", "r1", "h:5"))
    until("both", lambda: services.addresses("a") == ("h:1", "h:3"), PATIENCE_S)
    until("the one of b", lambda: services.addresses("b") == ("h:4",), PATIENCE_S)
    assert read_roles(registry) == ["dashboard", "router"]
    assert read_services(registry, "dashboard")[0] == one
    deregister()
    deregister()
    until("one to go", lambda: services.addresses("a") == ("h:3",), PATIENCE_S)
    services.close()


def test_all_services_can_be_forgotten_at_once(registry: FallibleRegistry) -> None:
    deregister = register(registry, ServiceInfo("dashboard", "d1", "h:1", cell="a"))
    register(registry, ServiceInfo("router", "r1", "h:2"))
    deregister_all(registry)
    deregister_all(registry)
    assert read_services(registry, "dashboard") == []
    assert read_services(registry, "router") == []
    deregister()


def test_a_service_goes_with_its_session(registry: FallibleRegistry, tmp_path: Path) -> None:
    other = FallibleRegistry(tmp_path / "registry.sqlite")
    register(other, ServiceInfo("idgen", "i1", "h:1"))
    assert [s.id for s in read_services(registry, "idgen")] == ["i1"]
    other.close()
    assert read_services(registry, "idgen") == []


def test_known_services_stay_known_while_the_registry_is_down(
    registry: FallibleRegistry,
) -> None:
    register(registry, ServiceInfo("dashboard", "d1", "h:1", cell="a"))
    services = ServiceTable(registry, "dashboard", SystemClock(), reread_ms=20)
    services.start()
    registry.down = True
    until("trouble", lambda: "down" in services.trouble, PATIENCE_S)
    assert services.addresses("a") == ("h:1",)
    assert services.age_ms is not None
    services.close()


def test_a_service_is_registered_once_and_under_words(registry: FallibleRegistry) -> None:
    register(registry, ServiceInfo("idgen", "i1", "h:1"))
    with pytest.raises(Conflict):
        register(registry, ServiceInfo("idgen", "i1", "h:2"))
    for bad in (ServiceInfo("", "x", "h:1"), ServiceInfo("idgen", "a/b", "h:1")):
        with pytest.raises(BadRequest):
            register(registry, bad)


def test_active_cells_share_the_key_space_evenly() -> None:
    cells = [CellInfo("b"), CellInfo("a"), CellInfo("c", CellState.DARK)]
    assert list(first_routes(cells)) == [Slice(0, "a", 1, 1), Slice(PLACES // 2, "b", 1, 1)]
    with pytest.raises(BadRequest, match=r"^cells:"):
        first_routes([CellInfo("c", CellState.DARK)])
