"""The records that a server sends. One class encodes and decodes each, so that the two sides cannot drift apart.

The fields and their order are those of ``zookeeper.jute``. The records that every reply has are NamedTuples, for speed:
a NamedTuple takes a third of the time of a frozen attrs class.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, TypeVar

import attrs

from txmirror.types import ACL, ZnodeStat
from txmirror.wire.jute import (
    INT,
    STAT,
    Cursor,
    encode_acls,
    encode_bool,
    encode_buffer,
    encode_int,
    encode_long,
    encode_stat,
    encode_string,
    encode_strings,
    unpack_stat,
)

_RecordT = TypeVar("_RecordT", bound="Record")


class Record(Protocol):
    """A record that both sides read and write."""

    def encode(self) -> bytes:
        """Return the encoded record."""

    @classmethod
    def decode(cls: type[_RecordT], cursor: Cursor) -> _RecordT:
        """Read one record and leave ``cursor`` just past it.

        :raises ProtocolError: the frame ends early, or a length, string or boolean in it is invalid.
        """


@attrs.frozen
class ConnectResponse:
    """The first frame that a server sends: the session is established, or has expired."""

    timeOut: int
    """The session timeout as negotiated, in milliseconds; 0 or less: the requested session has expired."""
    sessionId: int
    passwd: bytes | None = attrs.field(repr=False)
    readOnly: bool | None = False
    """True if the server is read-only; None if the field is missing, as in servers before 3.4."""
    protocolVersion: int = 0

    def encode(self) -> bytes:
        return (
            encode_int(self.protocolVersion)
            + encode_int(self.timeOut)
            + encode_long(self.sessionId)
            + encode_buffer(self.passwd)
            + (b"" if self.readOnly is None else encode_bool(self.readOnly))
        )

    @classmethod
    def decode(cls, cursor: Cursor) -> ConnectResponse:
        version, timeout, session = cursor.int32(), cursor.int32(), cursor.int64()
        passwd = cursor.buffer()
        return cls(timeout, session, passwd, None if cursor.at_end() else cursor.boolean(), version)


class PathResponse(NamedTuple):
    """The reply to create (the path of the new node) and to sync (the requested path)."""

    path: str

    def encode(self) -> bytes:
        return encode_string(self.path)

    @classmethod
    def decode(cls, cursor: Cursor) -> PathResponse:
        return cls(cursor.string())


class Create2Response(NamedTuple):
    """The reply to create2."""

    path: str
    stat: ZnodeStat

    def encode(self) -> bytes:
        return encode_string(self.path) + encode_stat(self.stat)

    @classmethod
    def decode(cls, cursor: Cursor) -> Create2Response:
        return cls(cursor.string(), cursor.stat())


class StatResponse(NamedTuple):
    """The reply to exists, setData and setACL."""

    stat: ZnodeStat

    def encode(self) -> bytes:
        return encode_stat(self.stat)

    @classmethod
    def decode(cls, cursor: Cursor) -> StatResponse:
        return cls(cursor.stat())


class GetDataResponse(NamedTuple):
    """The reply to getData."""

    data: bytes | None
    stat: ZnodeStat

    def encode(self) -> bytes:
        return encode_buffer(self.data) + encode_stat(self.stat)

    @classmethod
    def decode(cls, cursor: Cursor) -> GetDataResponse:
        # The usual shape is read in one go, for speed.
        frame = cursor.frame
        start = cursor.offset + 4
        if start + STAT.size <= len(frame):
            length: int = INT.unpack_from(frame, cursor.offset)[0]
            stop = start + length
            if length >= 0 and stop + STAT.size <= len(frame):
                cursor.offset = stop + STAT.size
                return tuple.__new__(cls, (frame[start:stop], unpack_stat(frame, stop)))
        return cls(cursor.buffer(), cursor.stat())


class GetChildrenResponse(NamedTuple):
    """The reply to getChildren."""

    children: list[str]

    def encode(self) -> bytes:
        return encode_strings(self.children)

    @classmethod
    def decode(cls, cursor: Cursor) -> GetChildrenResponse:
        return cls(cursor.strings())


class GetChildren2Response(NamedTuple):
    """The reply to getChildren2."""

    children: list[str]
    stat: ZnodeStat

    def encode(self) -> bytes:
        return encode_strings(self.children) + encode_stat(self.stat)

    @classmethod
    def decode(cls, cursor: Cursor) -> GetChildren2Response:
        return cls(cursor.strings(), cursor.stat())


class GetEphemeralsResponse(NamedTuple):
    """The reply to getEphemerals."""

    ephemerals: list[str]

    def encode(self) -> bytes:
        return encode_strings(self.ephemerals)

    @classmethod
    def decode(cls, cursor: Cursor) -> GetEphemeralsResponse:
        return cls(cursor.strings())


class GetAllChildrenNumberResponse(NamedTuple):
    """The reply to getAllChildrenNumber."""

    totalNumber: int

    def encode(self) -> bytes:
        return encode_int(self.totalNumber)

    @classmethod
    def decode(cls, cursor: Cursor) -> GetAllChildrenNumberResponse:
        return cls(cursor.int32())


class ClientInfo(NamedTuple):
    """An identity as the server shows it, without its password."""

    authScheme: str
    user: str


class WhoAmIResponse(NamedTuple):
    """The reply to whoAmI."""

    clientInfo: list[ClientInfo]

    def encode(self) -> bytes:
        identities = [encode_string(info.authScheme) + encode_string(info.user) for info in self.clientInfo]
        return encode_int(len(identities)) + b"".join(identities)

    @classmethod
    def decode(cls, cursor: Cursor) -> WhoAmIResponse:
        return cls(cursor.vector(lambda: ClientInfo(cursor.string(), cursor.string()), 8))


class SaslResponse(NamedTuple):
    """The reply to a step of a SASL exchange."""

    token: bytes | None

    def __repr__(self) -> str:
        return "SaslResponse(...)"

    def encode(self) -> bytes:
        return encode_buffer(self.token)

    @classmethod
    def decode(cls, cursor: Cursor) -> SaslResponse:
        return cls(cursor.buffer())


class AddWatchResponse(NamedTuple):
    """The reply to addWatch: jute's ``ErrorResponse``, which is 0 wherever the header has no error."""

    err: int = 0

    def encode(self) -> bytes:
        return encode_int(self.err)

    @classmethod
    def decode(cls, cursor: Cursor) -> AddWatchResponse:
        return cls(cursor.int32())


class GetACLResponse(NamedTuple):
    """The reply to getACL."""

    acl: list[ACL]
    stat: ZnodeStat

    def encode(self) -> bytes:
        return encode_acls(self.acl) + encode_stat(self.stat)

    @classmethod
    def decode(cls, cursor: Cursor) -> GetACLResponse:
        return cls(cursor.acls(), cursor.stat())


class WatcherEvent(NamedTuple):
    """A watch event; it follows the header of an event."""

    type: int
    state: int
    """The session's state for the server: 3, connected, in every event that a server sends."""
    path: str

    def encode(self) -> bytes:
        return encode_int(self.type) + encode_int(self.state) + encode_string(self.path)

    @classmethod
    def decode(cls, cursor: Cursor) -> WatcherEvent:
        return cls(cursor.int32(), cursor.int32(), cursor.string())
