"""How many dead letters of a cell are open, looked at now and then: no scrape waits for a log."""

import logging
import threading
from collections.abc import Iterable

from firehose.dead_letters import DeadLetters
from idgen.errors import DashcellError
from ops.metrics import DEAD_LETTERS_OPEN, Sample

_log = logging.getLogger("dashcell.cell")

LOOK_S = 5.0


class LetterWatch:
    """The open dead letters of one cell, as last seen; `run` looks, `samples` tells."""

    def __init__(self, cell: str, letters: DeadLetters, look_s: float = LOOK_S) -> None:
        self._cell = cell
        self._letters = letters
        self._look_s = look_s
        self._open: int | None = None
        self._trouble = ""

    def run(self, stop: threading.Event) -> None:
        """Look until `stop`; what was seen last stands while the log is away."""
        while True:
            self.look()
            if stop.wait(self._look_s):
                return

    def look(self) -> None:
        """Look once."""
        trouble = ""
        try:
            self._open = self._letters.counts().open
        except DashcellError as error:
            trouble = str(error)
        if trouble and not self._trouble:
            _log.warning("dead letters of cell %s cannot be counted: %s", self._cell, trouble)
        self._trouble = trouble

    def samples(self) -> Iterable[Sample]:
        """As a `Source` of metrics; nothing before the first look."""
        if self._open is None:
            return []
        return [Sample(DEAD_LETTERS_OPEN, (self._cell,), self._open)]
