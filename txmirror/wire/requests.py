"""The records that a client sends: each is one class, read and written by it, so that the two sides cannot drift apart.

The fields and their order are those of ``zookeeper.jute``. Each but the first of a connection has an ``operation``, and
stands behind a :class:`RequestHeader`.
"""

from __future__ import annotations

import struct
from typing import ClassVar, NamedTuple, Protocol, TypeVar

import attrs

from txmirror.types import ACL
from txmirror.wire.jute import (
    Cursor,
    encode_acls,
    encode_bool,
    encode_buffer,
    encode_int,
    encode_long,
    encode_string,
    encode_string_or_null,
)
from txmirror.wire.operations import Operation

_CreateT = TypeVar("_CreateT", bound="_Create")
_PathAndWatchT = TypeVar("_PathAndWatchT", bound="_PathAndWatch")
_PathT = TypeVar("_PathT", bound="_Path")
_EmptyT = TypeVar("_EmptyT", bound="_Empty")

_HEADER = struct.Struct(">ii")


class Request(Protocol):
    """What every request has."""

    @property
    def operation(self) -> Operation:
        """The number of what it asks for."""

    def encode(self) -> bytes:
        """Give the record's bytes, without header and length."""


class RequestHeader(NamedTuple):
    """What stands before every request but the first.

    Jute: ``int xid; int type``.
    """

    xid: int
    type: int

    def encode(self) -> bytes:
        """Give the header's bytes."""
        return _HEADER.pack(*self)

    @classmethod
    def decode(cls, cursor: Cursor) -> RequestHeader:
        """Read one record and leave ``cursor`` just past it.

        :raises ProtocolError: the frame ends early.
        """
        return cls(cursor.int32(), cursor.int32())


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
class _Create:
    path: str
    data: bytes | None
    acl: tuple[ACL, ...]
    flags: int

    def encode(self) -> bytes:
        """Give the record's bytes."""
        return encode_string(self.path) + encode_buffer(self.data) + encode_acls(self.acl) + encode_int(self.flags)

    @classmethod
    def decode(cls: type[_CreateT], cursor: Cursor) -> _CreateT:
        """Read one record and leave ``cursor`` just past it.

        :raises ProtocolError: the frame ends early, or a string is null or not UTF-8.
        """
        return cls(cursor.string(), cursor.buffer(), tuple(cursor.acls()), cursor.int32())


class CreateRequest(_Create):
    """Create a node; the answer is its path.

    Jute: ``ustring path; buffer data; vector<ACL> acl; int flags``, operation 1.
    """

    operation: ClassVar[Operation] = Operation.CREATE


class Create2Request(_Create):
    """Create a node; the answer is its path and its stat. Known since ZooKeeper 3.5.

    Jute: as :class:`CreateRequest`, operation 15.
    """

    operation: ClassVar[Operation] = Operation.CREATE2


class CreateContainerRequest(_Create):
    """Create a node that goes away some time after its last child; the answer is its path and its stat. Since 3.5.

    Jute: as :class:`CreateRequest`, operation 19. The flags are 4.
    """

    operation: ClassVar[Operation] = Operation.CREATE_CONTAINER


@attrs.frozen
class CreateTTLRequest:
    """Create a node that goes away when it was neither changed nor had children for a time. Since 3.5, where enabled.

    Jute: ``ustring path; buffer data; vector<ACL> acl; int flags; long ttl``, operation 21.
    """

    operation: ClassVar[Operation] = Operation.CREATE_TTL

    path: str
    data: bytes | None
    acl: tuple[ACL, ...]
    flags: int
    """5, or 6 with a sequence."""
    ttl: int
    """The time in milliseconds."""

    def encode(self) -> bytes:
        """Give the record's bytes."""
        return (
            encode_string(self.path)
            + encode_buffer(self.data)
            + encode_acls(self.acl)
            + encode_int(self.flags)
            + encode_long(self.ttl)
        )

    @classmethod
    def decode(cls, cursor: Cursor) -> CreateTTLRequest:
        """Read one record and leave ``cursor`` just past it.

        :raises ProtocolError: the frame ends early, or a string is null or not UTF-8.
        """
        return cls(cursor.string(), cursor.buffer(), tuple(cursor.acls()), cursor.int32(), cursor.int64())


@attrs.frozen
class DeleteRequest:
    """Delete a node, provided that it is still at the version last seen.

    Jute: ``ustring path; int version``, operation 2. The answer is empty.
    """

    operation: ClassVar[Operation] = Operation.DELETE

    path: str
    version: int
    """The version that the node must be at, or -1 for any."""

    def encode(self) -> bytes:
        """Give the record's bytes."""
        return encode_string(self.path) + encode_int(self.version)

    @classmethod
    def decode(cls, cursor: Cursor) -> DeleteRequest:
        """Read one record and leave ``cursor`` just past it.

        :raises ProtocolError: the frame ends early, or the path is null or not UTF-8.
        """
        return cls(cursor.string(), cursor.int32())


@attrs.frozen
class _PathAndWatch:
    path: str
    watch: bool

    def encode(self) -> bytes:
        """Give the record's bytes."""
        return encode_string(self.path) + encode_bool(self.watch)

    @classmethod
    def decode(cls: type[_PathAndWatchT], cursor: Cursor) -> _PathAndWatchT:
        """Read one record and leave ``cursor`` just past it.

        :raises ProtocolError: the frame ends early, or the path is null or not UTF-8.
        """
        return cls(cursor.string(), cursor.boolean())


class ExistsRequest(_PathAndWatch):
    """Ask for a node's stat. A watch is left whether or not the node exists.

    Jute: ``ustring path; boolean watch``, operation 3.
    """

    operation: ClassVar[Operation] = Operation.EXISTS


class GetDataRequest(_PathAndWatch):
    """Ask for a node's data and stat. A watch is left only if the node exists.

    Jute: ``ustring path; boolean watch``, operation 4.
    """

    operation: ClassVar[Operation] = Operation.GET_DATA


class GetChildrenRequest(_PathAndWatch):
    """Ask for the names of a node's children. A watch is left only if the node exists.

    Jute: ``ustring path; boolean watch``, operation 8.
    """

    operation: ClassVar[Operation] = Operation.GET_CHILDREN


class GetChildren2Request(_PathAndWatch):
    """Ask for the names of a node's children and its stat. A watch is left only if the node exists.

    Jute: ``ustring path; boolean watch``, operation 12.
    """

    operation: ClassVar[Operation] = Operation.GET_CHILDREN2


@attrs.frozen
class SetDataRequest:
    """Replace a node's data, provided that it is still at the version last seen.

    Jute: ``ustring path; buffer data; int version``, operation 5.
    """

    operation: ClassVar[Operation] = Operation.SET_DATA

    path: str
    data: bytes | None
    version: int
    """The version that the node must be at, or -1 for any."""

    def encode(self) -> bytes:
        """Give the record's bytes."""
        return encode_string(self.path) + encode_buffer(self.data) + encode_int(self.version)

    @classmethod
    def decode(cls, cursor: Cursor) -> SetDataRequest:
        """Read one record and leave ``cursor`` just past it.

        :raises ProtocolError: the frame ends early, or the path is null or not UTF-8.
        """
        return cls(cursor.string(), cursor.buffer(), cursor.int32())


@attrs.frozen
class CheckVersionRequest:
    """Make sure that a node is at the version last seen; in a transaction only.

    Jute: ``ustring path; int version``, operation 13.
    """

    operation: ClassVar[Operation] = Operation.CHECK

    path: str
    version: int
    """The version that the node must be at, or -1 for any."""

    def encode(self) -> bytes:
        """Give the record's bytes."""
        return encode_string(self.path) + encode_int(self.version)

    @classmethod
    def decode(cls, cursor: Cursor) -> CheckVersionRequest:
        """Read one record and leave ``cursor`` just past it.

        :raises ProtocolError: the frame ends early, or the path is null or not UTF-8.
        """
        return cls(cursor.string(), cursor.int32())


@attrs.frozen
class _Path:
    path: str

    def encode(self) -> bytes:
        """Give the record's bytes."""
        return encode_string(self.path)

    @classmethod
    def decode(cls: type[_PathT], cursor: Cursor) -> _PathT:
        """Read one record and leave ``cursor`` just past it.

        :raises ProtocolError: the frame ends early, or the path is null or not UTF-8.
        """
        return cls(cursor.string())


class GetACLRequest(_Path):
    """Ask for a node's access control list.

    Jute: ``ustring path``, operation 6.
    """

    operation: ClassVar[Operation] = Operation.GET_ACL


class GetEphemeralsRequest(_Path):
    """Ask for the paths of the session's own ephemerals that start with a prefix. Known since ZooKeeper 3.6.

    Jute: ``ustring prefixPath``, operation 103.
    """

    operation: ClassVar[Operation] = Operation.GET_EPHEMERALS


class GetAllChildrenNumberRequest(_Path):
    """Ask how many nodes there are below one, at any depth. Known since ZooKeeper 3.6.

    Jute: ``ustring path``, operation 104.
    """

    operation: ClassVar[Operation] = Operation.GET_ALL_CHILDREN_NUMBER


@attrs.frozen
class SetACLRequest:
    """Replace a node's access control list, provided that it is still at the version last seen.

    Jute: ``ustring path; vector<ACL> acl; int version``, operation 7.
    """

    operation: ClassVar[Operation] = Operation.SET_ACL

    path: str
    acl: tuple[ACL, ...]
    version: int
    """The ACL's version (``aversion``) that the node must be at, or -1 for any."""

    def encode(self) -> bytes:
        """Give the record's bytes."""
        return encode_string(self.path) + encode_acls(self.acl) + encode_int(self.version)

    @classmethod
    def decode(cls, cursor: Cursor) -> SetACLRequest:
        """Read one record and leave ``cursor`` just past it.

        :raises ProtocolError: the frame ends early, or a string is null or not UTF-8.
        """
        return cls(cursor.string(), tuple(cursor.acls()), cursor.int32())


class SyncRequest(_Path):
    """Wait until the server has seen all that its leader had when this reached it.

    Jute: ``ustring path``, operation 9.
    """

    operation: ClassVar[Operation] = Operation.SYNC


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


@attrs.frozen
class ReconfigRequest:
    """Change which servers the ensemble is made of; the answer is the new configuration, as that to getData.

    Jute: ``ustring joiningServers; ustring leavingServers; ustring newMembers; long curConfigId``, operation 16. Known
    since ZooKeeper 3.5.
    """

    operation: ClassVar[Operation] = Operation.RECONFIG

    joiningServers: str | None
    """Those that come, or change, separated by commas: each ``server.ID=HOST:PORT:PORT;PORT``."""
    leavingServers: str | None
    """The ids of those that go, separated by commas."""
    newMembers: str | None
    """All that there are to be, in place of the other two."""
    curConfigId: int
    """The version that the configuration must be at, or -1 for any."""

    def encode(self) -> bytes:
        """Give the record's bytes."""
        texts = (self.joiningServers, self.leavingServers, self.newMembers)
        return b"".join(encode_string_or_null(text) for text in texts) + encode_long(self.curConfigId)

    @classmethod
    def decode(cls, cursor: Cursor) -> ReconfigRequest:
        """Read one record and leave ``cursor`` just past it.

        :raises ProtocolError: the frame ends early, or a string is not UTF-8.
        """
        return cls(cursor.string_or_null(), cursor.string_or_null(), cursor.string_or_null(), cursor.int64())
