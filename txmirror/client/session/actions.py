"""The actions of the machine while the client is not closing: establish, suspend, expire, and give up a session."""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

from txmirror.client.connection.connection import Connection
from txmirror.client.session.attempts import Attempts
from txmirror.client.session.closing import Closing
from txmirror.client.session.connection_log import stable_after
from txmirror.client.session.core import SessionCore
from txmirror.client.session.machine import CONNECTS, Action, Event, Generation, State
from txmirror.errors import AuthFailedException, ConnectionLossException, SessionExpiredException, ZooKeeperException
from txmirror.printable import session_name
from txmirror.types import SessionState
from txmirror.wire import ConnectResponse, Operation


class SessionActions:
    """The actions of a session that is not closing.

    :param core: the session's data.
    :param attempts: the attempts to establish a session.
    :param closing: the actions of closing.
    :ivar table: the functions that perform the actions.
    """

    _log = Logger()

    def __init__(self, core: SessionCore, attempts: Attempts, closing: Closing) -> None:
        self._core = core
        self._machine = core.machine
        self._credentials = core.credentials
        self._attempts = attempts
        self._closing = closing
        self.table: dict[Action, Callable[..., None]] = {
            Action.CONNECT: self._connect,
            Action.ESTABLISH: self._establish,
            Action.RETRY: self._retry,
            Action.SUSPEND: self._suspend,
            Action.SUSPEND_AND_LEAVE: self._suspend_and_leave,
            Action.PRESUME_EXPIRED: self._presume_expired,
            Action.EXPIRE: self._expire,
            Action.EXPIRE_AND_RECONNECT: self._expire_and_reconnect,
            Action.EXPIRE_AND_CLOSE: self._expire_and_close,
            Action.REFUSE: self._refuse,
            Action.REFUSE_AND_CLOSE: self._refuse_and_close,
            Action.FAIL_PENDING: self._fail_pending,
        }

    def _connect(self) -> None:
        # A client that is made before a daemon forks, and connects after that, belongs to the child.
        self._machine.generation = Generation.number
        self._attempts.reconnector.connect()

    def _establish(self, connection: Connection, response: ConnectResponse) -> None:
        core, credentials, server = self._core, self._credentials, self._attempts.reconnector.server
        read_only = bool(response.readOnly)
        resumed = response.sessionId == credentials.session_id
        session_number = self._machine.event.session_number + (not resumed)
        self._attempts.established(read_only)
        credentials.accept(response)
        core.abilities.connected(server, keeper=credentials.from_keeper)
        core.serve(connection)
        connection.liveness.start(credentials.session_timeout)
        core.log.connected(
            server,
            "resumed" if resumed else "new",
            session_name(credentials.session_id),
            credentials.session_timeout,
            read_only,
        )
        core.identities.send_all(connection.send_auth)
        persistent_too = not core.abilities.hangs_up(Operation.SET_WATCHES2)
        ended = core.watches.rearm(
            lambda call: connection.send(core.abilities.note_reply_of(call)), credentials.watch_zxid, persistent_too
        )
        core.outbox.connected(connection)
        self._closing.send_waiting()
        core.notify(SessionState.CONNECTED, session_number=session_number, read_only=read_only)
        core.end_persistent(ended)
        core.connecting.fire(None)
        core.waiting.fire(None)

    def _retry(self, connection: Connection, reason: Exception) -> None:
        connection.fail_pending()
        if self._machine.state in (*CONNECTS, State.CLOSING_OFFLINE):
            self._attempts.reconnector.note_ended(connection, reason)

    def _suspend(self, connection: Connection, reason: Exception) -> None:
        core, timeout = self._core, self._credentials.session_timeout
        assert connection.handshaken_at is not None
        stable = core.reactor.seconds() - connection.handshaken_at >= stable_after(timeout)
        core.log.disconnected(
            self._attempts.reconnector.server,
            reason,
            session_name(self._credentials.session_id),
            timeout,
            stable=stable,
        )
        self._attempts.lost(connection, stable)
        core.outbox.disconnected()
        core.watches.connection_lost()
        core.notify(SessionState.SUSPENDED, read_only=self._machine.event.read_only)
        core.abilities.disconnected(connection.oldest, connection.loss, connection.protocol.unimplemented)
        connection.fail_pending()
        if self._machine.event.read_only:
            # No other server knows a session with a read-only server.
            self._machine.handle(Event.EXPIRED)

    def _suspend_and_leave(self, connection: Connection, reason: Exception) -> None:
        self._closing.keep_ticket()
        self._suspend(connection, reason)
        self._closing.disconnect()

    def _presume_expired(self) -> None:
        core, timeout = self._core, self._credentials.session_timeout
        core.log.probably_expired(session_name(self._credentials.session_id), timeout * 4 / 3)
        calls = core.outbox.take_all()
        core.notify(SessionState.LOST)
        for call in calls:
            reason = "there was no connection, and the session has probably expired"
            call.fail(ConnectionLossException(reason, path=call.path, applied=False))

    def _expire(self, data_generation: int | None = None) -> None:
        """Fail everything that belonged to the session."""
        core = self._core
        core.log.expired(session_name(self._credentials.session_id))
        self._attempts.expired()
        self._credentials.expire()
        core.release(SessionState.EXPIRED, lambda path: SessionExpiredException(path=path), data_generation)

    def _expire_and_reconnect(self) -> None:
        self._expire()
        # An observer may have closed the client.
        if self._machine.state is State.EXPIRED:
            self._attempts.reconnector.connect_soon()

    def _expire_and_close(self, data_generation: int | None = None) -> None:
        self._expire(data_generation)
        self._closing.disconnect()

    def _refuse(self, error: ZooKeeperException) -> None:
        core, reason = self._core, str(error)
        self._log.error("Authentication failed: {reason}. Giving up.", reason=reason)
        self._machine.refuse_with(reason)
        self._attempts.stop()
        core.log.stop()
        connection = core.connection
        core.release_for_good(SessionState.AUTH_FAILED, lambda path: AuthFailedException(reason, path=path))
        core.pauses.end(lambda: AuthFailedException(reason))
        if connection is not None:
            connection.abort(AuthFailedException(reason))

    def _refuse_and_close(self, error: ZooKeeperException) -> None:
        self._refuse(error)
        self._machine.handle(Event.CLOSE)

    def _fail_pending(self, connection: Connection, reason: Exception) -> None:
        connection.fail_pending()
