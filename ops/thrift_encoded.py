"""Structs as bytes of Thrift's binary protocol, put into messages and taken out of them unread.

A router relays a page of a hundred posts without looking at any of them, and a cell that has sent a
page's entries before sends the same bytes again.

Format: Apache Thrift, doc/specs/thrift-binary-protocol.md; a result is a struct whose field 0 is
what the method returns.
"""

from dataclasses import dataclass
from typing import Any, Final

from thriftpy2.protocol.cybin import TCyBinaryProtocol
from thriftpy2.thrift import TDecodeException, TMessageType
from thriftpy2.transport.memory import TCyMemoryBuffer

from idgen.idl import DEPTH_MAX

_SUCCESS: Final = b"\x0c\x00\x00"
"""A field's header: a struct, number 0."""
_STOP: Final = b"\x00"
_REPLY_BEGINS: Final = b"\x80\x01\x00\x02"


@dataclass(frozen=True, slots=True)
class Encoded:
    """A struct's fields and its stop."""

    struct: bytes


def encoded(struct: Any) -> bytes:
    """A struct's bytes; fields that are None are left out. Raises ValueError for a value that does
    not fit its field."""
    transport = TCyMemoryBuffer()
    try:
        TCyBinaryProtocol(transport, max_depth=DEPTH_MAX).write_struct(struct)
    except TDecodeException as error:
        raise ValueError(f"{type(struct).__name__} does not fit its IDL") from error
    written: bytes = transport.getvalue()
    return written


def merged(*structs: bytes) -> Encoded:
    """One struct with the fields of several of its kind, none of which has a field twice."""
    return Encoded(b"".join([*(struct[: -len(_STOP)] for struct in structs), _STOP]))


def message(method: str, kind: int, seqid: int, *parts: bytes) -> bytes:
    """A message without its frame; `parts` together are the bytes of its struct."""
    transport = TCyMemoryBuffer()
    TCyBinaryProtocol(transport).write_message_begin(method, kind, seqid)
    return b"".join((transport.getvalue(), *parts))


def reply_of(method: str, seqid: int, result: Encoded) -> bytes:
    """The message by which a method returns the struct."""
    return message(method, TMessageType.REPLY, seqid, _SUCCESS, result.struct, _STOP)


def result_in(reply: bytes, method: str) -> Encoded | None:
    """The struct that a reply of this method returns; None: it has none, but an error."""
    name = method.encode()
    begins = _REPLY_BEGINS + len(name).to_bytes(4) + name
    at = len(begins) + 4  # the sequence number
    if not reply.startswith(begins) or reply[at : at + len(_SUCCESS)] != _SUCCESS:
        return None
    return Encoded(reply[at + len(_SUCCESS) : -len(_STOP)])
