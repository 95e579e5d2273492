"""Amounts and percents on the command line: 45M, 1.5k, 64GiB, 50%."""

import re
from typing import Any

import click

_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([kKMGTP]i?)?B?")
_PERCENT = re.compile(r"(-?\d+(?:\.\d+)?)\s*%?")
_POWERS = {"K": 1, "M": 2, "G": 3, "T": 4, "P": 5}
MOST = 1e15


class Amount(click.ParamType[float]):
    """A number from `least` to `most`: k, M, G, T, P are decimal, Ki to Pi binary; B may follow."""

    name = "amount"

    def __init__(self, least: float, most: float = MOST) -> None:
        self._least, self._most = least, most

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The number; a usage error for anything else."""
        if isinstance(value, (int, float)):
            return float(value)
        found = _AMOUNT.fullmatch(value.strip())
        if found is None:
            self.fail(f"{value!r} is no amount: write it as 1500, 1.5k, 45M or 64GiB", param, ctx)
        suffix = found[2] or ""
        power = _POWERS[suffix[0].upper()] if suffix else 0
        number = float(found[1]) * (1024.0 if suffix.endswith("i") else 1000.0) ** power
        if not self._least <= number <= self._most:
            bounds = f"{self._least:g} to {self._most:g}"
            self.fail(f"{value!r} is out of bounds: give {bounds}", param, ctx)
        return number


class Percent(click.ParamType[float]):
    """A part of one, written as a percentage from `least` to `most`, both given as percentages."""

    name = "percent"

    def __init__(self, least: float, most: float) -> None:
        self._least, self._most = least, most

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The part; a usage error for anything else."""
        if isinstance(value, (int, float)):
            return float(value)
        found = _PERCENT.fullmatch(value.strip())
        if found is None:
            self.fail(f"{value!r} is no percentage: write it as 50%", param, ctx)
        number = float(found[1])
        if not self._least <= number <= self._most:
            self.fail(
                f"{value!r} is out of bounds: give {self._least:g}% to {self._most:g}%", param, ctx
            )
        return number / 100
