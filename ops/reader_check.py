"""Whether a reader's dashboard is what its edges and posts say, while the platform goes on."""

import threading

from cell.state import homes_now
from cell.stores import CellStores
from cell.verify_reader import VerifiedReader, verify_reader
from idgen.errors import Unavailable
from idgen.ids import spread

LOOKS = 3
"""What differs in so many looks, each after the cell has applied the log's end, does differ."""
WAIT_S = 10.0
PAUSE_S = 0.05


def checked_reader(stores: CellStores, reader: int) -> VerifiedReader:
    """Look until nothing differs, or until the same has differed LOOKS times.

    Raises Unavailable when the cell does not come to the log's end, or does not hold the reader.
    """
    found = _look(stores, reader)
    for _ in range(LOOKS - 1):
        if not found.missing and not found.extra:
            break
        again = _look(stores, reader)
        found = again._replace(
            missing=again.missing & found.missing, extra=again.extra & found.extra
        )
    return found


def _look(stores: CellStores, reader: int) -> VerifiedReader:
    pause, ends = threading.Event(), stores.ends()
    for _ in range(int(WAIT_S / PAUSE_S)):
        if not stores.behind(ends):
            break
        pause.wait(PAUSE_S)
    else:
        raise Unavailable(f"cell {stores.name} is behind the firehose: see `cellctl status`")
    band = homes_now(stores.state().read().values()).band(spread(reader))
    if not band:
        raise Unavailable(f"cell {stores.name} does not hold reader {reader} yet: ask again")
    return verify_reader(stores.tables, reader, band)
