"""Readiness, asked over each server's own protocol with a few bytes on a socket.

Client libraries are not used here: they retry, log and keep threads, and a probe must do none.
"""

import socket
import struct

from ops.stack.child import NotReady

TIMEOUT_S = 3.0
ANSWER_BYTES_MAX = 1 << 20

METADATA = 3
THRIFT_VERSION_1 = 0x80010000
THRIFT_CALL = 1
THRIFT_REPLY = 2
T_STRUCT_END = b"\x00"
T_REPLY_SUCCESS = 0


def zookeeper(host: str, port: int, timeout_s: float = TIMEOUT_S) -> None:
    """Ready when ``srvr`` is answered with a mode: the server then serves requests.

    ``ruok`` would be answered too early, by a server that has not loaded its data yet.
    """
    with socket.create_connection((host, port), timeout_s) as connection:
        connection.settimeout(timeout_s)
        connection.sendall(b"srvr")
        answer = _until_closed(connection)
    if b"Mode:" not in answer:
        raise NotReady(f"ZooKeeper answered {answer[:80]!r} to srvr")


def redis(host: str, port: int, timeout_s: float = TIMEOUT_S) -> None:
    """Ready when PING is answered PONG."""
    with socket.create_connection((host, port), timeout_s) as connection:
        connection.settimeout(timeout_s)
        connection.sendall(b"PING\r\n")
        answer = connection.recv(256)
    if not answer.startswith(b"+PONG"):
        raise NotReady(f"Redis answered {answer[:80]!r} to PING")


def kafka(host: str, port: int, timeout_s: float = TIMEOUT_S) -> None:
    """Ready when a Metadata request (version 0, kafka.apache.org/protocol) names a broker.

    A broker that is still fenced by its controller answers with none.
    """
    client = b"probe"
    body = struct.pack(">hhih", METADATA, 0, 1, len(client)) + client + struct.pack(">i", 0)
    with socket.create_connection((host, port), timeout_s) as connection:
        connection.settimeout(timeout_s)
        connection.sendall(struct.pack(">i", len(body)) + body)
        size = struct.unpack(">i", _exactly(connection, 4))[0]
        if not 8 <= size <= ANSWER_BYTES_MAX:
            raise NotReady(f"Kafka answered with a frame of {size} bytes")
        answer = _exactly(connection, size)
    brokers = struct.unpack(">i", answer[4:8])[0]
    if brokers < 1:
        raise NotReady("Kafka knows of no live broker yet")


def hbase_thrift1(host: str, port: int, timeout_s: float = TIMEOUT_S) -> None:
    """Ready when the Thrift 1 gateway answers ``getTableNames`` from the master."""
    _thrift_call(host, port, b"getTableNames", T_STRUCT_END, timeout_s)


def hbase_thrift2(host: str, port: int, timeout_s: float = TIMEOUT_S) -> None:
    """Ready when the Thrift 2 gateway answers ``listNamespaceDescriptors``.

    The master refuses that until it is initialised, which is when tables can be created.
    """
    _thrift_call(host, port, b"listNamespaceDescriptors", T_STRUCT_END, timeout_s)


def listening(host: str, port: int, timeout_s: float = TIMEOUT_S) -> None:
    """Ready when a connection is accepted: for servers without a protocol to ask in."""
    with socket.create_connection((host, port), timeout_s):
        return


def _thrift_call(host: str, port: int, method: bytes, arguments: bytes, timeout_s: float) -> None:
    """One unframed binary-protocol call (Thrift's specification); any answer but success raises."""
    message = struct.pack(">Ii", THRIFT_VERSION_1 | THRIFT_CALL, len(method)) + method
    with socket.create_connection((host, port), timeout_s) as connection:
        connection.settimeout(timeout_s)
        connection.sendall(message + struct.pack(">i", 1) + arguments)
        header, size = struct.unpack(">Ii", _exactly(connection, 8))
        if header != THRIFT_VERSION_1 | THRIFT_REPLY or size != len(method):
            raise NotReady(f"the gateway refused {method.decode()}")
        _exactly(connection, size + 4)
        # The reply is a struct: field 0 is the result, any other one a declared exception.
        kind, field = struct.unpack(">bh", _exactly(connection, 3))
    if kind == 0 or field != T_REPLY_SUCCESS:
        raise NotReady(f"HBase cannot answer {method.decode()} yet")


def _exactly(connection: socket.socket, size: int) -> bytes:
    parts = b""
    while len(parts) < size:
        more = connection.recv(size - len(parts))
        if not more:
            raise NotReady("the connection was closed before an answer")
        parts += more
    return parts


def _until_closed(connection: socket.socket) -> bytes:
    parts = b""
    while len(parts) < ANSWER_BYTES_MAX:
        more = connection.recv(4096)
        if not more:
            break
        parts += more
    return parts
