"""The requests that begin a session, authenticate it, keep it alive and end it.

As in ``requests``, but the first record of a connection has neither an operation nor a header.
"""

from __future__ import annotations

from typing import ClassVar, TypeVar

import attrs

from txmirror.wire.jute import Cursor, encode_bool, encode_buffer, encode_int, encode_long, encode_string
from txmirror.wire.operations import Operation
from txmirror.wire.responses import SaslResponse, WhoAmIResponse

_EmptyT = TypeVar("_EmptyT", bound="_Empty")


@attrs.frozen
class ConnectRequest:
    """Begin a session, or resume one: the first frame of a connection."""

    lastZxidSeen: int
    """The last transaction that the client has seen. A server that has not seen it closes the connection without a reply."""
    timeOut: int
    """The requested session timeout, in milliseconds."""
    sessionId: int
    """The session to resume, or 0 for a new one."""
    passwd: bytes | None = attrs.field(repr=False)
    readOnly: bool | None = False
    """True if the client accepts a read-only server; None if the field is missing."""
    protocolVersion: int = 0

    def encode(self) -> bytes:
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
        version, zxid, timeout, session = cursor.int32(), cursor.int64(), cursor.int32(), cursor.int64()
        passwd = cursor.buffer()
        return cls(zxid, timeout, session, passwd, None if cursor.at_end() else cursor.boolean(), version)


@attrs.frozen
class _Empty:
    def encode(self) -> bytes:
        return b""

    @classmethod
    def decode(cls: type[_EmptyT], cursor: Cursor) -> _EmptyT:
        return cls()


class PingRequest(_Empty):
    """Keep the session alive. The reply has the xid -2."""

    operation: ClassVar[Operation] = Operation.PING
    response: ClassVar[None] = None


class WhoAmIRequest(_Empty):
    """List the identities of this connection. Since 3.7."""

    operation: ClassVar[Operation] = Operation.WHO_AM_I
    response: ClassVar[type[WhoAmIResponse]] = WhoAmIResponse


class CloseSessionRequest(_Empty):
    """End the session and delete its ephemeral nodes."""

    operation: ClassVar[Operation] = Operation.CLOSE_SESSION
    response: ClassVar[None] = None


@attrs.frozen
class AuthRequest:
    """Add an identity to the connection. The reply has the xid -4."""

    operation: ClassVar[Operation] = Operation.AUTH
    response: ClassVar[None] = None

    scheme: str
    auth: bytes | None = attrs.field(repr=False)
    type: int = 0
    """Unused by every server."""

    def encode(self) -> bytes:
        return encode_int(self.type) + encode_string(self.scheme) + encode_buffer(self.auth)

    @classmethod
    def decode(cls, cursor: Cursor) -> AuthRequest:
        kind, scheme = cursor.int32(), cursor.string()
        return cls(scheme, cursor.buffer(), kind)


@attrs.frozen
class SaslRequest:
    """Send the next token of a SASL exchange, which authenticates the client."""

    operation: ClassVar[Operation] = Operation.SASL
    response: ClassVar[type[SaslResponse]] = SaslResponse

    token: bytes | None = attrs.field(repr=False)

    def encode(self) -> bytes:
        return encode_buffer(self.token)

    @classmethod
    def decode(cls, cursor: Cursor) -> SaslRequest:
        return cls(cursor.buffer())
