"""What a random life has of selective materialization: switches at any moment, and fillings."""

from typing import Protocol

from hypothesis import strategies as st
from hypothesis.stateful import rule

from cell.commands import Command, Switched
from cell.materialization import Why

SOME = st.integers(1, 4)
PICKS = st.integers(0, 10_000)


class Switching(Protocol):
    """A platform whose operator may say who is pulled."""

    def tell(self, cell: str, command: Command) -> None:
        """All workers of the cell are told."""
        ...

    def fill(self, cell: str) -> None:
        """Readers of the cell who were pulled are filled, as far as it has come."""
        ...


class Switches:
    """Rules of a machine with `place`, `_user` and `_cell` (tests.sim.machine)."""

    place: Switching

    @rule(
        cells=st.lists(PICKS, min_size=1, max_size=2),
        pull=st.booleans(),
        readers=st.sets(SOME, max_size=4),
        authors=st.sets(SOME, max_size=2),
        pairs=st.sets(st.tuples(SOME, SOME), max_size=3),
    )
    def switch(
        self,
        cells: list[int],
        pull: bool,
        readers: set[int],
        authors: set[int],
        pairs: set[tuple[int, int]],
    ) -> None:
        """Some are pulled from now on, or pushed; a reader's home may be any of the cells."""
        some, hot = (tuple(sorted(map(self._user, users))) for users in (readers, authors))
        both = tuple(sorted((self._user(a), self._user(b)) for a, b in pairs))
        for cell in cells:
            self.place.tell(self._cell(cell), Switched(pull, Why.PINNED, some, hot, both))

    @rule(cell=PICKS, readers=st.sets(SOME, min_size=1, max_size=4))
    def come_back(self, cell: int, readers: set[int]) -> None:
        """Readers who were away are pushed to again, and their inboxes are filled."""
        name = self._cell(cell)
        some = tuple(sorted(map(self._user, readers)))
        self.place.tell(name, Switched(False, Why.USUAL, some))
        self.place.fill(name)

    @rule(cell=PICKS)
    def fill(self, cell: int) -> None:
        """Whoever has something to be filled is filled, as far as the cell has come."""
        self.place.fill(self._cell(cell))

    def _user(self, number: int) -> int:
        raise NotImplementedError

    def _cell(self, pick: int) -> str:
        raise NotImplementedError
