"""`python -m ops.images.service`: what a container of one of our services needs beside it.

`create` makes the platform that the configuration's [servers] describe, once or again: agreed
values, tables, routes. `healthy` asks this container's service whether it is ready.
"""

import sys
from collections.abc import Callable

from idgen.errors import BadRequest, DashcellError
from ops.config import load_config
from ops.config_settings import Config
from ops.creation import create_platform, tell_servers
from ops.readyz import not_ready_because
from ops.wiring.stack import StackSeams
from router.cells import CellInfo


def create(config: Config) -> None:
    """Create the platform on servers that run already; what exists is kept.

    Raises BadRequest for an address that [servers] lacks, Unavailable for a server that does not
    answer, Conflict for a platform that does not fit.
    """
    servers = config.servers
    for name in ("zookeeper", "kafka"):
        if not getattr(servers, name):
            raise BadRequest(f"servers.{name}", "its address is needed to create a platform")
    platform = config.platform
    cells = [_cell(config, name) for name in platform.cell_names]
    seams = StackSeams(config, servers.zookeeper)
    try:
        tell_servers(seams.registry, servers.kafka, cells, servers.groups)
        names, groups = platform.cell_names, platform.cell_groups
        create_platform(seams, names, _say, platform.log_base, groups)
    finally:
        seams.close()


def healthy(config: Config) -> None:
    """Return when the service of this container is ready; raises OSError with the reason."""
    why = not_ready_because(f"{config.listen.host}:{config.listen.admin}")
    if why:
        raise OSError(why)


ACTS: dict[str, Callable[[Config], None]] = {"create": create, "healthy": healthy}


def main(arguments: list[str]) -> int:
    """Do one of ACTS; returns the process's exit code."""
    if len(arguments) != 1 or arguments[0] not in ACTS:
        _say(f"usage: python -m ops.images.service {'|'.join(ACTS)}")
        return 2
    try:
        ACTS[arguments[0]](load_config())
    except (DashcellError, OSError) as error:
        _say(f"{arguments[0]}: {error}")
        return 1
    return 0


def _cell(config: Config, name: str) -> CellInfo:
    servers = config.servers.cells.get(name)
    if servers is None or not (servers.hbase_thrift1 and servers.hbase_thrift2 and servers.redis):
        raise BadRequest(
            f"servers.cells.{name}",
            "hbase_thrift1, hbase_thrift2 and redis are needed to create a platform",
        )
    return CellInfo(
        name,
        hbase_thrift1=(servers.hbase_thrift1,),
        hbase_thrift2=(servers.hbase_thrift2,),
        redis=servers.redis,
        group=config.platform.cell_groups.get(name, ""),
    )


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
