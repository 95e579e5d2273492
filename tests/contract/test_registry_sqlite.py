"""The registry contract on SQLite."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from idgen.clock import SystemClock
from router.registry import Registry
from router.registry_sqlite import SqliteRegistry
from tests.contract.registry_contract import OpenRegistry, RegistryContract


class TestSqliteRegistry(RegistryContract):
    @pytest.fixture
    def open_registry(self, tmp_path: Path) -> Iterator[OpenRegistry]:
        opened: list[SqliteRegistry] = []

        def open_one() -> SqliteRegistry:
            # A short session, since what is noticed when it is renewed is waited for here.
            registry = SqliteRegistry(tmp_path / "registry.db", SystemClock(), session_ms=1_000)
            opened.append(registry)
            return registry

        yield open_one
        for registry in opened:
            registry.close()

    def lose_session(self, registry: Registry) -> None:
        # What a client does that finds another one silent for its session.
        assert isinstance(registry, SqliteRegistry)
        with closing(sqlite3.connect(registry._file.path, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            owned = "SELECT path FROM nodes WHERE owner = ?"
            paths = connection.execute(owned, (registry._session.id,)).fetchall()
            connection.execute("DELETE FROM nodes WHERE owner = ?", (registry._session.id,))
            connection.executemany("INSERT INTO changes (path) VALUES (?)", paths)
            connection.execute("DELETE FROM sessions WHERE id = ?", (registry._session.id,))
            connection.execute("COMMIT")
