"""Every receive and send ends in time, and a connection that was closed is known for it."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from idgen.timed_socket import TimedSocket

LARGE = 64 * 1024 * 1024


@pytest.fixture
def pair() -> Iterator[tuple[TimedSocket, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname(), timeout=5)
        far, _ = listener.accept()
    with near, far:
        yield TimedSocket(near), far


def test_what_was_sent_is_received(pair: tuple[TimedSocket, socket.socket]) -> None:
    near, far = pair
    near.send(b"ping", 1.0)
    assert far.recv(10) == b"ping"
    far.sendall(b"pong")
    assert near.receive(2, 1.0) == b"po"
    assert near.receive(10, 2.0) == b"ng"
    far.close()
    assert near.receive(10, 2.0) == b""


@pytest.mark.parametrize("within_s", [0.0, 0.05])
def test_nothing_comes_in_time(pair: tuple[TimedSocket, socket.socket], within_s: float) -> None:
    near, far = pair
    began = time.monotonic()
    for _ in range(2):
        with pytest.raises(TimeoutError):
            near.receive(10, within_s)
    assert time.monotonic() - began < 5
    far.sendall(b"late")
    assert near.receive(10, 5.0) == b"late"


def test_who_takes_nothing_or_drops_is_not_waited_for(
    pair: tuple[TimedSocket, socket.socket],
) -> None:
    near, far = pair
    with pytest.raises(TimeoutError):
        near.send(bytes(LARGE), 0.05)
    stop = threading.Event()

    def sip() -> None:
        while not stop.wait(0.02):
            far.recv(1_000_000)

    sipping = threading.Thread(target=sip)
    sipping.start()
    try:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            near.send(bytes(LARGE), 0.2)
        assert time.monotonic() - began < 5
    finally:
        stop.set()
        sipping.join()


def test_large_data_arrive_whole(pair: tuple[TimedSocket, socket.socket]) -> None:
    near, far = pair
    got: list[int] = []

    def take() -> None:
        size = 0
        while size < LARGE:
            size += len(far.recv(1_000_000))
        got.append(size)

    taking = threading.Thread(target=take)
    taking.start()
    near.send(bytes(LARGE), 30.0)
    taking.join()
    assert got == [LARGE]


def test_that_the_other_side_has_closed_is_seen(
    pair: tuple[TimedSocket, socket.socket],
) -> None:
    near, far = pair
    assert near.is_open()
    far.close()
    deadline = time.monotonic() + 5
    while near.is_open() and time.monotonic() < deadline:
        pass
    assert not near.is_open()


def test_what_comes_is_put_where_it_is_wanted(pair: tuple[TimedSocket, socket.socket]) -> None:
    near, far = pair
    into = bytearray(4)
    far.sendall(b"pong")
    assert near.receive_into(memoryview(into)[1:], 1.0) == 3
    assert bytes(into) == b"\0pon"
    assert near.receive_into(memoryview(into), 1.0) == 1
    with pytest.raises(TimeoutError):
        near.receive_into(memoryview(into), 0.05)
    far.close()
    assert near.receive_into(memoryview(into), 1.0) == 0


def test_a_receive_that_is_under_way_can_be_broken(pair: tuple[TimedSocket, socket.socket]) -> None:
    near, _ = pair
    breaking = threading.Timer(0.05, near.shut)
    breaking.start()
    assert near.receive(10, 5.0) == b""
    breaking.join()
