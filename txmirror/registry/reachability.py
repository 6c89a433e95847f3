"""Fail pending operations with NoConnection after ``timeout`` seconds without a session."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from txmirror.errors import ClosingException, NoConnection
from txmirror.mirror import Mirror, MirrorState
from txmirror.timers import Timer

_T = TypeVar("_T")


class ReachabilityTimeout:
    """Fails pending operations while ZooKeeper is out of reach.

    :param mirror: the mirror with the connection. The time without a session is counted from now.
    :param timeout: the number of seconds without a session after which ZooKeeper is out of reach.
    """

    def __init__(self, mirror: Mirror, timeout: float) -> None:
        self._mirror = mirror
        self._timeout = timeout
        self._timer = Timer(mirror.reactor, self._give_up)
        self._waiting: dict[Callable[[], None], None] = {}
        self._stopped = False
        mirror.addStateWatcher(self, self._mirror_changed)
        self._mirror_changed(mirror.state)

    @property
    def unreachable(self) -> bool:
        """True if ZooKeeper is out of reach."""
        return self._stopped or not (self._mirror.is_connected() or self._timer.running)

    def fail_when_unreachable(self, awaited: Deferred[_T]) -> Deferred[_T]:
        """Cancel a Deferred when ZooKeeper is out of reach.

        :returns: ``awaited`` itself. If it is cancelled here, it fails with :exc:`~txmirror.errors.NoConnection`.
        """
        gave_up = False

        def give_up() -> None:
            nonlocal gave_up
            gave_up = True
            awaited.cancel()

        def done(result: _T | Failure) -> _T | Failure:
            self._waiting.pop(give_up, None)
            if gave_up and isinstance(result, Failure) and isinstance(result.value, CancelledError):
                raise NoConnection(f"ZooKeeper at {self._mirror.connstr()} is out of reach")
            return result

        self._waiting[give_up] = None
        awaited.addBoth(done)
        if self.unreachable:
            give_up()
        return awaited

    def stop(self) -> None:
        """Stop observing the mirror, and fail all pending operations."""
        self._stopped = True
        self._timer.stop()
        self._mirror.delStateWatcher(self)
        self._give_up()

    def _mirror_changed(self, state: MirrorState) -> None:
        if self._mirror.is_connected():
            self._timer.stop()
        elif state is MirrorState.CLOSED:
            self._timer.stop()
            self._give_up()
        elif not self._timer.running:
            self._timer.start(self._timeout)

    def _give_up(self) -> None:
        for give_up in list(self._waiting):
            # The callbacks of an earlier one may have ended this one.
            if give_up in self._waiting:
                give_up()


def when_connected(mirror: Mirror) -> Deferred[None]:
    """Wait for a session with a server.

    :returns: fires at once if there is a session. Fails with :exc:`~txmirror.errors.ClosingException` when the mirror is closed.
        Cancelling ends the wait.
    """

    def changed(state: MirrorState) -> None:
        if waiter.called:
            return
        if mirror.is_connected():
            mirror.delStateWatcher(waiter)
            waiter.callback(None)
        elif state is MirrorState.CLOSED:
            mirror.delStateWatcher(waiter)
            waiter.errback(ClosingException(applied=False))

    waiter: Deferred[None] = Deferred(mirror.delStateWatcher)
    mirror.addStateWatcher(waiter, changed)
    changed(mirror.state)
    return waiter
