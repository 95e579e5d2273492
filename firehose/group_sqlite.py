"""What is on record of one consumer group in an SQLite file, and how it changes.

Each partition of a group has an owner and a target. When members come, go or fall silent, targets
are dealt anew; an owner gives up what is not meant for it at its next poll, and only then (or when
the owner is gone) does the target take it. So between members that poll nothing is read twice.
"""

from collections.abc import Mapping

from firehose.log_sqlite import SqliteLog
from firehose.shares import share_out
from idgen.clock import Clock
from idgen.errors import Conflict
from idgen.file_sqlite import Connection, SqliteFile

# A group is known by the identity of its log too: of a log made anew nothing has been read.
SCHEMA = {
    "checkpoints": """
        CREATE TABLE checkpoints (
            log TEXT NOT NULL, grp TEXT NOT NULL, partition INTEGER NOT NULL,
            offset INTEGER NOT NULL, PRIMARY KEY (log, grp, partition)
        ) WITHOUT ROWID""",
    "members": """
        CREATE TABLE members (
            log TEXT NOT NULL, grp TEXT NOT NULL, member TEXT NOT NULL, client TEXT NOT NULL,
            seen_ms INTEGER NOT NULL, session_ms INTEGER NOT NULL, PRIMARY KEY (log, grp, member)
        ) WITHOUT ROWID""",
    # epoch grows whenever a partition changes hands; generation with every change of the group.
    "shares": """
        CREATE TABLE shares (
            log TEXT NOT NULL, grp TEXT NOT NULL, partition INTEGER NOT NULL, owner TEXT,
            target TEXT, epoch INTEGER NOT NULL, PRIMARY KEY (log, grp, partition)
        ) WITHOUT ROWID""",
    "generations": """
        CREATE TABLE generations (
            log TEXT NOT NULL, grp TEXT NOT NULL, generation INTEGER NOT NULL,
            PRIMARY KEY (log, grp)
        ) WITHOUT ROWID""",
}
LIVE = "abs(? - seen_ms) <= session_ms"
"""A member is live if it was seen within its session; one seen in the future lost it, too."""


class SqliteGroup:
    """One group of one log. Methods that take a connection are run inside a transaction."""

    def __init__(self, log: SqliteLog, file: SqliteFile, clock: Clock, name: str) -> None:
        self.log = log
        self.file = file
        self.clock = clock
        self.name = name
        self._at = (log.identity, name)

    def attend(self, connection: Connection, row: tuple[str, str, int]) -> dict[int, int]:
        """Be seen as a live member (member, client, session_ms) and settle what that changes.

        Returns the owned partitions, each with the epoch of its ownership.
        """
        member, client, session_ms = row
        at, now_ms = self._at, self.clock.now_ms()
        known = connection.execute(
            "UPDATE members SET seen_ms = ? WHERE log = ? AND grp = ? AND member = ?",
            (now_ms, *at, member),
        ).rowcount
        if not known:
            connection.execute(
                "INSERT INTO members VALUES (?,?,?,?,?,?)",
                (*at, member, client, now_ms, session_ms),
            )
        if self._drop_silent(connection) or not known:
            self._deal(connection)
        given = connection.execute(
            "UPDATE shares SET owner = NULL "
            "WHERE log = ? AND grp = ? AND owner = ? AND target IS NOT owner",
            (*at, member),
        ).rowcount
        taken = connection.execute(
            "UPDATE shares SET owner = target, epoch = epoch + 1 "
            "WHERE log = ? AND grp = ? AND owner IS NULL AND target = ?",
            (*at, member),
        ).rowcount
        if given or taken:
            self._advance(connection)
        return self.owned(connection, member)

    def expire(self, connection: Connection) -> None:
        """Take out the members that were silent for their session."""
        if self._drop_silent(connection):
            self._deal(connection)

    def _drop_silent(self, connection: Connection) -> bool:
        gone = connection.execute(
            f"DELETE FROM members WHERE log = ? AND grp = ? AND NOT {LIVE}",  # noqa: S608 - a constant
            (*self._at, self.clock.now_ms()),
        )
        return gone.rowcount > 0

    def owned(self, connection: Connection, member: str) -> dict[int, int]:
        """The partitions of a member with their epochs."""
        rows = connection.execute(
            "SELECT partition, epoch FROM shares WHERE log = ? AND grp = ? AND owner = ?",
            (*self._at, member),
        )
        return dict(rows.fetchall())

    def leave(self, connection: Connection, member: str) -> None:
        """Take a member out of the group."""
        at = self._at
        left = connection.execute(
            "DELETE FROM members WHERE log = ? AND grp = ? AND member = ?", (*at, member)
        ).rowcount
        if left:
            self._deal(connection)

    def _deal(self, connection: Connection) -> None:
        """Deal the partitions anew among those who are members now."""
        at = self._at
        members = [
            member
            for (member,) in connection.execute(
                "SELECT member FROM members WHERE log = ? AND grp = ? ORDER BY member", at
            )
        ]
        shares = connection.execute(
            "SELECT partition, owner, target FROM shares WHERE log = ? AND grp = ?", at
        ).fetchall()
        if not shares:
            connection.executemany(
                "INSERT INTO shares VALUES (?,?,?,NULL,NULL,0)",
                [(*at, partition) for partition in range(self.log.partitions)],
            )
        owners = {p: owner for p, owner, _ in shares if owner in members}
        current = {p: target for p, _, target in shares if target in members}
        target = share_out(self.log.partitions, members, current)
        connection.executemany(
            "UPDATE shares SET owner = ?, target = ? WHERE log = ? AND grp = ? AND partition = ?",
            [(owners.get(p), target.get(p), *at, p) for p in range(self.log.partitions)],
        )
        self._advance(connection)

    def _advance(self, connection: Connection) -> None:
        connection.execute(
            "INSERT INTO generations VALUES (?,?,1) "
            "ON CONFLICT (log, grp) DO UPDATE SET generation = generation + 1",
            self._at,
        )

    def generation(self) -> int:
        """A number that grows with every change of the group."""
        rows = self.file.read(
            "SELECT generation FROM generations WHERE log = ? AND grp = ?",
            self._at,
        )
        return int(rows[0][0]) if rows else 0

    def store(self, connection: Connection, offsets: Mapping[int, int]) -> None:
        """Set checkpoints."""
        connection.executemany(
            "INSERT INTO checkpoints VALUES (?,?,?,?) "
            "ON CONFLICT (log, grp, partition) DO UPDATE SET offset = excluded.offset",
            [(*self._at, p, offset) for p, offset in offsets.items()],
        )

    def committed(self) -> dict[int, int]:
        """The checkpoints by partition."""
        rows = self.file.read(
            "SELECT partition, offset FROM checkpoints WHERE log = ? AND grp = ?", self._at
        )
        return dict(rows)

    def live(self, connection: Connection) -> list[tuple[str, str]]:
        """The live members, each with its client."""
        return connection.execute(
            f"SELECT member, client FROM members WHERE log = ? AND grp = ? AND {LIVE}",  # noqa: S608 - a constant
            (*self._at, self.clock.now_ms()),
        ).fetchall()

    def refuse_live(self, connection: Connection, what: str) -> None:
        """Raise Conflict if there are live members, which prevent `what`; expire the others."""
        clients = sorted(client for _, client in self.live(connection))
        if clients:
            raise Conflict(
                f"group {self.name!r} cannot be {what} while it has live members "
                f"({', '.join(clients)}); stop them first"
            )
        # One that wakes up later must find that it owns nothing.
        self.expire(connection)

    def forget(self, connection: Connection) -> None:
        """Delete all that is on record."""
        for table in SCHEMA:
            connection.execute(
                f"DELETE FROM {table} WHERE log = ? AND grp = ?",  # noqa: S608 - constants
                self._at,
            )
