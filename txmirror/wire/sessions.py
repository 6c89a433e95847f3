"""The records by which a client begins a session, says who it is, stays there, and ends it.

As in ``requests``; but the first of a connection has neither an operation nor a header.
"""

from __future__ import annotations

from typing import ClassVar, TypeVar

import attrs

from txmirror.wire.jute import Cursor, encode_bool, encode_buffer, encode_int, encode_long, encode_string
from txmirror.wire.operations import Operation

_EmptyT = TypeVar("_EmptyT", bound="_Empty")


@attrs.frozen
class ConnectRequest:
    """The first frame of a connection: begin a session, or go on with one.

    Jute: ``int protocolVersion; long lastZxidSeen; int timeOut; long sessionId; buffer passwd``, then ``boolean
    readOnly`` since 3.4. It has no header.
    """

    lastZxidSeen: int
    """The last transaction that this client has seen; a server that has not closes the connection without a reply."""
    timeOut: int
    """The session timeout asked for, in milliseconds."""
    sessionId: int
    """The session to go on with, or 0 for a new one."""
    passwd: bytes | None = attrs.field(repr=False)
    readOnly: bool | None = False
    """Whether a server that can only be read will do; None where the field is missing."""
    protocolVersion: int = 0

    def encode(self) -> bytes:
        """Give the record's bytes."""
        return (
            encode_int(self.protocolVersion)
            + encode_long(self.lastZxidSeen)
            + encode_int(self.timeOut)
            + encode_long(self.sessionId)
            + encode_buffer(self.passwd)
            + (b"" if self.readOnly is None else encode_bool(self.readOnly))
        )

    @classmethod
    def decode(cls, cursor: Cursor) -> ConnectRequest:
        """Read one record and leave ``cursor`` just past it.

        :raises ProtocolError: the frame ends early.
        """
        version, zxid, timeout, session = cursor.int32(), cursor.int64(), cursor.int32(), cursor.int64()
        passwd = cursor.buffer()
        return cls(zxid, timeout, session, passwd, None if cursor.at_end() else cursor.boolean(), version)


@attrs.frozen
class _Empty:
    def encode(self) -> bytes:
        """Give no bytes: there are no fields."""
        return b""

    @classmethod
    def decode(cls: type[_EmptyT], cursor: Cursor) -> _EmptyT:
        """Read nothing."""
        return cls()


class PingRequest(_Empty):
    """Show that this side is alive. Operation 11."""

    operation: ClassVar[Operation] = Operation.PING


class WhoAmIRequest(_Empty):
    """Ask for the identities of this connection. Operation 107, known since ZooKeeper 3.7."""

    operation: ClassVar[Operation] = Operation.WHO_AM_I


class CloseSessionRequest(_Empty):
    """End the session, and with it its ephemerals. Operation -11."""

    operation: ClassVar[Operation] = Operation.CLOSE_SESSION


@attrs.frozen
class AuthRequest:
    """Add an identity to the connection. The answer is an empty reply with the xid -4.

    Jute: ``int type; ustring scheme; buffer auth``, operation 100.
    """

    operation: ClassVar[Operation] = Operation.AUTH

    scheme: str
    auth: bytes | None = attrs.field(repr=False)
    type: int = 0
    """Unused by every server."""

    def encode(self) -> bytes:
        """Give the record's bytes."""
        return encode_int(self.type) + encode_string(self.scheme) + encode_buffer(self.auth)

    @classmethod
    def decode(cls, cursor: Cursor) -> AuthRequest:
        """Read one record and leave ``cursor`` just past it.

        :raises ProtocolError: the frame ends early, or the scheme is null or not UTF-8.
        """
        kind, scheme = cursor.int32(), cursor.string()
        return cls(scheme, cursor.buffer(), kind)


@attrs.frozen
class SaslRequest:
    """Go on with the proof of who the client is, in the words of a SASL mechanism.

    Jute: ``buffer token``, operation 102. The answer is a ``SaslResponse``.
    """

    operation: ClassVar[Operation] = Operation.SASL

    token: bytes | None = attrs.field(repr=False)

    def encode(self) -> bytes:
        """Give the record's bytes."""
        return encode_buffer(self.token)

    @classmethod
    def decode(cls, cursor: Cursor) -> SaslRequest:
        """Read one record and leave ``cursor`` just past it.

        :raises ProtocolError: the frame ends early.
        """
        return cls(cursor.buffer())
