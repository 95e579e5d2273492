"""Where performance.json is: in docs/ of a checkout, or inside the installed package."""

from pathlib import Path

from idgen.errors import BadRequest, NotFound
from ops.cellctl.outcome import Ended, Exit
from ops.planner.figures import (
    REMEDY,
    FigureMissing,
    FigureUnfit,
    Measured,
    NoFigures,
    measured,
)

_OPS = Path(__file__).resolve().parents[1]
INSTALLED = _OPS / "data" / "performance.json"
CHECKOUT = _OPS.parent / "docs" / "performance.json"
BYTES_MAX = 16 << 20
"""Of a file that is read: some hundred times what a bench writes."""


def usual_file() -> Path:
    """The file that belongs to this program. Raises Ended where there is none."""
    for path in (INSTALLED, CHECKOUT):
        if path.is_file():
            return path
    raise Ended(Exit.PRECONDITION, f"there is no {CHECKOUT.name} to plan from: {REMEDY}")


def read_figures(file: Path | None) -> Measured:
    """The figures of a file, or of the usual one.

    Raises NotFound or BadRequest for a file that is not there or something else, and Ended
    (precondition) for a figure that is missing or unfit.
    """
    path = file or usual_file()
    try:
        return measured(_bytes_of(path))
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {path}: {REMEDY}") from error
    except OSError as error:
        why = f"{path} cannot be read ({error.strerror}): {REMEDY}"
        raise BadRequest("--figures", why) from error
    except NoFigures as error:
        why = f"{path} is no performance.json ({error}): {REMEDY}"
        raise BadRequest("--figures", why) from error
    except (FigureMissing, FigureUnfit) as error:
        raise Ended(Exit.PRECONDITION, f"{path}: {error}") from error


def _bytes_of(path: Path) -> bytes:
    """What is in a file. Raises NoFigures for one that goes on and on, and OSError."""
    with path.open("rb") as file:
        data = file.read(BYTES_MAX + 1)
    if len(data) > BYTES_MAX:
        raise NoFigures(f"it has more than {BYTES_MAX:,} bytes")
    return data
