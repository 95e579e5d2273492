"""stream-framework's fan-out, in an environment of its own: a program, imported by nobody.

What comes in and goes out is told in child_writer.py beside this file. Arguments: Redis's host and
port. It does what a worker of the library does for each post, `Manager.fanout` over chunks of
followers, after storing the activity; Celery, which would carry the tasks, is left out.

The library is of 2016. Two things that Python has changed since are set right before it is loaded:
a parameter named `async`, and `collections.Hashable`.
"""

import array
import collections
import collections.abc
import re
import struct
import sys
import time
from importlib import import_module, util
from pathlib import Path
from types import ModuleType
from typing import Any

COUNT = struct.Struct(">I")
HEAD = struct.Struct(">QQQI")
OBJECT_IDS = 10**10


def load_managers() -> ModuleType:
    """The module `stream_framework.feed_managers.base`, its keyword renamed."""
    collections.Hashable = collections.abc.Hashable  # type: ignore[attr-defined]
    name = "stream_framework.feed_managers.base"
    spec = util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ImportError(f"{name} is not installed")
    source = re.sub(r"\basync\b", "in_background", Path(spec.origin).read_text(encoding="utf-8"))
    module = util.module_from_spec(spec)
    sys.modules[name] = module
    exec(compile(source, spec.origin, "exec"), module.__dict__)  # noqa: S102 - it is the library
    return module


class FanOut:
    """The library, pointed at a Redis."""

    def __init__(self, host: str, port: int) -> None:
        settings: Any = import_module("stream_framework.settings")
        settings.STREAM_REDIS_CONFIG = {
            "default": {"host": host, "port": port, "db": 0, "password": None}
        }
        managers = load_managers()
        feed = import_module("stream_framework.feeds.redis").RedisFeed
        author_feed = type("AuthorFeed", (feed,), {"key_format": "user_feed:%(user_id)s"})
        manager = type("OurManager", (managers.Manager,), {"user_feed_class": author_feed})
        self._activity = import_module("stream_framework.activity").Activity
        self._verb = import_module("stream_framework.verbs.base").Add
        self._operation = managers.add_operation
        self._manager = manager()
        self._feed = feed
        self._posts = 0

    def write(self, author: int, readers: "array.array[int]") -> int:
        """One post to its readers, as `Manager.add_user_activity` and its tasks do it."""
        # An object's id has at most ten digits there: posts are numbered as they come.
        self._posts += 1
        activity = self._activity(author, self._verb, self._posts % OBJECT_IDS)
        manager = self._manager
        manager.user_feed_class.insert_activity(activity)
        manager.get_user_feed(author).add(activity)
        for first in range(0, len(readers), manager.fanout_chunk_size):
            chunk = readers[first : first + manager.fanout_chunk_size].tolist()
            arguments = {"activities": [activity], "trim": True}
            manager.fanout(chunk, self._feed, self._operation, arguments)
        return len(readers)


def exactly(count: int) -> bytes:
    """The next bytes of the input; the program ends with it."""
    data = sys.stdin.buffer.read(count)
    if len(data) < count:
        sys.exit(0)
    return data


def serve(library: FanOut) -> None:
    """Requests until the input ends."""
    print("ready", flush=True)
    while True:
        (count,) = COUNT.unpack(exactly(COUNT.size))
        posts = []
        for _ in range(count):
            _, author, _, n = HEAD.unpack(exactly(HEAD.size))
            readers = array.array("Q", exactly(8 * n))
            readers.byteswap()
            posts.append((author, readers))
        began = time.perf_counter()
        rows = sum(library.write(author, readers) for author, readers in posts)
        print(f"done {rows} {time.perf_counter() - began:.6f}", flush=True)


if __name__ == "__main__":
    serve(FanOut(sys.argv[1], int(sys.argv[2])))
