"""Numbers as a plan says them: three digits and a prefix."""

import math

_PREFIXES = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"))


def amount(value: float, unit: str = "") -> str:
    """`value` with three digits: 1.25 GB, 287 M, 3,322/s, 0.17. Prefixes are decimal."""
    for size, prefix in _PREFIXES:
        if abs(value) >= 0.9995 * size:
            return f"{_digits(value / size)} {prefix}{unit}"
    if unit == "B" and abs(value) >= 999.5:
        return f"{_digits(value / 1000)} kB"
    joint = " " if unit[:1].isalpha() else ""
    return f"{_digits(value)}{joint}{unit}"


def count(number: int, thing: str) -> str:
    """So many of a thing: 1 cell, 9 cells."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def span(years: float) -> str:
    """A time in the unit that suits it: 12 days, 7 months, 1 year, 4.4 years."""
    for count, unit in ((years, "year"), (12 * years, "month")):
        if count >= 0.995:
            said = _digits(count)
            return f"{said} {unit}" if said == "1" else f"{said} {unit}s"
    return f"{_digits(365 * years)} days"


def percent(share: float) -> str:
    """A part of one: 50 %."""
    return f"{_digits(100 * share)} %"


def _digits(value: float) -> str:
    if abs(value) >= 99.95:
        return f"{value:,.0f}"
    if 0 < abs(value) < 0.001:
        return f"{value:.{1 - math.floor(math.log10(abs(value)))}f}".rstrip("0")
    return f"{value:.3g}"
