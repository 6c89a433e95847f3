"""The life of a client of txzookeeper's, as clients here live: it goes on trying, and opens a new session when one has ended.

txzookeeper's plain client does neither; the managed one opens new sessions by itself. What is asked while no session stands
waits here: such clients refuse it. Their session events come once for the connection and once more for every watch, so that
only a change of state is a step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror.client import parse_servers
from txmirror.compat import zookeeper
from txmirror.compat.codes import CONSTANTS
from txmirror.errors import (
    AuthFailedException,
    ClosingException,
    ConnectionLossException,
    SessionExpiredException,
    ZooKeeperException,
)
from txmirror.observers import Observers
from txmirror.types import Listener, News, SessionEvent, SessionState

#: How long one call of txzookeeper's ``connect`` waits, in seconds: a day. The connection goes on trying all that time.
_PATIENCE = 86400.0
#: How many requests may wait for a session.
_MOST_WAITING = 10_000

_STATES = {
    CONSTANTS["CONNECTED_STATE"]: SessionState.CONNECTED,
    CONSTANTS["CONNECTING_STATE"]: SessionState.SUSPENDED,
    CONSTANTS["EXPIRED_SESSION_STATE"]: SessionState.EXPIRED,
    CONSTANTS["AUTH_FAILED_STATE"]: SessionState.AUTH_FAILED,
}
#: In these the client is asked; else what is asked waits.
_STANDING = (SessionState.CONNECTED, SessionState.SUSPENDED)


class Life:
    """Keeps a client of txzookeeper's connected, and tells of its session.

    :param client: a plain client, or one that is managed, or retries.
    :ivar client: it.
    :ivar session: the latest step.
    :ivar session_id: the session's id; 0 while there is none.
    :ivar ending: called with what makes an exception, when whatever was the session's ends.
    """

    _log = Logger()

    def __init__(self, client: Any) -> None:
        self.client = client
        # Clients that retry, the managed one among them, stand before another.
        self._inner = getattr(client, "client", client)
        self._managed = hasattr(self._inner, "cb_restablish_session")
        self.session = SessionEvent(SessionState.CONNECTING, 0, 0, 0)
        self.session_id = 0
        self.ending: Callable[[Callable[[], ZooKeeperException]], None] = lambda _: None
        self._listeners: Observers[News] = Observers(
            lambda listener, news: self._log.failure("The listener {listener} failed.", listener=listener)
        )
        self._identities: dict[tuple[str, str], None] = {}
        self._waiting: dict[Deferred[None], None] = {}
        self._connectors: list[Deferred[None]] = []
        self._begun = False
        self._closed: Deferred[None] | None = None
        self._before: Callable[[Any, Any], object] | None = self._inner._session_event_callback
        self._inner.set_session_callback(self._told)
        if self._inner.connected:
            self._begun = True
            self._stand()

    # What the adapter asks for.

    @property
    def connect_string(self) -> str:
        """The servers and the chroot, which stands once, at the end."""
        try:
            return str(parse_servers(str(self._inner._servers)))
        except ValueError:
            # The package looks at them only when it connects.
            return str(self._inner._servers)

    @property
    def session_timeout(self) -> float:
        """The session's timeout in seconds."""
        negotiated = self._inner.session_timeout if self.session.state in _STANDING else None
        return float(negotiated or self._inner._session_timeout or 10_000) / 1000

    def add_listener(self, listener: Listener) -> None:
        """Tell somebody each step."""
        self._listeners.add(listener, listener)

    def remove_listener(self, listener: Listener) -> None:
        """Tell them nothing more."""
        self._listeners.remove(listener)

    def connect(self) -> Deferred[None]:
        """Begin to connect, if that was not done yet, and wait for a session."""
        refusal = self.refusal()
        if refusal is not None:
            return fail(refusal)
        if not self._begun:
            self._begun = True
            self._open()
        if self.session.state is SessionState.CONNECTED:
            return succeed(None)
        waiter: Deferred[None] = Deferred(self._connectors.remove)
        self._connectors.append(waiter)
        return waiter

    def refusal(self, path: str | None = None) -> ZooKeeperException | None:
        """Tell why nothing can be asked any more, if that is so."""
        if self._closed is not None:
            return ClosingException(path=path, applied=False)
        if self.session.state is SessionState.AUTH_FAILED:
            return AuthFailedException(path=path)
        return None

    def when_standing(self, path: str | None) -> Deferred[None] | None:
        """Wait for a session, behind those who wait already; None if there is one."""
        if self.session.state in _STANDING and not self._waiting:
            return None
        if len(self._waiting) >= _MOST_WAITING:
            why = f"not sent: {_MOST_WAITING} requests wait for a session already"
            return fail(ConnectionLossException(why, path=path, applied=False))
        waiter: Deferred[None] = Deferred(lambda waiter: self._waiting.pop(waiter, None))
        self._waiting[waiter] = None
        return waiter

    def keep_identity(self, scheme: str, identity: str) -> None:
        """Add an identity to each session that follows."""
        self._identities[scheme, identity] = None

    def drop_identity(self, scheme: str, identity: str) -> None:
        """Add it no more: it was refused."""
        self._identities.pop((scheme, identity), None)

    def close(self) -> Deferred[None]:
        """Close the client."""
        if self._closed is None:
            self._closed = closed = Deferred[None]()
            number = self._inner.handle
            handle = zookeeper.find(number)
            watcher = None if handle is None or self._inner.connected else handle.watcher
            self.client.close()
            if watcher is not None:
                # It waits for its connection, with a timer, and would not learn that there will be none.
                watcher(number, CONSTANTS["SESSION_EVENT"], CONSTANTS["AUTH_FAILED_STATE"], "")
            gone = succeed(None) if handle is None else handle.close()
            gone.addCallback(self._gone)
        else:
            closed = self._closed
        waiter = Deferred[None]()

        def done(result: None) -> None:
            waiter.callback(None)

        closed.addCallback(done)
        return waiter

    # What happens.

    def _open(self) -> None:
        connected: Deferred[object] = self._inner.connect(timeout=_PATIENCE)
        connected.addCallbacks(self._opened, self._not_opened)
        connected.addErrback(lambda failure: self._log.failure("Connecting failed.", failure=failure))

    def _opened(self, _: object) -> None:
        if self._closed is not None:
            return
        if self._inner.connected:
            self._stand()
        else:
            # The session that was to be taken over had ended.
            self._end()

    def _not_opened(self, failure: Failure) -> None:
        if self._closed is not None:
            return
        if failure.check(zookeeper.ZooKeeperException) and self._inner.handle is not None:
            self._log.warn("No connection yet: {reason}.", reason=failure.getErrorMessage())
            self._inner.close()
            self._open()
            return
        failure.raiseException()

    def _told(self, client: object, event: Any) -> None:
        """See ``set_session_callback`` of txzookeeper's client."""
        state = _STATES.get(event.connection_state)
        if self._closed is None:
            if state is SessionState.CONNECTED:
                if self.session.state is SessionState.SUSPENDED:
                    self._enter(state)
                    self._tell_connectors()
            elif state is SessionState.SUSPENDED:
                if self.session.state is SessionState.CONNECTED:
                    self._enter(state)
            elif state is SessionState.EXPIRED and self.session.state in _STANDING:
                self._end()
            elif state is SessionState.AUTH_FAILED is not self.session.state:
                self._let_go(state, AuthFailedException)
        if self._before is not None:
            self._before(client, event)

    def _stand(self) -> None:
        """There is a new session."""
        self.session_id = self._inner.client_id[0]
        for scheme, identity in self._identities:
            # If it is refused, that is told as a step of the session.
            self._inner.add_auth(scheme, identity).addErrback(lambda _: None)
        self.session = SessionEvent(SessionState.CONNECTED, self.session.session_number + 1, 0, 0)
        waiting, self._waiting = self._waiting, {}
        for waiter in waiting:
            if not waiter.called:
                waiter.callback(None)
        self._listeners.notify(self.session)
        self._tell_connectors()

    def _tell_connectors(self) -> None:
        waiting, self._connectors = self._connectors, []
        for waiter in waiting:
            if not waiter.called:
                waiter.callback(None)

    def _end(self) -> None:
        """The session has ended; another is opened."""
        if self._managed:
            self._inner.subscribe_new_session().addCallback(self._opened)
        self._let_go(SessionState.EXPIRED, SessionExpiredException)
        if not self._managed and self._closed is None:
            self._inner.close()
            self._open()

    def _gone(self, _: None) -> None:
        self._let_go(SessionState.CLOSED, ClosingException)
        assert self._closed is not None
        self._closed.callback(None)

    def _let_go(self, state: SessionState, make_error: Callable[[], ZooKeeperException]) -> None:
        """Nothing is left of the session. What waits for one goes on waiting, if there may be another."""
        self.session_id = 0
        self._enter(state)
        self.ending(make_error)
        if state is not SessionState.EXPIRED:
            waiting = [*self._waiting, *self._connectors]
            self._waiting.clear()
            self._connectors.clear()
            for waiter in waiting:
                if not waiter.called:
                    waiter.errback(make_error())

    def _enter(self, state: SessionState) -> None:
        self.session = attrs.evolve(self.session, state=state)
        self._listeners.notify(self.session)
