"""An outlook as lines for people, and as the document of --json."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from textwrap import wrap
from typing import Any

from ops.config_settings import PROCESSES_MAX
from ops.planner.amounts import amount, count, percent, span
from ops.planner.figures import SOURCES
from ops.planner.limits import Limit
from ops.planner.load import ASSUMED, LEFT_OUT, LINEAR
from ops.planner.outlook import Outlook
from ops.planner.plan import Plan, Processes, deciding
from ops.planner.resources import Resource

COLUMNS = 98
"""Of prose; lines with formulas are as long as these are."""
_UNITS = {
    "deliveries_per_s": "/s",
    "posts_per_s": "/s",
    "kept_pages_per_s": "/s",
    "read_pages_per_s": "/s",
    "entry_bytes": "B",
    "edge_bytes": "B",
    "million_s": "s",
}
_NAMES = {
    "deliveries_per_s": "deliveries",
    "posts_per_s": "posts",
    "kept_pages_per_s": "pages, kept",
    "read_pages_per_s": "pages, read",
    "entry_bytes": "an entry on disk",
    "edge_bytes": "an edge in memory",
    "million_s": "a post to a million",
}


def lines(outlook: Outlook) -> Iterator[str]:
    """For people: load, lines with formulas, machines, what breaks first, what it rests on."""
    now, then = outlook.now, outlook.then
    later = f"in {span(outlook.years)}"
    yield f"LOAD{'now':>41}  {later:>16}   (growth {percent(outlook.growth)} a year)"
    for name, a, b in zip(_rates(now), _rates(then).values(), _rates(now).values(), strict=True):
        yield f"  {name:<28}{b:>15}  {a:>16}"
    for title, ours, theirs in (
        (f"EACH CELL, of {now.cells} (then {then.cells})", now.cell, then.cell),
        ("FIREHOSE", now.firehose, then.firehose),
        ("ID SERVERS", now.ids, then.ids),
    ):
        yield ""
        yield f"{title:<26}  {'demand':>11}  {'one machine':>11}  {'machines':>8}  {later:>12}"
        for resource, grown in zip(ours, theirs, strict=True):
            yield from _resource(resource, grown)
    yield ""
    yield from _machines(outlook, later)
    yield ""
    for title, machines_help in (
        ("WHAT BREAKS FIRST, as the load grows and the machines stay those of now", True),
        ("WHAT BREAKS FIRST, however many machines are added to the cells of now", False),
    ):
        yield title
        for limit in outlook.limits:
            if limit.machines_help == machines_help:
                yield from _limit(limit)
        yield ""
    yield from _ground(outlook)


def _rates(plan: Plan) -> dict[str, str]:
    load = plan.load
    return {
        "users": amount(load.users),
        "posts, at peak": amount(load.posts_per_s, "/s"),
        "deliveries, at peak": amount(load.deliveries_per_s, "/s"),
        "pages, at peak": amount(load.pages_per_s, "/s"),
        "pages that are kept": percent(plan.kept),
        "the largest author": f"{amount(load.largest_author)} followers",
    }


def _resource(now: Resource, then: Resource) -> Iterator[str]:
    yield (
        f"  {now.name:<24}  {amount(now.demand, now.unit):>11}  "
        f"{amount(now.capacity, now.unit):>11}  {amount(now.machines):>8}  "
        f"{amount(then.machines):>12}  {now.kind}"
    )
    demand, _, capacity = now.formula.partition("; ")
    yield f"      = {demand}"
    yield f"        {capacity}"


def _machines(outlook: Outlook, later: str) -> Iterator[str]:
    now, then = outlook.now, outlook.then
    yield f"MACHINES{'now':>37}  {later:>16}"
    rows = (
        ("each cell", *(_because(p.cell, p.cell_machines) for p in (now, then))),
        ("cells", f"{now.cells:,}", f"{then.cells:,}"),
        ("firehose", *(_because(p.firehose, p.firehose_machines) for p in (now, then))),
        ("registry, id servers", f"{now.small_machines:,}", f"{then.small_machines:,}"),
        ("all", f"{now.machines:,}", f"{then.machines:,}"),
    )
    for name, a, b in rows:
        yield f"  {name:<28}{a:>15}  {b:>16}"
    passed = [limit.name for limit in outlook.limits if limit.passed]
    if passed:
        yield f"  not enough, see below, for: {'; '.join(passed)}"
    yield from _settings(now.processes)


def _settings(each: Processes) -> Iterator[str]:
    workers = _setting("ingest.workers", each.workers)
    yield (
        f"  settings now: {workers} and {_setting('listen.dashboards', each.dashboards)} "
        "in each cell;"
    )
    yield f"    {_setting('listen.routers', each.routers)}; {count(each.id_servers, 'id server')}"


def _setting(name: str, processes: int) -> str:
    """So many processes as a setting, spread over machines where one may not have them all."""
    machines = math.ceil(processes / PROCESSES_MAX)
    if machines <= 1:
        return f"{name} {processes}"
    # Evenly, so that a few machines can have one process less than the setting says.
    return f"{name} {math.ceil(processes / machines)} on each of {machines:,} machines"


def _because(resources: Sequence[Resource], machines: int) -> str:
    return f"{machines:,} ({deciding(resources, machines)})"


def _limit(limit: Limit) -> Iterator[str]:
    if limit.passed:
        when = "passed already"
    elif limit.years is None:
        when = "not at this growth"
    elif limit.years == 0:
        when = "now just enough"
    else:
        when = f"in {span(limit.years)}"
    factor = f"{limit.factor:.2f}" if limit.factor < 10 else amount(limit.factor)
    yield f"  x {factor:<9} {when:<19} {limit.name}"
    yield f"      = {limit.formula}"
    yield f"        remedy: {limit.remedy}"


def _ground(outlook: Outlook) -> Iterator[str]:
    yield "MEASURED, by `make bench` on one machine"
    for name, value in _measured(outlook).items():
        yield f"  {_NAMES[name]:<22}{amount(value, _UNITS[name]):>10}   {SOURCES[name]}"
    yield ""
    assumed = [f"{x.name}: {amount(x.value, x.unit)} ({x.source})" for x in ASSUMED]
    yield from _said("ASSUMED", [*assumed, LINEAR])
    yield ""
    yield from _said("LEFT OUT", LEFT_OUT)
    if outlook.notes:
        yield ""
        yield from _said("THE DESIGN'S OWN NUMBERS", outlook.notes)


def _said(title: str, notes: Sequence[str]) -> Iterator[str]:
    yield title
    for note in notes:
        yield from wrap(note, COLUMNS, initial_indent="  ", subsequent_indent="    ")


def _measured(outlook: Outlook) -> dict[str, float]:
    figures = outlook.setting.measured
    return {each.name: getattr(figures, each.name) for each in fields(figures)}


def document(outlook: Outlook, asked: Mapping[str, object]) -> dict[str, Any]:
    """The same for programs. Numbers are not rounded; shares are parts of one.

    `asked`: what was asked for beside load, keeping, machine and growth.
    """
    setting = outlook.setting
    return {
        "inputs": {
            **asked,
            "load": outlook.now.load,
            "keeping": setting.keeping,
            "machine": setting.machine,
            "growth": outlook.growth,
            "years": outlook.years,
        },
        "measured": {
            name: {"figure": value, "unit": _UNITS[name], "measure": SOURCES[name]}
            for name, value in _measured(outlook).items()
        },
        "assumptions": [*ASSUMED, {"name": "machines", "source": LINEAR}],
        "left_out": LEFT_OUT,
        "now": _plan(outlook.now),
        "then": _plan(outlook.then),
        "breaks_first": outlook.limits[0],
        "limits": outlook.limits,
        "notes": outlook.notes,
    }


def _plan(plan: Plan) -> dict[str, Any]:
    load = plan.load
    return {
        "load": {
            "users": load.users,
            "posts_per_s": load.posts_per_s,
            "deliveries_per_s": load.deliveries_per_s,
            "pages_per_s": load.pages_per_s,
            "kept_pages": plan.kept,
        },
        "resources": {
            "cell": _resources(plan.cell),
            "firehose": _resources(plan.firehose),
            "ids": _resources(plan.ids),
        },
        "cells": plan.cells,
        "machines": {
            "cell": plan.cell_machines,
            "firehose": plan.firehose_machines,
            "small": plan.small_machines,
            "all": plan.machines,
        },
        "processes": plan.processes,
    }


def _resources(resources: Sequence[Resource]) -> list[dict[str, Any]]:
    return [
        {
            "name": each.name,
            "kind": each.kind.value,
            "demand": each.demand,
            "unit": each.unit,
            "capacity": each.capacity,
            "formula": each.formula,
            "machines": each.machines,
        }
        for each in resources
    ]
