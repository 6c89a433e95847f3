"""Reconnecting for txzookeeper's clients: connect, retry, and open a new session when one has expired.

txzookeeper's plain client does neither; its managed client opens new sessions by itself. Both refuse requests without a
session; here such requests are pending. Both send session events once for the connection and once more for every watch;
listeners here get each change of state once.
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
from txmirror.deferreds import Waiters, follow
from txmirror.errors import (
    AuthFailedException,
    ClosingException,
    ConnectionLossException,
    SessionExpiredException,
    ZooKeeperException,
)
from txmirror.observers import Observers
from txmirror.types import Listener, News, SessionEvent, SessionState, WatchedEvent

#: The timeout of one call of txzookeeper's ``connect``, in seconds: a day. The connection retries all that time.
_CONNECT_TIMEOUT = 86400.0
#: The most requests that may be pending without a session.
_MOST_PENDING = 10_000

_STATES = {
    CONSTANTS["CONNECTED_STATE"]: SessionState.CONNECTED,
    CONSTANTS["CONNECTING_STATE"]: SessionState.SUSPENDED,
    CONSTANTS["EXPIRED_SESSION_STATE"]: SessionState.EXPIRED,
    CONSTANTS["AUTH_FAILED_STATE"]: SessionState.AUTH_FAILED,
}
#: In these states the client has a session, and gets requests at once. In others they are pending.
_ESTABLISHED = (SessionState.CONNECTED, SessionState.SUSPENDED)


class ReconnectingClient:
    """A client of txzookeeper that reconnects by itself, and notifies listeners of its session.

    :param client: txzookeeper's client: plain, managed or retrying.
    :ivar client: txzookeeper's client.
    :ivar session: the latest session event.
    :ivar session_id: the session's id; 0 while there is none.
    :ivar watches: the watches that are pending. They fail when the session is over.
    """

    _log = Logger()

    def __init__(self, client: Any) -> None:
        self.client = client
        # Retrying clients, the managed one among them, wrap another client.
        self._inner = getattr(client, "client", client)
        self.session: SessionEvent = SessionEvent(SessionState.CONNECTING, 0, 0, 0)
        self.session_id: Any = 0
        self.watches: dict[Deferred[WatchedEvent], None] = {}
        self._listeners: Observers[News] = Observers(
            lambda listener, news: self._log.failure("The listener {listener} failed.", listener=listener)
        )
        self._identities: dict[tuple[str, str], None] = {}
        self._pending: Waiters[None] = Waiters()
        self._connecting: Waiters[None] = Waiters()
        self._started = False
        self._closed: Deferred[None] | None = None
        self._former_callback: Callable[[Any, Any], object] | None = self._inner._session_event_callback
        self._inner.set_session_callback(self._session_event)
        if self._inner.connected:
            self._started = True
            self._session_established()

    # Called by the adapter.

    @property
    def connect_string(self) -> str:
        """The servers and the chroot, as in ``host:port,host:port/chroot``."""
        try:
            return str(parse_servers(str(self._inner._servers)))
        except ValueError:
            # txzookeeper parses them only when it connects.
            return str(self._inner._servers)

    @property
    def session_timeout(self) -> float:
        """The session's timeout in seconds."""
        negotiated = self._inner.session_timeout if self.session.state in _ESTABLISHED else None
        return float(negotiated or self._inner._session_timeout or 10_000) / 1000

    def add_listener(self, listener: Listener) -> None:
        """Call a listener with each session event."""
        self._listeners.add(listener, listener)

    def remove_listener(self, listener: Listener) -> None:
        """Stop calling a listener."""
        self._listeners.remove(listener)

    def connect(self) -> Deferred[None]:
        """Start to connect, unless that was done before, and wait for a session."""
        refusal = self.refusal()
        if refusal is not None:
            return fail(refusal)
        if not self._started:
            self._started = True
            self._open()
        return succeed(None) if self.session.state is SessionState.CONNECTED else self._connecting.wait()

    def refusal(self, path: str | None = None) -> ZooKeeperException | None:
        """Return the exception for all further requests, if the client is closed or its credentials were refused."""
        if self._closed is not None:
            return ClosingException(path=path, applied=False)
        if self.session.state is SessionState.AUTH_FAILED:
            return AuthFailedException(path=path)
        return None

    def when_established(self, path: str | None) -> Deferred[None] | None:
        """Wait for a session, after all pending requests; return None if there is a session and none is pending."""
        if self.session.state in _ESTABLISHED and not self._pending:
            return None
        if len(self._pending) >= _MOST_PENDING:
            reason = f"not sent: {_MOST_PENDING} requests wait for a session already"
            return fail(ConnectionLossException(reason, path=path, applied=False))
        return self._pending.wait()

    def keep_identity(self, scheme: str, identity: str) -> None:
        """Add an identity to each session that follows."""
        self._identities[scheme, identity] = None

    def close(self) -> Deferred[None]:
        """Close the client."""
        if self._closed is None:
            self._closed = Deferred[None]()
            number = self._inner.handle
            handle = zookeeper.find(number)
            watcher = None if handle is None or self._inner.connected else handle.watcher
            self.client.close()
            if watcher is not None:
                # The pending connect() has a timer, and would not be notified otherwise that there will be no connection.
                watcher(number, CONSTANTS["SESSION_EVENT"], CONSTANTS["AUTH_FAILED_STATE"], "")
            gone = succeed(None) if handle is None else handle.close()
            gone.addCallback(self._gone)
        return follow(self._closed)

    # Called by txzookeeper.

    def _open(self) -> None:
        connected: Deferred[object] = self._inner.connect(timeout=_CONNECT_TIMEOUT)
        connected.addCallbacks(self._opened, self._not_opened)
        connected.addErrback(lambda failure: self._log.failure("Connecting failed.", failure=failure))

    def _opened(self, _: object) -> None:
        if self._closed is not None:
            return
        if self._inner.connected:
            self._session_established()
        else:
            # The session to take over had expired.
            self._session_expired()

    def _not_opened(self, failure: Failure) -> None:
        if self._closed is not None:
            return
        if failure.check(zookeeper.ZooKeeperException) and self._inner.handle is not None:
            self._log.warn("Could not connect: {reason}. Retrying.", reason=failure.getErrorMessage())
            self._inner.close()
            self._open()
            return
        failure.raiseException()

    def _session_event(self, client: object, event: Any) -> None:
        """Handle a session event. It is the callback of ``set_session_callback`` of txzookeeper's client."""
        state = _STATES.get(event.connection_state)
        if self._closed is None:
            if state is SessionState.CONNECTED:
                if self.session.state is SessionState.SUSPENDED:
                    self._enter(state)
                    self._connecting.fire(None)
            elif state is SessionState.SUSPENDED:
                if self.session.state is SessionState.CONNECTED:
                    self._enter(state)
            elif state is SessionState.EXPIRED and self.session.state in _ESTABLISHED:
                self._session_expired()
            elif state is SessionState.AUTH_FAILED is not self.session.state:
                self._end_session(state, AuthFailedException)
        if self._former_callback is not None:
            self._former_callback(client, event)

    def _session_established(self) -> None:
        """Add the identities to a new session, and send the pending requests."""
        self.session_id = self._inner.client_id[0]
        for scheme, identity in self._identities:
            # If it is refused, a session event follows.
            self._inner.add_auth(scheme, identity).addErrback(lambda _: None)
        self.session = SessionEvent(SessionState.CONNECTED, self.session.session_number + 1, 0, 0)
        self._pending.fire(None)
        self._listeners.notify(self.session)
        self._connecting.fire(None)

    def _session_expired(self) -> None:
        """End the session, and open another."""
        managed = hasattr(self._inner, "cb_restablish_session")
        if managed:
            self._inner.subscribe_new_session().addCallback(self._opened)
        self._end_session(SessionState.EXPIRED, SessionExpiredException)
        if not managed and self._closed is None:
            self._inner.close()
            self._open()

    def _gone(self, _: None) -> None:
        self._end_session(SessionState.CLOSED, ClosingException)
        assert self._closed is not None
        self._closed.callback(None)

    def _end_session(self, state: SessionState, make_error: Callable[[], ZooKeeperException]) -> None:
        """End all watches of the session. Pending requests fail only if there will be no other session."""
        self.session_id = 0
        self._enter(state)
        watches = list(self.watches)
        self.watches.clear()
        for watch in watches:
            if not watch.called:
                watch.errback(make_error())
        if state is not SessionState.EXPIRED:
            self._pending.fail(make_error)
            self._connecting.fail(make_error)

    def _enter(self, state: SessionState) -> None:
        self.session = attrs.evolve(self.session, state=state)
        self._listeners.notify(self.session)
