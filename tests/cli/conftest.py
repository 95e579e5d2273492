"""The platform that commands are tried at: embedded, two cells, in a process of its own."""

from collections.abc import Iterator

import pytest

from tests.cli.shell import Shell


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """cellctl with a platform that runs."""
    found = Shell(tmp_path_factory.mktemp("platform") / "site")
    found.done("up", "--detach", "--cells", "2")
    try:
        yield found
    finally:
        found.done("down")
