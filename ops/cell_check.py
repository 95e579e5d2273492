"""Whether a cell is what the log says, by a sample of its readers, while the platform goes on.

Of each reader the inbox is worked out anew (`ops.reader_check`), the edges are looked for in the
other table of edges, and the marks are held against the clock; of the cell it is told what it has
not applied, and what it put aside as dead letters.
"""

from collections.abc import Sequence

from cell.marks import marks_of
from cell.reader_sample import Range, Sample, sample_readers
from cell.residents import Homes
from cell.state import homes_now
from cell.stores import CellStores
from cell.verify_edges import (
    EdgeDifference,
    edges_of_authors,
    edges_of_follower,
    settle_edges,
)
from cell.verify_reader import ReaderVerifier, VerifiedReader
from firehose.validation import check_mark
from idgen.errors import BadRequest
from idgen.ids import at_ms, spread
from ops.applied_end import Pause, events_left, system_pause
from ops.checks_port import CellCheck, Finding, Steps
from ops.reader_check import WAIT_S, NotHeld, checked_reader
from router.slices import PLACES

EDGE_PLACES = 64
EDGE_ROWS = 100
"""Rows of `followers` that are looked at from each of EDGE_PLACES places on, wherever their authors
are homed: who follows is homed here, and cannot be found by these rows otherwise."""
SUSPECTS_MAX = 10_000
SETTLED_AT_ONCE = 1_000
ROUNDS_MAX = 20
FINDINGS_MAX = 1_000


class CellChecker:
    """One check of one cell."""

    def __init__(self, stores: CellStores, now_ms: int, pause: Pause = system_pause) -> None:
        self._stores = stores
        self._verifier = ReaderVerifier(stores)
        self._now_ms = now_ms
        self._pause = pause
        self._findings: list[Finding] = []
        self._found = 0
        self._suspects: dict[bytes, None] = {}
        self._entries = self._edges = self._marks = self._left = 0

    def check(
        self, homed: Sequence[Range], sample: Sample, seed: int, moved_on: Steps
    ) -> CellCheck:
        """The cell's check. `homed`: what the routes say it is home to. Raises Unavailable."""
        readers: list[int] = []
        self._check_letters()
        if self._comes_to_the_end():
            readers = sample_readers(self._stores.tables, homed, sample, seed)
            steps = len(readers) + EDGE_PLACES
            for done, reader in enumerate(readers):
                moved_on(done, steps)
                self._check_reader(reader)
            for i in range(EDGE_PLACES):
                moved_on(len(readers) + i, steps)
                self._check_followers(i)
            self._settle()
            moved_on(steps, steps)
        return CellCheck(
            cell=self._stores.name,
            seed=seed,
            readers=tuple(readers),
            moved_away=self._left,
            entries=self._entries,
            edges=self._edges,
            marks=self._marks,
            findings=tuple(self._findings),
            found=self._found,
        )

    def _tell(self, sentence: str, command: str) -> None:
        self._found += 1
        if len(self._findings) < FINDINGS_MAX:
            self._findings.append(Finding(sentence, command))

    def _check_letters(self) -> None:
        count = self._stores.dead_letters.counts().open
        if count:
            name = self._stores.name
            self._tell(
                f"{count:,} events could not be applied and are open dead letters",
                f"cellctl dead-letters list {name}",
            )

    def _comes_to_the_end(self) -> bool:
        """Whether the cell applies what is the end of the log now; readers of one that does not
        cannot be judged."""
        ends = self._stores.ends()
        if not events_left([self._stores], ends, WAIT_S, self._pause):
            return True
        states = self._stores.state().read()
        behind = {p: end - states[p].unfinished for p, end in enumerate(ends)}
        told = ", ".join(f"{p}: {count:,}" for p, count in behind.items() if count > 0)
        self._tell(
            f"after {WAIT_S:.0f} s the cell still has events to apply that were there at the "
            f"start, by partition: {told}; its readers were not looked at",
            "cellctl status",
        )
        return False

    def _homes(self) -> Homes:
        return homes_now(self._stores.state().read().values())

    def _check_reader(self, reader: int) -> None:
        try:
            found = checked_reader(self._verifier, reader, self._pause)
        except NotHeld:  # moved to another cell since it was picked
            self._left += 1
            return
        self._entries += found.entries
        if found.missing or found.extra:
            self._tell(_inbox_sentence(reader, found), f"cellctl verify-user {reader}")
        marks = marks_of(self._stores.tables, spread(reader))
        self._marks += len(marks)
        for lane, event_id in marks.items():
            try:
                check_mark("mark", event_id, self._now_ms)
            except BadRequest:
                self._tell(
                    f"reader {reader} has read the lane {lane.name.lower()} up to {event_id}, "
                    f"which is an id of {at_ms(event_id) - self._now_ms:,} ms from now",
                    f"cellctl unread {reader}",
                )
        edges = edges_of_follower(self._stores.tables, self._homes(), reader)
        self._edges += edges.rows
        self._suspect(edges.suspects)

    def _check_followers(self, part: int) -> None:
        start, end = (PLACES * i // EDGE_PLACES for i in (part, part + 1))
        edges = edges_of_authors(self._stores.tables, self._homes(), start, end - 1, EDGE_ROWS)
        self._edges += edges.rows
        self._suspect(edges.suspects)

    def _suspect(self, suspects: Sequence[bytes]) -> None:
        free = SUSPECTS_MAX - len(self._suspects)
        self._suspects.update(dict.fromkeys(suspects[:free]))

    def _settle(self) -> None:
        """Look at edges that differed again, each time after the cell has come to the log's end."""
        suspects = list(self._suspects)
        for _ in range(ROUNDS_MAX):
            if not suspects:
                return
            ends = self._stores.ends()
            if events_left([self._stores], ends, WAIT_S, self._pause):
                break
            homes, unsettled = self._homes(), list[bytes]()
            for begin in range(0, len(suspects), SETTLED_AT_ONCE):
                some = suspects[begin : begin + SETTLED_AT_ONCE]
                real, more = settle_edges(
                    self._stores.tables, homes, some, ends, self._stores.log_base
                )
                unsettled += more
                for each in real:
                    self._tell(_edge_sentence(each), f"cellctl verify-user {each.follower}")
            suspects = unsettled
        if suspects:
            self._tell(
                f"{len(suspects):,} edges could not be judged: they change all the time, or the "
                "cell has fallen behind meanwhile",
                "cellctl status",
            )


def _inbox_sentence(reader: int, found: VerifiedReader) -> str:
    told = []
    for refs, what in ((found.missing, "lacks"), (found.extra, "has besides")):
        if refs:
            newest = max(refs, key=lambda ref: ref.id)
            told.append(f"{what} {len(refs):,} entries, newest {newest.author}/{newest.id}")
    return f"the inbox of reader {reader} {' and '.join(told)}"


def _edge_sentence(edge: EdgeDifference) -> str:
    versions = [None if row is None else row.version for row in (edge.following, edge.followers)]
    following, followers = ("not there" if v is None else f"of version {v}" for v in versions)
    other = ", with another value" if versions[0] == versions[1] else ""
    return (
        f"the edge of reader {edge.follower} to user {edge.author} is {following} in `following` "
        f"and {followers} in `followers`{other}"
    )
