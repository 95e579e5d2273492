"""Gateways that close idle connections, hang, die, cut their answers, refuse, or lie."""

import os
import struct
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from cell import hbase_connection
from cell.tables import FixedRows, Row
from cell.tables_hbase import HBaseGateway, HBaseTables
from idgen.errors import BadRequest, Unavailable
from tests.contract.patience import together, until
from tests.unit.hbase_standin import HBASE2, CutHere, StandIn, Store, Trickle

ROWS = [Row(b"k%02d" % i, i + 1, b"v%d" % i) for i in range(12)]


@pytest.fixture
def store() -> Store:
    return Store(b"t")


@pytest.fixture
def stand_in(store: Store) -> Iterator[StandIn]:
    running = StandIn(store)
    yield running
    running.close()


@pytest.fixture
def tables(stand_in: StandIn) -> Iterator[HBaseTables]:
    opened = HBaseTables([stand_in.gateway], timeout_ms=5_000, patience_ms=10_000)
    opened.put("t", ROWS)
    yield opened
    opened.close()


def arrays(rows: list[Row]) -> FixedRows:
    keys = np.frombuffer(b"".join(r.key for r in rows), np.uint8).reshape(len(rows), -1)
    values = np.frombuffer(b"".join(r.value[:1] for r in rows), np.uint8).reshape(len(rows), 1)
    return FixedRows(keys, np.array([r.version for r in rows], np.uint64), values)


VERBS: dict[str, Callable[[HBaseTables], object]] = {
    "get": lambda tables: tables.get("t", [b"k01", b"none", b"k03"]),
    "scan": lambda tables: tables.scan("t", b"k02", b"k09", 5, reverse=True),
    "scan_fixed": lambda tables: tables.scan_fixed("t", b"k00", b"k10", 99).keys.tolist(),
    "put": lambda tables: tables.put("t", ROWS[:2]),
    "put_fanout": lambda tables: tables.put_fanout("t", arrays(ROWS[3:5])),
}


@pytest.mark.parametrize("verb", [*VERBS, "put_if", "sweep"])
def test_connections_closed_while_idle_are_not_felt(
    tables: HBaseTables, stand_in: StandIn, store: Store, verb: str
) -> None:
    def sweep(tables: HBaseTables) -> None:
        tables.sweep("t", [(b"none", 1)])

    def put_if(tables: HBaseTables) -> bool:
        return tables.put_if("t", ROWS[5], ROWS[5].value)

    call = {**VERBS, "put_if": put_if, "sweep": sweep}[verb]
    before = call(tables)
    for listener in (stand_in.one, stand_in.two):
        listener.hang_up()
        until("they are closed", lambda listener=listener: listener.open == 0, 5)
    store.calls.clear()
    assert call(tables) == before
    assert len(store.calls) == 1


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_an_answer_cut_at_any_byte_is_asked_for_again(
    tables: HBaseTables, stand_in: StandIn, verb: str
) -> None:
    answers: list[bytes] = []

    def record(answer: bytes) -> bytes:
        answers.append(answer)
        return answer

    stand_in.two.fault = record
    expected = VERBS[verb](tables)
    for cut in range(len(answers[0])):
        stand_in.two.fault = CutOnce(cut)
        assert VERBS[verb](tables) == expected


class CutOnce:
    """The first answer ends after `cut` bytes with the connection; the following are whole."""

    def __init__(self, cut: int) -> None:
        self.cut = cut
        self.done = False

    def __call__(self, answer: bytes) -> bytes | None:
        if self.done:
            return answer
        self.done = True
        raise CutHere(answer[: self.cut])


@pytest.mark.parametrize("verb", VERBS)
def test_answers_that_are_always_cut_are_unavailable(stand_in: StandIn, verb: str) -> None:
    stand_in.two.fault = lambda answer: None
    tables = HBaseTables([stand_in.gateway], timeout_ms=1_000, patience_ms=400)
    with pytest.raises(Unavailable):
        VERBS[verb](tables)
    tables.close()


def test_put_if_is_never_sent_twice(tables: HBaseTables, stand_in: StandIn, store: Store) -> None:
    stand_in.two.fault = lambda answer: None
    row = Row(b"k01", 50, b"new")
    store.calls.clear()
    with pytest.raises(Unavailable, match="outcome is unknown"):
        tables.put_if("t", row, b"v1")
    assert store.calls == ["checkAndPut"]
    stand_in.two.fault = bytes
    assert tables.get("t", [b"k01"]) == [row]


def test_a_dead_gateway_is_unavailable_at_once(stand_in: StandIn) -> None:
    stand_in.close()
    tables = HBaseTables([stand_in.gateway], timeout_ms=20_000, patience_ms=300)
    began = time.monotonic()
    for verb in VERBS.values():
        with pytest.raises(Unavailable) as caught:
            verb(tables)
        assert caught.value.retry_after_ms > 0
    with pytest.raises(Unavailable):
        tables.put_if("t", ROWS[0], b"x")
    with pytest.raises(Unavailable):
        tables.sweep("t", [(b"k", 1)])
    with pytest.raises(Unavailable):
        tables.create(["t"])
    assert time.monotonic() - began < 10
    tables.close()


def test_work_is_spread_over_gateways_and_goes_on_without_one(store: Store) -> None:
    first, second = StandIn(store), StandIn(store)
    tables = HBaseTables([first.gateway, second.gateway], timeout_ms=5_000, patience_ms=5_000)
    many = arrays([Row(b"%06d" % i, 1, b"v") for i in range(40_000)])
    tables.put_fanout("t", many)
    assert first.two.accepted
    assert second.two.accepted
    first.close()
    for verb in VERBS.values():
        verb(tables)
    assert tables.put_if("t", Row(b"new", 1, b"x"), None)
    tables.sweep("t", [(b"new", 1)])
    assert tables.get("t", [b"new"]) == [None]
    second.close()
    with pytest.raises(Unavailable):
        tables.get("t", [b"k"])
    tables.close()


@pytest.mark.parametrize("verb", VERBS)
def test_a_gateway_that_hangs_is_unavailable_in_time(stand_in: StandIn, verb: str) -> None:
    stand_in.two.fault = lambda answer: b""
    tables = HBaseTables([stand_in.gateway], timeout_ms=200, patience_ms=300)
    began = time.monotonic()
    with pytest.raises(Unavailable):
        VERBS[verb](tables)
    assert 0.15 < time.monotonic() - began < 3
    tables.close()


def test_a_gateway_that_hangs_leaves_time_for_another(store: Store) -> None:
    hung, well = StandIn(store, lambda answer: b""), StandIn(store)
    tables = HBaseTables([hung.gateway, well.gateway], timeout_ms=1_000, patience_ms=9_000)
    for verb in VERBS.values():
        for _ in range(3):
            verb(tables)
    tables.close()
    hung.close()
    well.close()


def test_an_answer_that_trickles_ends_at_the_deadline(stand_in: StandIn) -> None:
    tables = HBaseTables([stand_in.gateway], timeout_ms=300, patience_ms=300)
    ended = threading.Event()

    def trickle(answer: bytes) -> bytes:
        raise Trickle(answer, ended)

    stand_in.two.fault = trickle
    began = time.monotonic()
    with pytest.raises(Unavailable):
        tables.get("t", [b"k"] * 50)
    assert time.monotonic() - began < 2
    ended.set()
    tables.close()


# -- refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", VERBS)
def test_a_table_in_trouble_is_unavailable_and_an_unknown_one_a_bad_request(
    stand_in: StandIn, store: Store, verb: str
) -> None:
    tables = HBaseTables([stand_in.gateway], timeout_ms=2_000, patience_ms=300)
    store.refuse = lambda method: HBASE2.TIOError(message="Failed 2 actions: t", canRetry=True)
    with pytest.raises(Unavailable, match="Failed 2 actions"):
        VERBS[verb](tables)
    del store.tables[b"t"]
    with pytest.raises(BadRequest) as caught:
        VERBS[verb](tables)
    assert caught.value.field == "table"
    tables.close()


def test_a_refusal_leaves_the_connection_in_use(
    tables: HBaseTables, stand_in: StandIn, store: Store
) -> None:
    before = stand_in.two.accepted
    tables.get("t", [b"k01"])
    store.refuse = lambda method: HBASE2.TIOError(message="busy", canRetry=True)
    for _ in range(5):
        with pytest.raises(Unavailable):
            tables.get("t", [b"k01"])
    store.refuse = lambda method: None
    assert tables.get("t", [b"k01"]) == [ROWS[1]]
    assert stand_in.two.accepted <= before + 1


@pytest.mark.parametrize("verb", ["put", "put_fanout"])
def test_writes_outlast_a_region_server_that_is_away(
    tables: HBaseTables, store: Store, verb: str
) -> None:
    refusals = iter([HBASE2.TIOError(message="region is not online", canRetry=True)] * 3)
    store.refuse = lambda method: next(refusals, None) if method == "putMultiple" else None
    store.calls.clear()
    VERBS[verb](tables)
    assert store.calls.count("putMultiple") == 4


def test_what_hbase_refuses_for_good_is_a_bad_request(tables: HBaseTables, store: Store) -> None:
    store.refuse = lambda method: HBASE2.TIOError(
        message="Failed 1 action: org.apache.RowTooBigException: too big", canRetry=True
    )
    store.calls.clear()
    with pytest.raises(BadRequest) as caught:
        tables.put("t", ROWS)
    assert caught.value.field == "rows"
    assert store.calls.count("putMultiple") == 1


def test_a_bug_within_the_gateway_is_unavailable(tables: HBaseTables, store: Store) -> None:
    store.refuse = lambda method: RuntimeError("out of memory")
    with pytest.raises(Unavailable):
        tables.get("t", [b"k01"])


# -- lies ------------------------------------------------------------------------------------

NAME = b"\x80\x01\x00\x02\x00\x00\x00\x0bgetMultiple\x00\x00\x00\x01"
LIST = NAME + b"\x0f\x00\x00\x0c"


@pytest.mark.parametrize(
    "lie",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x00" * 100,
        b"\xff" * 100,
        b"\x80\x01\x00\x02\x7f\xff\xff\xff" + bytes(99),
        b"\x80\x01\x00\x02\x00\x00\x00\x03get\x00\x00\x00\x01\x00" + bytes(99),
        NAME[:-1] + b"\x02" + bytes(99),
        NAME + b"\x00",
        NAME + b"\x0b\x00\x00\x7f\xff\xff\xff" + bytes(99),
        NAME + b"\x02\x00\x00\x01\x00",
        LIST + b"\x7f\xff\xff\xff" + bytes(999),
        LIST + b"\xff\xff\xff\xff" + bytes(999),
        LIST + b"\x00\x00\x00\x01\x0b\x00\x01\x7f\xff\xff\xff" + bytes(99),
        LIST + b"\x00\x00\x00\x01\x0b\x00\x01\xff\xff\xff\xff" + bytes(99),
        LIST + b"\x00\x00\x00\x01\x0f\x00\x02\x0c\x7f\xff\xff\xff" + bytes(99),
        LIST + b"\x00\x00\x00\x01" + b"\x0c\x00\x01" * 10_000,
        LIST + b"\x00\x00\x00\x01" + b"\x0f\x00\x02\x0f\x00\x00\x00\x01" * 10_000,
        LIST + b"\x00\x00\x00\x01\x63\x00\x01" + bytes(99),
        LIST + b"\x00\x00\x00\x01\x08\x00\x02\x00\x00\x00\x01\x00\x00",
        LIST + b"\x00\x00\x00\x00\x00trailing",
        LIST + b"\x00\x00\x00\x00\x00",
    ],
)  # fmt: skip
def test_a_lie_is_unavailable_and_costs_little_memory(stand_in: StandIn, lie: bytes) -> None:
    tables = HBaseTables([stand_in.gateway], timeout_ms=400, patience_ms=300)
    stand_in.two.fault = lambda answer: lie
    tracemalloc.start()
    try:
        with pytest.raises(Unavailable):
            tables.get("t", [b"k01"])
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    stand_in.two.fault = bytes
    assert tables.get("t", [b"k01"]) == [None]
    tables.close()


@pytest.mark.slow
def test_a_hostile_thrift_1_gateway_costs_little_memory(stand_in: StandIn) -> None:
    tables = HBaseTables([stand_in.gateway], timeout_ms=400, patience_ms=300)
    for lie in (
        b"\x80\x01\x00\x02\x00\x00\x00\x0dgetTableNames\x00\x00\x00\x00"
        b"\x0f\x00\x00\x0b\x00\x00\x00\x01\x7f\xff\xff\xff" + bytes(99),
        b"\x80\x01\x00\x02\x7f\xff\xff\xffx",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ):
        stand_in.one.fault = lambda answer, lie=lie: lie
        tracemalloc.start()
        try:
            with pytest.raises(Unavailable):
                tables.create(["new"])
            assert tracemalloc.get_traced_memory()[1] < 8 << 20
        finally:
            tracemalloc.stop()
    tables.close()


# -- bounds ----------------------------------------------------------------------------------


def test_replies_over_the_bound_are_asked_for_in_smaller_parts(
    tables: HBaseTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [Row(b"%03d" % i, i + 1, b"x" * 1_000) for i in range(100)]
    tables.put("t", rows)
    monkeypatch.setattr(hbase_connection, "REPLY_BYTES_MAX", 20_000)
    assert tables.get("t", [r.key for r in rows]) == rows
    assert tables.scan("t", b"", b"k", 1_000) == rows
    assert tables.scan("t", b"", b"k", 1_000, reverse=True) == rows[::-1]
    assert tables.scan_fixed("t", b"", b"k", 99).versions.tolist() == list(range(1, 100))
    monkeypatch.setattr(hbase_connection, "REPLY_BYTES_MAX", 500)
    with pytest.raises(Unavailable, match="a single row"):
        tables.get("t", [rows[0].key])


def test_connections_are_bounded_whatever_the_number_of_threads(stand_in: StandIn) -> None:
    tables = HBaseTables([stand_in.gateway], connections=2, readers=3)

    def work() -> None:
        for _ in range(5):
            tables.put("t", ROWS)
            assert tables.get("t", [b"k01"]) == [ROWS[1]]

    together([work] * 12)
    assert stand_in.two.open_most <= 5
    tables.close()


def test_no_free_connection_in_time_is_unavailable(stand_in: StandIn, store: Store) -> None:
    tables = HBaseTables([stand_in.gateway], readers=1, timeout_ms=400)
    store.gate.clear()

    def be_busy() -> None:
        with pytest.raises(Unavailable):
            tables.get("t", [b"k"])

    busy = threading.Thread(target=be_busy)
    busy.start()
    until("the call arrived", lambda: store.calls, 5)
    with pytest.raises(Unavailable):
        tables.get("t", [b"k"])
    busy.join(10)
    store.gate.set()
    tables.close()


def test_close_ends_what_is_under_way(stand_in: StandIn, store: Store) -> None:
    tables = HBaseTables([stand_in.gateway], timeout_ms=60_000, patience_ms=60_000)
    store.gate.clear()
    failed: list[str] = []

    def run(verb: str) -> None:
        with pytest.raises(Unavailable):
            VERBS[verb](tables)
        failed.append(verb)

    threads = [threading.Thread(target=run, args=(verb,)) for verb in VERBS]
    for thread in threads:
        thread.start()
    until("all are under way", lambda: len(store.calls) == len(VERBS), 5)
    tables.close()
    for thread in threads:
        thread.join(10)
    assert sorted(failed) == sorted(VERBS)
    store.gate.set()


def test_a_forked_process_makes_connections_of_its_own(
    tables: HBaseTables, stand_in: StandIn
) -> None:
    many = [Row(b"f%05d" % i, 1, b"v") for i in range(12_000)]
    tables.put("t", many)
    child = os.fork()
    if child == 0:
        try:
            right = tables.get("t", [b"k01"]) == [ROWS[1]]
            tables.put("t", many)
            os._exit(0 if right else 1)
        finally:
            os._exit(2)
    for _ in range(50):
        assert tables.get("t", [b"k02"]) == [ROWS[2]]
    tables.put("t", many)
    assert os.waitpid(child, 0)[1] == 0


def test_a_scan_of_many_calls_meets_each_row_once(tables: HBaseTables) -> None:
    rows = [Row(struct.pack(">I", i), i + 1, b"v") for i in range(3_000)]
    tables.put("t", rows)
    stop = struct.pack(">I", 2_900)
    assert tables.scan("t", b"", stop, 10_000) == rows[:2_900]
    assert tables.scan("t", b"", stop, 2_000, reverse=True) == rows[2_899:899:-1]
    assert tables.scan_fixed("t", b"", stop, 2_500).versions.tolist() == list(range(1, 2_501))


def test_ports_that_were_mixed_up_are_told(stand_in: StandIn):
    thrift1, thrift2 = stand_in.gateway
    mixed_up = HBaseTables([HBaseGateway(thrift2, thrift1)], timeout_ms=1_000, patience_ms=300)
    with pytest.raises(Unavailable, match="is it a Thrift 1 gateway"):
        mixed_up.create(["t"])
    mixed_up.close()
