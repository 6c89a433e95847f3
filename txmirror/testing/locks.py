"""The locks of registries in memory: ephemeral nodes below a path, the oldest of which hold it."""

from __future__ import annotations

import os
import socket
import uuid
from types import TracebackType
from typing import Protocol

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from txmirror import paths
from txmirror.errors import ZooKeeperException
from txmirror.interfaces import IRegistryLock
from txmirror.testing.nodes import MemoryNodes, Session
from txmirror.types import OPEN_ACL
from txmirror.wire import CreateFlag, DeleteRequest

#: What the names of contenders end with.
_MARK = "__lock__"


class Holder(Protocol):
    """The registry whose lock it is."""

    nodes: MemoryNodes
    clock: IReactorTime

    def reach(self) -> Session | None:
        """Give the session; None with ZooKeeper out of reach."""

    def forget_lock(self, path: str) -> None:
        """The lock was released."""


@implementer(IRegistryLock)
class MemoryLock:
    """See :class:`~txmirror.interfaces.IRegistryLock`.

    :param name: who wants it; None is the host and process.
    :raises ValueError: ``simultaneous`` is out of range.
    """

    def __init__(self, holder: Holder, path: str, name: str | None, simultaneous: int) -> None:
        if type(simultaneous) is not int or simultaneous < 1:
            raise ValueError(f"simultaneous is {simultaneous!r}: not a whole number above 0")
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

    def again(self, simultaneous: int, wait: float) -> None:
        """Be asked for, the first time or again.

        :raises ValueError: ``wait`` is out of range, or ``simultaneous`` is another number.
        """
        if simultaneous != self._simultaneous:
            raise ValueError(f"{self.path!r} is a lock for {self._simultaneous} at once, not for {simultaneous!r}")
        if isinstance(wait, bool) or not wait >= 0:
            raise ValueError(f"wait is {wait!r}: not a number of seconds from 0")
        self._wait = wait

    def acquire(self) -> Deferred[bool]:
        if self.held:
            return succeed(True)
        acquired: Deferred[bool] = Deferred(self._stop_waiting)
        self._waiting[acquired] = self._holder.clock.callLater(self._wait, self._give_up, acquired)
        try:
            self.look()
        except ZooKeeperException as error:
            self._stop_waiting(acquired)
            return fail(error)
        if not self._wait and not acquired.called:
            self._give_up(acquired)
        return acquired

    def release(self) -> Deferred[bool]:
        if self.held:
            self._let_go()
        self.look()
        if not self._left:
            self._holder.forget_lock(self.path)
            return succeed(True)
        released: Deferred[bool] = Deferred(self._releasing.remove)
        self._releasing.append(released)
        return released

    def __aenter__(self) -> Deferred[bool]:
        return self.acquire()

    def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Deferred[None]:
        return self.release().addCallback(lambda _: None)

    # What the registry tells it.

    def look(self) -> None:
        """Something has changed, at the nodes or in what this wants: do what can be done now."""
        session = self._holder.reach()
        if session is None:
            return
        nodes = self._holder.nodes
        if self._node and nodes.find(self._node) is None:
            # It went with its session, or somebody deleted it.
            self.lose()
        while self._left:
            left = self._left.pop()
            if nodes.find(left) is not None:
                nodes.write(session, DeleteRequest(left, -1))
        if self._waiting and not self._node:
            self._node = f"{self.path}/{uuid.uuid4().hex}{_MARK}"
            try:
                nodes.make(session, self._node, self._name.encode(), CreateFlag.EPHEMERAL, OPEN_ACL)
            except ZooKeeperException:
                self._node = ""
                raise
        self._take()
        self._left_all()

    def lose(self) -> None:
        """What is held, or was waited for in a place, may be relied upon no longer."""
        if self._node:
            held = self.held
            self._let_go()
            if held:
                self.lost.callback(None)

    def session_ended(self) -> None:
        """With it all has gone that was to be given up."""
        self._left.clear()
        self._left_all()

    def stop(self) -> None:
        """Nobody waits any more: the registry was stopped."""
        for acquired in list(self._waiting):
            self._give_up(acquired)

    def _left_all(self) -> None:
        while self._releasing and not self._left:
            self._holder.forget_lock(self.path)
            self._releasing.pop().callback(True)

    def _take(self) -> None:
        """Hold it, if it is this one's turn."""
        if not (self._waiting and self._node):
            return
        nodes = self._holder.nodes
        found = {name: nodes.find(paths.join(self.path, name)) for name in nodes.children(self.path)}
        contenders = {name: node.czxid for name, node in found.items() if node is not None and name.endswith(_MARK)}
        token = contenders[paths.name_of(self._node)]
        if sorted(contenders.values()).index(token) < self._simultaneous:
            self.held, self.token, self.lost = True, token, Deferred()
            while self._waiting:
                acquired, timer = self._waiting.popitem()
                timer.cancel()
                acquired.callback(True)

    def _let_go(self) -> None:
        self._left.append(self._node)
        self._node = ""
        self.held = False

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
