"""`make demo`: an embedded platform, real activity replayed live, and one reader's dashboard.

Prints each entry as it arrives in the dashboard of the reader who follows most, until the seconds
are over or the sample is; then what to try next. All of it lies in a temporary folder.
"""

import argparse
import itertools
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.text import Text

from cell.dashboard import PageQuery
from firehose.event import Lane
from firehose.receipts import Context, NewFollow, NewPost
from idgen.errors import Behind
from ops.cellctl.drawing import entry_lines
from ops.cellctl.terminal import console
from ops.embedded import Embedded
from ops.higgs import Activity, Planner, activities, edges, sample
from ops.logs import configure

POSTS_PER_S = 20
TICK_S = 0.5
FOLLOWS_PER_CALL = 500
LANES = frozenset(Lane)
NEXT = """
What to try next, in this folder:
  .venv/bin/cellctl up --detach          a platform that stays (in dashcell-data)
  .venv/bin/cellctl follow 1 2           user 1 follows user 2
  .venv/bin/cellctl publish 2 "hello"    user 2 writes
  .venv/bin/cellctl page 1               user 1 reads
  .venv/bin/cellctl load ops/data/higgs-sample.edges.txt.gz \\
      --activity ops/data/higgs-sample.activity.txt.gz
  .venv/bin/cellctl page {reader} --lane both
  .venv/bin/cellctl down
  make test                              everything is tested, on real servers too
"""


class Demo:
    """The replay over one platform, for one reader."""

    def __init__(self, platform: Embedded, out: Console) -> None:
        self._dashboard = platform.dashboard
        self._ids = platform.snowflake
        self._out = out
        self._planner = Planner()
        self._cursor = b""
        self.context = Context(deadline_ms=20_000)
        self.posts = 0
        self.entries = 0

    def follow(self, pairs: list[tuple[int, int]]) -> None:
        """Bring the network."""
        for at in range(0, len(pairs), FOLLOWS_PER_CALL):
            chunk = pairs[at : at + FOLLOWS_PER_CALL]
            follows = [NewFollow(follower, author) for follower, author in chunk]
            receipts = self._dashboard.follow_many(self.context, follows)
        self._wait_for(receipts[-1].token, pairs[-1][0])

    def replay(self, chunk: list[Activity], reader: int) -> None:
        """Publish some posts, then show what they brought to the reader."""
        posts = []
        for activity, post_id in zip(chunk, self._ids.next_ids(len(chunk)), strict=True):
            posts.append(NewPost(activity.author, self._planner.draft(activity), post_id))
            self._planner.published(activity, post_id)
        tokens = tuple(r.token for r in self._dashboard.publish_many(self.context, posts))
        self.posts += len(posts)
        self._show_new(reader, tokens)

    def close(self, reader: int) -> None:
        """What there is now, and what one page costs."""
        unread = self._dashboard.unread(self.context, reader, Lane.POSTS, 1000)
        began = time.perf_counter()
        page = self._dashboard.page(self.context, PageQuery(reader, LANES))
        ms = (time.perf_counter() - began) * 1000
        more = "+" if unread.capped else ""
        self._out.print(
            f"\n{self.posts} posts were published; the dashboard of {reader} got {self.entries} "
            f"entries, {unread.count}{more} posts unread. Its first page of {len(page.entries)} "
            f"took {ms:.1f} ms, at a lag of {page.lag_ms} ms."
        )

    def _show_new(self, reader: int, tokens: tuple[bytes, ...]) -> None:
        while True:
            query = PageQuery(
                reader, LANES, after=self._cursor, oldest_first=True, limit=100, at_least=tokens
            )
            page = self._dashboard.page(self.context, query)
            for line in entry_lines(page.entries):
                self._out.print(line)
            self.entries += len(page.entries)
            if page.entries:
                self._cursor = page.entries[-1].cursor
            if page.end or not page.entries:
                return

    def _wait_for(self, token: bytes, reader: int) -> None:
        query = PageQuery(reader, limit=1, hydrate=False, at_least=(token,))
        try:
            self._dashboard.page(self.context, query)
        except Behind:
            self._out.print("(the follows are still being applied)")


def main(arguments: list[str] | None = None) -> int:
    """Run the demo; the process's exit code."""
    parser = argparse.ArgumentParser(prog="python -m ops.demo", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of live replay, at most")
    seconds = parser.parse_args(arguments).seconds
    configure("warning")
    out = console()
    files = sample()
    pairs = list(edges(files.edges))
    reader, followed = Counter(follower for follower, _ in pairs).most_common(1)[0]
    with tempfile.TemporaryDirectory(prefix="dashcell-demo-") as folder:
        began = time.monotonic()
        with Embedded(Path(folder)) as platform:
            started = time.monotonic() - began
            out.print(f"an embedded platform is up after {started:.1f} s, in {folder}")
            demo = Demo(platform, out)
            demo.follow(pairs)
            out.print(
                f"{len(pairs)} follows of the Higgs network are in (a sample, see "
                f"ops/data/CITATION.txt); user {reader} follows {followed} of them:\n"
            )
            _play(demo, activities(files.activity), reader, seconds)
            demo.close(reader)
    out.print(Text(NEXT.format(reader=reader)))
    return 0


def _play(demo: Demo, posts: Iterator[Activity], reader: int, seconds: float) -> None:
    """Posts at a watchable pace, until they or the time are over, or Ctrl-C."""
    deadline = time.monotonic() + seconds
    per_tick = max(1, int(POSTS_PER_S * TICK_S))
    try:
        while time.monotonic() < deadline:
            began = time.monotonic()
            chunk = list(itertools.islice(posts, per_tick))
            if not chunk:
                return
            demo.replay(chunk, reader)
            left = min(TICK_S - (time.monotonic() - began), deadline - time.monotonic())
            time.sleep(max(0.0, left))
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    sys.exit(main())
