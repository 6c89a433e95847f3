"""Several operations in one request: a transaction, which is applied as a whole or not at all, or a batch of reads.

The record is a list of records, each preceded by a header with its type. A last header ends the list
(``org.apache.zookeeper.MultiOperationRecord``, ``MultiResponse``).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple, TypeVar

import attrs

from txmirror.errors import ProtocolError
from txmirror.wire.jute import Cursor, encode_bool, encode_int
from txmirror.wire.operations import Operation
from txmirror.wire.requests import (
    CheckVersionRequest,
    Create2Request,
    CreateContainerRequest,
    CreateRequest,
    CreateTTLRequest,
    DeleteRequest,
    GetChildrenRequest,
    GetDataRequest,
    SetDataRequest,
)
from txmirror.wire.responses import (
    Create2Response,
    GetChildrenResponse,
    GetDataResponse,
    PathResponse,
    StatResponse,
)

_HEADER = struct.Struct(">i?i")
_ERROR = -1
_OVER = _HEADER.pack(-1, True, -1)
_NO_WATCH = encode_bool(False)

_MultiT = TypeVar("_MultiT", bound="_Multi")

#: The requests that a transaction may contain.
Write = (
    CreateRequest
    | Create2Request
    | CreateContainerRequest
    | CreateTTLRequest
    | DeleteRequest
    | SetDataRequest
    | CheckVersionRequest
)
#: The requests that a batch of reads may contain.
Read = GetDataRequest | GetChildrenRequest

_DECODERS: dict[int, Callable[[Cursor], Write | Read]] = {
    kind.operation: kind.decode
    for kind in (
        CreateRequest,
        Create2Request,
        CreateContainerRequest,
        CreateTTLRequest,
        DeleteRequest,
        SetDataRequest,
        CheckVersionRequest,
        GetDataRequest,
        GetChildrenRequest,
    )
}


def _decode_header(cursor: Cursor) -> tuple[int, bool]:
    """Read the header of one record: its type, and whether the list ends. Called for each operation, so it must be fast.

    The header's third field, an error code, repeats that of the record.

    :raises ProtocolError: the frame ends first, or the flag for the end is no boolean.
    """
    frame, offset = cursor.frame, cursor.offset
    # The cursor raises the error.
    if offset + _HEADER.size > len(frame) or frame[offset + 4] > 1:
        kind, done = cursor.int32(), cursor.boolean()
        cursor.int32()
        return kind, done
    kind, done, _ = _HEADER.unpack_from(frame, offset)
    cursor.offset = offset + _HEADER.size
    return kind, done


class ErrorResult(NamedTuple):
    """The result of an operation that failed, or that was undone because another one failed."""

    err: int

    def encode(self) -> bytes:
        return encode_int(self.err)

    @classmethod
    def decode(cls, cursor: Cursor) -> ErrorResult:
        return cls(cursor.int32())


class DoneResult(NamedTuple):
    """The result of a successful delete or check, which is empty."""

    type: int

    def encode(self) -> bytes:
        return b""


#: The results that one of several operations may have.
Result = (
    PathResponse | Create2Response | StatResponse | GetDataResponse | GetChildrenResponse | DoneResult | ErrorResult
)

_RECORDS: dict[
    int, type[PathResponse | Create2Response | StatResponse | GetDataResponse | GetChildrenResponse | ErrorResult]
] = {
    Operation.CREATE: PathResponse,
    Operation.CREATE2: Create2Response,
    Operation.SET_DATA: StatResponse,
    Operation.GET_DATA: GetDataResponse,
    Operation.GET_CHILDREN: GetChildrenResponse,
    _ERROR: ErrorResult,
}
_TYPES: dict[type, int] = {record: kind for kind, record in _RECORDS.items()}
#: The operations whose results are empty.
_EMPTY = frozenset({Operation.DELETE, Operation.CHECK})


class MultiResponse(NamedTuple):
    """The reply to multi and multiRead: a result for each operation, in order."""

    results: list[Result]

    def encode(self) -> bytes:
        parts = []
        for result in self.results:
            kind = result.type if isinstance(result, DoneResult) else _TYPES[type(result)]
            err = result.err if isinstance(result, ErrorResult) else 0
            parts.append(_HEADER.pack(kind, False, err) + result.encode())
        return b"".join(parts) + _OVER

    @classmethod
    def decode(cls, cursor: Cursor) -> MultiResponse:
        results: list[Result] = []
        while True:
            kind, done = _decode_header(cursor)
            if done:
                return cls(results)
            record = _RECORDS.get(kind)
            if record is not None:
                results.append(record.decode(cursor))
            elif kind in _EMPTY:
                results.append(DoneResult(kind))
            else:
                raise ProtocolError(f"a reply to a multi contains a result of the type {kind}")


@attrs.frozen
class _Multi:
    requests: tuple[Write | Read, ...]

    def encode(self) -> bytes:
        parts = [_HEADER.pack(request.operation, False, -1) + request.encode() for request in self.requests]
        return b"".join(parts) + _OVER

    @classmethod
    def decode(cls: type[_MultiT], cursor: Cursor) -> _MultiT:
        requests: list[Write | Read] = []
        while True:
            kind, done = _decode_header(cursor)
            if done:
                return cls(tuple(requests))
            if kind not in _DECODERS:
                raise ProtocolError(f"a multi contains an operation of the type {kind}")
            requests.append(_DECODERS[kind](cursor))


class MultiRequest(_Multi):
    """Apply all of several writes, or none. Since 3.4."""

    operation: ClassVar[Operation] = Operation.MULTI
    response: ClassVar[type[MultiResponse]] = MultiResponse


class MultiReadRequest(_Multi):
    """Read several nodes' data or children in one request, without watches. Since 3.6."""

    operation: ClassVar[Operation] = Operation.MULTI_READ
    response: ClassVar[type[MultiResponse]] = MultiResponse


@attrs.frozen
class BatchedReadRequest:
    """The MultiReadRequest for the data of some nodes, and then the children of others, without watches.

    It has their paths only: an object for each read would take as much time as its encoding.
    """

    operation: ClassVar[Operation] = Operation.MULTI_READ
    response: ClassVar[type[MultiResponse]] = MultiResponse

    data: Sequence[str]
    children: Sequence[str]

    def encode(self) -> bytes:
        parts: list[bytes] = []
        for operation, paths in ((Operation.GET_DATA, self.data), (Operation.GET_CHILDREN, self.children)):
            header = _HEADER.pack(operation, False, -1)
            for path in paths:
                encoded = path.encode()
                parts += header, encode_int(len(encoded)), encoded, _NO_WATCH
        parts.append(_OVER)
        return b"".join(parts)
