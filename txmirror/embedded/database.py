"""The data, as the transactions leave it, and who is told of each. Several servers may share it.

Sessions and connections are no matter of this module; whoever asks is a :class:`Caller`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from txmirror.embedded.requests import Caller
from txmirror.embedded.transactions import Transaction
from txmirror.embedded.tree import Tree
from txmirror.embedded.versions import Version
from txmirror.embedded.watches import Change
from txmirror.errors import MarshallingErrorException
from txmirror.wire import (
    CheckVersionRequest,
    Create2Request,
    CreateContainerRequest,
    CreateFlag,
    CreateRequest,
    CreateTTLRequest,
    Cursor,
    DeleteRequest,
    MultiRequest,
    Operation,
    ReconfigRequest,
    SetACLRequest,
    SetDataRequest,
)

_WRITES: dict[int, Any] = {
    kind.operation: kind
    for kind in (
        CreateRequest,
        Create2Request,
        CreateContainerRequest,
        CreateTTLRequest,
        DeleteRequest,
        SetDataRequest,
        SetACLRequest,
        CheckVersionRequest,
        ReconfigRequest,
        MultiRequest,
    )
}
#: The operations that are transactions.
WRITES = frozenset(_WRITES)


class Follower(Protocol):
    """What is told of all that happens to the data."""

    def changed(self, changes: Sequence[Change]) -> None:
        """A transaction has done this."""

    def replaced(self) -> None:
        """All of it is other data now."""


class Database:
    """A tree of znodes.

    :param now: gives the time in milliseconds since the epoch.
    :param ttl_nodes: whether nodes may have a time to live.
    :ivar tree: the znodes, as the latest transaction has left them.
    :ivar followers: told of each transaction, in this order.
    :ivar on_expiring_nodes: called after a write when there are nodes that go by themselves (``Tree.expiring_nodes``).
    """

    def __init__(self, now: Callable[[], int], ttl_nodes: bool) -> None:
        self._now = now
        self._ttl_nodes = ttl_nodes
        self.tree = Tree()
        self.followers: list[Follower] = []
        self.on_expiring_nodes: Callable[[], None] = lambda: None

    def replace(self, tree: Tree) -> None:
        """Go on with other data, without a transaction."""
        self.tree = tree
        for follower in self.followers:
            follower.replaced()
        if tree.expiring_nodes:
            self.on_expiring_nodes()

    def write(self, operation: int, cursor: Cursor, caller: Caller, version: Version) -> bytes:
        """Do what a request asks for that is a transaction (:data:`WRITES`), and tell of it.

        :param cursor: at the request's record.
        :param version: that of the server, which says what may stand in a transaction of several.
        :returns: the record that answers it.
        :raises ZooKeeperException: one with a code: it is refused.
        :raises ProtocolError: it cannot be read; it was a transaction all the same.
        """
        transaction = self._begin(caller, version.create2_in_multi)
        request = _WRITES[operation].decode(cursor)
        if isinstance(request, MultiRequest):
            _check_known(request, version)
        record = transaction.write(request)
        self._notify_followers(transaction)
        if self.tree.expiring_nodes:
            self.on_expiring_nodes()
        return record.encode()

    def begin(self) -> None:
        """Begin and end a transaction that changes nothing here."""
        self.tree.begin()

    def end_session(self, session_id: int) -> None:
        """Take away a session's ephemeral nodes, all in one transaction."""
        self.remove(list(self.tree.ephemerals.get(session_id, ())))

    def remove(self, paths: Iterable[str]) -> None:
        """Take znodes away, all in one transaction of the server's own.

        :raises NoNodeException: one of them is not there.
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
            raise MarshallingErrorException(f"an operation {part.operation!r} stands in a transaction")
        if version.create2_in_multi and isinstance(part, CreateRequest | Create2Request | CreateContainerRequest):
            _check_flags(part.flags)


def _check_flags(flags: int) -> None:
    """Check the kind of a node, which since 3.9 is looked at when the transaction is read."""
    if not 0 <= flags <= CreateFlag.CONTAINER:
        raise MarshallingErrorException(f"a create without a time to live has the flags {flags}")
