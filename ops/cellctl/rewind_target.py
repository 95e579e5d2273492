"""The targets of `cellctl firehose rewind`, of which exactly one is given."""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import click
import msgspec

from firehose.cursor import parse_cursor
from firehose.places import AtTime, Earliest, Latest, is_ago, parse_place
from firehose.rewind import Offsets, Shift, Target
from idgen.clock import SystemClock
from idgen.errors import BadRequest
from ops.cellctl.seat import Command

FILE_BYTES_MAX = 1 << 20
EVENTS_MAX = (1 << 63) - 1


class _Row(msgspec.Struct, frozen=True):
    partition: Annotated[int, msgspec.Meta(ge=0)]
    offset: Annotated[int, msgspec.Meta(ge=0)] | None


class _File(msgspec.Struct, frozen=True):
    partitions: Annotated[tuple[_Row, ...], msgspec.Meta(min_length=1, max_length=65_536)]


_FILE = msgspec.json.Decoder(_File)


def _time(field: str, text: str) -> Target:
    place = parse_place(field, text, SystemClock())
    if not isinstance(place, AtTime):
        raise BadRequest(
            field, f"{text[:40]!r} is no time: there are --to-cursor, --to-earliest and --to-latest"
        )
    return place


def _ago(field: str, text: str) -> Target:
    if not is_ago(f"-{text}"):
        raise BadRequest(field, f"{text[:40]!r} is no duration: write it as 2h (ms, s, m, h, d)")
    return _time(field, f"-{text}")


def _file(field: str, path: Path) -> Target:
    """The offsets in what `describe --json`, or a plan's --json, has written."""
    with path.open("rb") as file:
        data = file.read(FILE_BYTES_MAX + 1)
    if len(data) > FILE_BYTES_MAX:
        raise BadRequest(field, f"{path} has more than {FILE_BYTES_MAX:,} bytes")
    try:
        rows = _FILE.decode(data).partitions
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(field, f"{path}: {_where(data, error)}") from error
    offsets: dict[int, int] = {}
    for row in rows:
        if row.partition in offsets:
            raise BadRequest(field, f"{path}: partition {row.partition} is there twice")
        if row.offset is not None:
            offsets[row.partition] = row.offset
    return Offsets(offsets)


def _where(data: bytes, error: Exception) -> str:
    """What is wrong: msgspec names the field, or a byte, of which people want the line."""
    text = str(error)
    _, _, byte = text.rpartition("(byte ")
    number = byte.removesuffix(")")
    if number.isdigit():
        line = data.count(b"\n", 0, int(number)) + 1
        return f"line {line}: {text}"
    return text


_READERS: Mapping[str, Callable[[str, Any], Target]] = {
    "--to-datetime": _time,
    "--by-duration": _ago,
    "--to-earliest": lambda _field, _given: Earliest(),
    "--to-latest": lambda _field, _given: Latest(),
    "--to-cursor": parse_cursor,
    "--shift-by": lambda _field, events: Shift(events),
    "--from-file": _file,
}
_OPTIONS = (
    click.option(
        "--to-datetime",
        metavar="TIME",
        help="To the first event at a time: 2012-07-04T12:00:00Z, or epoch ms.",
    ),
    click.option(
        "--by-duration",
        metavar="DURATION",
        help="To so long ago, by time of append: 90s, 15m, 2h, 3d.",
    ),
    click.option("--to-earliest", is_flag=True, default=None, help="To the oldest event."),
    click.option("--to-latest", is_flag=True, default=None, help="To the end."),
    click.option("--to-cursor", metavar="CURSOR", help="To where a cursor reads next."),
    click.option(
        "--shift-by",
        type=click.IntRange(-EVENTS_MAX, EVENTS_MAX),
        metavar="EVENTS",
        help="By so many events in each partition; negative: back.",
    ),
    click.option(
        "--from-file",
        type=click.Path(path_type=Path, dir_okay=False, exists=True),
        metavar="FILE",
        help="To the offsets in what `describe --json` wrote.",
    ),
)


def target_options(function: Command) -> Command:
    """The options of all targets; `target_of` makes one of what they give."""
    return functools.reduce(lambda made, option: option(made), reversed(_OPTIONS), function)


def target_of(given: Mapping[str, Any]) -> tuple[str, Target]:
    """The one target, with its option. Raises a usage error unless there is exactly one, and
    BadRequest for what cannot be meant."""
    values = {f"--{name.replace('_', '-')}": v for name, v in given.items() if v is not None}
    if len(values) != 1:
        wanted = f"give exactly one of {', '.join(_READERS)}"
        raise click.UsageError(f"{wanted}; not {' and '.join(values)}" if values else wanted)
    ((option, value),) = values.items()
    return option, _READERS[option](option, value)
