"""The locks of registries in memory: ephemeral nodes below a path, the oldest of which hold it."""

from __future__ import annotations

import os
import re
import socket
import uuid
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from txmirror import paths
from txmirror.embedded import Znode
from txmirror.errors import LockMismatchError, ZooKeeperException
from txmirror.interfaces import IRegistryLock
from txmirror.recipes.lock_order import in_order
from txmirror.testing.nodes import MemoryNodes, Session
from txmirror.types import ACL
from txmirror.wire import CreateFlag, DeleteRequest

#: The names of contenders, which end with the number of holders that there may be at once.
_CONTENDER = re.compile(r"[0-9a-f]{32}__of__(\d+)\Z")


class Holder(Protocol):
    """The registry of a lock."""

    nodes: MemoryNodes
    clock: IReactorTime

    def reach(self) -> Session | None:
        """Return the session; None with ZooKeeper out of reach."""

    def acl(self) -> Sequence[ACL]:
        """Return the ACL of new nodes."""

    def forget_lock(self, path: str) -> None:
        """Note that the lock was released."""


@implementer(IRegistryLock)
class MemoryLock:
    """A lock of a registry in memory. See :class:`~txmirror.interfaces.IRegistryLock`.

    :param name: the contender's name; None is the host and process.
    :raises ValueError: ``simultaneous`` is out of range.
    """

    def __init__(self, holder: Holder, path: str, name: str | None, simultaneous: int) -> None:
        self.path = path
        self.held = False
        self.lost: Deferred[None] = succeed(None)
        self.token = 0
        self._holder = holder
        self._name = f"{socket.gethostname()}:{os.getpid()}" if name is None else name
        self._simultaneous = simultaneous
        self._wait = 0.0
        self._node = ""
        self._waiting: dict[Deferred[bool], IDelayedCall] = {}
        self._left: list[str] = []
        self._releasing: list[Deferred[bool]] = []
        self._refused = False

    def again(self, simultaneous: int, wait: float) -> None:
        """Set the parameters of another request for this lock.

        :raises ValueError: ``wait`` is out of range, or ``simultaneous`` is another number.
        """
        if type(simultaneous) is not int or simultaneous < 1:
            raise ValueError(f"simultaneous is {simultaneous!r}: not a whole number above 0")
        if isinstance(wait, bool) or not wait >= 0:
            raise ValueError(f"wait is {wait!r}: not a number of seconds from 0")
        if (self._node or self._waiting) and simultaneous != self._simultaneous:
            raise ValueError(
                f"the lock {self.path!r} is in use here with simultaneous={self._simultaneous!r}, not {simultaneous!r}:"
                " release it first"
            )
        self._simultaneous = simultaneous
        self._wait = wait

    def acquire(self) -> Deferred[bool]:
        if self.held:
            return succeed(True)
        acquired: Deferred[bool] = Deferred(self._stop_waiting)
        self._waiting[acquired] = self._holder.clock.callLater(self._wait, self._give_up, acquired)
        self.look()
        if not self._wait and not acquired.called:
            self._give_up(acquired)
        return acquired

    def release(self) -> Deferred[bool]:
        self._refused = False
        if self.held:
            self._let_go()
        self.look()
        if not self._left:
            self._holder.forget_lock(self.path)
            return succeed(not self._refused)
        released: Deferred[bool] = Deferred(self._releasing.remove)
        self._releasing.append(released)
        return released

    def __aenter__(self) -> Deferred[bool]:
        return self.acquire()

    def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Deferred[None]:
        return self.release().addCallback(lambda _: None)

    # Called by the registry.

    def look(self) -> None:
        """Handle a change of the nodes or of this lock: do all that can be done now."""
        session = self._holder.reach()
        if session is None:
            return
        nodes = self._holder.nodes
        if self._node and nodes.find(self._node) is None:
            # It went with its session, or somebody deleted it.
            self.lose()
        self._delete_left(session)
        if self._waiting and not self._node:
            try:
                self._make(session)
            except (ZooKeeperException, LockMismatchError) as error:
                self._node = ""
                self._fail(session, error)
        self._take(session)
        self._left_all()

    def lose(self) -> None:
        """Lose the lock, or its place among the contenders."""
        if self._node:
            held = self.held
            self._let_go()
            if held:
                self.lost.callback(None)

    def session_ended(self) -> None:
        """Note that the session ended, and with it all nodes to delete."""
        self._left.clear()
        self._left_all()

    def stop(self) -> None:
        """End all waits, because the registry was stopped."""
        for acquired in list(self._waiting):
            self._give_up(acquired)

    def _left_all(self) -> None:
        while self._releasing and not self._left:
            self._holder.forget_lock(self.path)
            self._releasing.pop().callback(not self._refused)

    def _delete_left(self, session: Session) -> None:
        nodes = self._holder.nodes
        while self._left:
            left = self._left.pop()
            if nodes.find(left) is not None:
                try:
                    nodes.write(session, DeleteRequest(left, -1))
                except ZooKeeperException:
                    # It goes with the session.
                    self._refused = True

    def _make(self, session: Session) -> None:
        """Create this contender's node.

        :raises LockMismatchError: other contenders use another number of holders.
        :raises ZooKeeperException: it is refused.
        """
        for name, node in self._contenders().items():
            number = name.rpartition("_")[2]
            if number != str(self._simultaneous):
                raise LockMismatchError(
                    f"the semaphore {self.path!r} has {number} leases, not {self._simultaneous}, and {_who(node)} uses it: ask"
                    f" for {number}, or ask again when nobody does",
                    path=self.path,
                )
        self._node = f"{self.path}/{uuid.uuid4().hex}__of__{self._simultaneous}"
        acl = self._holder.acl()
        self._holder.nodes.make(session, self._node, self._name.encode(), CreateFlag.EPHEMERAL, acl, acl)

    def _contenders(self) -> dict[str, Znode]:
        """Return the nodes of all holders and contenders, by their names."""
        nodes = self._holder.nodes
        if nodes.find(self.path) is None:
            return {}
        found = {name: nodes.find(paths.join(self.path, name)) for name in nodes.children(self.path)}
        return {name: node for name, node in found.items() if node is not None and _CONTENDER.match(name)}

    def _take(self, session: Session) -> None:
        """Acquire the lock, if it is this contender's turn."""
        if not (self._waiting and self._node):
            return
        contenders = {name: node.czxid for name, node in self._contenders().items()}
        token = contenders[paths.name_of(self._node)]
        if sorted(contenders.values()).index(token) < self._simultaneous:
            nodes = self._holder.nodes
            for name in in_order(nodes.children(self.path))[:1]:
                other = nodes.find(paths.join(self.path, name))
                assert other is not None, name
                message = f"{self.path!r} is used as a lock, held by {_who(other)}, and cannot be used as a semaphore"
                self._fail(session, LockMismatchError(f"{message}: use another path", path=self.path))
                return
            self.held, self.token, self.lost = True, token, Deferred()
            while self._waiting:
                acquired, timer = self._waiting.popitem()
                timer.cancel()
                acquired.callback(True)

    def _let_go(self) -> None:
        self._left.append(self._node)
        self._node = ""
        self.held = False

    def _fail(self, session: Session, error: Exception) -> None:
        """Fail all waits: the lock cannot be acquired."""
        waiting, self._waiting = self._waiting, {}
        if self._node:
            self._let_go()
        self._delete_left(session)
        for acquired, timer in waiting.items():
            if timer.active():
                timer.cancel()
            if not acquired.called:
                acquired.errback(error)

    def _give_up(self, acquired: Deferred[bool]) -> None:
        self._stop_waiting(acquired)
        acquired.callback(False)

    def _stop_waiting(self, acquired: Deferred[bool]) -> None:
        timer = self._waiting.pop(acquired, None)
        if timer is not None and timer.active():
            timer.cancel()
        if not self._waiting and not self.held:
            self.lose()
            self.look()


def _who(node: Znode) -> str:
    return f"{(node.data or b'').decode(errors='replace')!r:.80} (session {node.stat().ephemeralOwner:#x})"
