"""The options of `cellctl plan`, and the values of the planner that they make."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import click

from idgen.errors import BadRequest
from ops.cellctl.amount_types import Amount, Percent
from ops.config_settings import WEEK_MS
from ops.planner import presets
from ops.planner.amounts import amount, percent, span
from ops.planner.load import BASE_BYTES, DAY_S, Keeping, Load, Machine

GROWN_MOST = 1e6
"""More than from ten thousand users to all people: beyond it a plan is only long numbers."""
_COUNT = Amount(1)
_ANY = Amount(0.001)
_DAYS = Amount(0.01, 36_500)
_DESIGN = presets.design(presets.Wanted())
_SITE = presets.site(presets.Wanted())


def _of_preset(name: str, kind: click.ParamType[float], text: str) -> Any:
    """An option of the load, whose default the help tells by preset."""
    field = name.removeprefix("--").replace("-", "_")
    said = percent if isinstance(kind, Percent) else amount
    usual, design = (said(getattr(load, field)) for load in (_SITE, _DESIGN))
    usual += f"; design: {design}" if design != usual else ""
    return click.option(name, type=kind, help=f"{text} [{usual}]")


def _usual(name: str, kind: click.ParamType[float], text: str, default: str) -> Any:
    return click.option(name, type=kind, default=default, show_default=True, help=text)


_LOAD = (
    click.option(
        "--load",
        "preset",
        type=click.Choice(list(presets.PRESETS)),
        default="site",
        show_default=True,
        help="What to begin with; the other options change it. site: a post and ten views a day "
        "by each user. design: the load that Dashcell is designed for.",
    ),
    _of_preset("--users", _COUNT, "How many users."),
    _of_preset("--posts-per-day", _COUNT, "Posts of all users on an average day."),
    _of_preset("--fan-out", _ANY, "Followers of a post's author, on average over posts."),
    _of_preset("--views-per-day", _COUNT, "Dashboard pages on an average day."),
    _of_preset("--peak", Amount(1, 1000), "The busiest second over the mean one."),
    _of_preset("--post-bytes", Amount(1, 1 << 20), "A post as it is stored."),
    _of_preset("--follows", _ANY, "Whom a user follows, on average."),
    _of_preset("--active", Percent(0.01, 100), "Users who look on an average day."),
    _of_preset("--largest-author", _COUNT, "Followers of whoever has most."),
    _usual("--deliver-within", _ANY, "Seconds that such an author's post may take.", "5"),
    click.option(
        "--kept",
        type=Percent(0, 100),
        help="Pages that dashboards have kept in memory. [views / (views + entries)]",
    ),
    _usual("--growth", Percent(-99.9, 10_000), "What each year adds to the load.", "50%"),
    _usual("--years", Amount(0, 50), "How far ahead to plan.", "2"),
)
_LAYOUT = (
    click.option("--cells", type=click.IntRange(1, 100_000), help="How many cells, now and then."),
    _usual("--cell-users", _COUNT, "Without --cells: users for each.", "5M"),
    _usual("--inbox-days", _DAYS, "Days of entries that disks hold.", "365"),
    _usual("--posts-days", _DAYS, "Days of posts that they hold, in every cell.", "365"),
    _usual("--firehose-days", _DAYS, "Days of the firehose.", f"{WEEK_MS / 1000 / DAY_S:g}"),
    click.option(
        "--replication",
        type=click.IntRange(1, 7),
        default=3,
        show_default=True,
        help="Copies on disk, of HBase's files and of Kafka's topics.",
    ),
)
_MACHINE = (
    _usual("--cores", Amount(1, 10_000), "Cores of a machine.", "16"),
    _usual("--memory", Amount(1e9), "Its memory.", "128G"),
    _usual("--disk", Amount(1e9), "Its disks.", "16T"),
    _usual("--network", Amount(1e6), "Bytes a second that it can send.", "1.25G"),
    _usual("--disk-full", Percent(1, 100), "How full its disks may get.", "70%"),
    _usual("--headroom", Percent(0, 99), "The part of rates that stays free at peak.", "50%"),
    _usual("--bench-cores", Amount(1, 10_000), "Cores of the machine that was measured.", "2"),
)


def plan_options(function: Callable[..., None]) -> Callable[..., None]:
    """All of them, in this order in the help."""
    for option in reversed((*_LOAD, *_LAYOUT, *_MACHINE)):
        function = option(function)
    return function


def load_of(preset: str, given: dict[str, Any]) -> Load:
    """The load; takes its options out of `given`. Raises BadRequest where two do not fit."""
    wanted = presets.Wanted(**_taken(presets.Wanted, given))
    load = presets.PRESETS[preset](wanted)
    for option, value in (
        ("--fan-out", load.fan_out),
        ("--follows", load.follows),
        ("--largest-author", load.largest_author),
    ):
        if value > load.users:
            raise BadRequest(
                option, f"{value:g} are more than the {load.users:g} users; give less, or --users"
            )
    if load.fan_out > load.largest_author:
        raise BadRequest(
            "--fan-out",
            f"{load.fan_out:g} followers on average are more than the {load.largest_author:g} of "
            "--largest-author; give less, or a larger one",
        )
    return load


def grown(load: Load, growth: float, years: float) -> Load:
    """The load after so many years. Raises BadRequest where it is beyond what can be planned."""
    factor: float = (1 + growth) ** years
    if not 1 / GROWN_MOST <= factor <= GROWN_MOST:
        raise BadRequest(
            "--growth",
            f"{percent(growth)} a year for {span(years)} is a load times {factor:.2g}, and plans "
            f"are for at most {GROWN_MOST:,.0f} times more or less; give less, or fewer --years",
        )
    return load.after(years, growth)


def keeping_of(given: dict[str, Any]) -> Keeping:
    """What is kept; takes its options out of `given`."""
    return Keeping(**_taken(Keeping, given))


def machine_of(given: dict[str, Any]) -> Machine:
    """A machine; takes its options out of `given`. Raises BadRequest where it is too small."""
    machine = Machine(**_taken(Machine, given))
    if machine.memory <= BASE_BYTES:
        least = amount(BASE_BYTES, "B")
        raise BadRequest("--memory", f"give more than {least}, assumed for what is no cache")
    return machine


def _taken(kind: Any, given: dict[str, Any]) -> dict[str, Any]:
    return {each.name: given.pop(each.name) for each in fields(kind)}
