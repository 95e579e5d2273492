"""--lane, in the words of the command line."""

from collections.abc import Callable

import click

from firehose.event import Lane

BOTH = "both"
ONE = [lane.name.lower() for lane in Lane]


def lane_option(*, both: bool = False) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """--lane posts or notices, and both where lanes can be merged."""
    return click.option(
        "--lane",
        type=click.Choice([*ONE, BOTH] if both else ONE),
        default="posts",
        show_default=True,
    )


def lane_of(word: str) -> Lane:
    """The lane of a word."""
    return Lane[word.upper()]


def lanes_of(word: str) -> frozenset[Lane]:
    """The lanes of a word, which may be "both"."""
    return frozenset(Lane) if word == BOTH else frozenset((lane_of(word),))
