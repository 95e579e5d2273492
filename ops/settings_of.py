"""Settings as the values that domain code takes."""

from cell.ingest import IngestSettings
from ops.config import Config
from router.carrier import MoverSettings


def ingest_settings(config: Config) -> IngestSettings:
    """The bounds of ingest workers."""
    ingest = config.ingest
    return IngestSettings(
        batch_events=ingest.batch_events,
        chunk_rows=ingest.chunk_rows,
        edges_max=ingest.followers_max,
    )


def mover_settings(config: Config) -> MoverSettings:
    """The bounds of movers."""
    return MoverSettings(config.mover.moves_at_once, config.mover.rows_per_s)
