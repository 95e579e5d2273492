"""Logs are JSON objects, one a line, and carry the request id of the call they belong to."""

import io
import json
import logging
import sys
import threading

import pytest
import structlog

from cell.dashboard import Context, Home
from ops import logs
from tests.unit.dashboard_wire import ScriptedDashboard, serving


@pytest.fixture
def said(monkeypatch):
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    stream = io.StringIO()

    def lines() -> list[dict[str, object]]:
        return [json.loads(line) for line in stream.getvalue().splitlines()]

    logs.configure("info", always={"role": "router"}, stream=stream)
    yield lines
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_structlog_and_logging_have_the_same_form(said):
    structlog.get_logger("one").info("first", number=1)
    logging.getLogger("two").warning("second %d", 2, extra={"kind": "x"})

    first, second = said()
    assert (first["event"], first["number"], first["logger"]) == ("first", 1, "one")
    assert (second["event"], second["kind"], second["level"]) == ("second 2", "x", "warning")
    assert first["role"] == second["role"] == "router"
    assert str(first["at"]).endswith("Z")


def test_less_than_the_level_and_chatter_of_libraries_are_left_out(said):
    logging.getLogger("dashcell.a").debug("no")
    logging.getLogger("kazoo.client").info("no")
    logging.getLogger("kazoo.client").warning("yes")
    assert [line["event"] for line in said()] == ["yes"]


def test_line_ends_and_odd_values_stay_within_their_line(said):
    logging.getLogger("a").warning("two\nlines", extra={"value": object()})
    assert [line["event"] for line in said()] == ["two\nlines"]


def test_tracebacks_are_within_the_object(said):
    try:
        int("planted")
    except ValueError:
        logging.getLogger("a").exception("failed")
    assert "ValueError: invalid literal for int() with base 10: 'planted'" in str(
        said()[0]["exception"]
    )


def test_what_a_handler_logs_carries_the_request_id_of_its_call(said):
    def answer(*_: object) -> Home:
        logging.getLogger("dashcell.handler").warning("looking")
        return Home("a", 1)

    with serving(ScriptedDashboard(answer)) as (_, client):
        client.route(Context(1000, "abc-1"), 1)
        client.route(Context(1000, "abc-2"), 1)

    assert [(line["request_id"], line["method"]) for line in said()] == [
        ("abc-1", "route"),
        ("abc-2", "route"),
    ]


def test_an_exception_that_nobody_caught_is_logged(said):
    logs.log_strays()
    thread = threading.Thread(target=lambda: 1 // 0, name="divider")
    thread.start()
    thread.join()
    try:
        int("planted")
    except ValueError:
        sys.excepthook(*sys.exc_info())

    of_thread, of_process = said()
    assert "divider" in str(of_thread["event"])
    assert "ZeroDivisionError" in str(of_thread["exception"])
    assert "planted" in str(of_process["exception"])


def test_an_unknown_level_is_refused():
    with pytest.raises(ValueError, match="loud"):
        logs.configure("loud")
