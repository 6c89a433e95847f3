"""The state of a mirror's connection, and its watchers."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from twisted.logger import Logger

from txmirror.errors import ClosingException, ConnectionLossException, SessionExpiredException
from txmirror.mirror.state import MirrorState
from txmirror.observers import Observers
from txmirror.types import SessionEvent

#: The failures after which a request waits for the next connection, unless the connection stands.
LOST = (ConnectionLossException, SessionExpiredException, ClosingException)


class Status:
    """The state of the connection, and of the knowledge of what changed before it.

    :param session: the latest step of the session.
    :param now: the time in the reactor's seconds.
    :ivar state: the state that watchers get.
    :ivar session: the latest step that established a session.
    :ivar disconnected_since: when the connection was lost, in the reactor's seconds; None if there is one.
    :ivar recovered: whether all nodes that changed before this connection are known to have changed.
    :ivar session_ends: whether the session is about to be closed.
    :ivar watchers: the state watchers.
    :ivar recovery_watchers: the functions to call each time that ``recovered`` becomes true.
    """

    _log = Logger()

    def __init__(self, session: SessionEvent, now: float) -> None:
        self.state: MirrorState = MirrorState.DISCONNECTED
        self.session = session
        self.disconnected_since: float | None = now
        self.recovered: bool = False
        self.session_ends = False
        self.watchers: Observers[MirrorState] = Observers(
            lambda key, _: self._log.failure("The state watcher {key} failed.", key=key)
        )
        self.recovery_watchers: Observers[bool] = Observers(
            lambda key, _: self._log.failure("The recovery watcher {key} failed.", key=key)
        )

    @property
    def connected(self) -> bool:
        """True if there is a session with a server at this moment."""
        return self.disconnected_since is None

    @property
    def may_read(self) -> bool:
        """True if nodes can be read now: there is a connection, and the mirror is not being closed."""
        return self.disconnected_since is None and not self.session_ends

    def is_lost(self, error: BaseException | None) -> bool:
        """Return whether a request has failed with its connection, and has to wait for the next one.

        A server may answer with the same codes while the connection stands.
        """
        return isinstance(error, ClosingException) or (isinstance(error, LOST) and not self.connected)

    def watch_recovery(self, key: Hashable, function: Callable[[bool], object]) -> None:
        """Call ``function`` each time that ``recovered`` becomes true, with whether watches of the session may be lost."""
        self.recovery_watchers.add(key, function)

    def enter(self, state: MirrorState) -> None:
        """Enter a state, and notify the watchers."""
        self.state = state
        self.watchers.notify(state)

    def enter_recovered(self, watches_lost: bool) -> None:
        """Note that all nodes that changed before this connection are known to have changed.

        :param watches_lost: whether watches of the session may be lost: the server has refused to set them again.
        """
        self.recovered = True
        self.recovery_watchers.notify(watches_lost)
