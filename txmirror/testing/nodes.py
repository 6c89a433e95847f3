"""The znodes that registries in memory share: a ZooKeeper ensemble without a server and its protocol."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock

from txmirror import paths
from txmirror.embedded import Caller, Identity, Transaction, Tree, Znode, check_access
from txmirror.errors import RequestTooLargeException
from txmirror.types import ACL, OPEN_ACL, EventType, Permission, ZnodeStat
from txmirror.wire import (
    DEFAULT_MAX_REQUEST,
    CreateFlag,
    CreateRequest,
    DeleteRequest,
    Request,
    RequestHeader,
    SetDataRequest,
)


class Session:
    """A session and its identities.

    :ivar session_id: the session's id.
    :ivar identities: the identities that it has proved.
    """

    def __init__(self, session_id: int) -> None:
        self.session_id = session_id
        self.identities: list[Identity] = []

    def notify(self, kind: EventType, path: str, zxid: int = -1) -> None:
        """Ignore a watch event: followers are notified after each transaction instead."""


class MemoryNodes:
    """The znodes of a ZooKeeper ensemble that :class:`MemoryRegistry` objects share.

    Its methods act as another program, in a session that none of the registries has. A change takes effect at once, and the
    registries are notified before the method returns. Stats and refusals are those of a real server, by the rules of
    :class:`~txmirror.embedded.EmbeddedServer`.

    :param reactor: the clock for the times of nodes and for waiting for locks; None makes a
        :class:`~twisted.internet.task.Clock` that begins at 0.
    :ivar clock: the clock.
    """

    def __init__(self, reactor: IReactorTime | None = None) -> None:
        self.clock: IReactorTime = Clock() if reactor is None else reactor
        self._tree = Tree()
        # As in ZooKeeper, the highest byte is the server's number.
        self._session_ids = itertools.count(1 << 56)
        self._stranger = self.open_session()
        self._followers: dict[Callable[[], None], None] = {}
        self._telling = self._changed = False

    def get(self, path: str) -> tuple[bytes, ZnodeStat]:
        """Return a node's data and stat.

        :raises NoNodeException: it does not exist.
        """
        node = self._tree.node(paths.normalise(path))
        return node.data or b"", node.stat()

    def children(self, path: str) -> list[str]:
        """Return the names of a node's children, sorted.

        :raises NoNodeException: it does not exist.
        """
        return sorted(self._tree.node(paths.normalise(path)).children)

    def create(
        self, path: str, data: bytes = b"", *, ephemeral: bool = False, acl: Sequence[ACL] | None = None
    ) -> None:
        """Create a node, and its missing parents.

        :param ephemeral: whether it belongs to another session, which lives on until the node is deleted.
        :raises NodeExistsException: it exists.
        :raises NoChildrenForEphemeralsException: a parent is ephemeral.
        """
        flags = CreateFlag.EPHEMERAL if ephemeral else CreateFlag(0)
        self.make(self._stranger, paths.normalise(path), data, flags, acl or OPEN_ACL)

    def set(self, path: str, data: bytes) -> None:
        """Write a node's data.

        :raises NoNodeException: it does not exist.
        """
        self.write(self._stranger, SetDataRequest(paths.normalise(path), data, -1))

    def delete(self, path: str) -> None:
        """Delete a node.

        :raises NoNodeException: it does not exist.
        :raises NotEmptyException: it has children.
        """
        self.write(self._stranger, DeleteRequest(paths.normalise(path), -1))

    def set_acl(self, path: str, acl: Sequence[ACL]) -> None:
        """Replace a node's access control list, even if the current one does not allow it.

        :raises NoNodeException: it does not exist.
        """
        path = paths.normalise(path)
        self._tree.node(path)
        self._tree.begin()
        self._tree.set_acl(path, tuple(acl))
        self.tell()

    # For the registries.

    def open_session(self) -> Session:
        """Open a session, which is a transaction."""
        self._tree.begin()
        return Session(next(self._session_ids))

    def end_session(self, session: Session) -> None:
        """End a session: delete its ephemeral nodes, all in one transaction."""
        transaction = self._begin(session)
        for path in list(self._tree.ephemerals.get(session.session_id, ())):
            transaction.remove(path)
        self.tell()

    def follow(self, look: Callable[[], None]) -> None:
        """Call a function after each transaction."""
        self._followers[look] = None

    def leave(self, look: Callable[[], None]) -> None:
        """Stop calling a function."""
        self._followers.pop(look, None)

    def find(self, path: str) -> Znode | None:
        """Return a node, or None."""
        return self._tree.nodes.get(path)

    def read(self, session: Session, path: str) -> Znode | None:
        """Return a node, or None.

        :raises NoAuthException: it may not be read.
        """
        node = self.find(path)
        if node is not None:
            check_access(node.acl, Permission.READ, session.identities, path)
        return node

    def make(
        self,
        session: Session,
        path: str,
        data: bytes,
        flags: CreateFlag,
        acl: Sequence[ACL],
        parent_acl: Sequence[ACL] = OPEN_ACL,
    ) -> None:
        """Create a node and its missing parents, and notify the followers.

        :param parent_acl: the ACL of the direct parent, if that is missing. Further parents are open to everybody.
        :raises ZooKeeperException: it is refused.
        """
        requests = [CreateRequest(path, data, tuple(acl), flags)]
        while (above := paths.split(requests[-1].path)[0]) not in self._tree.nodes:
            requests.append(CreateRequest(above, b"", tuple(OPEN_ACL if len(requests) > 1 else parent_acl), 0))
        self.write(session, *reversed(requests))

    def write(self, session: Session, *requests: Request) -> None:
        """Do requests, one after another, and notify the followers.

        :raises ZooKeeperException: one is refused; those before it were done.
        """
        for request in requests:
            size = len(RequestHeader(0, request.operation).encode()) + len(request.encode())
            if size > DEFAULT_MAX_REQUEST:
                raise RequestTooLargeException(f"a request of {size} bytes is over the limit of {DEFAULT_MAX_REQUEST}")
        done = 0
        try:
            for request in requests:
                self._begin(session).write(request)
                done += 1
        finally:
            # A follower may retry the refused request, so it must not be called for that.
            if done:
                self.tell()

    def tell(self) -> None:
        """Notify all followers. Changes that they make themselves are notified of afterwards."""
        self._changed = True
        if self._telling:
            return
        self._telling = True
        try:
            while self._changed:
                self._changed = False
                for look in list(self._followers):
                    look()
        finally:
            self._telling = False

    def _begin(self, caller: Caller) -> Transaction:
        return Transaction(self._tree, caller, int(self.clock.seconds() * 1000), ttl_nodes=False)
