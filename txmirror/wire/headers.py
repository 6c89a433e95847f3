"""The headers of requests and replies, and the frames that consist of length, header and record."""

from __future__ import annotations

import struct
from typing import NamedTuple

from txmirror.errors import ProtocolError
from txmirror.wire.jute import Cursor

_REQUEST = struct.Struct(">ii")
_REPLY = struct.Struct(">iqi")
_FRAMED_REQUEST = struct.Struct(">iii")
_FRAMED_REPLY = struct.Struct(">iiqi")


class RequestHeader(NamedTuple):
    """The header of every request but the first."""

    xid: int
    type: int
    """The operation code."""

    def encode(self) -> bytes:
        return _REQUEST.pack(*self)

    @classmethod
    def decode(cls, cursor: Cursor) -> RequestHeader:
        try:
            header = tuple.__new__(cls, _REQUEST.unpack_from(cursor.frame, cursor.offset))
        except struct.error:
            return cls(cursor.int32(), cursor.int32())
        cursor.offset += _REQUEST.size
        return header


class ReplyHeader(NamedTuple):
    """The header of every reply but the first, and of events."""

    xid: int
    zxid: int
    """The server's last transaction when it replied, -1 for an event of servers before 3.9."""
    err: int
    """0, or the code of the failure; then no record follows."""

    def encode(self) -> bytes:
        return _REPLY.pack(*self)

    @classmethod
    def decode(cls, cursor: Cursor) -> ReplyHeader:
        try:
            header = tuple.__new__(cls, _REPLY.unpack_from(cursor.frame, cursor.offset))
        except struct.error:
            raise ProtocolError(f"a reply of {len(cursor.frame)} bytes is too short for its header") from None
        cursor.offset += _REPLY.size
        return header


def request_frame(xid: int, operation: int, record: bytes = b"") -> bytes:
    """Return the frame of a request."""
    return _FRAMED_REQUEST.pack(_REQUEST.size + len(record), xid, operation) + record


def reply_frame(xid: int, zxid: int, err: int = 0, record: bytes = b"") -> bytes:
    """Return the frame of a reply or an event."""
    return _FRAMED_REPLY.pack(_REPLY.size + len(record), xid, zxid, err) + record
