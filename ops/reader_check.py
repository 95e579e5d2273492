"""Whether a reader's dashboard is what its edges and posts say, while the platform goes on."""

from cell.state import homes_now
from cell.verify_reader import ReaderVerifier, VerifiedReader
from idgen.errors import Unavailable
from idgen.ids import spread
from ops.applied_end import Pause, events_left, system_pause

LOOKS = 3
"""What differs in so many looks, each after the cell has applied the log's end, does differ."""
WAIT_S = 10.0


class NotHeld(Unavailable):
    """The reader is not homed in the cell, or not yet as far as its workers know."""


def checked_reader(
    verifier: ReaderVerifier, reader: int, pause: Pause = system_pause
) -> VerifiedReader:
    """Look until nothing differs, or until the same has differed LOOKS times.

    Raises Unavailable when the cell does not come to the log's end, NotHeld when it does not hold
    the reader.
    """
    found = _look(verifier, reader, pause)
    for _ in range(LOOKS - 1):
        if not found.missing and not found.extra:
            break
        again = _look(verifier, reader, pause)
        found = again._replace(
            missing=again.missing & found.missing, extra=again.extra & found.extra
        )
    return found


def _look(verifier: ReaderVerifier, reader: int, pause: Pause) -> VerifiedReader:
    stores = verifier.stores
    if events_left([stores], stores.ends(), WAIT_S, pause):
        raise Unavailable(f"cell {stores.name} is behind the firehose: see `cellctl status`")
    band = homes_now(stores.state().read().values()).band(spread(reader))
    if not band:
        raise NotHeld(f"cell {stores.name} does not hold reader {reader} yet: ask again")
    return verifier.verify(reader, band)
