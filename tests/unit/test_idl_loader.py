"""The IDL loader, and encoding that is strict in both directions."""

from pathlib import Path

import pytest

from idgen import errors, idl
from idgen.errors import Corrupt, DashcellError
from tests.contract.patience import together

NAMES = sorted(path.stem for path in idl.folder().glob("*.thrift"))


@pytest.mark.parametrize("name", NAMES)
def test_every_idl_loads_and_is_the_same_module_each_time(name: str) -> None:
    module = idl.load(name)
    assert idl.load(name) is module
    assert Path(module.__thrift_file__) == idl.folder() / f"{name}.thrift"


def test_what_is_included_is_what_is_loaded_by_its_name() -> None:
    assert idl.load("idgen").errors.Conflict is idl.load("errors").Conflict


def test_an_idl_that_is_not_there_is_named() -> None:
    with pytest.raises(FileNotFoundError, match="nothing-of-ours"):
        idl.load("nothing-of-ours")


def test_threads_that_load_at_once_get_one_module() -> None:
    idl._load.cache_clear()
    loaded = together([lambda: idl.load("idgen") for _ in range(8)])
    assert all(one is loaded[0] for one in loaded)


def test_every_error_has_its_exception_with_reason_and_message() -> None:
    wire = idl.load("errors")
    local_alone = {"DashcellError", "Corrupt", "LeaseLost"}
    names = {
        name
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, DashcellError)
    }
    assert {kind.__name__ for kind in wire.__thrift_meta__["exceptions"]} == names - local_alone
    for kind in wire.__thrift_meta__["exceptions"]:
        fields = {spec[1] for spec in kind.thrift_spec.values()}
        assert {"reason", "message"} <= fields, kind


def test_what_was_encoded_decodes_to_the_same() -> None:
    wire = idl.load("errors")
    for struct in (
        wire.BadRequest("bad_request", "title", "zu lang: grüße 日本", "x" * 5_000),
        wire.Behind("behind", "", bytes(range(256))),
        wire.Moved("moved", "m", "cell-a", 2**31 - 1),
        wire.Throttled("throttled", "m", -(2**63)),
        wire.NotFound(),
    ):
        encoded = idl.binary_encode(struct)
        assert vars(idl.binary_decode(type(struct), encoded)) == vars(struct)


def test_every_truncation_and_every_extension_is_corrupt() -> None:
    wire = idl.load("errors")
    encoded = idl.binary_encode(wire.Throttled("throttled", "later", 1_000))
    for cut in range(len(encoded)):
        with pytest.raises(Corrupt):
            idl.binary_decode(wire.Throttled, encoded[:cut])
    for more in (b"\0", b"\x0b", encoded, bytes(8)):
        with pytest.raises(Corrupt):
            idl.binary_decode(wire.Throttled, encoded + more)


def test_text_that_is_no_utf_8_is_corrupt() -> None:
    wire = idl.load("errors")
    encoded = idl.binary_encode(wire.NotFound("not_found", "abc"))
    with pytest.raises(Corrupt):
        idl.binary_decode(wire.NotFound, encoded.replace(b"abc", b"a\xffc"))


def test_a_negative_length_is_corrupt() -> None:
    wire = idl.load("errors")
    for length in (b"\xff\xff\xff\xff", b"\x80\x00\x00\x00"):
        with pytest.raises(Corrupt):
            idl.binary_decode(wire.NotFound, b"\x0b\x00\x01" + length + b"abc\x00")


def test_nesting_without_end_is_corrupt() -> None:
    wire = idl.load("errors")
    with pytest.raises(Corrupt):
        idl.binary_decode(wire.NotFound, b"\x0c\x00\x09" * 500)


def test_a_field_of_the_future_is_passed_over() -> None:
    wire = idl.load("errors")
    encoded = idl.binary_encode(wire.NotFound("not_found", "abc"))
    future = b"\x0a\x00\x63" + bytes(8)
    decoded = idl.binary_decode(wire.NotFound, future + encoded)
    assert (decoded.reason, decoded.message) == ("not_found", "abc")


def test_a_value_that_does_not_fit_its_field_is_not_encoded() -> None:
    wire = idl.load("errors")
    for struct in (wire.Moved("moved", "m", "a", "one"), wire.Moved("moved", "m", "a", 2**31)):
        with pytest.raises(ValueError, match="Moved"):
            idl.binary_encode(struct)
