"""Where a platform of this machine is: a small file in its folder, for other commands to find."""

from pathlib import Path

import msgspec

from idgen.errors import Corrupt, Unavailable

FILE = Path("run") / "platform.json"


class Whereabouts(msgspec.Struct, frozen=True):
    """`registry`: ZooKeeper's addresses for the stack profile, empty for the embedded one."""

    profile: str
    registry: str
    pid: int


def tell(folder: Path, whereabouts: Whereabouts) -> None:
    """Write the file, whole or not at all."""
    path = folder / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{whereabouts.pid}")
    temporary.write_bytes(msgspec.json.encode(whereabouts))
    temporary.replace(path)


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
