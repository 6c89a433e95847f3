"""Fail pending operations with NoConnection after ``timeout`` seconds without a session."""

from __future__ import annotations

from typing import Any, TypeVar

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
        self._waiting: dict[Deferred[Any], None] = {}
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
        self._waiting[awaited] = None
        awaited.addBoth(self._done, awaited)
        if self.unreachable and awaited in self._waiting:
            self._cancel(awaited)
        return awaited

    def _done(self, result: _T | Failure, awaited: Deferred[_T]) -> _T | Failure:
        if awaited in self._waiting:
            del self._waiting[awaited]
        elif isinstance(result, Failure) and isinstance(result.value, CancelledError):
            raise NoConnection(f"ZooKeeper at {self._mirror.connstr()} is out of reach")
        return result

    def _cancel(self, awaited: Deferred[Any]) -> None:
        # That it is no longer among those that wait shows that it is cancelled here, and by nobody else.
        del self._waiting[awaited]
        awaited.cancel()

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
        for awaited in list(self._waiting):
            # The callbacks of an earlier one may have ended this one.
            if awaited in self._waiting:
                self._cancel(awaited)


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
