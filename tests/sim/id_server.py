"""An id server to be killed, with leases of seconds and a registry in a folder.

Run as `python -m tests.sim.id_server FOLDER PORT`.
"""

import sys
from pathlib import Path

from idgen.snowflake import Snowflake
from ops.config_settings import Config, Listen, Platform
from ops.idgen_service import idgen_service
from ops.template.host import ServiceParts, run_service
from ops.wiring.embedded import EmbeddedSeams
from ops.wiring.seams import holder_name

LEASE_MS = 3_000
RENEW_MS = 300


def main(folder: Path, port: int) -> int:
    """What `ops.roles` joins, but for the length of the lease."""
    config = Config(platform=Platform(data=str(folder)), listen=Listen(idgen=port))
    seams = EmbeddedSeams(config)
    ids = Snowflake(seams.leases, seams.clock, holder_name(), lease_ms=LEASE_MS, renew_ms=RENEW_MS)
    ids.start(wait_ms=0)

    def close() -> None:
        ids.stop()
        seams.close()

    parts = ServiceParts(service=idgen_service(ids), port=port, close=close)
    return run_service("idgen", parts, config)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
