"""What a dashboard knows of its cell's coverage, as of a position."""

from cell import commands, keys
from cell.commands import Switched
from cell.lane_scan import Reader
from cell.materialization import Why
from cell.page_coverage import PageCoverage
from cell.residents import Homes
from cell.snapshot import Snapshot
from cell.stores import CellStores
from cell.switching import obey, write_stamps
from firehose.dead_letters import DeadLetters
from idgen.ids import U64, partition_of, spread
from tests.sim.cell_world import MemoryLog
from tests.unit.firehose_world import ManualClock
from tests.unit.memory_tables import MemoryTables

PARTITIONS = 4
BAND = 2
HERE = Homes([(0, U64, BAND)])
READER = Reader(7, spread(7), BAND)
AUTHOR = 9
PARTITION = partition_of(AUTHOR, PARTITIONS)


class World:
    """A cell of memory tables whose workers obey when they are told to."""

    def __init__(self) -> None:
        self.tables = MemoryTables()
        self.tables.create(keys.TABLES)
        self.log = MemoryLog(1)
        self.clock = ManualClock()
        firehose = MemoryLog(PARTITIONS)
        letters = DeadLetters(MemoryLog(1))
        stores = CellStores("a", self.tables, None, firehose, self.log, firehose, letters)
        self.coverage = PageCoverage(stores, self.clock)
        self.told: list[Switched] = []

    def tell(
        self, *, pull: bool, readers: tuple[int, ...] = (), authors: tuple[int, ...] = ()
    ) -> None:
        self.told.append(Switched(pull, Why.PINNED, readers, authors))
        self.log.append([(0, commands.encode(self.told[-1]))])

    def obey(self, switch: int, at: int | None) -> None:
        """The rows are written, and with an `at` the stamps of all partitions."""
        obey(self.tables, self.told[switch], switch, 5, HERE)
        if at is not None:
            write_stamps(self.tables, {p: [(switch, at)] for p in range(PARTITIONS)})

    def pulled(self, commands_obeyed: int, at: int) -> bool:
        """Whether a page as of some obeyed commands looks an event of the author up."""
        asof = Snapshot(HERE, {}, b"0", None, commands_obeyed)
        found = self.coverage.of(READER, asof)
        return found is not None and any(
            since <= at < until
            for since, until in found.of(AUTHOR, spread(AUTHOR), PARTITION)
        )


def test_an_author_is_known_as_soon_as_a_position_tells_of_it() -> None:
    world = World()
    world.tell(pull=True, readers=(1,))
    world.obey(0, 10)
    assert not world.pulled(1, 50)
    world.tell(pull=True, readers=(2,))
    world.tell(pull=True, authors=(AUTHOR,))
    world.obey(1, 15)
    assert not world.pulled(2, 50)
    # Looked at before anybody obeyed the third, whose row was not there then.
    world.obey(2, 20)
    assert world.pulled(3, 50)
    assert not world.pulled(3, 15)


def test_what_is_not_stamped_yet_is_looked_up_from_the_beginning_on() -> None:
    world = World()
    world.tell(pull=True, readers=(READER.user,))
    world.obey(0, None)
    assert world.pulled(1, 5)
    world.obey(0, 30)
    world.clock.pause(1_000)
    assert not world.pulled(1, 5)
    assert world.pulled(1, 30)


def test_who_is_pushed_again_is_looked_up_for_what_lies_between() -> None:
    world = World()
    for switch, pull in enumerate((True, False)):
        world.tell(pull=pull, readers=(READER.user,), authors=(AUTHOR,))
        world.obey(switch, 10 * switch + 10)
    assert [at for at in range(30) if world.pulled(2, at)] == list(range(10, 20))


def test_a_reader_of_another_band_has_nothing_to_look_up() -> None:
    world = World()
    world.tell(pull=True, readers=(READER.user,))
    world.obey(0, 10)
    asof = Snapshot(HERE, {}, b"0", None, 1)
    assert world.coverage.of(READER, asof) is not None
    assert world.coverage.of(READER._replace(band=BAND + 1), asof) is None
