"""Settings as the values that domain code takes."""

from cell.ingest import IngestSettings
from ops.config import Config


def ingest_settings(config: Config) -> IngestSettings:
    """The bounds of ingest workers."""
    ingest = config.ingest
    return IngestSettings(
        batch_events=ingest.batch_events,
        chunk_rows=ingest.chunk_rows,
        edges_max=ingest.followers_max,
    )
