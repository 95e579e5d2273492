"""What a platform's folder says of it: what it was made as, and where it runs now."""

import os
from pathlib import Path

import msgspec

from idgen.errors import Conflict, Corrupt, Unavailable
from ops.config_settings import Platform

FILE = Path("run") / "platform.json"
MADE_AS = Path("made-as.json")


class Whereabouts(msgspec.Struct, frozen=True):
    """`registry`: ZooKeeper's addresses for the stack profile, empty for the embedded one."""

    profile: str
    registry: str
    pid: int


class MadeAs(msgspec.Struct, frozen=True):
    """What a platform was made as, for good."""

    profile: str
    cells: tuple[str, ...]


def cells_of(platform: Platform) -> tuple[str, ...]:
    """The cells to start: those of the platform in the folder, else those that are configured.

    Raises Conflict when the folder holds a platform of another profile or with other cells than
    asked for; one cell is the default, so asking for it is asking for nothing.
    """
    made = read_made_as(Path(platform.data))
    if made is None:
        return platform.cell_names
    if made.profile != platform.profile:
        raise Conflict(
            f"the platform in {platform.data} is of the {made.profile} profile: start it with "
            f"--profile {made.profile}, or choose another folder with --data"
        )
    if platform.cells != Platform().cells and set(platform.cell_names) != set(made.cells):
        raise Conflict(
            f"the platform in {platform.data} has the cells {', '.join(made.cells)}: leave --cells "
            "out, or choose another folder with --data"
        )
    return made.cells


def profile_of(folder: Path) -> str:
    """The profile of a folder's platform; empty before it was up for the first time."""
    made = read_made_as(folder)
    return made.profile if made else ""


def read_made_as(folder: Path) -> MadeAs | None:
    """What a folder's platform was made as; None before it was up for the first time.

    Raises Corrupt.
    """
    path = folder / MADE_AS
    if not path.is_file():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=MadeAs)
    except msgspec.DecodeError as error:
        raise Corrupt(f"{path} cannot be read: {error}") from error


def made_as(folder: Path, made: MadeAs) -> None:
    """Write down what a platform was made as."""
    _write(folder / MADE_AS, msgspec.json.encode(made))


def tell(folder: Path, whereabouts: Whereabouts) -> None:
    """Write the file, whole or not at all."""
    _write(folder / FILE, msgspec.json.encode(whereabouts))


def forget(folder: Path) -> None:
    """The platform has stopped."""
    (folder / FILE).unlink(missing_ok=True)


def read(folder: Path) -> Whereabouts:
    """Where the platform of a folder is. Raises Unavailable when none runs there, Corrupt."""
    path = folder / FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Whereabouts)
    except FileNotFoundError:
        raise Unavailable(
            f"no platform runs in {folder}: start one with `cellctl up --data {folder}`, "
            "or name another folder with --data"
        ) from None
    except msgspec.DecodeError as error:
        raise Corrupt(f"{path} cannot be read: {error}; stop the platform and start it") from error


def _write(path: Path, value: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.write_bytes(value)
    temporary.replace(path)
