"""Several operations in one request: transactions, and batches of reads."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from txmirror.client.arguments import check_acl, check_bytes, check_paths, check_version
from txmirror.client.replies import check_names
from txmirror.client.request_sender import RequestSender
from txmirror.errors import (
    ProtocolError,
    RuntimeInconsistencyException,
    TransactionFailedException,
    ZooKeeperException,
    exception_for,
)
from txmirror.interfaces import IBatchedReads, ITransaction
from txmirror.types import ACL, OPEN_ACL, BatchReply, ZnodeStat
from txmirror.wire import (
    CheckVersionRequest,
    CreateFlag,
    CreateRequest,
    Cursor,
    DeleteRequest,
    ErrorResult,
    GetChildrenRequest,
    GetChildrenResponse,
    GetDataRequest,
    GetDataResponse,
    MultiReadRequest,
    MultiRequest,
    MultiResponse,
    PathResponse,
    SetDataRequest,
    StatResponse,
)

_Write = CreateRequest | DeleteRequest | SetDataRequest | CheckVersionRequest


@implementer(ITransaction)
class Transaction:
    """Several writes in one request. See :class:`~txmirror.interfaces.ITransaction`."""

    def __init__(self, sender: RequestSender) -> None:
        self._sender = sender
        self._writes: list[_Write] = []
        self._paths: list[str] = []
        self._committed = False

    def create(
        self,
        path: str,
        data: bytes = b"",
        acl: Sequence[ACL] = OPEN_ACL,
        *,
        ephemeral: bool = False,
        sequence: bool = False,
    ) -> None:
        """Add a create. See :meth:`~txmirror.interfaces.ITransaction.create`."""
        flags = CreateFlag.of(ephemeral=ephemeral, sequence=sequence)
        full = self._sender.valid(path, sequence=sequence)
        self._add(path, CreateRequest(full, check_bytes(data), check_acl(acl), flags))

    def delete(self, path: str, version: int = -1) -> None:
        """Add a delete. See :meth:`~txmirror.interfaces.ITransaction.delete`."""
        self._add(path, DeleteRequest(self._sender.valid(path), check_version(version)))

    def set(self, path: str, data: bytes, version: int = -1) -> None:
        """Add a write of data. See :meth:`~txmirror.interfaces.ITransaction.set`."""
        self._add(path, SetDataRequest(self._sender.valid(path), check_bytes(data), check_version(version)))

    def check(self, path: str, version: int) -> None:
        """Add a check of a version. See :meth:`~txmirror.interfaces.ITransaction.check`."""
        self._add(path, CheckVersionRequest(self._sender.valid(path), check_version(version)))

    def commit(self) -> Deferred[list[str | ZnodeStat | None]]:
        """Send the transaction, unless it is empty. See :meth:`~txmirror.interfaces.ITransaction.commit`."""
        self._check_open()
        self._committed = True
        if not self._writes:
            return succeed([])
        return self._sender.send(MultiRequest(tuple(self._writes)), self._paths[0], self._decode)

    def _add(self, path: str, write: _Write) -> None:
        self._check_open()
        self._paths.append(path)
        self._writes.append(write)

    def _check_open(self) -> None:
        if self._committed:
            raise ValueError("the transaction is committed already")

    def _decode(self, cursor: Cursor, zxid: int) -> list[str | ZnodeStat | None]:
        results = MultiResponse.decode(cursor).results
        if len(results) != len(self._writes):
            raise ProtocolError(f"the server sent {len(results)} results for {len(self._writes)} operations")
        refused = [index for index, result in enumerate(results) if isinstance(result, ErrorResult) and result.err]
        if refused:
            # The server answers 0 for operations before the failed one, and a runtime inconsistency for those after it.
            to_blame = next(
                (each for each in refused if _code(results[each]) != RuntimeInconsistencyException.code), refused[0]
            )
            error = exception_for(_code(results[to_blame]), path=self._paths[to_blame], zxid=zxid)
            raise TransactionFailedException(to_blame, error)
        return [self._value(result) for result in results]

    def _value(self, result: object) -> str | ZnodeStat | None:
        if isinstance(result, PathResponse):
            return self._sender.below(result.path)
        return result.stat if isinstance(result, StatResponse) else None


@implementer(IBatchedReads)
class BatchedReads:
    """All of :class:`~txmirror.interfaces.IBatchedReads`.

    :param sender: sends the requests.
    """

    def __init__(self, sender: RequestSender) -> None:
        self._sender = sender

    def get_many(self, paths: Sequence[str]) -> Deferred[list[tuple[bytes, ZnodeStat] | ZooKeeperException]]:
        """Read the data of several nodes in one request. See :meth:`~txmirror.interfaces.IBatchedReads.get_many`."""
        return self.read_many(paths).addCallback(lambda reply: reply.data)

    def get_children_many(self, paths: Sequence[str]) -> Deferred[list[list[str] | ZooKeeperException]]:
        """Read the children of several nodes in one request. See :meth:`.IBatchedReads.get_children_many`."""
        return self.read_many((), paths).addCallback(lambda reply: reply.children)

    def read_many(self, data: Sequence[str], children: Sequence[str] = ()) -> Deferred[BatchReply]:
        """Read data and children of several nodes in one request. See :meth:`.IBatchedReads.read_many`."""
        data, children = check_paths(data), check_paths(children)
        paths = (*data, *children)
        if not paths:
            return succeed(BatchReply(0, [], []))
        valid = self._sender.valid
        requests: tuple[GetDataRequest | GetChildrenRequest, ...] = (
            *[GetDataRequest(valid(path), False) for path in data],
            *[GetChildrenRequest(valid(path), False) for path in children],
        )

        def decode(cursor: Cursor, zxid: int) -> BatchReply:
            results = MultiResponse.decode(cursor).results
            if len(results) != len(paths):
                raise ProtocolError(f"the server sent {len(results)} results for {len(paths)} reads")
            return BatchReply(
                zxid,
                [
                    (result.data or b"", result.stat)
                    if isinstance(result, GetDataResponse)
                    else _refusal(result, path, zxid)
                    for path, result in zip(data, results, strict=False)
                ],
                [
                    check_names(result.children)
                    if isinstance(result, GetChildrenResponse)
                    else _refusal(result, path, zxid)
                    for path, result in zip(children, results[len(data) :], strict=True)
                ],
            )

        return self._sender.send(MultiReadRequest(requests), paths[0], decode)


def _refusal(result: object, path: str, zxid: int) -> ZooKeeperException:
    code = _code(result)
    if not code:
        raise ProtocolError(f"the server answered a read of {path!r} with {type(result).__name__}")
    return exception_for(code, path=path, zxid=zxid)


def _code(result: object) -> int:
    return result.err if isinstance(result, ErrorResult) else 0
