"""Room on disk: looked at before servers start, and said clearly when it runs out."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ops.stack.errors import DiskFull

FREE_BYTES_MIN = 1 << 30
"""Below this a stack does not start: Kafka and HBase die badly, and late, on a full disk."""


def require_free_space(folder: Path, free_bytes_min: int = FREE_BYTES_MIN) -> None:
    """Raise DiskFull unless the file system of ``folder`` has ``free_bytes_min`` bytes free.

    The folder need not exist yet; its nearest existing parent is asked.
    """
    existing = folder.absolute()
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    if free < free_bytes_min:
        raise DiskFull(
            f"only {free >> 20} MiB are free on the disk of {folder}, and the servers need "
            f"{free_bytes_min >> 20} MiB: free some space or choose another folder with --data"
        )


@contextmanager
def disk_full_is_clear(folder: Path) -> Iterator[None]:
    """Turn an ENOSPC or EDQUOT raised inside into a DiskFull that names ``folder``."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DiskFull(
            f"the disk of {folder} is full: free some space or choose another folder with --data"
        ) from error
