"""The log seam over a real Kafka."""

import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator

import pytest

from firehose.log import RECORD_BYTES_MAX
from firehose.log_kafka import KafkaLog
from idgen.errors import Unavailable
from tests.contract.following_contract import FollowingContract
from tests.contract.log_contract import LogContract, OpenLog
from tests.contract.patience import together
from tests.house.sources import ROOT

pytestmark = pytest.mark.stack


class TestKafkaLog(LogContract, FollowingContract):
    @pytest.fixture
    def open_log(self, kafka_address: str) -> Iterator[OpenLog]:
        test, opened = uuid.uuid4().hex, []

        def open_log(name: str, partitions: int) -> KafkaLog:
            settings = {"bootstrap.servers": kafka_address}
            log = KafkaLog(settings, f"log-{test}-{name}", partitions)
            opened.append(log)
            return log

        yield open_log
        for log in opened:
            log.close()


def test_a_kafka_that_is_away_is_unavailable_in_time() -> None:
    settings = {"bootstrap.servers": "127.0.0.1:1"}
    with pytest.raises(Unavailable):
        KafkaLog(settings, "nowhere", 1, timeout_ms=1_000)


def test_closing_ends_what_other_threads_wait_for(kafka_address: str) -> None:
    log = KafkaLog({"bootstrap.servers": kafka_address}, f"log-{uuid.uuid4().hex}", 2)
    begun = threading.Event()

    def read() -> None:
        begun.set()
        with pytest.raises(Unavailable):
            log.read(1, 0, 1, timeout_ms=60_000)  # where nothing ever comes

    def append() -> None:
        begun.wait()
        large = bytes(RECORD_BYTES_MAX)
        with pytest.raises(Unavailable):
            for _ in iter(lambda: log.append([(0, large)] * 20), None):
                pass

    def close() -> None:
        begun.wait()
        log.close()

    together([read, append, close], patience_s=30)


GAPS = """
import sys
from firehose.log_kafka import KafkaLog
from idgen.errors import CursorTooOld
from tests.contract.patience import until

log = KafkaLog({"bootstrap.servers": sys.argv[1]}, sys.argv[2], 1)
log.append([(0, b"gone")])
log.trim(4_000_000_000_000)
until("the log is trimmed", lambda: log.spans()[0].start == 1, 30)
for _ in range(300):
    try:
        log.read(0, 0, 1)
    except CursorTooOld:
        continue
    raise AssertionError("what is gone was read")
log.close()
"""


def test_no_consumer_is_closed_while_kafka_tells_it_of_a_gap(kafka_address: str) -> None:
    """It would hang for good (librdkafka issue 4514), so this is a process of its own."""
    argv = [sys.executable, "-c", GAPS, kafka_address, f"log-{uuid.uuid4().hex}"]
    subprocess.run(argv, cwd=ROOT, check=True, timeout=100)
