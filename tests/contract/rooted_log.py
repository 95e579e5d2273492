"""A root, a relay that runs beside the test, and what is behind it, as the one log of a contract.

What is appended goes to the root; what is read is behind the relay.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from firehose.checkpoint import Checkpoints
from firehose.log import Appended, Following, Log, Record, Span
from firehose.log_relayed import RelayedLog
from firehose.relay import Relay, RelaySettings
from idgen.clock import SystemClock
from idgen.errors import Unavailable
from tests.contract.patience import until

PATIENCE_S = 60.0
SETTINGS = RelaySettings(poll_ms=50, look_ms=20, pause_ms=10)


class RootedLog:
    """The log seam: writes at the root, reads behind the relay, once it is as far."""

    def __init__(self, root: Log, topic: Log) -> None:
        self.root = root
        self.topic = topic
        self.relayed = RelayedLog(topic, root.identity)

    @property
    def partitions(self) -> int:
        return self.relayed.partitions

    @property
    def identity(self) -> str:
        return self.relayed.identity

    def append(self, records: Sequence[tuple[int, bytes]]) -> list[Appended]:
        appended = self.root.append(records)
        if appended:
            until("the relay is as far", lambda: self.as_far(appended), PATIENCE_S)
        return appended

    def as_far(self, appended: Sequence[Appended]) -> bool:
        spans = self.spans()
        return all(offset < spans[partition].end for partition, offset, _ in appended)

    def begun(self) -> bool:
        try:
            return bool(self.relayed.spans())
        except Unavailable:
            return False

    def read(self, partition: int, offset: int, limit: int, timeout_ms: int = 0) -> list[Record]:
        return self.relayed.read(partition, offset, limit, timeout_ms)

    def follow(self, offsets: Mapping[int, int]) -> Following:
        return self.relayed.follow(offsets)

    def spans(self) -> list[Span]:
        return self.relayed.spans()

    def offsets_at(self, time_ms: int) -> list[int]:
        return self.relayed.offsets_at(time_ms)

    def trim(self, before_ms: int) -> None:
        self.root.trim(before_ms)
        self.relayed.trim(before_ms)
        until("the relay has begun again what is empty", self.begun, PATIENCE_S)

    def close(self) -> None:
        self.root.close()
        self.relayed.close()


@dataclass
class Roots:
    """Opens rooted logs by name, and runs one relay for each name; `close` ends all.

    `open_root` and `open_topic` open one more client of a log by name and partitions,
    `open_groups` one of a log's groups.
    """

    open_root: Callable[[str, int], Log]
    open_topic: Callable[[str, int], Log]
    open_groups: Callable[[Log, str, int], Checkpoints]
    stack: ExitStack = field(default_factory=ExitStack)
    relays: dict[str, Relay] = field(default_factory=dict)

    def open(self, name: str, partitions: int) -> RootedLog:
        root = self.open_root(name, partitions)
        self.stack.callback(root.close)
        topic = self.open_topic(name, partitions)
        self.stack.callback(topic.close)
        if name not in self.relays:
            self._start(name, partitions)
        log = RootedLog(root, topic)
        until("the relay has begun", log.begun, PATIENCE_S)
        return log

    def _start(self, name: str, partitions: int) -> None:
        root = self.open_root(name, partitions)
        groups = self.open_groups(root, name, partitions)
        topic = self.open_topic(name, partitions)
        relay = Relay(root, groups, topic, "g", "one", SystemClock(), SETTINGS)
        self.relays[name] = relay
        stop = threading.Event()
        thread = threading.Thread(target=relay.run, args=(stop,), daemon=True)
        for close in (root.close, groups.close, topic.close, thread.join, stop.set):
            self.stack.callback(close)
        thread.start()

    def close(self) -> None:
        self.stack.close()
