"""Consumer groups in an SQLite file."""

import contextlib
import uuid
import weakref
from collections.abc import Mapping
from pathlib import Path

from firehose.checkpoint import MemberInfo, clamped
from firehose.group_sqlite import LIVE, SCHEMA, SqliteGroup
from firehose.log_sqlite import SqliteLog
from firehose.member_sqlite import SqliteMember
from idgen.clock import Clock
from idgen.errors import BadRequest, Unavailable
from idgen.file_sqlite import Connection, SqliteFile

SESSION_MS_MIN = 10
SESSION_MS_MAX = 3_600_000


class SqliteCheckpoints:
    """The checkpoint seam on one file, for the groups of one log."""

    def __init__(self, log: SqliteLog, path: Path, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._file = SqliteFile(path, SCHEMA)
        self._members: weakref.WeakSet[SqliteMember] = weakref.WeakSet()

    def _group(self, name: str) -> SqliteGroup:
        return SqliteGroup(self._log, self._file, self._clock, name)

    def join(
        self,
        group: str,
        client: str,
        session_ms: int = 10_000,
        busy_ms: int | None = None,  # noqa: ARG002 - a file does not tell busy from dead
    ) -> SqliteMember:
        """Become a member; partitions come with the first polls."""
        if not group or not client:
            raise BadRequest("group", "group and client need a name")
        if not SESSION_MS_MIN <= session_ms <= SESSION_MS_MAX:
            raise BadRequest(
                "session_ms", f"{session_ms} is outside {SESSION_MS_MIN}..{SESSION_MS_MAX}"
            )
        member = SqliteMember(self._group(group), client, uuid.uuid4().hex, session_ms)
        self._members.add(member)
        return member

    def committed(self, group: str) -> dict[int, int]:
        """The group's checkpoints by partition."""
        return self._group(group).committed()

    def rewind(self, group: str, offsets: Mapping[int, int]) -> None:
        """Set checkpoints, clamped to what the log retains, of a group without live members."""
        places = clamped(offsets, self._log.spans())
        state = self._group(group)

        def job(connection: Connection) -> None:
            state.refuse_live(connection, "rewound")
            state.store(connection, places)

        self._file.write(job)

    def members(self, group: str) -> list[MemberInfo]:
        """The live members and what they own, by client."""
        state = self._group(group)
        with self._file.snapshot() as connection:
            infos = [
                MemberInfo(client, tuple(sorted(state.owned(connection, member))))
                for member, client in state.live(connection)
            ]
        return sorted(infos)

    def groups(self) -> list[str]:
        """Names of all groups that have live members or checkpoints, sorted."""
        rows = self._file.read(
            "SELECT grp FROM checkpoints WHERE log = ? "  # noqa: S608 - a constant
            f"UNION SELECT grp FROM members WHERE log = ? AND {LIVE} ORDER BY grp",
            (self._log.identity, self._log.identity, self._clock.now_ms()),
        )
        return [group for (group,) in rows]

    def delete(self, group: str) -> None:
        """Forget a group without live members."""
        state = self._group(group)

        def job(connection: Connection) -> None:
            state.refuse_live(connection, "deleted")
            state.forget(connection)

        self._file.write(job)

    def close(self) -> None:
        """Let the members that joined here leave, and close the file."""
        if not self._file.closed:
            with contextlib.suppress(Unavailable):
                # A file that cannot be written: their sessions will run out instead.
                for member in list(self._members):
                    member.leave()
        self._file.close()
