"""The requests that set, check and remove watches. One class encodes and decodes each."""

from __future__ import annotations

import builtins
from typing import ClassVar, TypeVar

import attrs

from txmirror.wire.jute import Cursor, encode_int, encode_long, encode_string, encode_strings
from txmirror.wire.operations import Operation

_PathAndNumberT = TypeVar("_PathAndNumberT", bound="_PathAndNumber")


@attrs.frozen
class SetWatchesRequest:
    """Set one-shot watches again as of a transaction. The server fires at once those whose node has changed since.

    Jute: ``long relativeZxid; vector<ustring> dataWatches; vector<ustring> existWatches; vector<ustring>
    childWatches``, operation 101. The reply is empty.
    """

    operation: ClassVar[Operation] = Operation.SET_WATCHES

    relativeZxid: int
    dataWatches: tuple[str, ...]
    existWatches: tuple[str, ...]
    childWatches: tuple[str, ...]

    def encode(self) -> bytes:
        """Return the encoded record."""
        return (
            encode_long(self.relativeZxid)
            + encode_strings(self.dataWatches)
            + encode_strings(self.existWatches)
            + encode_strings(self.childWatches)
        )

    @classmethod
    def decode(cls, cursor: Cursor) -> SetWatchesRequest:
        """Read one record and leave ``cursor`` just past it.

        :raises ProtocolError: the frame ends early, or a path is null or not UTF-8.
        """
        return cls(cursor.int64(), tuple(cursor.strings()), tuple(cursor.strings()), tuple(cursor.strings()))


@attrs.frozen
class SetWatches2Request:
    """Set watches again, persistent ones too. Known since ZooKeeper 3.6.

    Jute: as of :class:`SetWatchesRequest`, then ``vector<ustring> persistentWatches; vector<ustring>
    persistentRecursiveWatches``, operation 105. The server sends no events that persistent watches have missed. The reply
    is empty.
    """

    operation: ClassVar[Operation] = Operation.SET_WATCHES2

    relativeZxid: int
    dataWatches: tuple[str, ...]
    existWatches: tuple[str, ...]
    childWatches: tuple[str, ...]
    persistentWatches: tuple[str, ...]
    persistentRecursiveWatches: tuple[str, ...]

    def encode(self) -> bytes:
        """Return the encoded record."""
        return (
            encode_long(self.relativeZxid)
            + encode_strings(self.dataWatches)
            + encode_strings(self.existWatches)
            + encode_strings(self.childWatches)
            + encode_strings(self.persistentWatches)
            + encode_strings(self.persistentRecursiveWatches)
        )

    @classmethod
    def decode(cls, cursor: Cursor) -> SetWatches2Request:
        """Read one record and leave ``cursor`` just past it.

        :raises ProtocolError: the frame ends early, or a path is null or not UTF-8.
        """
        zxid = cursor.int64()
        return cls(zxid, *(tuple(cursor.strings()) for _ in range(5)))


@attrs.frozen
class _PathAndNumber:
    path: str
    type: int

    def encode(self) -> bytes:
        """Return the encoded record."""
        return encode_string(self.path) + encode_int(self.type)

    @classmethod
    def decode(cls: builtins.type[_PathAndNumberT], cursor: Cursor) -> _PathAndNumberT:
        """Read one record and leave ``cursor`` just past it.

        :raises ProtocolError: the frame ends early, or the path is null or not UTF-8.
        """
        return cls(cursor.string(), cursor.int32())


class CheckWatchesRequest(_PathAndNumber):
    """Check whether this connection has a watch of a kind on a path. The reply is empty, or the error NoWatcher.

    Jute: ``ustring path; int type`` (a :class:`txmirror.types.WatchKind`), operation 17. Known since ZooKeeper 3.5.
    """

    operation: ClassVar[Operation] = Operation.CHECK_WATCHES


class RemoveWatchesRequest(_PathAndNumber):
    """Remove this connection's watches of one kind from a path. The reply is empty.

    Jute: ``ustring path; int type`` (a :class:`txmirror.types.WatchKind`), operation 18. Known since ZooKeeper 3.5.
    """

    operation: ClassVar[Operation] = Operation.REMOVE_WATCHES


@attrs.frozen
class AddWatchRequest:
    """Set a persistent watch. The reply is an ``AddWatchResponse``.

    Jute: ``ustring path; int mode``, operation 106. Known since ZooKeeper 3.6.
    """

    operation: ClassVar[Operation] = Operation.ADD_WATCH

    path: str
    mode: int
    """0 for the node and its children; 1 for the node and all nodes below it."""

    def encode(self) -> bytes:
        """Return the encoded record."""
        return encode_string(self.path) + encode_int(self.mode)

    @classmethod
    def decode(cls, cursor: Cursor) -> AddWatchRequest:
        """Read one record and leave ``cursor`` just past it.

        :raises ProtocolError: the frame ends early, or the path is null or not UTF-8.
        """
        return cls(cursor.string(), cursor.int32())
