"""Tokens over the registry in SQLite."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from idgen.clock import SystemClock
from router.registry_sqlite import SqliteRegistry
from tests.contract.registry_contract import OpenRegistry
from tests.contract.tokens_contract import TokensContract


class TestTokensOverSqlite(TokensContract):
    @pytest.fixture
    def open_registry(self, tmp_path: Path) -> Iterator[OpenRegistry]:
        opened: list[SqliteRegistry] = []

        def open_one() -> SqliteRegistry:
            opened.append(SqliteRegistry(tmp_path / "registry.db", SystemClock()))
            return opened[-1]

        yield open_one
        for registry in opened:
            registry.close()
