"""What commands that read the firehose share: the options that say what of it is wanted."""

import functools
from collections.abc import Callable
from typing import Any

import click

from ops.cellctl.seat import Command, at_platform
from ops.platform_port import AskedReading


def reading_options(default_from: str, default_until: str) -> Callable[[Command], Command]:
    """--from, --until, --kinds, --authors, --partitions; gives `asked`."""

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
        @at_platform
        @functools.wraps(function)
        def reading(
            *arguments: Any,
            start: str,
            until: str,
            kinds: str,
            authors: str,
            partitions: str,
            **options: Any,
        ) -> None:
            asked = AskedReading(start, until, kinds, authors, partitions)
            function(*arguments, asked=asked, **options)

        return reading

    return decorate
