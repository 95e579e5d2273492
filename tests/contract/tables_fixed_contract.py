"""The part of the tables contract that is about rows of equal widths, as arrays."""

import random

import numpy as np
import pytest

from cell.tables import Row, Tables
from idgen.errors import Corrupt
from tests.contract.tables_case import SHARED, TablesCase, after, fixed, loose


class TablesFixedContract(TablesCase):
    """put_fanout and scan_fixed; part of TablesContract."""

    @pytest.mark.parametrize("width", [0, 1, 9])
    def test_a_fan_out_writes_what_put_writes(self, tables: Tables, at: bytes, width: int) -> None:
        dice = random.Random(width)
        mine, theirs = at + b"m", at + b"t"
        for _ in range(3):
            picked = dice.sample(range(400), 250)
            rows = [(i.to_bytes(14), dice.randint(1, 90), dice.randbytes(width)) for i in picked]
            tables.put(SHARED, [Row(mine + k, v, x) for k, v, x in rows])
            tables.put_fanout(SHARED, fixed([Row(theirs + k, v, x) for k, v, x in rows]))
        put = tables.scan(SHARED, mine, after(mine), 999)
        fanned = tables.scan(SHARED, theirs, after(theirs), 999)
        assert len(put) > 250
        assert [(r.key[10:], *r[1:]) for r in put] == [(r.key[10:], *r[1:]) for r in fanned]

    def test_a_large_fan_out_keeps_a_version_per_row(self, tables: Tables, at: bytes) -> None:
        rows = [Row(at + i.to_bytes(15), (2 << 48) + i, b"\x01") for i in range(20_000)]
        tables.put_fanout(SHARED, fixed(rows))
        found = tables.scan_fixed(SHARED, at, after(at), 20_001)
        assert found.keys.shape == (20_000, 24)
        assert loose(found) == rows

    def test_a_fan_out_repeated_or_late_changes_nothing(self, tables: Tables, at: bytes) -> None:
        now = [Row(at + i.to_bytes(15), 100 + i, b"") for i in range(300)]
        tables.put_fanout(SHARED, fixed(now))
        tables.put_fanout(SHARED, fixed(now))
        tables.put_fanout(SHARED, fixed([Row(r.key, r.version - 1, b"") for r in now]))
        assert loose(tables.scan_fixed(SHARED, at, after(at), 999)) == now

    @pytest.mark.parametrize("width", [0, 1, 8])
    def test_scan_fixed_gives_what_scan_gives(self, tables: Tables, at: bytes, width: int) -> None:
        dice = random.Random(width)
        picked = dice.sample(range(10_000), 500)
        rows = [Row(at + i.to_bytes(4), i + 1, dice.randbytes(width)) for i in picked]
        tables.put(SHARED, rows)
        for limit, low, high, floor in ((999, 0, 10_000, 0), (10, 5, 9_000, 3_000), (1, 9, 10, 0)):
            start, stop = at + low.to_bytes(4), at + high.to_bytes(4)
            found = tables.scan_fixed(SHARED, start, stop, limit, floor=floor)
            assert found.keys.dtype == np.uint8
            assert found.versions.dtype == np.uint64
            assert found.values.dtype == np.uint8
            assert loose(found) == tables.scan(SHARED, start, stop, limit, floor=floor)

    def test_scan_fixed_of_nothing_has_no_rows(self, tables: Tables, at: bytes) -> None:
        found = tables.scan_fixed(SHARED, at, after(at), 10)
        assert (len(found.keys), len(found.versions), len(found.values)) == (0, 0, 0)
        assert found.keys.ndim == found.values.ndim == 2

    @pytest.mark.parametrize(
        "odd", [(b"kk", b"vv"), (b"k", b"v"), (b"k", b""), (b"kk", b"v"), (b"kkk", b"vvv")]
    )
    def test_mixed_widths_are_corrupt_as_arrays(
        self, tables: Tables, at: bytes, odd: tuple[bytes, bytes]
    ) -> None:
        key, value = odd
        rows = [Row(at + bytes([i]), 1, b"vv") for i in range(5)]
        # Two odd rows of opposite errors must not balance out.
        rows += [Row(at + b"\x02" + key, 1, value), Row(at + b"\x03" + key[1:], 1, value + b"x")]
        tables.put(SHARED, rows)
        with pytest.raises(Corrupt):
            tables.scan_fixed(SHARED, at, after(at), 10)
        assert len(tables.scan(SHARED, at, after(at), 10)) >= 6
