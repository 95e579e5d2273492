"""What a cell is made of: its tables, its cache, and the logs it reads and writes."""

from dataclasses import dataclass

from cell.post_cache import PostCache
from cell.tables import Tables
from firehose.dead_letters import DeadLetters
from firehose.log import Log


@dataclass(frozen=True, slots=True)
class CellStores:
    """Everything a cell keeps its data in. `log_base` is added to all offsets in versions."""

    name: str
    tables: Tables
    cache: PostCache
    firehose: Log
    commands: Log
    changes: Log
    dead_letters: DeadLetters
    log_base: int = 0
