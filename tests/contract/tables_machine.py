"""Any sequence of calls to tables, against a dict. For every adapter: see `check_any_sequence`."""

import uuid
from typing import ClassVar

import hypothesis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from cell.tables import Row, Tables
from tests.contract.tables_case import SHARED, after, fixed, loose

KEYS = st.binary(min_size=0, max_size=3).map(lambda tail: tail[:2] + b"\x7f" * (len(tail) > 2))
VERSIONS = st.integers(1, 9)
GONE = b"\x00"
LIVE_OR_GONE = st.sampled_from([b"", GONE, b"\x00x", b"a", b"bc"])


class Model:
    """Rows as exact last-writer-wins registers, by the words of the seam."""

    def __init__(self) -> None:
        self.rows: dict[bytes, Row] = {}

    def put(self, row: Row) -> None:
        have = self.rows.get(row.key)
        if have is None or have.version <= row.version:
            self.rows[row.key] = row

    def scan(
        self, start: bytes, stop: bytes, limit: int, floor: int, reverse: bool, skip: bytes
    ) -> list[Row]:
        found = [
            row
            for key, row in sorted(self.rows.items(), reverse=reverse)
            if start <= key < stop
            and row.version >= floor
            and not (skip and row.value.startswith(skip))
        ]
        return found[:limit]


class TablesMachine(RuleBasedStateMachine):
    """Calls of one client; each run keeps to a key prefix of its own."""

    tables: ClassVar[Tables]

    def __init__(self) -> None:
        super().__init__()
        self.at = uuid.uuid4().bytes[:8] + b"/"
        self.model = Model()

    def row(self, key: bytes, version: int, value: bytes) -> Row:
        return Row(self.at + key, version, value)

    @rule(rows=st.lists(st.tuples(KEYS, VERSIONS, LIVE_OR_GONE), max_size=6))
    def put(self, rows: list[tuple[bytes, int, bytes]]) -> None:
        # Which of two equal versions in one call stays is not promised.
        given = {(k, v): self.row(k, v, x) for k, v, x in rows}
        self.tables.put(SHARED, list(given.values()))
        for row in given.values():
            self.model.put(row)

    @rule(keys=st.lists(st.binary(min_size=2, max_size=2), max_size=6), version=VERSIONS)
    def put_fanout(self, keys: list[bytes], version: int) -> None:
        rows = [self.row(key, version, b"f") for key in dict.fromkeys(keys)]
        if rows:
            self.tables.put_fanout(SHARED, fixed(rows))
        for row in rows:
            self.model.put(row)

    @rule(key=KEYS, version=VERSIONS, value=LIVE_OR_GONE, right=st.booleans())
    def put_if(self, key: bytes, version: int, value: bytes, right: bool) -> None:
        row = self.row(key, version, value)
        have = self.model.rows.get(row.key)
        expected = (have.value if have else None) if right else b"something else"
        written = self.tables.put_if(SHARED, row, expected)
        if not right:
            assert not written
        elif have is None or have.version < version:
            assert written
        if right:
            self.model.put(row)

    @rule(keys=st.lists(KEYS, max_size=6), floor=st.integers(0, 10))
    def get(self, keys: list[bytes], floor: int) -> None:
        asked = [self.at + key for key in keys]
        rows = [self.model.rows.get(key) for key in asked]
        expected = [row if row and row.version >= floor else None for row in rows]
        assert self.tables.get(SHARED, asked, floor) == expected

    @rule(
        start=KEYS,
        stop=st.none() | KEYS,
        limit=st.integers(1, 7),
        floor=st.integers(0, 10),
        reverse=st.booleans(),
        skip=st.sampled_from([b"", GONE, b"a"]),
    )
    def scan(
        self,
        start: bytes,
        stop: bytes | None,
        limit: int,
        floor: int,
        reverse: bool,
        skip: bytes,
    ) -> None:
        begin = self.at + start
        end = after(self.at) if stop is None else self.at + stop
        found = self.tables.scan(SHARED, begin, end, limit, floor=floor, reverse=reverse, skip=skip)
        assert found == self.model.scan(begin, end, limit, floor, reverse, skip)

    @rule(key=KEYS)
    def sweep(self, key: bytes) -> None:
        row = self.model.rows.pop(self.at + key, None)
        if row is not None:
            # As the seam asks: what is swept is never written again at or below its version.
            self.tables.sweep(SHARED, [(row.key, row.version)])
            above = Row(row.key, row.version + 10, GONE)
            self.tables.put(SHARED, [above])
            self.model.put(above)

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        found = self.tables.scan(SHARED, self.at, after(self.at), 10_000)
        assert found == sorted(self.model.rows.values())
        widths = {(len(row.key), len(row.value)) for row in found}
        if len(widths) == 1:
            assert loose(self.tables.scan_fixed(SHARED, self.at, after(self.at), 10_000)) == found


def check_any_sequence(tables: Tables, examples: int, steps: int) -> None:
    """Run the machine on tables that have SHARED; a failure prints how to repeat it."""
    run_state_machine_as_test(
        type("OneClient", (TablesMachine,), {"tables": tables}),
        settings=hypothesis.settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(hypothesis.HealthCheck),
        ),
    )
