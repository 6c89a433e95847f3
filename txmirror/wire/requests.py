"""The requests about nodes and about the ensemble.

One class encodes and decodes each record, so that the two sides cannot drift apart. The fields and their order are those of
``zookeeper.jute``. Each request has an ``operation`` and follows a :class:`RequestHeader`. The modules ``watching`` and
``sessions`` have the requests about watches and about the session itself.
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

_HEADER = struct.Struct(">ii")


class Request(Protocol):
    """The attributes that every request has."""

    @property
    def operation(self) -> Operation:
        """The operation code."""

    def encode(self) -> bytes:
        """Return the encoded record, without header and length."""


class RequestHeader(NamedTuple):
    """The header of every request but the first.

    Jute: ``int xid; int type``.
    """

    xid: int
    type: int

    def encode(self) -> bytes:
        """Return the encoded header."""
        return _HEADER.pack(*self)

    @classmethod
    def decode(cls, cursor: Cursor) -> RequestHeader:
        """Read one record and leave ``cursor`` just past it.

        :raises ProtocolError: the frame ends early.
        """
        try:
            xid, kind = _HEADER.unpack_from(cursor.frame, cursor.offset)
        except struct.error:
            return cls(cursor.int32(), cursor.int32())
        cursor.offset += _HEADER.size
        return cls(xid, kind)


@attrs.frozen
class _Create:
    path: str
    data: bytes | None
    acl: tuple[ACL, ...]
    flags: int

    def encode(self) -> bytes:
        """Return the encoded record."""
        return encode_string(self.path) + encode_buffer(self.data) + encode_acls(self.acl) + encode_int(self.flags)

    @classmethod
    def decode(cls: type[_CreateT], cursor: Cursor) -> _CreateT:
        """Read one record and leave ``cursor`` just past it.

        :raises ProtocolError: the frame ends early, or a string is null or not UTF-8.
        """
        return cls(cursor.string(), cursor.buffer(), tuple(cursor.acls()), cursor.int32())


class CreateRequest(_Create):
    """Create a node. The reply is its path.

    Jute: ``ustring path; buffer data; vector<ACL> acl; int flags``, operation 1.
    """

    operation: ClassVar[Operation] = Operation.CREATE


class Create2Request(_Create):
    """Create a node. The reply is its path and its stat. Known since ZooKeeper 3.5.

    Jute: as :class:`CreateRequest`, operation 15.
    """

    operation: ClassVar[Operation] = Operation.CREATE2


class CreateContainerRequest(_Create):
    """Create a container, which the server deletes some time after its last child. The reply is its path and its stat. Since 3.5.

    Jute: as :class:`CreateRequest`, operation 19. The flags are 4.
    """

    operation: ClassVar[Operation] = Operation.CREATE_CONTAINER


@attrs.frozen
class CreateTTLRequest:
    """Create a TTL node, which the server deletes after a time without changes and children. Since 3.5, where enabled.

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
        """Return the encoded record."""
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

    Jute: ``ustring path; int version``, operation 2. The reply is empty.
    """

    operation: ClassVar[Operation] = Operation.DELETE

    path: str
    version: int
    """The version that the node must be at, or -1 for any."""

    def encode(self) -> bytes:
        """Return the encoded record."""
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
        """Return the encoded record."""
        return encode_string(self.path) + encode_bool(self.watch)

    @classmethod
    def decode(cls: type[_PathAndWatchT], cursor: Cursor) -> _PathAndWatchT:
        """Read one record and leave ``cursor`` just past it.

        :raises ProtocolError: the frame ends early, or the path is null or not UTF-8.
        """
        return cls(cursor.string(), cursor.boolean())


class ExistsRequest(_PathAndWatch):
    """Read a node's stat. The watch is set whether or not the node exists.

    Jute: ``ustring path; boolean watch``, operation 3.
    """

    operation: ClassVar[Operation] = Operation.EXISTS


class GetDataRequest(_PathAndWatch):
    """Read a node's data and stat. The watch is set only if the node exists.

    Jute: ``ustring path; boolean watch``, operation 4.
    """

    operation: ClassVar[Operation] = Operation.GET_DATA


class GetChildrenRequest(_PathAndWatch):
    """Read the names of a node's children. The watch is set only if the node exists.

    Jute: ``ustring path; boolean watch``, operation 8.
    """

    operation: ClassVar[Operation] = Operation.GET_CHILDREN


class GetChildren2Request(_PathAndWatch):
    """Read the names of a node's children and its stat. The watch is set only if the node exists.

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
        """Return the encoded record."""
        return encode_string(self.path) + encode_buffer(self.data) + encode_int(self.version)

    @classmethod
    def decode(cls, cursor: Cursor) -> SetDataRequest:
        """Read one record and leave ``cursor`` just past it.

        :raises ProtocolError: the frame ends early, or the path is null or not UTF-8.
        """
        return cls(cursor.string(), cursor.buffer(), cursor.int32())


@attrs.frozen
class CheckVersionRequest:
    """Check that a node is at the version last seen. Only valid in a transaction.

    Jute: ``ustring path; int version``, operation 13.
    """

    operation: ClassVar[Operation] = Operation.CHECK

    path: str
    version: int
    """The version that the node must be at, or -1 for any."""

    def encode(self) -> bytes:
        """Return the encoded record."""
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
        """Return the encoded record."""
        return encode_string(self.path)

    @classmethod
    def decode(cls: type[_PathT], cursor: Cursor) -> _PathT:
        """Read one record and leave ``cursor`` just past it.

        :raises ProtocolError: the frame ends early, or the path is null or not UTF-8.
        """
        return cls(cursor.string())


class GetACLRequest(_Path):
    """Read a node's access control list.

    Jute: ``ustring path``, operation 6.
    """

    operation: ClassVar[Operation] = Operation.GET_ACL


class GetEphemeralsRequest(_Path):
    """List the paths of the session's own ephemeral nodes that start with a prefix. Known since ZooKeeper 3.6.

    Jute: ``ustring prefixPath``, operation 103.
    """

    operation: ClassVar[Operation] = Operation.GET_EPHEMERALS


class GetAllChildrenNumberRequest(_Path):
    """Count the nodes below one, at any depth. Known since ZooKeeper 3.6.

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
        """Return the encoded record."""
        return encode_string(self.path) + encode_acls(self.acl) + encode_int(self.version)

    @classmethod
    def decode(cls, cursor: Cursor) -> SetACLRequest:
        """Read one record and leave ``cursor`` just past it.

        :raises ProtocolError: the frame ends early, or a string is null or not UTF-8.
        """
        return cls(cursor.string(), tuple(cursor.acls()), cursor.int32())


class SyncRequest(_Path):
    """Wait until the server has applied all that its leader had committed when the request arrived there.

    Jute: ``ustring path``, operation 9.
    """

    operation: ClassVar[Operation] = Operation.SYNC


@attrs.frozen
class ReconfigRequest:
    """Change the members of the ensemble. The reply is the new configuration, in the form of the reply to getData.

    Jute: ``ustring joiningServers; ustring leavingServers; ustring newMembers; long curConfigId``, operation 16. Known
    since ZooKeeper 3.5.
    """

    operation: ClassVar[Operation] = Operation.RECONFIG

    joiningServers: str | None
    """The servers to add or change, separated by commas: each ``server.ID=HOST:PORT:PORT;PORT``."""
    leavingServers: str | None
    """The ids of the servers to remove, separated by commas."""
    newMembers: str | None
    """All members of the new ensemble, in place of the other two."""
    curConfigId: int
    """The version that the configuration must be at, or -1 for any."""

    def encode(self) -> bytes:
        """Return the encoded record."""
        texts = (self.joiningServers, self.leavingServers, self.newMembers)
        return b"".join(encode_string_or_null(text) for text in texts) + encode_long(self.curConfigId)

    @classmethod
    def decode(cls, cursor: Cursor) -> ReconfigRequest:
        """Read one record and leave ``cursor`` just past it.

        :raises ProtocolError: the frame ends early, or a string is not UTF-8.
        """
        return cls(cursor.string_or_null(), cursor.string_or_null(), cursor.string_or_null(), cursor.int64())
