"""The files of a backup: chunks of rows, each with its checksum, and a manifest that names them.

A chunk is a zlib stream of one msgpack value, the manifest a line of JSON and a line with its
SHA-256. A file is written under another name, brought to the disk and renamed; the manifest comes
last. So a folder without a manifest is no backup, and one with a manifest is a whole one.
"""

import hashlib
import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

from cell import keys
from cell.residents import Ranges
from cell.state import PartitionState
from cell.tables import FixedRows, Row
from idgen.errors import Conflict, Corrupt

MANIFEST = "manifest.json"
FORMAT = 1
FORMAT_PULLED = 2
"""Of one that also holds who was pulled, which the programs before it do not restore."""
LETTERS = "dead-letters"
"""The chunks that hold no table's rows, but the events that the cell had put aside."""
HOT_AUTHORS = "hot-authors"
"""The chunks of those who were pulled by all: rows of the cell table."""
FIXED_TABLES = (keys.FOLLOWING, keys.LIKES, keys.FANS, keys.INBOX, keys.NOTICES, keys.MARKS)
_NAME = re.compile(r"rows-[0-9]{6,}\.z\Z")
_UNFINISHED = ".part"
_LEVEL = 1
"""zlib's quickest: keys in order compress well, and a backup is to be over soon."""


class DamagedBackup(Corrupt):
    """A backup, or a file of it, is not what was written; `cause` stays the same."""

    cause = "damaged"


class NotEmpty(Conflict):
    """A folder that a backup cannot be written into; `cause` stays the same."""

    cause = "not_empty"


class ChunkFile(msgspec.Struct, frozen=True):
    """One file: rows of one table. `bytes` and `sha256` are of the file as it lies there."""

    name: str
    table: str
    rows: int
    bytes: int
    sha256: str


class PlatformThen(msgspec.Struct, frozen=True):
    """The platform that the backup is of: its agreed values by name, and its routes as (start in
    hexadecimal, cell, epoch, drawn)."""

    cluster: dict[str, int | str]
    routes: tuple[tuple[str, str, int, int], ...]


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds.

    `states`: of all partitions, read before any row: all below their `unfinished` is in the rows.
    `ends`: where the log ended when the last row had been read. `ranges`: whose rows these are:
    places (first, last, band), resident from the first row to the last one. `at_max`: the highest
    lower part of a version that the cell can have given until then. `start`, `last`: the slice, all
    of the key space for a whole cell. Only the backup of a whole cell has posts.
    """

    format: int = FORMAT
    cell: str
    program: str
    created_ms: int
    platform: PlatformThen
    states: tuple[PartitionState, ...]
    ends: tuple[int, ...]
    ranges: Ranges
    at_max: int
    start: int
    last: int
    files: tuple[ChunkFile, ...]

    @property
    def whole(self) -> bool:
        """Whether it is of a whole cell, and not of a slice."""
        return (self.start, self.last) == (0, (1 << 64) - 1)

    @property
    def rows(self) -> int:
        """How many rows it holds."""
        return sum(file.rows for file in self.files)

    @property
    def bytes(self) -> int:
        """The size of its files."""
        return sum(file.bytes for file in self.files)

    @property
    def since(self) -> tuple[int, ...]:
        """By partition: from where on the log is to be applied to the rows."""
        return tuple(state.unfinished for state in self.states)

    @property
    def finished(self) -> bool:
        """Whether the log had nothing that is not in the rows, until the last one was read."""
        return self.since == self.ends


class _Chunk(msgspec.Struct, frozen=True, array_like=True):
    """Rows of one shape as arrays behind one another: widths of a key and a value in bytes,
    versions as little-endian 64-bit integers."""

    table: str
    key_bytes: int
    value_bytes: int
    keys: bytes
    versions: bytes
    values: bytes


class _RowChunk(msgspec.Struct, frozen=True, array_like=True):
    """Rows of any shape."""

    table: str
    rows: tuple[tuple[bytes, int, bytes], ...]


Content = FixedRows | list[Row]


def prepare(folder: Path) -> None:
    """Have a folder that a backup can be written into. Raises NotEmpty."""
    folder.mkdir(parents=True, exist_ok=True)
    there = sorted(path.name for path in folder.iterdir())
    if MANIFEST in there:
        raise NotEmpty(f"{folder} holds a backup already: name another folder")
    if there:
        raise NotEmpty(
            f"{folder} is not empty ({there[0]}) and holds no whole backup: remove it if it is "
            "what a backup has left that was cut off, or name another folder",
        )


def write_chunk(folder: Path, number: int, table: str, content: Content) -> ChunkFile:
    """Write the file of this number. Raises OSError."""
    if isinstance(content, FixedRows):
        count = len(content.versions)
        value: _Chunk | _RowChunk = _Chunk(
            table,
            content.keys.shape[1],
            content.values.shape[1],
            content.keys.tobytes(),
            content.versions.astype("<u8").tobytes(),
            content.values.tobytes(),
        )
    else:
        count = len(content)
        value = _RowChunk(table, tuple((row.key, row.version, row.value) for row in content))
    data = zlib.compress(msgspec.msgpack.encode(value), _LEVEL)
    name = f"rows-{number:06}.z"
    _write(folder / name, data)
    return ChunkFile(name, table, count, len(data), hashlib.sha256(data).hexdigest())


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest, once all files are there: the backup is whole from then on."""
    body = msgspec.json.encode(manifest)
    _write(folder / MANIFEST, b"%b\n%b\n" % (body, hashlib.sha256(body).hexdigest().encode()))


def read_manifest(folder: Path) -> Manifest:
    """The manifest. Raises DamagedBackup."""
    path = folder / MANIFEST
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise DamagedBackup(
            f"{folder} is no backup: it has no {MANIFEST}, which is written last; a backup that "
            "was cut off is taken again with `cellctl backup-cell`"
        ) from None
    body, *rest = data.split(b"\n")
    found = hashlib.sha256(body).hexdigest()
    if rest != [found.encode(), b""]:
        written = rest[0][:64].decode(errors="replace") if rest else "none"
        raise _damaged(path, written, found)
    try:
        manifest = msgspec.json.decode(body, type=Manifest)
    except msgspec.MsgspecError as error:
        raise DamagedBackup(
            f"{path} is whole, and not of this program's format ({error}): restore it with the "
            "program's version that wrote it, or a later one"
        ) from error
    known = manifest.format in (FORMAT, FORMAT_PULLED)
    if not known or any(not _NAME.match(f.name) for f in manifest.files):
        raise DamagedBackup(
            f"{path} is of format {manifest.format}, and this program reads {FORMAT_PULLED}: "
            "restore it with a later version of the program"
        )
    return manifest


def check_files(folder: Path, manifest: Manifest) -> Iterator[ChunkFile]:
    """Read every file and compare its checksum, giving each that is whole. Raises DamagedBackup."""
    for file in manifest.files:
        _read(folder, file)
        yield file


def read_chunk(folder: Path, file: ChunkFile) -> Content:
    """The rows of a file; its checksum is compared again. Raises DamagedBackup."""
    data = _read(folder, file)
    try:
        decoded = zlib.decompress(data)
        if file.table in FIXED_TABLES:
            return _fixed(msgspec.msgpack.decode(decoded, type=_Chunk), file)
        chunk = msgspec.msgpack.decode(decoded, type=_RowChunk)
    except (zlib.error, msgspec.MsgspecError, ValueError) as error:
        raise DamagedBackup(f"{folder / file.name} cannot be read: {error}") from error
    if (chunk.table, len(chunk.rows)) != (file.table, file.rows):
        raise DamagedBackup(f"{folder / file.name} holds {len(chunk.rows)} rows of {chunk.table}")
    return [Row(*row) for row in chunk.rows]


def _fixed(chunk: _Chunk, file: ChunkFile) -> FixedRows:
    if chunk.table != file.table:
        raise ValueError(f"rows of {chunk.table} in the place of {file.table}")
    count = file.rows
    return FixedRows(
        np.frombuffer(chunk.keys, dtype=np.uint8).reshape(count, chunk.key_bytes),
        np.frombuffer(chunk.versions, dtype="<u8").astype(np.uint64).reshape(count),
        np.frombuffer(chunk.values, dtype=np.uint8).reshape(count, chunk.value_bytes),
    )


def _read(folder: Path, file: ChunkFile) -> bytes:
    path = folder / file.name
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise DamagedBackup(f"{path} is missing: {_OTHERWISE}") from None
    found = hashlib.sha256(data).hexdigest()
    if found != file.sha256:
        raise _damaged(path, file.sha256, found)
    return data


_OTHERWISE = (
    "nothing was changed; copy the file again from where the backup is kept, or take another backup"
)


def _damaged(path: Path, written: str, found: str) -> DamagedBackup:
    return DamagedBackup(
        f"{path} is damaged: it was written with SHA-256 {written}, and has {found} now: "
        f"{_OTHERWISE}"
    )


def _write(path: Path, data: bytes) -> None:
    """Write a whole file that survives a power cut, or none."""
    fresh = path.with_name(path.name + _UNFINISHED)
    with fresh.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
