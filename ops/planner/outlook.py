"""All that a plan has found."""

from dataclasses import dataclass

from ops.planner.limits import Limit
from ops.planner.plan import Plan
from ops.planner.resources import Setting


@dataclass(frozen=True, slots=True)
class Outlook:
    """Machines now and `years` later, and the limits of those of now, the first first."""

    setting: Setting
    now: Plan
    then: Plan
    growth: float
    years: float
    limits: tuple[Limit, ...]
    notes: tuple[str, ...]
