"""JSON logs on stderr: one object a line, with the request id of the call that it belongs to.

Written by structlog and by the standard library's logging alike, so what vendors' clients log has
the same form.
"""

import logging
import sys
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, TextIO

import structlog

LEVELS: Final = ("debug", "info", "warning", "error")

_CHATTY: Final = ("kazoo", "uvicorn", "asyncio", "thriftpy2", "happybase")
"""Libraries whose routine messages are no news to an operator."""


def configure(
    level: str = "info",
    *,
    always: Mapping[str, str] | None = None,
    stream: TextIO | None = None,
) -> None:
    """Set up this process's logs; `always` (role, cell) is in every line.

    Calling it again replaces the earlier setting. Raises ValueError for an unknown level.
    """
    if level not in LEVELS:
        raise ValueError(f"log level {level!r} is not one of {', '.join(LEVELS)}")

    def add_always(_logger: Any, _name: str, line: Any) -> Mapping[str, Any]:
        return {**(always or {}), **line}

    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        add_always,
    ]
    number = getattr(logging, level.upper())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(default=repr),
        ],
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))


def log_strays() -> None:
    """Have exceptions that nobody caught logged like everything else, instead of printed."""
    log = logging.getLogger("dashcell.stray")

    def of_process(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        log.critical("the process failed", exc_info=(kind, error, trace))

    def of_thread(stray: threading.ExceptHookArgs) -> None:
        error = stray.exc_value or stray.exc_type()
        log.critical(
            "a thread failed: %s",
            stray.thread.name if stray.thread else "unknown",
            exc_info=(stray.exc_type, error, stray.exc_traceback),
        )

    sys.excepthook = of_process
    threading.excepthook = of_thread
