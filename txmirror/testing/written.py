"""The writes of a registry in memory: its registrations, its pending writes, and their execution."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

from twisted.internet.interfaces import IReactorTime

from txmirror.embedded import Znode
from txmirror.errors import NodeExistsException, ZooKeeperException
from txmirror.interfaces import IPayloadCodec
from txmirror.testing.found import Say
from txmirror.testing.nodes import MemoryNodes, Session
from txmirror.types import ACL
from txmirror.wire import CreateFlag, DeleteRequest, SetDataRequest

Data = Mapping[str, object] | str | None
#: A write in a session; it raises ZooKeeper's refusal.
Write = Callable[[Session], bool]


class Written:
    """The nodes that one registry writes.

    :param codec: the codec of nodes.
    :param acl: returns the access control list of new nodes and of missing parents.
    :param clock: returns the clock for ``created``.
    :param say: logs a warning.
    """

    def __init__(
        self,
        nodes: MemoryNodes,
        codec: IPayloadCodec,
        acl: Callable[[], Sequence[ACL]],
        clock: Callable[[], IReactorTime],
        say: Say,
    ) -> None:
        self._nodes = nodes
        self._codec = codec
        self._acl = acl
        self._clock = clock
        self._say = say
        self._wanted: dict[str, Data] = {}
        self._owed: dict[str, Write] = {}
        #: The nodes of former registrations, which may still exist.
        self._leaving: dict[str, None] = {}

    def encode(self, data: Data) -> bytes:
        """Return a node's data.

        :raises TypeError: it cannot be stored.
        :raises ValueError: likewise.
        """
        return self._codec.encode(data, pid=os.getpid(), created=self._clock().seconds())

    # Registrations and pending writes.

    def wants(self, path: str) -> bool:
        """Return whether a path is registered, or its withdrawal is pending."""
        return path in self._wanted or path in self._leaving

    def want(self, path: str, data: Data) -> None:
        """Register a path as soon as possible."""
        self._owed.pop(path, None)
        self._leaving.pop(path, None)
        self._wanted[path] = data

    def unwant(self, path: str) -> None:
        """Withdraw a registration as soon as possible."""
        if self._wanted.pop(path, self) is not self:
            self._owed.pop(path, None)
            self._leaving[path] = None

    def owe(self, path: str, write: Write) -> None:
        """Make a write pending, in place of the former pending write of the path."""
        self._owed[path] = write

    def pay(self, session: Session) -> None:
        """Do all pending writes."""
        while self._owed:
            path = next(iter(self._owed))
            try:
                self._owed.pop(path)(session)
            except ZooKeeperException as error:
                self._say(path, "{path}: what was put off is refused: {reason}.", str(error), 0)
        self._withdraw_all(session)

    def look(self, session: Session) -> None:
        """Restore registrations that are missing or different."""
        self._withdraw_all(session)
        for path in list(self._wanted):
            if path in self._wanted:
                try:
                    self._put(path, self._wanted[path], session)
                except ZooKeeperException as error:
                    self._say(path, "{path} cannot be registered: {reason}.", str(error), 0)

    # Writes.

    def register(self, path: str, data: Data, session: Session) -> bool:
        """Register a service and keep it registered; return whether it is registered now."""
        former = dict(self._wanted), dict(self._leaving)
        self.want(path, data)
        try:
            return self._put(path, data, session)
        except ZooKeeperException:
            self._wanted, self._leaving = former
            raise

    def withdraw(self, path: str, session: Session) -> bool:
        """Delete the node of a registration, if it is this registry's."""
        node = self._nodes.find(path)
        if node is not None and node.owner == session.session_id:
            self._nodes.write(session, DeleteRequest(path, -1))
        self._leaving.pop(path, None)
        return True

    def _withdraw_all(self, session: Session) -> None:
        for path in list(self._leaving):
            try:
                self.withdraw(path, session)
            except ZooKeeperException as error:
                self._say(path, "{path} cannot be withdrawn: {reason}.", str(error), 0)

    def store(self, path: str, data: Data, session: Session) -> bool:
        """Write a persistent node."""
        node = self._nodes.find(path)
        if node is None:
            self._make(path, data, CreateFlag(0), session)
        else:
            _refuse_ephemeral(path, node)
            self._nodes.write(session, SetDataRequest(path, self.encode(data), -1))
        return True

    def delete(self, path: str, session: Session) -> bool:
        """Delete a persistent node, if it is there."""
        node = self._nodes.find(path)
        if node is not None:
            _refuse_ephemeral(path, node)
            self._nodes.write(session, DeleteRequest(path, -1))
        return True

    def _put(self, path: str, data: Data, session: Session) -> bool:
        node = self._nodes.find(path)
        if node is None:
            self._make(path, data, CreateFlag.EPHEMERAL, session)
        elif node.owner != session.session_id:
            if not node.owner:
                raise NodeExistsException(f"a persistent node is there already: {path!r}", path=path)
            self._say(path, "{path} is registered by {reason}; it is waited for.", f"session {node.owner:#x}", 0)
            return False
        elif not self._codec.says(node.data or b"", data):
            self._nodes.write(session, SetDataRequest(path, self.encode(data), -1))
        return True

    def _make(self, path: str, data: Data, flags: CreateFlag, session: Session) -> None:
        acl = self._acl()
        self._nodes.make(session, path, self.encode(data), flags, acl, acl)


def _refuse_ephemeral(path: str, node: Znode) -> None:
    if node.owner:
        raise NodeExistsException(f"an ephemeral node is there already: {path!r}", path=path)
