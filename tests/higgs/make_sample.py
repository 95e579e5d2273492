"""Makes the shipped sample of the Higgs Twitter Dataset from the whole of it.

    python -m tests.higgs.make_sample FOLDER ops/data

A sample is a connected neighbourhood in which much happens: the innermost users of the follow
graph (its k-core, which leaves out whoever follows or is followed by fewer than k of the rest),
all edges between them, and every activity of one of them towards another. k is the least for
which there are at most EDGES_MAX edges.
"""

import gzip
import sys
from collections import defaultdict
from pathlib import Path

from tests.higgs.data import Line, recording

EDGES_MAX = 9_000
ACTIVITIES_MAX = 12_000
NAMES = ("higgs-sample.edges.txt.gz", "higgs-sample.activity.txt.gz")


def core(pairs: set[tuple[int, int]], k: int) -> set[int]:
    """Users left when those with fewer than `k` neighbours are taken away, again and again."""
    near: dict[int, set[int]] = defaultdict(set)
    for a, b in pairs:
        near[a].add(b)
        near[b].add(a)
    out = [user for user, others in near.items() if len(others) < k]
    while out:
        user = out.pop()
        for other in near.pop(user, ()):
            near[other].discard(user)
            if len(near[other]) == k - 1:
                out.append(other)
    return set(near)


def connected(pairs: set[tuple[int, int]]) -> set[int]:
    """The users of the largest connected part."""
    near: dict[int, set[int]] = defaultdict(set)
    for a, b in pairs:
        near[a].add(b)
        near[b].add(a)
    best: set[int] = set()
    left = set(near)
    while left:
        part, edge = set(), [left.pop()]
        while edge:
            user = edge.pop()
            part.add(user)
            new = near[user] & left
            left -= new
            edge.extend(new)
        best = max(best, part, key=len)
    return best


def choose(
    pairs: set[tuple[int, int]], lines: list[Line]
) -> tuple[list[tuple[int, int]], list[Line]]:
    """The sample's edges and activities."""
    users = {user for pair in pairs for user in pair}
    inside = pairs
    k = 2
    while len(inside) > EDGES_MAX:
        users = core(inside, k)
        inside = {(a, b) for a, b in inside if a in users and b in users}
        k += 1
    users = connected(inside)
    edges = sorted((a, b) for a, b in inside if a in users and b in users)
    chosen = [line for line in lines if line.author in users and line.other in users]
    print(f"{k - 1}-core: {len(users)} users, {len(edges)} edges, {len(chosen)} activities")
    return edges, chosen[:ACTIVITIES_MAX]


def main(source: Path, target: Path) -> None:
    """Write both files of the sample."""
    whole = recording(source)
    edges, lines = choose(set(whole.edges()), list(whole.lines()))
    texts = (
        "".join(f"{a} {b} 1\n" for a, b in edges),
        "".join(f"{e.author} {e.other} {e.at_s} {e.kind}\n" for e in lines),
    )
    for name, text in zip(NAMES, texts, strict=True):
        # No time and no name in the header: the same input makes the same bytes.
        packed = gzip.compress(text.encode(), compresslevel=9, mtime=0)
        (target / name).write_bytes(packed)
        print(f"{name}: {len(packed)} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
