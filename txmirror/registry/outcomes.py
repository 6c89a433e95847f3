"""The state of a registration, and the Deferreds that wait for it."""

from __future__ import annotations

import enum

from twisted.internet.defer import Deferred

from txmirror.deferreds import Waiters
from txmirror.errors import ClosingException


class RegistrationState(enum.Enum):
    """The state of a registration."""

    PENDING = "pending"
    """The node is not known to exist: it is not written yet, or ZooKeeper is out of reach."""
    REGISTERED = "registered"
    """The node exists, in our session, with our data."""
    BLOCKED = "blocked"
    """Another session's node, or a persistent one, is at the path."""
    WITHDRAWN = "withdrawn"
    """The registration is not started, or is stopped, and our node is gone."""


class Outcomes:
    """The Deferreds that wait for what becomes of a registration.

    :param path: the path.
    :ivar first: those that wait for the next state, or for a refusal.
    :ivar registered: those that wait until the node is in place.
    :ivar withdrawn: those that wait until the node is gone.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self.first: Waiters[RegistrationState] = Waiters()
        self.registered: Waiters[None] = Waiters()
        self.withdrawn: Waiters[None] = Waiters()
        self._withdrawing: dict[Deferred[None], None] | None = None

    def in_place(self) -> None:
        """Fire all that wait for the node."""
        self.registered.fire(None)
        self.first.fire(RegistrationState.REGISTERED)

    def refuse(self, error: BaseException) -> bool:
        """Fail those that wait for a state; return whether there were any."""
        waiting = len(self.first)
        if waiting:
            self.first.fail(lambda: error)
        return waiting > 0

    def withdraw(self, stopped: Deferred[None]) -> Deferred[None]:
        """Return a Deferred that fires with ``stopped``, but fails when :meth:`refuse_withdrawal` is called before."""
        withdrawing = self._withdrawing = {} if self._withdrawing is None else self._withdrawing

        def done(_: None) -> None:
            # The waiter may have failed with a refusal, or was cancelled.
            if withdrawing.pop(waiter, self) is None:
                waiter.callback(None)

        waiter: Deferred[None] = Deferred(lambda cancelled: withdrawing.pop(cancelled, None))
        withdrawing[waiter] = None
        stopped.addCallback(done)
        return waiter

    def refuse_withdrawal(self, error: BaseException) -> bool:
        """Fail those that wait for the withdrawal; return whether there were any."""
        refused = False
        while self._withdrawing:
            refused = True
            self._withdrawing.popitem()[0].errback(error)
        return refused

    def fail_closed(self) -> None:
        """Fail all that wait for the node: it is withdrawn, or the mirror is closed."""
        self.registered.fail(lambda: ClosingException(path=self._path, applied=False))
        self.first.fail(lambda: ClosingException(path=self._path, applied=False))
