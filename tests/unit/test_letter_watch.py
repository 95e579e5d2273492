"""Open dead letters as a metric: looked at now and then, as last seen while the log is away."""

import logging
import threading
from pathlib import Path

from firehose.dead_letters import DeadLetters
from idgen.errors import Unavailable
from ops.letter_watch import LetterWatch
from ops.metrics import DEAD_LETTERS_OPEN, Metrics
from tests.contract.patience import until
from tests.unit.firehose_world import open_log


class Breakable(DeadLetters):
    """Dead letters whose log goes away."""

    away = False

    def counts(self):
        if self.away:
            raise Unavailable("the log is away")
        return super().counts()


def test_a_metric_tells_how_many_dead_letters_are_open_as_last_seen(tmp_path: Path, caplog) -> None:
    log = open_log(tmp_path, 1, "dead_letters-a")
    letters, metrics = Breakable(log), Metrics()
    watch = LetterWatch("a", letters)
    metrics.add_source(watch.samples)
    assert b"dashcell_dead_letters_open{" not in metrics.text(), "nobody has looked yet"

    letters.add(0, 1, 5, "bad", b"v")
    letters.add(0, 2, 5, "bad", b"v")
    watch.look()
    assert metrics.value(DEAD_LETTERS_OPEN, "a") == 2
    letters.settle("0-1", "discarded")
    letters.settle("0-2", "retried")
    letters.away = True
    with caplog.at_level(logging.WARNING):
        watch.look()
        watch.look()
    assert metrics.value(DEAD_LETTERS_OPEN, "a") == 2
    assert len(caplog.records) == 1, "told once, and not at each look"
    letters.away = False
    watch.look()
    assert metrics.value(DEAD_LETTERS_OPEN, "a") == 0
    log.close()


def told(watch: LetterWatch) -> list[float]:
    return [sample.value for sample in watch.samples()]


def test_it_looks_again_and_again_until_it_is_stopped(tmp_path: Path) -> None:
    log = open_log(tmp_path, 1, "dead_letters-a")
    letters, stop = DeadLetters(log), threading.Event()
    watch = LetterWatch("a", letters, look_s=0.01)
    thread = threading.Thread(target=watch.run, args=(stop,))
    thread.start()
    until("a first look", lambda: told(watch) == [0], 20.0)
    letters.add(0, 1, 5, "bad", b"v")
    until("a later look", lambda: told(watch) == [1], 20.0)
    stop.set()
    thread.join(20.0)
    assert not thread.is_alive()
    log.close()
