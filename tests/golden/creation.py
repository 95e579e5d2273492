"""Creates a platform on real servers, as `cellctl up` does, by the program that runs this.

`python -m tests.golden.creation FOLDER ZOOKEEPER KAFKA CELLS`, CELLS being JSON of `CellInfo`.
Uses nothing that v0.1.0 has not.
"""

import sys

import msgspec

from ops.config import Config
from ops.config_settings import Platform
from ops.creation import create_platform, tell_servers
from ops.wiring.stack import StackSeams
from router.cells import CellInfo

if __name__ == "__main__":
    folder, zookeeper, kafka, told = sys.argv[1:]
    cells = msgspec.json.decode(told, type=list[CellInfo])
    names = tuple(cell.name for cell in cells)
    seams = StackSeams(
        Config(platform=Platform(data=folder, profile="stack", cells=names)), zookeeper
    )
    tell_servers(seams.registry, kafka, cells)
    create_platform(seams, names, print)
    seams.close()
