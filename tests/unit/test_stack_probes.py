"""Readiness probes, against servers that answer what they are told to."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ops.stack import probes
from ops.stack.child import NotReady

HOST = "127.0.0.1"


@contextmanager
def answering(answer: bytes | None) -> Iterator[int]:
    """A server's port: it reads something, sends ``answer`` and closes; None never answers."""
    done = threading.Event()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            if answer is None:
                done.wait(20)
            else:
                connection.sendall(answer)

    with socket.create_server((HOST, 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            done.set()
            thread.join(20)


def thrift(method: bytes, kind: int, field: int, reply: int = 2) -> bytes:
    head = struct.pack(">Ii", 0x80010000 | reply, len(method)) + method + struct.pack(">i", 1)
    return head + struct.pack(">bh", kind, field) + b"\x00" * 8


def metadata(brokers: int) -> bytes:
    body = struct.pack(">ii", 1, brokers) + b"\x00" * 16
    return struct.pack(">i", len(body)) + body


def test_zookeeper_is_ready_when_it_tells_its_mode() -> None:
    with answering(b"Zookeeper version: 3.9.5\nMode: standalone\n") as port:
        probes.zookeeper(HOST, port)
    silent = b"This ZooKeeper instance is not currently serving requests\n"
    with answering(silent) as port, pytest.raises(NotReady, match="not currently serving"):
        probes.zookeeper(HOST, port)


def test_redis_is_ready_when_it_is_not_loading() -> None:
    with answering(b"+PONG\r\n") as port:
        probes.redis(HOST, port)
    with answering(b"-LOADING dataset\r\n") as port, pytest.raises(NotReady, match="LOADING"):
        probes.redis(HOST, port)


def test_kafka_is_ready_when_a_broker_is_alive() -> None:
    with answering(metadata(1)) as port:
        probes.kafka(HOST, port)
    with answering(metadata(0)) as port, pytest.raises(NotReady, match="no live broker"):
        probes.kafka(HOST, port)
    huge = struct.pack(">i", 1 << 30)
    with answering(huge) as port, pytest.raises(NotReady, match="a frame of 1073741824 bytes"):
        probes.kafka(HOST, port)


def test_a_gateway_is_ready_when_the_master_answers_through_it() -> None:
    with answering(thrift(b"getTableNames", 15, 0)) as port:
        probes.hbase_thrift1(HOST, port)
    refused = thrift(b"listNamespaceDescriptors", 12, 1)
    with answering(refused) as port, pytest.raises(NotReady, match="cannot answer"):
        probes.hbase_thrift2(HOST, port)
    unknown = thrift(b"listNamespaceDescriptors", 11, 1, reply=3)
    with answering(unknown) as port, pytest.raises(NotReady, match="refused"):
        probes.hbase_thrift2(HOST, port)


def test_an_answer_cut_short_is_no_answer() -> None:
    with answering(b"\x80\x01") as port, pytest.raises(NotReady, match="closed before an answer"):
        probes.hbase_thrift1(HOST, port)


@pytest.mark.parametrize("probe", [probes.zookeeper, probes.redis, probes.kafka])
def test_a_server_that_hangs_is_not_waited_for(probe: object) -> None:
    assert callable(probe)
    with answering(None) as port, pytest.raises(TimeoutError):
        probe(HOST, port, 0.1)
