"""The data, changed by transactions, and the followers that are notified of each. Several servers may share it.

This module knows no sessions and no connections; a request comes from a :class:`Caller`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from txmirror.embedded.requests import Caller
from txmirror.embedded.transactions import WRITES, Transaction
from txmirror.embedded.tree import Tree
from txmirror.embedded.versions import Version
from txmirror.embedded.watches import Change
from txmirror.errors import MarshallingErrorException
from txmirror.wire import (
    REQUESTS,
    Create2Request,
    CreateContainerRequest,
    CreateFlag,
    CreateRequest,
    Cursor,
    MultiRequest,
    Operation,
)


class Follower(Protocol):
    """An observer of all changes to the data."""

    def changed(self, changes: Sequence[Change]) -> None:
        """Handle the changes of a transaction."""

    def replaced(self) -> None:
        """Handle the replacement of all data."""


class Database:
    """A tree of znodes.

    :param now: returns the time in milliseconds since the epoch.
    :param ttl_nodes: whether nodes may have a time to live.
    :ivar tree: the znodes after the latest transaction.
    :ivar followers: notified of each transaction, in this order.
    :ivar on_expiring_nodes: called after a write if there are containers or TTL nodes (``Tree.expiring_nodes``).
    """

    def __init__(self, now: Callable[[], int], ttl_nodes: bool) -> None:
        self._now = now
        self._ttl_nodes = ttl_nodes
        self.tree: Tree = Tree()
        self.followers: list[Follower] = []
        self.on_expiring_nodes: Callable[[], None] = lambda: None

    def replace(self, tree: Tree) -> None:
        """Replace all data, without a transaction."""
        self.tree = tree
        for follower in self.followers:
            follower.replaced()
        if tree.expiring_nodes:
            self.on_expiring_nodes()

    def write(self, operation: int, cursor: Cursor, caller: Caller, version: Version) -> bytes:
        """Apply a write in a transaction, and notify the followers.

        :param cursor: at the request's record.
        :param version: the server's, which decides which operations a multi may contain.
        :returns: the encoded record of the reply.
        :raises ZooKeeperException: one with a code: the write failed.
        :raises ProtocolError: the record is invalid; it used up a zxid all the same.
        """
        transaction = self._begin(caller, version.create2_in_multi)
        request = REQUESTS[operation].decode(cursor)
        if isinstance(request, MultiRequest):
            _check_known(request, version)
        record = transaction.write(request)
        self._notify_followers(transaction)
        if self.tree.expiring_nodes:
            self.on_expiring_nodes()
        return record.encode()

    def begin(self) -> None:
        """Apply a transaction that changes no data."""
        self.tree.begin()

    def end_session(self, session_id: int) -> None:
        """Delete a session's ephemeral nodes in one transaction."""
        self.remove(list(self.tree.ephemerals.get(session_id, ())))

    def remove(self, paths: Iterable[str]) -> None:
        """Delete znodes in one transaction of the server's own.

        :raises NoNodeException: one of them does not exist.
        """
        transaction = self._begin(None)
        for path in paths:
            transaction.remove(path)
        self._notify_followers(transaction)

    def _begin(self, caller: Caller | None, create2_in_multi: bool = False) -> Transaction:
        return Transaction(self.tree, caller, self._now(), self._ttl_nodes, create2_in_multi)

    def _notify_followers(self, transaction: Transaction) -> None:
        if transaction.changes:
            for follower in self.followers:
                follower.changed(transaction.changes)


def _check_known(request: MultiRequest, version: Version) -> None:
    for part in request.requests:
        known = part.operation in version.operations or part.operation is Operation.CHECK
        if part.operation not in WRITES or not known:
            raise MarshallingErrorException(f"a transaction contains the operation {part.operation!r}")
        if version.create2_in_multi and isinstance(part, CreateRequest | Create2Request | CreateContainerRequest):
            _check_flags(part.flags)


def _check_flags(flags: int) -> None:
    """Check the kind of a node, as servers since 3.9 do when they read the transaction."""
    if not 0 <= flags <= CreateFlag.CONTAINER:
        raise MarshallingErrorException(f"a create without a time to live has the flags {flags}")
