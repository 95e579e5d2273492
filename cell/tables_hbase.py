"""The tables seam on HBase 2.6, through its Thrift gateways.

- **Hot** (put, put_fanout, get, scan, scan_fixed): raw Thrift 2 calls (cell.hbase_bytes) over
  pooled sockets (cell.hbase_pool, cell.hbase_connection). Large writes are cut into chunks and
  sent over several connections at once, each row with its own timestamp, with HBase's default
  durability (the write-ahead log is on).
- **Not hot**: put_if and create use structs of `thrift/hbase2.thrift` over the same sockets.
  happybase, over the Thrift 1 gateway (cell.tables_hbase_thrift1), lists tables for `create`,
  finds out whether a refused call named an unknown table, and deletes for `sweep`: what is swept
  together was mostly written by one event and has one version, which is what a happybase batch
  takes. `get` is not happybase's: `rows` takes two to three times as long.

A row is one column, family `d`, empty qualifier, and its HBase timestamp is the version. HBase
understands 2^63 - 1 as "now", so that is no version.

When a gateway does not answer, reads are tried once more, on a fresh connection and if possible
another gateway, within `timeout_ms`. Writes, each try with that time-out, are repeated with growing
pauses for `patience_ms`, which outlasts the restart of a region server; they may be, because the
same row at the same version changes nothing. `put_if` is never repeated once it may have been
sent: after Unavailable its outcome is unknown, and its caller reads the row.

Nothing here depends on where regions begin and end.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np
import stamina

from cell import hbase_bytes
from cell.hbase_bytes import FAMILY, QUALIFIER
from cell.hbase_checks import check_fixed, check_keys, check_rows
from cell.hbase_connection import Connection, GatewayLost, Refused, Reply, TooMuch
from cell.hbase_pool import Pool
from cell.hbase_senders import Senders
from cell.tables import VERSION_MAX, FixedRows, Row
from cell.tables_hbase_thrift1 import Thrift1Connection
from idgen import idl
from idgen.errors import BadRequest, Corrupt, Unavailable

PUT_ROWS_MIN, PUT_ROWS_MAX = 500, 5_000
PUT_BYTES_MAX = 1 << 20
GET_KEYS_MAX = 1_000
SCAN_ROWS_FIRST = 256
SCAN_ROWS_MAX = 20_000
SCAN_BYTES_AIM = 4 << 20
SWEEP_KEYS_MAX = 1_000
TABLE_READY_MS = 50
CREATE_AT_ONCE = 4

REFUSED_FOR_GOOD = (
    "NoSuchColumnFamilyException",
    "FailedSanityCheckException",
    "RowTooBigException",
    "IllegalArgumentException",
)
"""Java exceptions that the same rows will meet again, whenever they are sent."""

Part = FixedRows | list[Row | None]
T = TypeVar("T")
PartT = TypeVar("PartT", bound=Part)


class HBaseGateway(NamedTuple):
    """The two gateways of a pair, each "host:port"."""

    thrift1: str
    thrift2: str


class _TryAgain(Exception):
    """A call that may be repeated did not succeed."""


class HBaseTables:
    """`cell.tables.Tables` on HBase. Tables are named `<prefix><name>`.

    `connections`: how many chunks of writes are under way at once, of all threads together.
    `readers`: how many reads are under way at once; more wait for their turn.
    """

    def __init__(
        self,
        gateways: Sequence[HBaseGateway],
        prefix: str = "",
        *,
        timeout_ms: int = 10_000,
        patience_ms: int = 30_000,
        connections: int = 4,
        readers: int = 32,
    ) -> None:
        if not gateways:
            raise ValueError("HBaseTables needs at least one gateway")
        self._prefix = prefix
        self._timeout_s = timeout_ms / 1000
        self._patience_s = patience_ms / 1000
        self._several = len(gateways) > 1
        thrift2 = [gateway.thrift2 for gateway in gateways]
        self._writers = Pool(thrift2, Connection, connections)
        self._readers = Pool(thrift2, Connection, readers)
        self._happybase = Pool([g.thrift1 for g in gateways], Thrift1Connection, 2)
        self._senders = Senders(connections)
        self._closed = threading.Event()
        self._idl = idl.load("hbase2")

    # -- writing ---------------------------------------------------------------------------

    def put(self, table: str, rows: Sequence[Row]) -> None:
        """Write rows, each at its own version, in parallel chunks."""
        check_rows(rows)
        rows_max = self._senders.share(len(rows), PUT_ROWS_MIN, PUT_ROWS_MAX)
        calls = hbase_bytes.put_calls(self._name(table), rows, rows_max, PUT_BYTES_MAX)
        self._senders.run(lambda call: self._put_once(table, call), calls)

    def put_fanout(self, table: str, rows: FixedRows) -> None:
        """`put` for rows of one shape, encoded by numpy."""
        check_fixed(rows)
        rows_max = self._senders.share(len(rows.versions), PUT_ROWS_MIN, PUT_ROWS_MAX)
        calls = hbase_bytes.put_fixed_calls(self._name(table), rows, rows_max, PUT_BYTES_MAX)
        self._senders.run(lambda call: self._put_once(table, call), calls)

    def _put_once(self, table: str, request: bytes) -> None:
        self._patiently(
            table,
            partial(self._call, self._writers, "putMultiple", request, None),
        )

    def put_if(self, table: str, row: Row, expected: bytes | None) -> bool:
        r"""Compare and set; see the module's text for what Unavailable means here.

        HBase takes an absent value for an empty one and the reverse. So b"" is asked for as "what
        lies below b'\0'", and a row that is there is found by reading before the set; only who
        puts an empty value into an absent row between the two is not noticed.
        """
        check_rows([row])
        if expected is None and self.get(table, [row.key]) != [None]:
            return False
        method, request = self._compare_and_set(table, row, expected)
        deadline = time.monotonic() + self._timeout_s
        try:
            return bool(self._call(self._writers, method, request, Reply.boolean, deadline))
        except GatewayLost as error:
            if error.sent:
                raise Unavailable(
                    f"put_if on {table} was sent, and its outcome is unknown ({error}); "
                    "read the row before going on"
                ) from error
            raise Unavailable(f"HBase: {error}") from error
        except Refused as error:
            raise self._refusal(table, error) from error

    def _compare_and_set(self, table: str, row: Row, expected: bytes | None) -> tuple[str, bytes]:
        structs = self._idl
        column = structs.TColumnValue(
            family=FAMILY, qualifier=QUALIFIER, value=row.value, timestamp=row.version
        )
        put = structs.TPut(row=row.key, columnValues=[column])
        where = {
            "table": self._name(table),
            "row": row.key,
            "family": FAMILY,
            "qualifier": QUALIFIER,
        }
        if expected == b"":
            mutations = structs.TRowMutations(row=row.key, mutations=[structs.TMutation(put=put)])
            return self._encode(
                "checkAndMutate",
                **where,
                compareOp=structs.TCompareOp.GREATER,
                value=b"\x00",
                rowMutations=mutations,
            )
        return self._encode("checkAndPut", **where, value=expected, tput=put)

    def sweep(self, table: str, rows: Sequence[tuple[bytes, int]]) -> None:
        """Delete up to the given versions, in a happybase batch per version."""
        check_rows([Row(key, version, b"") for key, version in rows])
        by_version: defaultdict[int, list[bytes]] = defaultdict(list)
        for key, version in rows:
            by_version[version].append(key)
        name = self._name(table)
        for version, keys in by_version.items():
            for first in range(0, len(keys), SWEEP_KEYS_MAX):
                chunk = keys[first : first + SWEEP_KEYS_MAX]
                self._patiently(table, partial(self._delete, name, chunk, version))

    def _delete(self, name: bytes, keys: Sequence[bytes], version: int, deadline: float) -> None:
        with self._happybase.lend(deadline) as connection:
            connection.delete_up_to(name, keys, version, deadline)

    # -- reading ---------------------------------------------------------------------------

    def get(self, table: str, keys: Sequence[bytes], floor: int = 0) -> list[Row | None]:
        """The rows of keys, in chunks of as many as fit into a reply."""
        check_keys(keys)
        found: list[Row | None] = []
        step = GET_KEYS_MAX
        while len(found) < len(keys):
            chunk = keys[len(found) : len(found) + step]
            request = hbase_bytes.get_call(self._name(table), chunk)
            asked = len(chunk)
            try:
                rows = self._read(table, "getMultiple", request, _asking(Reply.rows, asked))
            except TooMuch as error:
                step = _fewer(asked, error)
                continue
            if len(rows) != asked:
                raise Unavailable(f"HBase gave {len(rows)} answers to {asked} keys of {table}")
            found += [row if row is not None and row.version >= floor else None for row in rows]
        return found

    def scan(
        self,
        table: str,
        start: bytes,
        stop: bytes,
        limit: int,
        *,
        floor: int = 0,
        reverse: bool = False,
        skip: bytes = b"",
    ) -> list[Row]:
        """A range of rows; up to SCAN_ROWS_FIRST of them in one call."""
        found: list[Row] = []
        ask = _Ask(table, start, stop, limit, floor, reverse, skip)
        for part in self._scan_parts(ask, Reply.rows):
            found += _present(table, part)
        return found

    def scan_fixed(
        self, table: str, start: bytes, stop: bytes, limit: int, *, floor: int = 0
    ) -> FixedRows:
        """A range of rows of equal widths, as arrays."""
        ask = _Ask(table, start, stop, limit, floor)
        arrays = (
            part if isinstance(part, FixedRows) else _as_arrays(table, _present(table, part))
            for part in self._scan_parts(ask, Reply.fixed_rows)
        )
        parts = [part for part in arrays if len(part.versions)]
        if not parts:
            return _as_arrays(table, [])
        if len({(p.keys.shape[1], p.values.shape[1]) for p in parts}) > 1:
            raise Corrupt(f"rows of different widths lie in the range of {table}; use scan")
        return FixedRows(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))

    def _scan_parts(self, ask: "_Ask", parse: Callable[[Reply, int], PartT]) -> Iterator[PartT]:
        """A range call by call: each about SCAN_BYTES_AIM, by the size of the rows so far."""
        if ask.limit < 1:
            raise BadRequest("limit", f"{ask.limit} is below 1")
        name = self._name(ask.table)
        start, stop, left = ask.start, ask.stop, ask.limit
        step = SCAN_ROWS_FIRST
        while left > 0:
            bounds = hbase_bytes.scan_bounds(start, stop, reverse=ask.reverse)
            if bounds is None or ask.floor > VERSION_MAX:
                return
            rows = min(left, step)
            request = hbase_bytes.scan_call(
                name, bounds, rows, ask.floor, reverse=ask.reverse, skip=ask.skip
            )
            try:
                part = self._read(ask.table, "getScannerResults", request, _asking(parse, rows))
            except TooMuch as error:
                step = _fewer(rows, error)
                continue
            count, size, last = _measure(ask.table, part)
            yield part
            if count < rows:
                return
            left -= count
            start, stop = (start, last) if ask.reverse else (last + b"\x00", stop)
            step = max(1, min(SCAN_ROWS_MAX, SCAN_BYTES_AIM * count // size))

    def _read(self, table: str, method: str, request: bytes, parse: Callable[[Reply], T]) -> T:
        """One reading call, and once more if the connection fails. Raises TooMuch as it is."""
        begun = time.monotonic()
        deadline = begun + self._timeout_s
        # Of several gateways a hung one must leave time to ask another.
        first_deadline = begun + self._timeout_s / 2 if self._several else deadline
        try:
            try:
                return self._answer(method, request, parse, first_deadline)
            except TooMuch:
                raise
            except GatewayLost:
                if time.monotonic() >= deadline:
                    raise
                return self._answer(method, request, parse, deadline, fresh=True)
        except TooMuch:
            raise
        except GatewayLost as error:
            raise Unavailable(f"HBase: {error}") from error
        except Refused as error:
            raise self._refusal(table, error) from error

    def _answer(
        self,
        method: str,
        request: bytes,
        parse: Callable[[Reply], T],
        deadline: float,
        *,
        fresh: bool = False,
    ) -> T:
        answer = self._call(self._readers, method, request, parse, deadline, fresh=fresh)
        if answer is None:
            raise GatewayLost(f"{method} was answered with nothing")
        return answer

    # -- tables ----------------------------------------------------------------------------

    def create(self, names: Sequence[str], splits: int = 8) -> None:
        """Make tables: VERSIONS 1, FAST_DIFF, GZ, no expiry; `splits` regions of equal ranges.

        Two processes may create the same tables at once. Returns when they can be used.
        """
        if not 1 <= splits <= 4096:
            raise BadRequest("splits", f"{splits} is outside 1..4096")
        wanted = {self._name(name): name for name in names}
        if not wanted:
            return
        there = self._patiently(names[0], self._list_tables)
        missing = [full for full in wanted if full not in there]
        # Making one takes HBase about a second, most of it waiting.
        with ThreadPoolExecutor(CREATE_AT_ONCE, thread_name_prefix="hbase-create") as makers:
            list(makers.map(lambda full: self._create_one(wanted[full], full, splits), missing))
        until = time.monotonic() + self._patience_s
        for full, name in wanted.items():
            while not self._is_available(name, full):
                if time.monotonic() > until or self._closed.wait(TABLE_READY_MS / 1000):
                    raise Unavailable(f"HBase made table {name} but does not serve it yet")

    def _create_one(self, name: str, full: bytes, splits: int) -> None:
        structs = self._idl
        family = structs.TColumnFamilyDescriptor(
            name=FAMILY,
            compressionType=structs.TCompressionAlgorithm.GZ,
            dataBlockEncoding=structs.TDataBlockEncoding.FAST_DIFF,
            maxVersions=1,
        )
        table = structs.TTableDescriptor(
            tableName=structs.TTableName(qualifier=full), columns=[family]
        )
        keys = [((i << 64) // splits).to_bytes(8) for i in range(1, splits)]
        method, request = self._encode("createTable", desc=table, splitKeys=keys)

        def make(deadline: float) -> None:
            try:
                self._call(self._writers, method, request, None, deadline)
            except Refused as error:
                if "TableExistsException" not in str(error):
                    raise

        self._patiently(name, make, call_s=self._patience_s)

    def _is_available(self, name: str, full: bytes) -> bool:
        table = self._idl.TTableName(qualifier=full)
        method, request = self._encode("isTableAvailable", tableName=table)
        return self._read(name, method, request, Reply.boolean)

    def _list_tables(self, deadline: float) -> set[bytes]:
        with self._happybase.lend(deadline) as connection:
            return connection.tables_named(deadline)

    def close(self) -> None:
        """Close all connections; what other threads have under way fails with Unavailable."""
        self._closed.set()
        for pool in (self._writers, self._readers, self._happybase):
            pool.close()
        self._senders.close()

    # -- calls -----------------------------------------------------------------------------

    def _name(self, table: str) -> bytes:
        return (self._prefix + table).encode()

    def _encode(self, method: str, **arguments: object) -> tuple[str, bytes]:
        """A call of structs, as bytes."""
        fields = getattr(self._idl.THBaseService, f"{method}_args")(**arguments)
        return method, hbase_bytes.call_header(method) + idl.binary_encode(fields)

    def _call(
        self,
        pool: Pool[Connection],
        method: str,
        request: bytes,
        parse: Callable[[Reply], T] | None,
        deadline: float,
        *,
        fresh: bool = False,
    ) -> T | None:
        with pool.lend(deadline, fresh=fresh) as connection:
            return connection.call(method, request, parse, deadline)

    def _patiently(
        self, table: str, attempt: Callable[[float], T], call_s: float | None = None
    ) -> T:
        """Repeat what may be repeated until it succeeds or the patience is at its end."""
        try:
            for trial in stamina.retry_context(
                on=_TryAgain,
                attempts=None,
                timeout=self._patience_s,
                wait_initial=0.05,
                wait_max=2.0,
                wait_jitter=0.1,
            ):
                with trial:
                    deadline = time.monotonic() + (call_s or self._timeout_s)
                    return self._attempt(table, attempt, deadline)
        except _TryAgain as error:
            raise Unavailable(f"HBase: {error}") from error
        raise AssertionError("a retry that neither returned nor raised")

    def _attempt(self, table: str, attempt: Callable[[float], T], deadline: float) -> T:
        try:
            return attempt(deadline)
        except GatewayLost as error:
            raise _TryAgain(str(error)) from error
        except Refused as error:
            refusal = self._refusal(table, error)
            if isinstance(refusal, Unavailable):
                raise _TryAgain(str(error)) from error
            raise refusal from error

    def _refusal(self, table: str, error: Refused) -> BadRequest | Unavailable:
        """What a refused call means: a table that is not there, or a server in trouble.

        HBase's message names an unknown table in a way that a table in trouble is named, too, so
        the list of tables decides.
        """
        try:
            there = self._list_tables(time.monotonic() + self._timeout_s)
        except (GatewayLost, Refused):
            return Unavailable(f"HBase refused a call on table {table}: {error}")
        if self._name(table) not in there:
            return BadRequest("table", f"{table} does not exist; create it first")
        for name in REFUSED_FOR_GOOD:
            if name in str(error):
                return BadRequest("rows", f"HBase refuses them for good: {error}")
        return Unavailable(f"HBase refused a call on table {table}: {error}")


class _Ask(NamedTuple):
    """What a scan was asked for."""

    table: str
    start: bytes
    stop: bytes
    limit: int
    floor: int
    reverse: bool = False
    skip: bytes = b""


def _asking(parse: Callable[[Reply, int], T], asked: int) -> Callable[[Reply], T]:
    return lambda reply: parse(reply, asked)


def _fewer(asked: int, error: TooMuch) -> int:
    """How many rows to ask for instead of `asked`, whose reply was too large."""
    if asked == 1:
        raise Unavailable(f"HBase: a single row is too large to be read ({error})") from error
    return asked // 2


def _measure(table: str, part: Part) -> tuple[int, int, bytes]:
    """Number of rows, their bytes on the wire, and the last key (b"" of no rows)."""
    if isinstance(part, FixedRows):
        count, width = part.keys.shape
        weight = hbase_bytes.RECORD_BYTES + width + part.values.shape[1]
        return count, count * weight, part.keys[-1].tobytes()
    rows = _present(table, part)
    size = sum(hbase_bytes.RECORD_BYTES + len(row.key) + len(row.value) for row in rows)
    return len(rows), size, rows[-1].key if rows else b""


def _present(table: str, part: Sequence[Row | None]) -> list[Row]:
    rows = [row for row in part if row is not None]
    if len(rows) != len(part):
        raise Corrupt(f"{table} holds rows without a column d: that Dashcell did not write")
    return rows


def _as_arrays(table: str, rows: Sequence[Row]) -> FixedRows:
    """Rows as arrays; Corrupt if their widths differ."""
    if len({(len(row.key), len(row.value)) for row in rows}) > 1:
        raise Corrupt(f"rows of different widths lie in the range of {table}; use scan")
    n = len(rows)
    keys = np.frombuffer(b"".join(row.key for row in rows), dtype=np.uint8)
    values = np.frombuffer(b"".join(row.value for row in rows), dtype=np.uint8)
    versions = np.array([row.version for row in rows], dtype=np.uint64)
    width = (len(rows[0].key), len(rows[0].value)) if rows else (0, 0)
    return FixedRows(keys.reshape(n, width[0]), versions, values.reshape(n, width[1]))
