"""Edges of the SQLite tables, and of the post cache in memory that stands before them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cell.post_cache_memory import MemoryPostCache
from cell.tables import VERSION_MAX, FixedRows, Row
from cell.tables_sqlite import SqliteTables
from idgen.errors import BadRequest
from tests.unit.firehose_world import ManualClock


@pytest.fixture
def tables(tmp_path: Path) -> Iterator[SqliteTables]:
    tables = SqliteTables(tmp_path / "tables.db")
    tables.create(["t"])
    yield tables
    tables.close()


def test_a_floor_above_all_versions_finds_nothing(tables: SqliteTables) -> None:
    # The floor after the last band is 2^63, which is no signed 64-bit number any more.
    tables.put("t", [Row(b"k", VERSION_MAX, b"v")])
    floor = (1 << 15) << 48
    assert tables.get("t", [b"k"], floor=floor) == [None]
    assert tables.scan("t", b"", b"", 9, floor=floor) == []
    assert len(tables.scan_fixed("t", b"", b"", 9, floor=floor).keys) == 0
    assert tables.get("t", [b"k"], floor=VERSION_MAX) == [Row(b"k", VERSION_MAX, b"v")]
    assert len(tables.scan("t", b"", b"", 1 << 70)) == 1


@pytest.mark.parametrize("name", ["", 'a"b', "a b", "a;b", "ä", "n" * 101])
def test_a_bad_table_name_is_refused(tables: SqliteTables, name: str) -> None:
    with pytest.raises(BadRequest, match="table name"):
        tables.create(["fine", name])
    with pytest.raises(BadRequest, match="no table 'fine'"):
        tables.get("fine", [b"k"])


def test_a_fan_out_whose_arrays_do_not_fit_is_refused(tables: SqliteTables) -> None:
    def zeros(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        return np.zeros(shape, dtype=np.uint8)

    versions = np.array([1, 2], dtype=np.uint64)
    for keys, values, field in (
        (zeros(3, 8), zeros(2, 1), "keys"),
        (zeros(8), zeros(2, 1), "keys"),
        (zeros(2, 8), zeros(1, 1), "values"),
        (zeros(2, 0), zeros(2, 1), "keys"),
    ):
        with pytest.raises(BadRequest) as caught:
            tables.put_fanout("t", FixedRows(keys, versions, values))
        assert caught.value.field == field
    assert tables.scan("t", b"", b"", 9) == []


def test_arrays_may_be_views_of_others(tables: SqliteTables) -> None:
    whole = np.arange(160, dtype=np.uint8).reshape(10, 16)
    versions = np.arange(1, 21, dtype=np.uint64)[::2]
    tables.put_fanout("t", FixedRows(whole[:, 4:8], versions, whole[:, ::8]))
    rows = tables.scan("t", b"", b"", 99)
    assert [r.key for r in rows] == [bytes(range(16 * i + 4, 16 * i + 8)) for i in range(10)]
    assert [r.version for r in rows] == list(range(1, 21, 2))
    assert [r.value for r in rows] == [bytes([16 * i, 16 * i + 8]) for i in range(10)]


def test_arrays_of_a_scan_are_the_callers_to_change(tables: SqliteTables) -> None:
    tables.put("t", [Row(b"a", 1, b"v"), Row(b"b", 2, b"w")])
    found = tables.scan_fixed("t", b"", b"", 9)
    found.keys[:] = 0
    found.values[0] = 0
    found.versions[:] = 9
    assert tables.scan("t", b"", b"", 9) == [Row(b"a", 1, b"v"), Row(b"b", 2, b"w")]


def test_the_cache_keeps_what_was_used_last_within_its_bound() -> None:
    cache = MemoryPostCache(3, 1_000, ManualClock())
    for key in (b"a", b"b", b"c"):
        cache.fill({key: key})
    assert cache.get_many([b"a"]) == [b"a"]
    cache.fill({b"d": b"d"})
    assert cache.get_many([b"a", b"b", b"c", b"d"]) == [b"a", None, b"c", b"d"]


def test_posts_that_are_read_often_push_no_gone_value_out() -> None:
    cache = MemoryPostCache(3, 1_000, ManualClock())
    assert cache.set_gone({b"gone": b"\x00"})
    for i in range(50):
        cache.fill({b"%d" % i: b"post"})
    cache.fill({b"gone": b"what a slow reader had read before"})
    assert cache.get_many([b"gone"]) == [b"\x00"]


def test_a_cached_value_lives_its_time_however_often_it_is_read() -> None:
    clock = ManualClock()
    cache = MemoryPostCache(3, 1_000, clock)
    cache.fill({b"a": b"post"})
    cache.set_gone({b"b": b"gone"})
    clock.ms += 999
    assert cache.get_many([b"a", b"b"]) == [b"post", b"gone"]
    clock.ms += 1
    assert cache.get_many([b"a", b"b"]) == [None, None]
    cache.fill({b"b": b"read anew"})
    assert cache.get_many([b"b"]) == [b"read anew"]
