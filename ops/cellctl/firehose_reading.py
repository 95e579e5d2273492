"""What commands that read the firehose share: the options that say what of it is wanted."""

import functools
from collections.abc import Callable
from contextlib import closing
from typing import Any

import click

from firehose.reading import Reading
from idgen.errors import CursorTooOld
from ops.cellctl.seat import Command, Seat, at_platform
from ops.platform_port import AskedReading, Firehose


def reading_options(default_from: str, default_until: str) -> Callable[[Command], Command]:
    """--from, --until, --kinds, --authors, --partitions, --accept-gap; gives `reading`, which
    is closed at the end."""

    def decorate(function: Command) -> Command:
        @click.option(
            "--from",
            "start",
            default=default_from,
            show_default=True,
            metavar="PLACE",
            help="Where to begin: a time as 2012-07-04T12:00:00Z or in milliseconds, a time ago as "
            "-2h, a cursor, earliest or latest.",
        )
        @click.option(
            "--until",
            default=default_until,
            show_default=bool(default_until),
            metavar="PLACE",
            help="Where to end, as --from." + ("" if default_until else " Default: on and on."),
        )
        @click.option("--kinds", default="", help="Only these, as post_created,liked.")
        @click.option("--authors", default="", help="Only events about these, as 12,15.")
        @click.option(
            "--partitions",
            default="",
            metavar="I/N",
            help="Only a share: 0/4 is the first of four.",
        )
        @click.option(
            "--accept-gap",
            is_flag=True,
            help="Begin with the oldest where a cursor's next events are no longer retained.",
        )
        @at_platform
        @functools.wraps(function)
        def reading(
            seat: Seat,
            *arguments: Any,
            start: str,
            until: str,
            kinds: str,
            authors: str,
            partitions: str,
            accept_gap: bool,
            **options: Any,
        ) -> None:
            asked = AskedReading(start, until, kinds, authors, partitions)
            with closing(_begun(seat.platform.firehose, asked, accept_gap=accept_gap)) as begun:
                function(seat, *arguments, reading=begun, **options)

        return reading

    return decorate


def _begun(firehose: Firehose, asked: AskedReading, *, accept_gap: bool) -> Reading:
    try:
        return firehose.read(asked)
    except CursorTooOld as gap:
        if not accept_gap:
            raise
        click.echo(f"cellctl: gap accepted: {gap}", err=True)
        return firehose.read(asked._replace(start=gap.floor.decode()))
