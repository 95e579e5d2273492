"""A server that is closed while streams replay leaves nothing behind, and says nothing of it."""

import logging
import threading

from firehose.log_sqlite import SqliteLog
from tests.unit.stream_world import served


def test_closed_during_a_replay_it_lets_go_of_the_log_after_a_read(tmp_path, monkeypatch, caplog):
    follow = SqliteLog.follow
    reading, go_on, done = threading.Event(), threading.Event(), []

    class Held:
        """A following whose poll hangs until it is let go."""

        def __init__(self, inner):
            self._inner = inner

        def poll(self, limit, timeout_ms):
            reading.set()
            go_on.wait(20.0)
            done.append("read")
            return self._inner.poll(limit, timeout_ms)

        def close(self):
            done.append("closed")
            self._inner.close()

    def held(log, start):
        """Of the replay only, and not of what follows the end."""
        return follow(log, start) if any(start.values()) else Held(follow(log, start))

    with caplog.at_level(logging.WARNING), served(tmp_path) as world:
        world.append(20)
        monkeypatch.setattr(SqliteLog, "follow", held)
        world.stream("from=earliest")
        assert reading.wait(20.0)
        threading.Timer(0.2, go_on.set).start()
        world.server.close()
        assert done == ["read", "closed"]
    assert [record.getMessage() for record in caplog.records] == []
