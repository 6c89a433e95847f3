"""The requests about nodes and about the ensemble.

One class encodes and decodes each record, so that the two sides cannot drift apart. The fields and their order are those of
``zookeeper.jute``. Each request names its operation and the record of its reply, and follows a ``RequestHeader``. The modules
``watching`` and ``sessions`` have the requests about watches and about the session itself.
"""

from __future__ import annotations

from typing import ClassVar, Protocol, TypeVar

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
from txmirror.wire.responses import (
    Create2Response,
    GetACLResponse,
    GetAllChildrenNumberResponse,
    GetChildren2Response,
    GetChildrenResponse,
    GetDataResponse,
    GetEphemeralsResponse,
    PathResponse,
    Record,
    StatResponse,
)

_CreateT = TypeVar("_CreateT", bound="_Create")
_PathAndVersionT = TypeVar("_PathAndVersionT", bound="_PathAndVersion")
_PathAndWatchT = TypeVar("_PathAndWatchT", bound="_PathAndWatch")
_PathT = TypeVar("_PathT", bound="_Path")


class Request(Protocol):
    """A request: a record that has an operation."""

    @property
    def operation(self) -> Operation:
        """The operation code."""

    @property
    def response(self) -> type[Record] | None:
        """The class of the reply's record; None if the reply is empty."""

    def encode(self) -> bytes:
        """Return the encoded record, without header and length."""


@attrs.frozen
class _Create:
    path: str
    data: bytes | None
    acl: tuple[ACL, ...]
    flags: int

    def encode(self) -> bytes:
        return encode_string(self.path) + encode_buffer(self.data) + encode_acls(self.acl) + encode_int(self.flags)

    @classmethod
    def decode(cls: type[_CreateT], cursor: Cursor) -> _CreateT:
        return cls(cursor.string(), cursor.buffer(), tuple(cursor.acls()), cursor.int32())


class CreateRequest(_Create):
    """Create a node."""

    operation: ClassVar[Operation] = Operation.CREATE
    response: ClassVar[type[PathResponse]] = PathResponse


class Create2Request(_Create):
    """Create a node, and read its stat. Since 3.5."""

    operation: ClassVar[Operation] = Operation.CREATE2
    response: ClassVar[type[Create2Response]] = Create2Response


class CreateContainerRequest(_Create):
    """Create a container, which the server deletes some time after its last child. Since 3.5."""

    operation: ClassVar[Operation] = Operation.CREATE_CONTAINER
    response: ClassVar[type[Create2Response]] = Create2Response


@attrs.frozen
class CreateTTLRequest:
    """Create a TTL node, which the server deletes after a time without changes and children. Since 3.5, where enabled."""

    operation: ClassVar[Operation] = Operation.CREATE_TTL
    response: ClassVar[type[Create2Response]] = Create2Response

    path: str
    data: bytes | None
    acl: tuple[ACL, ...]
    flags: int
    """5, or 6 with a sequence."""
    ttl: int
    """The time in milliseconds."""

    def encode(self) -> bytes:
        return (
            encode_string(self.path)
            + encode_buffer(self.data)
            + encode_acls(self.acl)
            + encode_int(self.flags)
            + encode_long(self.ttl)
        )

    @classmethod
    def decode(cls, cursor: Cursor) -> CreateTTLRequest:
        return cls(cursor.string(), cursor.buffer(), tuple(cursor.acls()), cursor.int32(), cursor.int64())


@attrs.frozen
class _PathAndVersion:
    path: str
    version: int
    """The version that the node must be at, or -1 for any."""

    def encode(self) -> bytes:
        return encode_string(self.path) + encode_int(self.version)

    @classmethod
    def decode(cls: type[_PathAndVersionT], cursor: Cursor) -> _PathAndVersionT:
        return cls(cursor.string(), cursor.int32())


class DeleteRequest(_PathAndVersion):
    """Delete a node, provided that it is still at the version last seen."""

    operation: ClassVar[Operation] = Operation.DELETE
    response: ClassVar[None] = None


class CheckVersionRequest(_PathAndVersion):
    """Check that a node is at the version last seen. Only valid in a transaction."""

    operation: ClassVar[Operation] = Operation.CHECK
    response: ClassVar[None] = None


@attrs.frozen
class _PathAndWatch:
    path: str
    watch: bool

    def encode(self) -> bytes:
        return encode_string(self.path) + encode_bool(self.watch)

    @classmethod
    def decode(cls: type[_PathAndWatchT], cursor: Cursor) -> _PathAndWatchT:
        return cls(cursor.string(), cursor.boolean())


class ExistsRequest(_PathAndWatch):
    """Read a node's stat. The watch is set whether or not the node exists."""

    operation: ClassVar[Operation] = Operation.EXISTS
    response: ClassVar[type[StatResponse]] = StatResponse


class GetDataRequest(_PathAndWatch):
    """Read a node's data and stat. The watch is set only if the node exists."""

    operation: ClassVar[Operation] = Operation.GET_DATA
    response: ClassVar[type[GetDataResponse]] = GetDataResponse


class GetChildrenRequest(_PathAndWatch):
    """Read the names of a node's children. The watch is set only if the node exists."""

    operation: ClassVar[Operation] = Operation.GET_CHILDREN
    response: ClassVar[type[GetChildrenResponse]] = GetChildrenResponse


class GetChildren2Request(_PathAndWatch):
    """Read the names of a node's children and its stat. The watch is set only if the node exists."""

    operation: ClassVar[Operation] = Operation.GET_CHILDREN2
    response: ClassVar[type[GetChildren2Response]] = GetChildren2Response


@attrs.frozen
class SetDataRequest:
    """Replace a node's data, provided that it is still at the version last seen."""

    operation: ClassVar[Operation] = Operation.SET_DATA
    response: ClassVar[type[StatResponse]] = StatResponse

    path: str
    data: bytes | None
    version: int
    """The version that the node must be at, or -1 for any."""

    def encode(self) -> bytes:
        return encode_string(self.path) + encode_buffer(self.data) + encode_int(self.version)

    @classmethod
    def decode(cls, cursor: Cursor) -> SetDataRequest:
        return cls(cursor.string(), cursor.buffer(), cursor.int32())


@attrs.frozen
class _Path:
    path: str

    def encode(self) -> bytes:
        return encode_string(self.path)

    @classmethod
    def decode(cls: type[_PathT], cursor: Cursor) -> _PathT:
        return cls(cursor.string())


class GetACLRequest(_Path):
    """Read a node's access control list."""

    operation: ClassVar[Operation] = Operation.GET_ACL
    response: ClassVar[type[GetACLResponse]] = GetACLResponse


class GetEphemeralsRequest(_Path):
    """List the paths of the session's own ephemeral nodes that start with a prefix. Since 3.6."""

    operation: ClassVar[Operation] = Operation.GET_EPHEMERALS
    response: ClassVar[type[GetEphemeralsResponse]] = GetEphemeralsResponse


class GetAllChildrenNumberRequest(_Path):
    """Count the nodes below one, at any depth. Since 3.6."""

    operation: ClassVar[Operation] = Operation.GET_ALL_CHILDREN_NUMBER
    response: ClassVar[type[GetAllChildrenNumberResponse]] = GetAllChildrenNumberResponse


@attrs.frozen
class SetACLRequest:
    """Replace a node's access control list, provided that it is still at the version last seen."""

    operation: ClassVar[Operation] = Operation.SET_ACL
    response: ClassVar[type[StatResponse]] = StatResponse

    path: str
    acl: tuple[ACL, ...]
    version: int
    """The ACL's version (``aversion``) that the node must be at, or -1 for any."""

    def encode(self) -> bytes:
        return encode_string(self.path) + encode_acls(self.acl) + encode_int(self.version)

    @classmethod
    def decode(cls, cursor: Cursor) -> SetACLRequest:
        return cls(cursor.string(), tuple(cursor.acls()), cursor.int32())


class SyncRequest(_Path):
    """Wait until the server has applied all that its leader had committed when the request arrived there."""

    operation: ClassVar[Operation] = Operation.SYNC
    response: ClassVar[type[PathResponse]] = PathResponse


@attrs.frozen
class ReconfigRequest:
    """Change the members of the ensemble. The reply is the new configuration. Since 3.5."""

    operation: ClassVar[Operation] = Operation.RECONFIG
    response: ClassVar[type[GetDataResponse]] = GetDataResponse

    joiningServers: str | None
    """The servers to add or change, separated by commas: each ``server.ID=HOST:PORT:PORT;PORT``."""
    leavingServers: str | None
    """The ids of the servers to remove, separated by commas."""
    newMembers: str | None
    """All members of the new ensemble, in place of the other two."""
    curConfigId: int
    """The version that the configuration must be at, or -1 for any."""

    def encode(self) -> bytes:
        texts = (self.joiningServers, self.leavingServers, self.newMembers)
        return b"".join(encode_string_or_null(text) for text in texts) + encode_long(self.curConfigId)

    @classmethod
    def decode(cls, cursor: Cursor) -> ReconfigRequest:
        return cls(cursor.string_or_null(), cursor.string_or_null(), cursor.string_or_null(), cursor.int64())
