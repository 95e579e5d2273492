"""A server that drains says of no event that it was sent before it is."""

import pytest

from firehose.cursor import parse_cursor
from ops.stream.window import Place, Window
from tests.unit.stream_world import place, served


def test_the_last_cursor_is_before_what_was_not_sent(tmp_path, monkeypatch):
    with served(tmp_path) as world:
        live = world.stream()
        begin = live.frame()["cursor"]
        appended = world.append(50)
        live.events(50)
        enter, streams = Window.enter, world.server._streams

        def enter_and_drain(window: Window, its: Place) -> bool:
            """Drain when it has come in, and has all of them to take."""
            inside = enter(window, its)
            if its.pending:
                streams.drain()
            return inside

        monkeypatch.setattr(Window, "enter", enter_and_drain)
        *frames, end = world.stream(f"from={begin}").rest()
        assert (end["frame"], end["reason"]) == ("end", "draining")
        sent = {place(frame) for frame in frames if frame["frame"] == "event"}
        at = parse_cursor("cursor", end["cursor"]).offsets
        passed = {(p, offset) for p, offset in appended if offset < at[p]}
        assert passed == sent, "whoever goes on from the cursor misses the difference"


@pytest.mark.slow
@pytest.mark.parametrize("size", [10, 200, 2_000])
def test_wherever_a_replay_is_drained_its_cursor_is_behind_what_came(tmp_path, size):
    with served(tmp_path) as world:
        appended = world.append(2_000, body="x" * size)
        stream = world.stream("from=earliest")
        first = stream.events(100)
        world.server._loop.call_soon_threadsafe(world.server._streams.drain)
        *frames, end = stream.rest()
        sent = {place(frame) for frame in first + frames if frame["frame"] == "event"}
        at = parse_cursor("cursor", end["cursor"]).offsets
        assert {(p, offset) for p, offset in appended if offset < at[p]} == sent
