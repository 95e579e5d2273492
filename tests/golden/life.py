"""The rows that a cell of v0.1.0 holds after a short life in which every kind of event happens.

The events are bytes too (rows of posts hold them as they are). This module uses nothing that v0.1.0
has not, and is run by either program: `python -m tests.golden.life FOLDER` plays the life in a
folder and writes the rows into its rows.txt, table by table, as `formats.packed` has them.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from cell import keys
from cell.ingest import IngestSettings, IngestWorker, group_of
from firehose.codec import encode
from firehose.event import (
    Draft,
    Event,
    Followed,
    Lane,
    Liked,
    MarkedRead,
    PostCreated,
    PostKind,
    PostRef,
    PostRemoved,
    Unfollowed,
    Unliked,
)
from ops.config import Config
from ops.config_settings import Platform
from ops.creation import create_platform
from ops.wiring.embedded import EmbeddedSeams
from tests.golden.formats import packed

CELL = "a"
ID = 1_700_000_000_000 - 1_288_834_974_657 << 22
SESSION_MS = 60_000
STEPS_MAX = 100
EVENTS: list[Event] = [
    PostCreated(ID + 1, 1, Draft(body="first")),
    PostCreated(ID + 2, 1, Draft(PostKind.PHOTO, "title", "second", ("tag",), (2, 3))),
    PostRemoved(ID + 3, 1, ID + 1),
    Followed(ID + 4, 2, 1, 100),
    Followed(ID + 5, 3, 1, 0),
    Followed(ID + 6, 4, 1, 100),
    PostCreated(ID + 7, 1, Draft(body="third"), brought=True),
    PostCreated(ID + 8, 2, Draft(PostKind.QUOTE, body="again", reblog_of=PostRef(1, ID + 7))),
    PostCreated(ID + 9, 3, Draft(PostKind.CHAT, body="yes", reply_to=PostRef(1, ID + 7))),
    Liked(ID + 10, 2, 1, ID + 7),
    Liked(ID + 11, 3, 1, ID + 7),
    Unliked(ID + 12, 3, 1, ID + 7),
    Unfollowed(ID + 13, 4, 1),
    MarkedRead(ID + 14, 2, Lane.POSTS, ID + 2),
    PostRemoved(ID + 15, 1, ID + 2),
    PostCreated(ID + 16, 1, Draft(body="fourth", at_ms=1_341_100_972_000)),
    PostRemoved(ID + 17, 4, ID + 18),
    PostCreated(ID + 18, 4, Draft(body="removed before it came"), brought=True),
]


def play(folder: Path) -> Iterator[str]:
    """A platform of one cell and one partition, in the folder, to which all events happen; its
    rows, a line each."""
    config = Config(platform=Platform(data=str(folder), cells=1, partitions=1))
    seams = EmbeddedSeams(config)
    create_platform(seams, (CELL,), lambda _: None)
    stores = seams.cell(CELL)
    stores.firehose.append([(0, encode(event)) for event in EVENTS])
    settings = IngestSettings(poll_ms=0)
    worker = IngestWorker(stores, seams.checkpoints(), "life", seams.clock, settings)
    member = seams.checkpoints().join(group_of(CELL), "life", SESSION_MS, SESSION_MS)
    for _ in range(STEPS_MAX):
        worker.step(member)
        if worker.stats.events == len(EVENTS):
            break
    member.leave()
    for table in keys.TABLES:
        if table != keys.CELL:
            for row in stores.tables.scan(table, b"", b"", 1_000):
                yield f"{table} {packed(row).hex()}"
    seams.close()


if __name__ == "__main__":
    into = Path(sys.argv[1])
    (into / "rows.txt").write_text("".join(f"{row}\n" for row in play(into)))
