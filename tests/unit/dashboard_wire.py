"""A server and a client of the dashboard API over a scripted dashboard, for tests of the wire."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from idgen.idl import load
from ops.dashboard_client import DashboardClient
from ops.dashboard_service import dashboard_service
from ops.template.server import ServerLimits, ThriftServer


class ScriptedDashboard:
    """Answers every method with `answer` (called with the method's arguments, or raised) and
    remembers what was asked."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer
        self.asked: list[tuple[str, tuple[Any, ...]]] = []

    def __getattr__(self, method: str) -> Callable[..., Any]:
        if method not in load("dashboard").Dashboard.thrift_services:
            raise AttributeError(method)

        def call(*arguments: Any) -> Any:
            self.asked.append((method, arguments))
            if isinstance(self.answer, BaseException):
                raise self.answer
            return self.answer(method, *arguments) if callable(self.answer) else self.answer

        return call


@contextlib.contextmanager
def serving(
    dashboard: Any, limits: ServerLimits | None = None, **more: Any
) -> Iterator[tuple[ThriftServer, DashboardClient]]:
    with (
        ThriftServer(dashboard_service(dashboard), limits=limits, **more) as server,
        DashboardClient([f"127.0.0.1:{server.port}"]) as client,
    ):
        yield server, client


def framed(message: bytes) -> bytes:
    """A message as the framed transport sends it."""
    return len(message).to_bytes(4) + message


def until(holds: Callable[[], bool], timeout_s: float = 10.0) -> bool:
    """Look again and again until it holds."""
    deadline = time.monotonic() + timeout_s
    pace = threading.Event()
    while not holds() and time.monotonic() < deadline:
        pace.wait(0.005)
    return holds()
