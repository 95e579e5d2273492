"""Materialization in an ingest process: its policy follows the registry's flags and pins."""

import threading
from collections.abc import Callable, Mapping

import numpy as np

from cell.activity import Activity
from cell.deciding import RULES
from cell.materialization import Codes, Pin
from cell.materializer import Materializer
from cell.stores import CellStores
from idgen.clock import Clock
from idgen.ids import U64Array
from ops.config import Config
from ops.settings_of import materializer_settings
from router.flags import READ, Flags
from router.pins import Pins
from router.registry import Registry

FLAG = "materialize."
"""What the flags of rules begin with."""


class LiveRuling:
    """`cell.deciding.Ruling` by the flags and pins of a registry."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._flags = Flags(registry, clock)
        self._pins = Pins(registry, clock)

    def start(self) -> None:
        """Read both and follow them."""
        self._flags.start()
        self._pins.start()

    def close(self) -> None:
        """Stop following."""
        self._flags.close()
        self._pins.close()

    def any(self) -> int:
        """The code of the rules that are on for anybody."""
        return sum(
            1 << i
            for i, rule in enumerate(RULES)
            if self._flags.value(FLAG + rule, READ[FLAG + rule])
        )

    def rules(self, users: U64Array) -> Codes:
        """The code of the rules that are on for each of some users."""
        codes = np.zeros(len(users), np.uint8)
        for i, rule in enumerate(RULES):
            on = self._flags.on_each(FLAG + rule, users, READ[FLAG + rule])
            codes |= on.astype(np.uint8) << np.uint8(i)
        return codes

    def pins(self) -> Mapping[int, Pin]:
        """The users who are pinned."""
        return self._pins.all()


class Materializing:
    """The thread beside an ingest worker, and what both count."""

    def __init__(
        self,
        registry: Registry,
        stores: CellStores,
        process: str,
        clock: Clock,
        config: Config,
        activity: Activity,
    ) -> None:
        self._ruling = LiveRuling(registry, clock)
        self._owns: Callable[[int], bool] = lambda _: False
        self.materializer = Materializer(
            stores,
            activity,
            process,
            self._ruling,
            self._owns_first,
            clock,
            materializer_settings(config),
        )

    def run(self, owns: Callable[[int], bool], stop: threading.Event) -> None:
        """Save and decide until `stop`; `owns`: whether the worker has a partition."""
        self._owns = owns
        self._ruling.start()
        try:
            self.materializer.run(stop)
        finally:
            self._ruling.close()

    def _owns_first(self) -> bool:
        return self._owns(0)
