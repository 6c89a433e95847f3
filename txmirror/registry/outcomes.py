"""The state of a registration, and the Deferreds that wait for it."""

from __future__ import annotations

import enum

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
    """The Deferreds that wait for the result of a registration.

    :param path: the path.
    :ivar first: those that wait for the next state, or for a refusal.
    :ivar registered: those that wait until the node is in place.
    :ivar withdrawn: those that wait until the node is gone.
    :ivar withdrawing: those that wait for that, or for a refusal.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self.first: Waiters[RegistrationState] = Waiters()
        self.registered: Waiters[None] = Waiters()
        self.withdrawn: Waiters[None] = Waiters()
        self.withdrawing: Waiters[None] = Waiters()

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

    def refuse_withdrawal(self, error: BaseException) -> bool:
        """Fail those that wait for the withdrawal, unless they wait for its end; return whether there were any."""
        waiting = len(self.withdrawing)
        self.withdrawing.fail(lambda: error)
        return waiting > 0

    def end_withdrawal(self) -> None:
        """Fire all that wait for the withdrawal: it is done, or revoked."""
        self.withdrawn.fire(None)
        self.withdrawing.fire(None)

    def fail_closed(self) -> None:
        """Fail all that wait for the node: it is withdrawn, or the mirror is closed."""
        self.registered.fail(lambda: ClosingException(path=self._path, applied=False))
        self.first.fail(lambda: ClosingException(path=self._path, applied=False))
