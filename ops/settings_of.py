"""Settings as the values that domain code takes."""

from cell.activity import ActivitySettings
from cell.ingest import IngestSettings
from cell.materializer import MaterializerSettings
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


def activity_settings(config: Config) -> ActivitySettings:
    """The bounds of what a process counts."""
    section = config.materialization
    return ActivitySettings(
        events_half_life_ms=section.events_half_life_s * 1000,
        pages_half_life_ms=section.pages_half_life_s * 1000,
        costs_half_life_ms=section.costs_half_life_s * 1000,
        counters_max=section.counters_max,
        save_interval_ms=section.save_interval_ms,
    )


def materializer_settings(config: Config) -> MaterializerSettings:
    """The bounds of the policy and of its passes."""
    section = config.materialization
    return MaterializerSettings(
        hot_entries_per_s=section.hot_entries_per_s,
        wide_follows=section.wide_follows,
        away_ms=section.away_s * 1000,
        band=section.band,
        interval_ms=section.pass_interval_ms,
        rows_per_s=section.rows_per_s,
    )


def mover_settings(config: Config) -> MoverSettings:
    """The bounds of movers."""
    return MoverSettings(config.mover.moves_at_once, config.mover.rows_per_s)
