"""The requests that set, check and remove watches. One class encodes and decodes each."""

from __future__ import annotations

import builtins
from typing import ClassVar, TypeVar

import attrs

from txmirror.wire.jute import Cursor, encode_int, encode_long, encode_string, encode_strings
from txmirror.wire.operations import Operation
from txmirror.wire.responses import AddWatchResponse

_PathAndNumberT = TypeVar("_PathAndNumberT", bound="_PathAndNumber")


@attrs.frozen
class SetWatchesRequest:
    """Set one-shot watches again as of a transaction. The server fires at once those whose node has changed since."""

    operation: ClassVar[Operation] = Operation.SET_WATCHES
    response: ClassVar[None] = None

    relativeZxid: int
    dataWatches: tuple[str, ...]
    existWatches: tuple[str, ...]
    childWatches: tuple[str, ...]

    def encode(self) -> bytes:
        return (
            encode_long(self.relativeZxid)
            + encode_strings(self.dataWatches)
            + encode_strings(self.existWatches)
            + encode_strings(self.childWatches)
        )

    @classmethod
    def decode(cls, cursor: Cursor) -> SetWatchesRequest:
        return cls(cursor.int64(), tuple(cursor.strings()), tuple(cursor.strings()), tuple(cursor.strings()))


@attrs.frozen
class SetWatches2Request(SetWatchesRequest):
    """Set watches again, also persistent ones, which do not report the changes that they have missed. Since 3.6."""

    operation: ClassVar[Operation] = Operation.SET_WATCHES2

    persistentWatches: tuple[str, ...]
    persistentRecursiveWatches: tuple[str, ...]

    def encode(self) -> bytes:
        return (
            SetWatchesRequest.encode(self)
            + encode_strings(self.persistentWatches)
            + encode_strings(self.persistentRecursiveWatches)
        )

    @classmethod
    def decode(cls, cursor: Cursor) -> SetWatches2Request:
        zxid = cursor.int64()
        return cls(zxid, *(tuple(cursor.strings()) for _ in range(5)))


@attrs.frozen
class _PathAndNumber:
    path: str
    type: int
    """The kind, a :class:`txmirror.types.WatchKind`."""

    def encode(self) -> bytes:
        return encode_string(self.path) + encode_int(self.type)

    @classmethod
    def decode(cls: builtins.type[_PathAndNumberT], cursor: Cursor) -> _PathAndNumberT:
        return cls(cursor.string(), cursor.int32())


class CheckWatchesRequest(_PathAndNumber):
    """Check whether this connection has a watch of a kind on a path. The reply is empty, or the error NoWatcher. Since 3.5."""

    operation: ClassVar[Operation] = Operation.CHECK_WATCHES
    response: ClassVar[None] = None


class RemoveWatchesRequest(_PathAndNumber):
    """Remove this connection's watches of one kind from a path. Since 3.5."""

    operation: ClassVar[Operation] = Operation.REMOVE_WATCHES
    response: ClassVar[None] = None


@attrs.frozen
class AddWatchRequest:
    """Set a persistent watch. Since 3.6."""

    operation: ClassVar[Operation] = Operation.ADD_WATCH
    response: ClassVar[type[AddWatchResponse]] = AddWatchResponse

    path: str
    mode: int
    """0 for the node and its children; 1 for the node and all nodes below it."""

    def encode(self) -> bytes:
        return encode_string(self.path) + encode_int(self.mode)

    @classmethod
    def decode(cls, cursor: Cursor) -> AddWatchRequest:
        return cls(cursor.string(), cursor.int32())
