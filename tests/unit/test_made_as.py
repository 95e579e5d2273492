"""A folder keeps what its platform was made as."""

from pathlib import Path

import pytest

from idgen.errors import Conflict, Corrupt
from ops import addresses
from ops.addresses import MadeAs
from ops.config_settings import Platform


def test_a_new_folder_gets_what_is_configured(tmp_path: Path) -> None:
    assert addresses.cells_of(Platform(data=str(tmp_path), cells=3)) == ("a", "b", "c")


def test_a_platform_keeps_its_cells(tmp_path: Path) -> None:
    addresses.made_as(tmp_path, MadeAs("embedded", ("a", "b")))
    assert addresses.cells_of(Platform(data=str(tmp_path))) == ("a", "b")
    assert addresses.cells_of(Platform(data=str(tmp_path), cells=2)) == ("a", "b")


def test_other_cells_are_refused(tmp_path: Path) -> None:
    addresses.made_as(tmp_path, MadeAs("embedded", ("a", "b")))
    with pytest.raises(Conflict, match=r"has the cells a, b: leave --cells out"):
        addresses.cells_of(Platform(data=str(tmp_path), cells=3))


def test_another_profile_is_refused(tmp_path: Path) -> None:
    addresses.made_as(tmp_path, MadeAs("stack", ("a",)))
    with pytest.raises(Conflict, match="of the stack profile: start it with --profile stack"):
        addresses.cells_of(Platform(data=str(tmp_path)))


def test_a_damaged_note_is_told(tmp_path: Path) -> None:
    (tmp_path / addresses.MADE_AS).write_text("{")
    with pytest.raises(Corrupt, match=r"made-as\.json cannot be read"):
        addresses.cells_of(Platform(data=str(tmp_path)))
