"""Several operations in one request: all of a transaction or nothing, or many reads at once.

A list of records, each behind a header that says what it is, and a last header that says that it is over
(``org.apache.zookeeper.MultiOperationRecord``, ``MultiResponse``).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import ClassVar, NamedTuple, TypeVar

import attrs

from txmirror.errors import ProtocolError
from txmirror.wire.jute import Cursor, encode_int
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

_MultiT = TypeVar("_MultiT", bound="_Multi")

#: What may stand in a transaction.
Write = (
    CreateRequest
    | Create2Request
    | CreateContainerRequest
    | CreateTTLRequest
    | DeleteRequest
    | SetDataRequest
    | CheckVersionRequest
)
#: What may stand in a batch of reads.
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
    """Read what stands before a record: what it is, and whether it is the end. The error in it repeats the record's. Hot.

    :raises ProtocolError: the frame ends first, or the end is neither said nor denied.
    """
    frame, offset = cursor.frame, cursor.offset
    # Whatever is wrong is found out by the cursor, which says what it is.
    if offset + _HEADER.size > len(frame) or frame[offset + 4] > 1:
        kind, done = cursor.int32(), cursor.boolean()
        cursor.int32()
        return kind, done
    kind, done, _ = _HEADER.unpack_from(frame, offset)
    cursor.offset = offset + _HEADER.size
    return kind, done


@attrs.frozen
class _Multi:
    requests: tuple[Write | Read, ...]

    def encode(self) -> bytes:
        """Give the record's bytes."""
        parts = [_HEADER.pack(request.operation, False, -1) + request.encode() for request in self.requests]
        return b"".join(parts) + _OVER

    @classmethod
    def decode(cls: type[_MultiT], cursor: Cursor) -> _MultiT:
        """Read one record and leave ``cursor`` just past it.

        :raises ProtocolError: the frame ends early, or holds what no such record may.
        """
        requests: list[Write | Read] = []
        while True:
            kind, done = _decode_header(cursor)
            if done:
                return cls(tuple(requests))
            if kind not in _DECODERS:
                raise ProtocolError(f"an operation of the type {kind} stands among several")
            requests.append(_DECODERS[kind](cursor))


class MultiRequest(_Multi):
    """Do all of several writes, or nothing. Known since ZooKeeper 3.4.

    Jute: a header (``int type; boolean done; int err``) and a request for each, operation 14.
    """

    operation: ClassVar[Operation] = Operation.MULTI


class MultiReadRequest(_Multi):
    """Read several nodes' data or children at once, leaving no watches. Known since ZooKeeper 3.6.

    Jute: as :class:`MultiRequest`, operation 22.
    """

    operation: ClassVar[Operation] = Operation.MULTI_READ


class ErrorResult(NamedTuple):
    """One of several operations was refused, or undone because another was.

    Jute: ``int err``.
    """

    err: int

    def encode(self) -> bytes:
        """Give the record's bytes."""
        return encode_int(self.err)

    @classmethod
    def decode(cls, cursor: Cursor) -> ErrorResult:
        """Read one record and leave ``cursor`` just past it.

        :raises ProtocolError: the frame ends early.
        """
        return cls(cursor.int32())


class DoneResult(NamedTuple):
    """One of several operations is done that has nothing to say: a delete or a check."""

    type: int

    def encode(self) -> bytes:
        """Give no bytes: there are no fields."""
        return b""


#: What may answer one of several operations.
Result = (
    PathResponse | Create2Response | StatResponse | GetDataResponse | GetChildrenResponse | DoneResult | ErrorResult
)

_RESULTS: dict[int, Callable[[Cursor], Result]] = {
    Operation.CREATE: PathResponse.decode,
    Operation.CREATE2: Create2Response.decode,
    Operation.SET_DATA: StatResponse.decode,
    Operation.GET_DATA: GetDataResponse.decode,
    Operation.GET_CHILDREN: GetChildrenResponse.decode,
    Operation.DELETE: lambda _: DoneResult(Operation.DELETE),
    Operation.CHECK: lambda _: DoneResult(Operation.CHECK),
    _ERROR: ErrorResult.decode,
}
_TYPES: dict[type, int] = {
    PathResponse: Operation.CREATE,
    Create2Response: Operation.CREATE2,
    StatResponse: Operation.SET_DATA,
    GetDataResponse: Operation.GET_DATA,
    GetChildrenResponse: Operation.GET_CHILDREN,
    ErrorResult: _ERROR,
}


class MultiResponse(NamedTuple):
    """The answer to multi and to multiRead: a result for each operation, in order.

    Jute: a header and a result for each.
    """

    results: list[Result]

    def encode(self) -> bytes:
        """Give the record's bytes."""
        parts = []
        for result in self.results:
            kind = result.type if isinstance(result, DoneResult) else _TYPES[type(result)]
            err = result.err if isinstance(result, ErrorResult) else 0
            parts.append(_HEADER.pack(kind, False, err) + result.encode())
        return b"".join(parts) + _OVER

    @classmethod
    def decode(cls, cursor: Cursor) -> MultiResponse:
        """Read one record and leave ``cursor`` just past it.

        :raises ProtocolError: the frame ends early, or holds what no such record may.
        """
        results: list[Result] = []
        while True:
            kind, done = _decode_header(cursor)
            if done:
                return cls(results)
            if kind not in _RESULTS:
                raise ProtocolError(f"a result of the type {kind} stands among several")
            results.append(_RESULTS[kind](cursor))
