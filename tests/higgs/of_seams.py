"""What the proofs' platforms read from the seams, alike on real servers and embedded."""

from cell import keys
from idgen.ids import MAX_USER, unspread
from ops.wiring.seams import Seams
from router.routes import read_routes


def home(seams: Seams, place: int) -> str:
    """The cell that a place is homed in."""
    return read_routes(seams.registry).slices.at(place).cell


def reader_after(seams: Seams, cell: str, place: int) -> int:
    """A reader with entries in a cell, the next one from a place on; 0: none."""
    rows = seams.cell(cell).tables.scan(keys.INBOX, keys.place_bytes(place), b"", 1)
    found = unspread(keys.place_of(rows[0].key)) if rows else 0
    return found if found <= MAX_USER else 0
