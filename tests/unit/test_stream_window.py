"""The window beside an oracle: whoever comes, goes, and falls behind has each event once."""

import asyncio
import random

import pytest

from firehose.selection import Selection
from ops.stream.frames import Line
from ops.stream.window import Place, Window

PARTITIONS = 3
KINDS = ("liked", "followed", None)


def selections(chance: random.Random) -> Selection:
    kinds = frozenset(chance.sample(["liked", "followed"], chance.randint(0, 1)))
    authors = frozenset(chance.sample(range(1, 5), chance.choice([0, 0, 1, 2])))
    return Selection(kinds, authors)


def wanted(line: Line, selection: Selection) -> bool:
    if line.kind is None:
        return True
    if selection.kinds and line.kind not in selection.kinds:
        return False
    return not selection.authors or line.author in selection.authors


@pytest.mark.parametrize("seed", range(40))
def test_each_stream_has_what_it_wants_once_and_in_order(seed):
    chance = random.Random(seed)
    print("seed", seed)
    window = Window(chance.choice([3, 20, 1_000]), chance.choice([60, 10_000]))
    log: list[list[Line]] = [[] for _ in range(PARTITIONS)]
    tailed = [0] * PARTITIONS
    window.begin(tailed)
    streams: list[tuple[Place, dict[int, int], list[Line]]] = []

    for _ in range(400):
        step = chance.random()
        if step < 0.4:
            partition = chance.randrange(PARTITIONS)
            line = Line(
                partition, len(log[partition]), chance.choice(KINDS), chance.randint(0, 4),
                b"x" * chance.randint(1, 20),
            )  # fmt: skip
            log[partition].append(line)
        elif step < 0.6:
            fresh = [line for p in range(PARTITIONS) for line in log[p][tailed[p] :]]
            tailed = [len(lines) for lines in log]
            window.add(fresh)
        elif step < 0.7 and len(streams) < 10:
            share = chance.sample(range(PARTITIONS), chance.randint(1, PARTITIONS))
            start = {p: chance.randint(0, len(log[p])) for p in share}
            place = Place(selections(chance), dict(start), asyncio.Event())
            streams.append((place, start, []))
        elif streams:
            take_some(chance, window, log, chance.choice(streams))
        if chance.random() < 0.01:
            tailed = [len(lines) for lines in log]
            window.begin(tailed)  # as after a failure

    window.add([line for p in range(PARTITIONS) for line in log[p][tailed[p] :]])
    for stream in streams:
        place, start, got = stream
        while place.pending or any(o < len(log[p]) for p, o in window.settle(place).items()):
            take_some(chance, window, log, stream)
        for p, first in start.items():
            right = [line for line in log[p][first:] if wanted(line, place.selection)]
            assert [line for line in got if line.partition == p] == right


def take_some(chance: random.Random, window: Window, log: list[list[Line]], stream) -> None:
    place, _, got = stream
    if place.overrun and not window.enter(place):
        # From the log itself, some of one partition.
        p = chance.choice(list(place.at))
        lines = log[p][place.at[p] :][: chance.randint(1, 5)]
        got.extend(line for line in lines if wanted(line, place.selection))
        place.at[p] += len(lines)
        return
    for line in place.take(chance.randint(1, 30)):
        place.at[line.partition] = line.offset + 1
        got.append(line)
    if chance.random() < 0.3:
        window.settle(place)
    if chance.random() < 0.1:
        window.leave(place)
