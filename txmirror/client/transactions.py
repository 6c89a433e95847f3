"""Transactions: several writes in one request."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from txmirror.client.arguments import check_acl, check_bytes, check_version
from txmirror.client.operations import MULTI
from txmirror.client.requests import Requests
from txmirror.interfaces import ITransaction
from txmirror.types import ACL, OPEN_ACL, ZnodeStat
from txmirror.wire import (
    CheckVersionRequest,
    CreateFlag,
    CreateRequest,
    DeleteRequest,
    MultiRequest,
    SetDataRequest,
)

_Write = CreateRequest | DeleteRequest | SetDataRequest | CheckVersionRequest


@implementer(ITransaction)
class Transaction:
    """Several writes in one request. See :class:`~txmirror.interfaces.ITransaction`.

    :param requests: sends the request.
    """

    def __init__(self, requests: Requests) -> None:
        self._requests = requests
        self._full = requests.chroot.full
        self._writes: list[_Write] = []
        self._first_path = ""
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
        full = self._full(path, sequence=sequence)
        flags = CreateFlag.of(ephemeral=ephemeral, sequence=sequence)
        self._add(path, CreateRequest(full, check_bytes(data), check_acl(acl), flags))

    def delete(self, path: str, version: int = -1) -> None:
        """Add a delete. See :meth:`~txmirror.interfaces.ITransaction.delete`."""
        self._add(path, DeleteRequest(self._full(path), check_version(version)))

    def set(self, path: str, data: bytes, version: int = -1) -> None:
        """Add a write of data. See :meth:`~txmirror.interfaces.ITransaction.set`."""
        self._add(path, SetDataRequest(self._full(path), check_bytes(data), check_version(version)))

    def check(self, path: str, version: int) -> None:
        """Add a check of a version. See :meth:`~txmirror.interfaces.ITransaction.check`."""
        self._add(path, CheckVersionRequest(self._full(path), check_version(version)))

    def commit(self) -> Deferred[list[str | ZnodeStat | None]]:
        """Send the transaction, unless it is empty. See :meth:`~txmirror.interfaces.ITransaction.commit`."""
        self._check_open()
        self._committed = True
        if not self._writes:
            return succeed([])
        return self._requests.send_record(MULTI, MultiRequest(tuple(self._writes)), self._first_path)

    def _add(self, path: str, write: _Write) -> None:
        self._check_open()
        self._first_path = self._first_path or path
        self._writes.append(write)

    def _check_open(self) -> None:
        if self._committed:
            raise ValueError("the transaction is committed already")
