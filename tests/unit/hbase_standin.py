"""A stand-in for an HBase's two gateways: the real protocols, a dict for a store, and faults."""

# ruff: noqa: N802, N803 - the methods and arguments have the protocol's names

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import happybase  # noqa: F401 - it makes Hbase_thrift
from Hbase_thrift import Hbase
from thriftpy2.protocol.cybin import TCyBinaryProtocol
from thriftpy2.thrift import TProcessor
from thriftpy2.transport import TSocket
from thriftpy2.transport.buffered import TCyBufferedTransport
from thriftpy2.transport.memory import TCyMemoryBuffer

from cell.tables_hbase import HBaseGateway
from idgen import idl

HBASE2 = idl.load("hbase2")

Fault = Callable[[bytes], bytes | None]
"""From the right answer to the one that is given; None hangs up at once."""


class CutHere(Exception):
    """Caught by the stand-in: send these bytes, then close."""

    def __init__(self, sent: bytes) -> None:
        super().__init__()
        self.sent = sent


class Trickle(Exception):
    """Caught by the stand-in: send these bytes slowly, until `ended`."""

    def __init__(self, sent: bytes, ended: threading.Event) -> None:
        super().__init__()
        self.sent, self.ended = sent, ended


class Store:
    """Tables as HBase answers them, shared by any number of stand-in gateways."""

    def __init__(self, *tables: bytes) -> None:
        self.tables: dict[bytes, dict[bytes, tuple[int, bytes]]] = {name: {} for name in tables}
        self.calls: list[str] = []
        self.refuse: Callable[[str], Exception | None] = lambda method: None
        self.gate = threading.Event()
        self.gate.set()

    def _begin(self, method: str, table: bytes) -> dict[bytes, tuple[int, bytes]]:
        self.calls.append(method)
        self.gate.wait(30)
        error = self.refuse(method)
        if error is not None:
            raise error
        if table not in self.tables:
            raise HBASE2.TIOError(message=table.decode(), canRetry=False)
        return self.tables[table]

    def putMultiple(self, table: bytes, tputs: list[Any]) -> None:
        rows = self._begin("putMultiple", table)
        for put in tputs:
            (column,) = put.columnValues
            self._write(rows, put.row, column)

    @staticmethod
    def _write(rows: dict[bytes, tuple[int, bytes]], row: bytes, column: Any) -> None:
        if rows.get(row, (0, b""))[0] <= column.timestamp:
            rows[row] = (column.timestamp, column.value)

    @staticmethod
    def _result(rows: dict[bytes, tuple[int, bytes]], row: bytes) -> Any:
        if row not in rows:
            return HBASE2.TResult(columnValues=[], stale=False, partial=False)
        version, value = rows[row]
        column = HBASE2.TColumnValue(
            family=b"d", qualifier=b"", value=value, timestamp=version, type=4
        )
        return HBASE2.TResult(row=row, columnValues=[column], stale=False, partial=False)

    def getMultiple(self, table: bytes, tgets: list[Any]) -> list[Any]:
        rows = self._begin("getMultiple", table)
        return [self._result(rows, get.row) for get in tgets]

    def getScannerResults(self, table: bytes, tscan: Any, numRows: int) -> list[Any]:
        rows = self._begin("getScannerResults", table)
        first, last = tscan.startRow, tscan.stopRow
        if tscan.reversed:
            inside = [k for k in rows if (not first or k <= first) and k > last]
        else:
            inside = [k for k in rows if k >= first and (not last or k < last)]
        floor = tscan.timeRange.minStamp if tscan.timeRange else 0
        inside = [k for k in inside if rows[k][0] >= floor]
        return [self._result(rows, k) for k in sorted(inside, reverse=bool(tscan.reversed))][
            :numRows
        ]

    def checkAndPut(
        self, table: bytes, row: bytes, family: bytes, qualifier: bytes, value: Any, tput: Any
    ) -> bool:
        rows = self._begin("checkAndPut", table)
        if (rows[row][1] if row in rows else None) != value:
            return False
        self._write(rows, row, tput.columnValues[0])
        return True

    def getTableNames(self) -> list[bytes]:
        self.calls.append("getTableNames")
        return list(self.tables)

    def mutateRowsTs(
        self, tableName: bytes, rowBatches: list[Any], timestamp: int, attributes: Any
    ) -> None:
        rows = self._begin("mutateRowsTs", tableName)
        for batch in rowBatches:
            if batch.row in rows and rows[batch.row][0] <= timestamp:
                del rows[batch.row]


class Listener:
    """One gateway: serves `service` from a store; `fault` spoils its answers."""

    def __init__(self, service: Any, store: Store, fault: Fault) -> None:
        self._service, self._store = service, store
        self.fault = fault
        self.accepted = 0
        self.open = 0
        self.open_most = 0
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.accepted += 1
                self.open += 1
                self.open_most = max(self.open, self.open_most)
                self._sockets.add(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        transport = TSocket()
        transport.set_handle(sock)
        protocol = TCyBinaryProtocol(TCyBufferedTransport(transport), decode_response=False)
        processor = TProcessor(self._service, self._store)
        try:
            while True:
                out = TCyMemoryBuffer()
                processor.process(protocol, TCyBinaryProtocol(out))
                answer = self.fault(out.getvalue())
                if answer is None:
                    return
                sock.sendall(answer)
        except CutHere as cut:
            sock.sendall(cut.sent)
        except Trickle as slow:
            for i in range(len(slow.sent)):
                if slow.ended.wait(0.05):
                    return
                sock.sendall(slow.sent[i : i + 1])
        except Exception:  # noqa: BLE001 - whatever ends a connection ends it
            return
        finally:
            with self._lock:
                self._sockets.discard(sock)
                self.open -= 1
            sock.close()

    def hang_up(self) -> None:
        """Close every connection, as a gateway does with idle ones."""
        with self._lock:
            for sock in self._sockets:
                with suppress(OSError):  # its client may have closed it at this moment
                    sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Refuse connections from now on, and end those that are open."""
        if self._listener.fileno() >= 0:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        self.hang_up()


class StandIn:
    """Both gateways of a store."""

    def __init__(self, store: Store, fault: Fault = bytes) -> None:
        self.two = Listener(HBASE2.THBaseService, store, fault)
        self.one = Listener(Hbase, store, bytes)
        self.gateway = HBaseGateway(self.one.address, self.two.address)

    def close(self) -> None:
        self.one.close()
        self.two.close()
