"""Groups are Kafka's own: its command line tool says of them what ours says."""

import subprocess
import uuid

import pytest

from firehose.checkpoint_kafka import KafkaCheckpoints
from firehose.groups import look_at
from firehose.log_kafka import KafkaLog
from idgen.clock import SystemClock
from ops.stack import java as jvm
from ops.stack.jars import class_path
from ops.stack.servers import find_programs
from tests.conftest import Servers

pytestmark = [
    pytest.mark.stack,
    # What is to be used instead can end the process: see KafkaCheckpoints._asking.
    pytest.mark.filterwarnings("ignore:list_groups:DeprecationWarning"),
]
TOOL = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
"""What kafka-consumer-groups.sh runs."""


def asked(servers: Servers, address: str, *words: str) -> str:
    programs = find_programs(servers.cache, lambda _: None, kinds=["kafka"])
    assert programs.java is not None
    assert programs.jars is not None
    argv = jvm.command(
        programs.java,
        heap_mb=128,
        flags=("-XX:+UseSerialGC", *jvm.SIMPLE_LOGGER),
        class_path=class_path(programs.jars.kafka),
        main=TOOL,
        arguments=("--bootstrap-server", address, *words),
    )
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, (done.stdout, done.stderr)
    return done.stdout


def test_kafkas_own_tool_sees_the_groups_and_their_lag(
    servers: Servers, kafka_address: str
) -> None:
    settings, topic = {"bootstrap.servers": kafka_address}, f"log-{uuid.uuid4().hex}"
    log = KafkaLog(settings, topic, 2)
    groups = KafkaCheckpoints(settings, topic, 2)
    try:
        log.append([(0, b"a"), (0, b"b"), (0, b"c"), (1, b"d")])
        groups.rewind(topic, {0: 3, 1: 1})
        groups.rewind(topic, {0: 1, 1: 1})
        ours = look_at(log, groups, topic, SystemClock().now_ms())
        lines = asked(servers, kafka_address, "--describe", "--group", topic).splitlines()
        rows = [line.split() for line in lines if topic in line]
        theirs = sorted(tuple(map(int, row[2:6])) for row in rows if row[:2] == [topic, topic])
        assert theirs == [(p.partition, p.offset, p.end, p.events) for p in ours.partitions]
        assert [row[3] for row in theirs] == [2, 0]
        assert topic in asked(servers, kafka_address, "--list").split()
        words = ("--group", topic, "--topic", f"{topic}:0", "--reset-offsets", "--to-latest")
        asked(servers, kafka_address, *words, "--execute")
        assert groups.committed(topic) == {0: 3, 1: 1}
    finally:
        groups.close()
        log.close()
