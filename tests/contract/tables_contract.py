"""What every tables adapter must do. Subclass it and override `open_tables`, nothing else."""

import random
import uuid
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import pytest

from cell.tables import KEY_BYTES_MAX, VALUE_BYTES_MAX, VERSION_MAX, FixedRows, Row, Tables
from idgen.errors import BadRequest, Unavailable
from tests.contract.patience import together
from tests.contract.tables_case import SHARED, OpenTables, after, fixed, loose
from tests.contract.tables_fixed_contract import TablesFixedContract
from tests.contract.tables_machine import check_any_sequence

__all__ = ["OpenTables", "TablesContract"]


class TablesContract(TablesFixedContract):
    """The contract of cell.tables.Tables."""

    machine_examples: ClassVar[int] = 12
    machine_steps: ClassVar[int] = 25

    # -- reading back ------------------------------------------------------------------------

    def test_a_row_reads_back_as_written_whatever_its_bytes(
        self, tables: Tables, at: bytes
    ) -> None:
        rows = [
            Row(at + bytes(range(100)), 1, bytes(range(256))),
            Row(at + b"\x00", 2, b""),
            Row(at + b"\x00\x00", 3, b"\x00"),
            Row(at + b"\xff\xff", VERSION_MAX, b"\xff" * 300),
            Row(at + "grüße 日本 🎉".encode(), 5, "שלום".encode()),
        ]
        tables.put(SHARED, rows)
        assert tables.get(SHARED, [r.key for r in rows]) == rows
        assert tables.scan(SHARED, at, after(at), 10) == sorted(rows)

    def test_get_keeps_the_order_of_its_keys(self, tables: Tables, at: bytes) -> None:
        a, b = Row(at + b"a", 1, b"1"), Row(at + b"b", 1, b"2")
        tables.put(SHARED, [a, b])
        asked = [at + b"b", at + b"none", at + b"a", at + b"b"]
        assert tables.get(SHARED, asked) == [b, None, a, b]
        assert tables.get(SHARED, []) == []

    def test_another_client_sees_a_write_when_it_returned(
        self, tables: Tables, open_tables: OpenTables, at: bytes
    ) -> None:
        other = open_tables()
        for version in range(1, 6):
            row = Row(at + b"k", version, str(version).encode())
            tables.put(SHARED, [row])
            assert other.get(SHARED, [row.key]) == [row]

    def test_limits_are_themselves_allowed(self, tables: Tables, at: bytes) -> None:
        rows = [
            Row(at + b"k" * (KEY_BYTES_MAX - len(at)), VERSION_MAX, b"long key"),
            Row(at + b"v", 1, random.Random(3).randbytes(VALUE_BYTES_MAX)),
        ]
        tables.put(SHARED, rows)
        assert tables.get(SHARED, [r.key for r in rows]) == rows

    def test_many_rows_in_one_call(self, tables: Tables, at: bytes) -> None:
        rows = [Row(at + i.to_bytes(4), i + 1, b"v%d" % i) for i in range(20_000)]
        shuffled = random.Random(5).sample(rows, len(rows))
        tables.put(SHARED, shuffled)
        assert tables.scan(SHARED, at, after(at), 30_000) == rows
        asked = random.Random(6).sample(rows, 2_500)
        assert tables.get(SHARED, [r.key for r in asked]) == asked

    def test_empty_calls_do_nothing(self, tables: Tables, at: bytes) -> None:
        tables.put(SHARED, [])
        tables.sweep(SHARED, [])
        empty = np.zeros((0, 24), dtype=np.uint8)
        none = np.zeros((0, 2), dtype=np.uint8)
        tables.put_fanout(SHARED, FixedRows(empty, np.zeros(0, dtype=np.uint64), none))
        assert tables.scan(SHARED, at, after(at), 1) == []

    # -- versions ----------------------------------------------------------------------------

    def test_the_higher_version_stays_whichever_comes_first(
        self, tables: Tables, at: bytes
    ) -> None:
        key = at + b"k"
        newer, older = Row(key, 1 << 50, b"newer"), Row(key, (1 << 50) - 1, b"older")
        tables.put(SHARED, [newer])
        tables.put(SHARED, [older])
        assert tables.get(SHARED, [key]) == [newer]
        newest = Row(key, (1 << 50) + 1, b"newest")
        tables.put(SHARED, [newest])
        assert tables.get(SHARED, [key]) == [newest]

    def test_an_equal_version_overwrites_and_repeats_harmlessly(
        self, tables: Tables, at: bytes
    ) -> None:
        key = at + b"k"
        for value in (b"same", b"same", b"other"):
            tables.put(SHARED, [Row(key, 7, value)])
            assert tables.get(SHARED, [key]) == [Row(key, 7, value)]

    def test_the_highest_version_of_one_call_stays_in_any_order(
        self, tables: Tables, at: bytes
    ) -> None:
        up, down = at + b"up", at + b"down"
        tables.put(SHARED, [Row(up, v, b"%d" % v) for v in (1, 2, 3)])
        tables.put(SHARED, [Row(down, v, b"%d" % v) for v in (3, 2, 1)])
        assert tables.get(SHARED, [up, down]) == [Row(up, 3, b"3"), Row(down, 3, b"3")]

    def test_reads_have_a_lower_version_bound(self, tables: Tables, at: bytes) -> None:
        rows = [Row(at + bytes([i]), 10 + i, bytes([i])) for i in range(6)]
        tables.put(SHARED, rows)
        keys = [r.key for r in rows]
        assert tables.get(SHARED, keys, floor=13) == [None, None, None, *rows[3:]]
        assert tables.get(SHARED, keys, floor=16) == [None] * 6
        assert tables.scan(SHARED, at, after(at), 10, floor=13) == rows[3:]
        assert tables.scan(SHARED, at, after(at), 2, floor=13) == rows[3:5]
        assert tables.scan(SHARED, at, after(at), 2, floor=13, reverse=True) == rows[:-3:-1]
        assert loose(tables.scan_fixed(SHARED, at, after(at), 2, floor=13)) == rows[3:5]

    def test_a_row_lifted_above_a_floor_is_seen_from_it(self, tables: Tables, at: bytes) -> None:
        key, band = at + b"k", 3 << 48
        tables.put(SHARED, [Row(key, 5, b"old band")])
        assert tables.get(SHARED, [key], floor=band) == [None]
        lifted = Row(key, band + 5, b"new band")
        tables.put(SHARED, [lifted])
        assert tables.get(SHARED, [key], floor=band) == [lifted]

    # -- ranges ------------------------------------------------------------------------------

    def test_a_range_has_its_start_and_not_its_stop(self, tables: Tables, at: bytes) -> None:
        rows = [Row(at + k, 1, k) for k in (b"a", b"b", b"b\x00", b"c", b"d")]
        tables.put(SHARED, rows)
        scan = tables.scan
        assert scan(SHARED, at + b"b", at + b"d", 9) == rows[1:4]
        assert scan(SHARED, at + b"b", at + b"d", 9, reverse=True) == rows[3:0:-1]
        assert scan(SHARED, at + b"bb", at + b"cc", 9) == [rows[3]]
        assert scan(SHARED, at + b"b", at + b"b", 9) == []
        assert scan(SHARED, at + b"d", at + b"b", 9) == []
        assert scan(SHARED, at + b"d", at + b"b", 9, reverse=True) == []
        assert scan(SHARED, at + b"e", after(at), 9) == []

    def test_an_empty_start_and_stop_are_the_whole_table(self, tables: Tables) -> None:
        own = f"whole_{uuid.uuid4().hex}"
        tables.create([own], splits=4)
        assert tables.scan(own, b"", b"", 9) == []
        assert tables.scan(own, b"", b"", 9, reverse=True) == []
        keys = (b"\x00", b"\x40", b"\x80" * 8, b"\xc0" * 24, b"\xff" * 9)
        rows = [Row(key, 1, b"v") for key in keys]
        tables.put(own, rows)
        assert tables.scan(own, b"", b"", 9) == rows
        assert tables.scan(own, b"", b"", 9, reverse=True) == rows[::-1]
        assert tables.scan(own, b"\x80", b"", 9) == rows[2:]
        assert tables.scan(own, b"\x80", b"", 9, reverse=True) == rows[:1:-1]
        assert tables.scan(own, b"", b"\x80", 9) == rows[:2]
        assert tables.scan(own, b"", b"\x80", 9, reverse=True) == rows[1::-1]

    def test_paging_meets_every_row_once_in_both_directions(
        self, tables: Tables, at: bytes
    ) -> None:
        rows = [Row(at + i.to_bytes(2), i + 1, b"") for i in range(50)]
        tables.put(SHARED, rows)
        for limit in (1, 7, 50, 51):
            up: list[Row] = []
            start = at
            while page := tables.scan(SHARED, start, after(at), limit):
                up += page
                start = page[-1].key + b"\x00"
            down: list[Row] = []
            stop = after(at)
            while page := tables.scan(SHARED, at, stop, limit, reverse=True):
                down += page
                stop = page[-1].key
            assert up == rows
            assert down == rows[::-1]

    def test_gone_values_are_skipped_and_do_not_count(self, tables: Tables, at: bytes) -> None:
        gone = b"\x00gone"
        rows = [
            Row(at + i.to_bytes(2), i + 1, gone + b"%d" % i if i % 10 else b"live")
            for i in range(200)
        ]
        tables.put(SHARED, rows)
        live = rows[::10]
        scan = tables.scan
        assert scan(SHARED, at, after(at), 3, skip=gone) == live[:3]
        assert scan(SHARED, at, after(at), 3, skip=gone, reverse=True) == live[:-4:-1]
        assert scan(SHARED, at, after(at), 99, skip=gone) == live
        assert scan(SHARED, at, after(at), 99, skip=gone, floor=100) == live[10:]
        assert scan(SHARED, at, after(at), 999) == rows

    def test_skip_looks_at_the_beginning_of_the_value_only(self, tables: Tables, at: bytes) -> None:
        values = (b"", b"\x00", b"\x00\xff", b"\x00\xff\x00", b"\x01\x00\xff", b"\xff")
        rows = [Row(at + bytes([i]), 1, value) for i, value in enumerate(values)]
        tables.put(SHARED, rows)
        found = tables.scan(SHARED, at, after(at), 9, skip=b"\x00\xff")
        assert [r.value for r in found] == [b"", b"\x00", b"\x01\x00\xff", b"\xff"]
        found = tables.scan(SHARED, at, after(at), 9, skip=b"\xff")
        assert [r.value for r in found] == list(values[:-1])

    def test_a_gone_value_is_a_value_that_a_newer_write_replaces(
        self, tables: Tables, at: bytes
    ) -> None:
        key, gone = at + b"k", b"\x00"
        tables.put(SHARED, [Row(key, 5, gone)])
        tables.put(SHARED, [Row(key, 4, b"late")])
        assert tables.get(SHARED, [key]) == [Row(key, 5, gone)]
        assert tables.scan(SHARED, at, after(at), 1, skip=gone) == []
        tables.put(SHARED, [Row(key, 6, b"back")])
        assert tables.scan(SHARED, at, after(at), 1, skip=gone) == [Row(key, 6, b"back")]

    # -- compare and set ---------------------------------------------------------------------

    def test_put_if_writes_only_over_what_is_expected(self, tables: Tables, at: bytes) -> None:
        key = at + b"k"
        assert not tables.put_if(SHARED, Row(key, 1, b"a"), b"something")
        assert not tables.put_if(SHARED, Row(key, 1, b"a"), b"")
        assert tables.get(SHARED, [key]) == [None]
        assert tables.put_if(SHARED, Row(key, 1, b""), None)
        assert not tables.put_if(SHARED, Row(key, 2, b"b"), None)
        assert not tables.put_if(SHARED, Row(key, 2, b"b"), b"b")
        assert tables.get(SHARED, [key]) == [Row(key, 1, b"")]
        assert tables.put_if(SHARED, Row(key, 2, b"b\x00\xff"), b"")
        assert not tables.put_if(SHARED, Row(key, 3, b"c"), b"b\x00")
        assert tables.put_if(SHARED, Row(key, 3, b"c"), b"b\x00\xff")
        assert tables.get(SHARED, [key]) == [Row(key, 3, b"c")]

    def test_put_if_of_an_older_version_does_not_show(self, tables: Tables, at: bytes) -> None:
        key = at + b"k"
        tables.put(SHARED, [Row(key, 9, b"now")])
        tables.put_if(SHARED, Row(key, 8, b"older"), b"now")
        assert tables.get(SHARED, [key]) == [Row(key, 9, b"now")]

    def test_of_many_put_ifs_at_once_one_wins(
        self, tables: Tables, open_tables: OpenTables, at: bytes
    ) -> None:
        other = open_tables()
        for round_ in range(5):
            key = at + bytes([round_])
            clients = [tables, other] * 3

            def attempt(i: int, client: Tables, key: bytes = key) -> bool:
                return client.put_if(SHARED, Row(key, i + 1, b"%d" % i), None)

            won = together([lambda i=i, c=c: attempt(i, c) for i, c in enumerate(clients)])
            assert won.count(True) == 1
            winner = won.index(True)
            assert tables.get(SHARED, [key]) == [Row(key, winner + 1, b"%d" % winner)]

    def test_a_counter_by_put_if_loses_no_step(self, tables: Tables, at: bytes) -> None:
        key = at + b"n"
        tables.put(SHARED, [Row(key, 1, b"0")])

        def count() -> None:
            done = 0
            while done < 10:
                (row,) = tables.get(SHARED, [key])
                assert row is not None
                value = b"%d" % (int(row.value) + 1)
                done += tables.put_if(SHARED, Row(key, row.version + 1, value), row.value)

        together([count] * 4)
        assert tables.get(SHARED, [key]) == [Row(key, 41, b"40")]

    # -- sweeping ----------------------------------------------------------------------------

    def test_sweep_forgets_a_row_up_to_a_version(self, tables: Tables, at: bytes) -> None:
        rows = [Row(at + bytes([i]), 10 + i, b"v") for i in range(4)]
        tables.put(SHARED, rows)
        tables.sweep(SHARED, [(r.key, 12) for r in rows] + [(at + b"none", 5)])
        assert tables.scan(SHARED, at, after(at), 9) == rows[3:]
        tables.put(SHARED, [Row(rows[0].key, 13, b"again")])
        assert tables.get(SHARED, [rows[0].key]) == [Row(rows[0].key, 13, b"again")]

    # -- tables ------------------------------------------------------------------------------

    def test_create_makes_what_is_missing_and_keeps_what_is_there(self, tables: Tables) -> None:
        a, b = (f"made_{x}_{uuid.uuid4().hex}" for x in "ab")
        tables.create([a], splits=1)
        row = Row(b"k", 1, b"v")
        tables.put(a, [row])
        tables.create([a, b], splits=1)
        tables.create([])
        assert tables.get(a, [b"k"]) == [row]
        assert tables.get(b, [b"k"]) == [None]

    def test_a_table_created_by_one_client_is_there_for_another(
        self, tables: Tables, open_tables: OpenTables
    ) -> None:
        other = open_tables()
        name = f"seen_{uuid.uuid4().hex}"
        with pytest.raises(BadRequest):
            other.get(name, [b"k"])
        tables.create([name], splits=1)
        assert other.get(name, [b"k"]) == [None]

    # -- bad input ---------------------------------------------------------------------------

    def test_an_unknown_table_is_a_bad_request_of_every_verb(
        self, tables: Tables, at: bytes
    ) -> None:
        row = Row(at + b"k", 1, b"v")
        unknown = f"unknown_{uuid.uuid4().hex}"
        calls: list[Callable[[], object]] = [
            lambda: tables.put(unknown, [row]),
            lambda: tables.put_fanout(unknown, fixed([row])),
            lambda: tables.put_if(unknown, row, None),
            lambda: tables.get(unknown, [row.key]),
            lambda: tables.scan(unknown, b"", b"", 1),
            lambda: tables.scan_fixed(unknown, b"", b"", 1),
            lambda: tables.sweep(unknown, [(row.key, 1)]),
        ]
        for call in calls:
            with pytest.raises(BadRequest) as caught:
                call()
            assert caught.value.field == "table"
            assert unknown in caught.value.why

    @pytest.mark.parametrize(
        ("key", "version", "size", "field"),
        [
            (b"", 1, 1, "keys"),
            (b"k" * (KEY_BYTES_MAX + 1), 1, 1, "keys"),
            (b"k", 0, 1, "versions"),
            (b"k", -1, 1, "versions"),
            (b"k", VERSION_MAX + 1, 1, "versions"),
            (b"k", 1, VALUE_BYTES_MAX + 1, "values"),
        ],
        ids=["no key", "long key", "version 0", "version -1", "version 2^63", "large value"],
    )
    def test_a_row_that_can_never_work_is_refused_and_nothing_applied(
        self, tables: Tables, at: bytes, key: bytes, version: int, size: int, field: str
    ) -> None:
        good = Row(at + b"good", 1, b"v")
        bad = Row(at + key if key == b"k" else key, version, b"v" * size)
        calls: list[Callable[[], object]] = [
            lambda: tables.put(SHARED, [good, bad]),
            lambda: tables.put_if(SHARED, bad, None),
        ]
        if version >= 0 and key:
            calls.append(lambda: tables.put_fanout(SHARED, fixed([bad])))
        for call in calls:
            with pytest.raises(BadRequest) as caught:
                call()
            assert caught.value.field == field
        assert tables.scan(SHARED, at, after(at), 9) == []

    def test_bad_keys_and_limits_of_reads_are_refused(self, tables: Tables, at: bytes) -> None:
        for bad in (b"", b"k" * (KEY_BYTES_MAX + 1)):
            with pytest.raises(BadRequest) as caught:
                tables.get(SHARED, [at + b"k", bad])
            assert caught.value.field == "keys"
        for limit in (0, -1):
            with pytest.raises(BadRequest) as caught:
                tables.scan(SHARED, at, after(at), limit)
            assert caught.value.field == "limit"
            with pytest.raises(BadRequest) as caught:
                tables.scan_fixed(SHARED, at, after(at), limit)
            assert caught.value.field == "limit"

    # -- anything ------------------------------------------------------------------------------

    def test_any_sequence_of_calls_does_what_the_model_does(self, tables: Tables) -> None:
        check_any_sequence(tables, self.machine_examples, self.machine_steps)

    # -- many at once ------------------------------------------------------------------------

    def test_writers_at_once_leave_the_highest_version_of_each_row(
        self, tables: Tables, open_tables: OpenTables, at: bytes
    ) -> None:
        other = open_tables()
        best: dict[bytes, Row] = {}
        tasks: list[Callable[[], None]] = []
        for writer in range(4):
            dice = random.Random(writer)
            batches = [
                [
                    Row(
                        at + dice.randrange(50).to_bytes(15),
                        4 * dice.randint(1, 200) + writer,
                        b"v",
                    )
                    for _ in range(40)
                ]
                for _ in range(5)
            ]
            for row in (r for batch in batches for r in batch):
                best[row.key] = max(best.get(row.key, row), row)

            def write(batches: list[list[Row]] = batches, writer: int = writer) -> None:
                client = other if writer % 2 else tables
                for batch in batches:
                    if writer < 2:
                        client.put(SHARED, batch)
                    else:
                        client.put_fanout(SHARED, fixed(batch))

            tasks.append(write)
        together(tasks)
        assert tables.scan(SHARED, at, after(at), 999) == [best[k] for k in sorted(best)]

    def test_a_row_is_never_seen_half_written(self, tables: Tables, at: bytes) -> None:
        key = at + b"k"
        tables.put(SHARED, [Row(key, 1, b"1" * 500)])

        def write() -> None:
            for version in range(2, 60):
                tables.put(SHARED, [Row(key, version, b"%d" % version * 500)])

        def read() -> None:
            seen = 0
            while seen < 59:
                (row,) = tables.get(SHARED, [key])
                assert row is not None
                assert row.version >= seen
                assert row.value == b"%d" % row.version * 500
                seen = row.version

        together([write, read, read])

    def test_a_closed_client_is_unavailable(self, open_tables: OpenTables) -> None:
        tables = open_tables()
        tables.create([SHARED], splits=2)
        tables.close()
        with pytest.raises(Unavailable):
            tables.get(SHARED, [b"k"])
        with pytest.raises(Unavailable):
            tables.put(SHARED, [Row(b"k", 1, b"v")])
