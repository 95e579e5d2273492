"""The IDL as Python modules, and transports and protocols that belong together.

The `.thrift` files lie beside the packages in a checkout and at `idgen/thrift` in an installed
wheel; the latter is looked at first, because a folder `thrift` beside installed packages may be
Apache's library.

thriftpy2 has every transport and protocol twice, in Cython and in Python, and a Python protocol
over a Cython transport raises: whoever needs a pair takes it from here.
"""

import functools
import struct as bytes_struct
import threading
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import thriftpy2
from thriftpy2.protocol.cybin import TCyBinaryProtocol, TCyBinaryProtocolFactory
from thriftpy2.transport import TCyFramedTransportFactory
from thriftpy2.transport.memory import TCyMemoryBuffer

from idgen.errors import Corrupt

DEPTH_MAX = 64
"""How deep structs and containers may nest; Apache Thrift's own limit."""

_END = bytes(8)
"""Put behind bytes to be decoded: the Cython decoder reads on past the end of its buffer without
a word, so the only proof that a struct was neither cut nor followed is that all of this is left
over. Zeros, because a cut struct makes the decoder take them for a length."""

_DECODER_ERRORS = (
    ValueError,  # also UnicodeDecodeError: a string that is no UTF-8
    TypeError,
    OverflowError,
    MemoryError,
    SystemError,  # a negative length reaches the C API
    RecursionError,
    bytes_struct.error,
)

_lock = threading.RLock()
_Struct = TypeVar("_Struct")


def load(name: str) -> ModuleType:
    """The module of `thrift/<name>.thrift`, with what it includes; the same object every time.

    `load("errors").Conflict` is also what `load("idgen").errors.Conflict` is. Safe to call from
    many threads. Raises FileNotFoundError when there is no such IDL.
    """
    with _lock:
        return _load(name)


@functools.cache
def _load(name: str) -> ModuleType:
    path = folder() / f"{name}.thrift"
    if not path.is_file():
        raise FileNotFoundError(f"no IDL named {name!r} at {path}")
    module: ModuleType = thriftpy2.load(str(path), module_name=f"{name}_thrift")
    return module


@functools.cache
def folder() -> Path:
    """Where the `.thrift` files are."""
    here = Path(__file__).resolve().parent
    installed, checkout = here / "thrift", here.parent / "thrift"
    return installed if installed.is_dir() else checkout


def memory_pair(data: bytes = b"") -> tuple[Any, Any]:
    """A transport over bytes in memory and the binary protocol over it."""
    transport = TCyMemoryBuffer(data)
    return transport, TCyBinaryProtocol(transport, strict_decode=True, max_depth=DEPTH_MAX)


def framed_pair() -> tuple[Any, Any]:
    """Factories of the framed transport and the binary protocol: what every service speaks.

    Both ends decode strictly: a string that is no UTF-8 is an error and not suddenly bytes.
    """
    return TCyFramedTransportFactory(), TCyBinaryProtocolFactory(strict_decode=True)


def binary_encode(struct: object) -> bytes:
    """A struct as Thrift's binary protocol writes it, without frame or message header.

    Raises ValueError for a value that does not fit its field.
    """
    transport, protocol = memory_pair()
    try:
        protocol.write_struct(struct)
    except (TypeError, AttributeError, OverflowError, thriftpy2.thrift.TDecodeException) as error:
        raise ValueError(f"{type(struct).__name__}: a field does not fit its type") from error
    written: bytes = transport.getvalue()
    return written


def binary_decode(struct_type: type[_Struct], data: bytes) -> _Struct:
    """The struct in `data`, all of it and nothing else.

    Raises Corrupt for bytes that are cut anywhere, have something behind the struct, or hold a
    string that is no UTF-8. Lengths are believed: a hostile one makes the decoder reserve
    gigabytes, so `data` must come out of an envelope whose checksum was right, or have been
    measured before.
    """
    transport, protocol = memory_pair(data + _END)
    decoded = struct_type()
    try:
        protocol.read_struct(decoded)
    except _DECODER_ERRORS as error:
        raise Corrupt(f"{struct_type.__name__}: {len(data)} bytes cannot be decoded") from error
    if transport.getvalue() != _END:
        raise Corrupt(f"{struct_type.__name__}: {len(data)} bytes are cut or hold something more")
    return decoded
