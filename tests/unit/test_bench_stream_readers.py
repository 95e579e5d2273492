"""What readers of streams count, and what a bare stream server of our own makes of them."""

import socket
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idgen.errors import Corrupt, Unauthenticated, Unavailable
from ops.bench.stream_readers import Readers, Stream, Taken, replay

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\n\r\n"
START = b'{"frame":"start","partitions":4}\n'
EVENT = b'{"frame":"event","body":"says {\\"frame\\":\\"event\\", and more"}\n'
BEAT = b'{"frame":"heartbeat","cursor":"c1"}\n'
END = b'{"frame":"end","reason":"until"}\n'


@given(st.lists(st.sampled_from((EVENT, BEAT)), max_size=8), st.data())
def test_events_are_counted_wherever_the_bytes_are_cut(frames: list[bytes], data: st.DataObject):
    whole = HEAD + START + b"".join(frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=12)))
    taken = Taken()
    for first, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        assert not taken.feed(whole[first:end])
    assert taken.started
    assert taken.events == frames.count(EVENT)
    assert taken.feed(END[:5]) or taken.feed(END[5:])


def test_what_is_no_stream_is_told():
    with pytest.raises(Unauthenticated):
        Taken().feed(b"HTTP/1.1 401 Unauthorized\r\n\r\n")
    with pytest.raises(Unavailable, match="429"):
        Taken().feed(b"HTTP/1.1 429 Too Many Requests\r\n\r\n")


class Served:
    """Answers every connection with the start of a stream; `say` sends more on all of them."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.first = HEAD + START
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def stream(self) -> Stream:
        return Stream(f"127.0.0.1:{self._listening.getsockname()[1]}", "token", "from=latest")

    def say(self, data: bytes) -> None:
        for connection in self._open:
            connection.sendall(data)

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(5)
        for connection in self._open:
            connection.close()

    def _run(self) -> None:
        try:
            while True:
                connection, _ = self._listening.accept()
                connection.recv(65_536)
                self._open.append(connection)
                connection.sendall(self.first)
        except OSError:
            return


@pytest.fixture
def served() -> Iterator[Served]:
    found = Served()
    yield found
    found.close()


def test_a_replay_with_too_few_events_is_corrupt(served: Served):
    served.first = HEAD + START + EVENT * 3 + END
    assert replay(served.stream, 3) > 0
    with pytest.raises(Corrupt, match="3 events where 4 are due"):
        replay(served.stream, 4)


@pytest.mark.slow
def test_readers_say_when_all_have_all_and_tell_of_one_that_ended(served: Served):
    with Readers(served.stream, 5, 2) as readers:
        for _ in range(2):
            readers.expect(3)
            served.say(EVENT * 2)
            served.say(BEAT + EVENT)
            assert readers.last_at() > 0
        readers.check()
        served.say(END)
        with pytest.raises(Unavailable, match="a stream has ended"):
            readers.check()


@pytest.mark.slow
def test_an_event_too_many_is_told(served: Served):
    with Readers(served.stream, 2, 1) as readers:
        readers.expect(1)
        served.say(EVENT * 2)
        with pytest.raises(Unavailable, match="more events than"):
            readers.last_at()
