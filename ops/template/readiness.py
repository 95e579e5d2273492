"""Whether a service should be sent work: checks by name, and draining."""

import threading
from collections.abc import Callable

from idgen.errors import DashcellError

Check = Callable[[], str]
"""Says what is wrong, "" for nothing. Answers at once: it looks at what is known and asks nobody;
one that raises a DashcellError is red by its text."""

_DRAINING = "draining"


class Readiness:
    """Named checks of one service; safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._checks: dict[str, Check] = {}
        self._draining = False

    def register(self, name: str, check: Check) -> None:
        """Add a check, or replace the one of that name."""
        with self._lock:
            self._checks[name] = check

    def drain(self) -> None:
        """Be red from now on."""
        self._draining = True

    def report(self) -> dict[str, str]:
        """What is wrong, by check; "" where nothing is."""
        with self._lock:
            checks = dict(self._checks)
        said = {name: _ask(check) for name, check in checks.items()}
        if self._draining:
            said[_DRAINING] = "the service is stopping"
        return said

    @property
    def ready(self) -> bool:
        """Whether no check is red."""
        return not any(self.report().values())


def _ask(check: Check) -> str:
    try:
        return check()
    except DashcellError as error:
        return str(error) or error.reason
