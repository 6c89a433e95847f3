"""Attempts to establish a session: connect, evaluate the answer to the handshake, and authenticate.

A handshake has one of these results: the server has resumed the session, has opened a new one, reports that the session has
expired, or does not serve the client. ``reconnector`` decides when to connect to which server.

A server that is not serving yet closes a handshake in the same way as a server with data older than the client's last zxid. A
*blank* attempt finds out which: its handshake has no session, no password and no zxid.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

from txmirror.client.connection.calls import Call, RequestKind, decode_nothing
from txmirror.client.connection.connection import Connection, ConnectionOwner
from txmirror.client.connection.sasl import SaslAuthenticator
from txmirror.client.connection.settings import Server
from txmirror.client.session.core import SessionCore, SessionSettings
from txmirror.client.session.credentials import SessionCredentials
from txmirror.client.session.machine import Event, State
from txmirror.client.session.reconnector import ConnectFailure, Reconnector, ServerList, ServesAgain
from txmirror.client.session.writable import WritableSearch
from txmirror.errors import ConnectionLossException, SessionExpiredException
from txmirror.timers import Timer
from txmirror.types import SessionState
from txmirror.wire import CloseSessionRequest, ConnectRequest, ConnectResponse

CLOSE_SESSION = RequestKind(CloseSessionRequest, decode_nothing)


class BlankAttempts:
    """Decides when to make a blank attempt, and evaluates its result: were the servers wiped, or only not serving?

    :param server_list: the failures of the latest attempts.
    :param credentials: the contents of a handshake.
    :ivar under_way: whether the current attempt is blank.
    """

    _log = Logger()

    def __init__(self, server_list: ServerList, credentials: SessionCredentials) -> None:
        self._server_list = server_list
        self._credentials = credentials
        self.under_way: bool = False

    def connect_request(self) -> ConnectRequest:
        """Return the handshake of the current attempt."""
        return self._credentials.blank_connect_request() if self.under_way else self._credentials.connect_request()

    def is_due(self, failure: ConnectFailure, now: float, session_timeout: float) -> bool:
        """Decide whether the next attempt is a blank one at the same server, and return that.

        Once all servers have refused every handshake for the length of a session timeout, handshakes of both kinds alternate.

        :param failure: the failure of the latest attempt.
        :param now: the reactor's time, in seconds.
        :param session_timeout: in seconds.
        """
        since = self._server_list.refused_since()
        suspect = since is not None and now - since >= session_timeout and self._credentials.seen_zxid > 0
        self.under_way = suspect and failure is ConnectFailure.REFUSED and not self.under_way
        return self.under_way

    def evaluate(self, connection: Connection, server: Server, wiped: Callable[[], None]) -> None:
        """Find out why the servers refused the client, now that one has opened a session for the blank attempt.

        If their data is not older than the last zxid seen, they were only not serving. The connection then ends with
        :exc:`ServesAgain`, since the client's session may not have expired yet.

        :param wiped: called if their data is older; the last zxid seen is then forgotten.
        """

        def reached(zxid: int) -> None:
            self.under_way = False
            if self._is_older(zxid):
                wiped()
                return
            self._server_list.accepted(server)
            self._server_list.same_again()
            closing = Call(CLOSE_SESSION, CloseSessionRequest())
            closing.result().addBoth(lambda _: connection.close(ServesAgain()))
            connection.send(closing)

        connection.request_zxid(reached)

    def compare(self, connection: Connection, as_before: Callable[[], None], wiped: Callable[[], None]) -> None:
        """Compare the data of a server that does not check the client's last zxid when it opens a session.

        :param as_before: called if the data is not older than the last zxid seen.
        :param wiped: called if the data is older; the last zxid seen is then forgotten.
        """
        # A pong without a zxid shows nothing.
        connection.request_zxid(lambda zxid: wiped() if zxid > 0 and self._is_older(zxid) else as_before())

    def _is_older(self, zxid: int) -> bool:
        """Return whether a server's zxid is lower than the last one seen; if so, forget the latter."""
        older = zxid < self._credentials.seen_zxid
        if older:
            self._log.warn(
                "The servers' data is older than the client has seen: it was wiped or restored. A new data generation begins."
            )
            self._credentials.drop_seen_zxid()
        return older


class Attempts:
    """Makes the attempts of one client, and reports their results to the machine.

    :param core: the session's data.
    :param settings: the settings.
    :param owner: the owner of the connections.
    :ivar reconnector: connects to one server after another.
    """

    def __init__(self, core: SessionCore, settings: SessionSettings, owner: ConnectionOwner) -> None:
        self._core = core
        self._owner = owner
        self._metrics = settings.metrics
        self._server_list = ServerList(settings.servers, settings.random, settings.limits.max_backoff)
        self._blank = BlankAttempts(self._server_list, core.credentials)
        self.reconnector: Reconnector = Reconnector(core.reactor, self._server_list, settings.wrap, self)
        self._search = WritableSearch(
            core.reactor, self._server_list, settings.wrap, self.attempt_limit, self._found_writable
        )
        self._authenticator = SaslAuthenticator(settings.sasl, owner.unauthorised)
        self._contact_timer = Timer(core.reactor, lambda: core.machine.handle(Event.OUT_OF_CONTACT))
        self._failed_in_succession = 0

    # Called by the actions.

    def established(self, read_only: bool) -> None:
        """Note that a session is established.

        :param read_only: whether the server is read-only: then search for another one.
        """
        self.reconnector.done()
        self._failed_in_succession = 0
        self._contact_timer.stop()
        self._server_list.accepted(self.reconnector.server)
        if read_only:
            self._search.start()

    def lost(self, connection: Connection, stable: bool) -> None:
        """Note that the connection that served the session is lost.

        :param stable: whether it has lasted.
        """
        now = self._core.reactor.seconds()
        if stable:
            self._server_list.note_stable()
        else:
            self._server_list.note_unstable()
        self._search.stop()
        # After a stall of the reactor more time than that may have passed: one attempt is still made first.
        heard, timeout = connection.liveness.heard, self._core.credentials.session_timeout
        self._contact_timer.start(max(heard + timeout * 4 / 3 - now, self.attempt_limit()))
        # The backoff of a closing client stays short.
        suspended = self._core.machine.state is State.SUSPENDED
        self.reconnector.connect_later(in_contact=not stable and suspended)

    def expired(self) -> None:
        """Note that the session has expired."""
        self._contact_timer.stop()

    def stop(self) -> None:
        """Stop for good."""
        self.reconnector.stop()
        self._search.stop()
        self._contact_timer.stop()

    # Called by the reconnector.

    @property
    def session_timeout(self) -> float:
        """The session's timeout, in seconds."""
        return self._core.credentials.session_timeout

    def attempt_limit(self) -> float:
        """Return the timeout of an attempt, in seconds."""
        credentials = self._core.credentials
        # A session that has probably expired is no reason to hurry.
        lost = self._core.machine.event.state is SessionState.LOST
        return self._core.limits.attempt(credentials.requested_timeout if lost else credentials.session_timeout)

    def may_live(self) -> bool:
        """Return whether the session may not have expired yet, or the client is closing: the backoff must be short."""
        return self._core.machine.state in (State.SUSPENDED, State.CLOSING_OFFLINE)

    def make_connection(self) -> Connection:
        """Make the connection of this attempt."""
        core = self._core
        core.connection = connection = Connection(
            core.reactor, self._owner, self._blank.connect_request(), core.limits, self._metrics
        )
        return connection

    def blank_is_due(self, failure: ConnectFailure, now: float) -> bool:
        """Return whether the next attempt is a blank one at the same server."""
        return self._blank.is_due(failure, now, self.session_timeout)

    def unresolved(self) -> None:
        """Fail the Deferreds of ``connect()``: no server's name can be resolved."""
        self._core.connecting.fail(lambda: ConnectionLossException("no server's name can be resolved", applied=False))

    def attempt_failed(self) -> None:
        """Fail queued requests, if ``limits.queued_attempts`` attempts have failed in succession."""
        self._failed_in_succession += 1
        if self._failed_in_succession >= self._core.limits.queued_attempts:
            self._core.fail_queued("no server can be reached")

    def handshake_timed_out(self) -> None:
        """Abort the connection: its handshake takes too long."""
        if self._core.connection is not None:
            self._core.connection.abort(ConnectionLossException("no answer to the handshake in time"))

    def _found_writable(self, server: Server) -> None:
        self._server_list.prefer(server)
        if self._core.connection is not None:
            self._core.connection.abort(
                ConnectionLossException(f"the client moves to {server}, which is not read-only")
            )

    # The answer to the handshake.

    def evaluate(self, connection: Connection, response: ConnectResponse) -> None:
        """Decide whether the server has resumed the session, has opened a new one, or reports that it has expired."""
        credentials = self._core.credentials
        offered_id = connection.protocol.connect_request.sessionId
        other = offered_id not in (0, response.sessionId)
        if response.protocolVersion:
            # ClickHouse Keeper without a leader answers with 42, and -1 for the session. Ours may not have expired.
            refusal = f"it refuses sessions at present, with the protocol version {response.protocolVersion}"
            connection.abort(ConnectionLossException(refusal))
        elif response.timeOut <= 0 or response.sessionId == 0:
            if offered_id:
                self._server_list.same_again()
                self._server_list.accepted(self.reconnector.server)
                connection.abort(SessionExpiredException())
            else:
                connection.abort(ConnectionLossException("a new session was refused"))
        elif self._blank.under_way:
            self._blank.evaluate(connection, self.reconnector.server, lambda: self._wiped(connection, response))
        elif other and self._core.machine.state is State.CLOSING_OFFLINE:
            # Close the session that ClickHouse Keeper has opened in place of ours.
            closing = Call(CLOSE_SESSION, CloseSessionRequest())
            closing.result().addErrback(lambda _: None)
            connection.send(closing)
            self._core.machine.handle(Event.EXPIRED)
        elif credentials.is_keeper(response) and response.sessionId != offered_id and credentials.seen_zxid:
            self._blank.compare(
                connection,
                lambda: self._go_on(connection, response),
                lambda: self._wiped(connection, response),
            )
        else:
            self._go_on(connection, response)

    def _go_on(self, connection: Connection, response: ConnectResponse) -> None:
        """Use the session that a server has opened or resumed. If it is a new one, ours has expired."""
        if connection.protocol.connect_request.sessionId not in (0, response.sessionId):
            self._core.machine.handle(Event.EXPIRED)
        self._authenticate(connection, response)

    def _wiped(self, connection: Connection, response: ConnectResponse) -> None:
        """Begin a new data generation: the servers' data was wiped or restored."""
        machine = self._core.machine
        data_generation = machine.event.data_generation + 1
        if self._core.credentials.session_id:
            machine.handle(Event.EXPIRED, data_generation)
        else:
            machine.make_event(machine.event.state, 0, data_generation=data_generation)
        self._authenticate(connection, response)

    def _authenticate(self, connection: Connection, response: ConnectResponse) -> None:
        # An observer of the former session's end may have closed the client.
        if not connection.closing:
            handle = self._core.machine.handle
            self._authenticator.authenticate(connection, lambda: handle(Event.ESTABLISHED, connection, response))
