"""Process one client's handshake and requests.

The replica executes the requests, and :class:`~txmirror.embedded.sessions.Sessions` expires the sessions. A delayed request
delays all requests that came after it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from txmirror.embedded.acl import Identity, digest_identity
from txmirror.embedded.connection_stats import ConnectionStats
from txmirror.embedded.cursor import TolerantCursor
from txmirror.embedded.faults import Effect, Fault
from txmirror.embedded.request_queue import RequestQueue
from txmirror.embedded.server_state import Access, ServerState
from txmirror.embedded.sessionless import SessionlessConnection
from txmirror.embedded.sessions import CLOSED_BY_CLIENT, Session, SessionConnection
from txmirror.errors import (
    AuthFailedException,
    MarshallingErrorException,
    NotReadOnlyException,
    ProtocolError,
    UnimplementedException,
    ZooKeeperException,
)
from txmirror.types import EventType
from txmirror.wire import (
    AuthRequest,
    ConnectRequest,
    ConnectResponse,
    Cursor,
    Operation,
    RequestHeader,
    SaslRequest,
    SaslResponse,
    ServerProtocol,
    WatcherEvent,
)

#: The state of the session in every event that a server sends.
_CONNECTED_STATE: Final = 3
#: The protocol version by which ClickHouse Keeper rejects a handshake (``KEEPER_PROTOCOL_VERSION_CONNECTION_REJECT``).
_REJECTED: Final = 42
_SET_WATCHES: Final = frozenset({Operation.SET_WATCHES, Operation.SET_WATCHES2})


class ClientConnection(SessionlessConnection, Protocol):
    """The client's connection. Once it is closing, it sends nothing more."""

    @property
    def peer(self) -> str:
        """The address of the client, as ``host:port``."""

    def send(self, data: bytes) -> None:
        """Send a frame."""

    def send_event(self, frame: bytes) -> None:
        """Send a frame with a watch event."""

    def close(self, reason: str | None = None) -> None:
        """Close the connection once the client has read everything, because of an error if there is a reason."""

    def abort(self, reason: str) -> None:
        """Abort the connection. Unsent data is lost."""


class RequestProcessor:
    """Processes the requests of one client. It sets the client's watches, and sends their events.

    :param server: the server's state.
    :param protocol: encodes the replies.
    :param queue: delays requests.
    :param connection: sends the replies.
    :ivar session: the client's session; None before the handshake.
    :ivar identities: the identities of the client.
    :ivar stats: the statistics of the connection.
    """

    _log = Logger()

    def __init__(
        self, server: ServerState, protocol: ServerProtocol, queue: RequestQueue, connection: ClientConnection
    ) -> None:
        self._server = server
        self._protocol = protocol
        self._queue = queue
        self._connection = connection
        self._sessions = server.local_sessions if server.read_only else server.sessions
        self.session: Session | None = None
        self._delay: IDelayedCall | None = None
        self._reply_lost = False
        self._deferred_events: list[tuple[EventType, str]] | None = None
        """The events to send after the current reply; None if events are sent at once."""
        self.identities: list[Identity] = []
        self.stats: ConnectionStats = ConnectionStats(server.now())

    @property
    def session_id(self) -> int:
        """The session's id; 0 before the handshake."""
        return self.session.id if self.session is not None else 0

    @property
    def session_timeout(self) -> int:
        """The session's timeout in milliseconds; 0 before the handshake."""
        return round(self.session.timeout * 1000) if self.session is not None else 0

    def connect(self, request: ConnectRequest) -> None:
        """Begin or resume a session, or close the connection."""
        server = self._server
        if server.version.keeper:
            self._connect_to_keeper(request)
            return
        zxid = server.replica.tree.zxid
        alone = server.read_only
        if server.access is Access.NONE or (alone and not request.readOnly):
            self._connection.close("there is no quorum")
            return
        if alone and server.sessions.find(request.sessionId) is not None:
            self._connection.close("its session is not local to this server, and there is no quorum")
            return
        if request.lastZxidSeen > zxid:
            # The client tries again and again, until its session has expired.
            first = self._sessions.note_ahead(request.sessionId)
            self._connection.close(
                f"its client has seen transaction {request.lastZxidSeen:#x}, and the last one here is {zxid:#x}, as after a"
                " restart without data; this client is refused until it begins a new session"
                if first
                else None
            )
            return
        if request.sessionId == 0:
            if server.replica.lagging and not alone:
                # A new session is a transaction, and this server learns of none.
                server.replica.wait(self._queue.delay(partial(self.connect, request)))
                return
            self.session = self._sessions.open(request.timeOut, self)
        else:
            self.session = self._sessions.resume(request.sessionId, request.passwd, request.timeOut, self)
        # A request from a client before 3.4 lacks the field for read-only servers, and so does the reply.
        read_only = None if request.readOnly is None else alone
        if self.session is None:
            self._connection.send(self._protocol.connected(ConnectResponse(0, 0, bytes(16), read_only)))
            self._connection.close()
        else:
            self._accept(self.session, read_only)

    def _connect_to_keeper(self, request: ConnectRequest) -> None:
        """Begin a new session, even if the client names an older one or a later transaction."""
        if self._server.access is not Access.READ_WRITE:
            timeout = round(self._sessions.negotiate(request.timeOut) * 1000)
            self._connection.send(self._protocol.connected(ConnectResponse(timeout, -1, bytes(16), None, _REJECTED)))
            self._connection.close("there is no leader")
        elif self._server.replica.lagging:
            self._server.replica.wait(self._queue.delay(partial(self.connect, request)))
        else:
            self.session = self._sessions.open(request.timeOut, self, bytes(16))
            self._accept(self.session, None)

    def _accept(self, session: Session, read_only: bool | None) -> None:
        self._server.sessionless.remove(self._connection)
        self.stats.session_established(self._server.replica.tree.zxid, self._server.now())
        response = ConnectResponse(self.session_timeout, session.id, session.password, read_only)
        self._connection.send(self._protocol.connected(response))

    def process(self, header: RequestHeader, cursor: Cursor) -> None:
        """Process a request of the established session.

        :raises ProtocolError: the request is invalid, and the connection must be closed.
        """
        # Neither of these touches the session, and their replies have no zxid.
        if header.type == Operation.AUTH:
            self._authenticate(header, AuthRequest.decode(TolerantCursor(cursor.frame, cursor.offset)))
            return
        if header.type == Operation.SASL and not self._server.version.keeper:
            # A server that is not configured for SASL sends a null token, and closes the connection if it receives one.
            if SaslRequest.decode(cursor).token is None:
                raise ProtocolError("a SASL token is null")
            self._connection.send(self._protocol.reply(header, 0, 0, SaslResponse(None).encode()))
            return
        self.touch()
        faults = self._server.faults
        fault = faults.take(header.type, cursor, self.session_id) if faults else None
        if fault is None:
            self._serve(header, cursor)
        else:
            self._inject(fault, header, cursor)

    def touch(self) -> None:
        """Extend the session, if there is one: its client has sent something."""
        if self.session is not None:
            self._sessions.touch(self.session)

    def notify(self, kind: EventType, path: str, zxid: int = -1) -> None:
        if self._deferred_events is not None:
            self._deferred_events.append((kind, path))
            return
        event = WatcherEvent(kind, _CONNECTED_STATE, path)
        self._connection.send_event(self._protocol.event(event, zxid if self._server.version.zxid_in_events else -1))

    def expire(self, reason: str) -> None:
        """Abort the connection when this server learns of the transaction that has ended the session."""
        if self._server.read_only:
            self._connection.abort(reason)
        else:
            self._server.replica.learn(lambda: self._connection.abort(reason))

    def session_moved(self, other: SessionConnection) -> None:
        """Abort the connection if the session's new connection is at this server too.

        A server does not learn that the session has moved to another server of the ensemble. The client learns of it from
        its next request that needs the leader.
        """
        if isinstance(other, RequestProcessor) and other._server is self._server:
            self._connection.abort("its session has moved to another connection")

    def disconnected(self) -> None:
        """Leave the session to its timeout, and remove the watches: the connection is closing."""
        if self._delay is not None:
            self._delay.cancel()
            self._delay = None
        self._server.replica.watches.remove_all(self)
        if self.session is not None and self in self.session.connections:
            self.session.connections.remove(self)

    def _inject(self, fault: Fault, header: RequestHeader, cursor: Cursor) -> None:
        if fault.effect is Effect.DELAYED:
            self._delay = self._server.clock.callLater(
                fault.delay, self._end_delay, self._queue.delay(partial(self._serve, header, cursor))
            )
        elif fault.effect is Effect.REFUSED:
            self._reply(header, fault.code)
        elif fault.effect is Effect.REQUEST_LOST:
            self._connection.close()
        else:
            self._reply_lost = True
            self._serve(header, cursor)

    def _serve(self, header: RequestHeader, cursor: Cursor) -> None:
        server = self._server
        keeper = server.version.keeper
        if server.replica.needs_leader(header.type):
            if server.read_only:
                if header.type != Operation.CLOSE_SESSION:
                    self._reply(header, NotReadOnlyException.code)
                    return
            elif server.replica.lagging:
                server.replica.wait(self._queue.delay(partial(self._serve, header, cursor)))
                return
            elif self.session is None or self.session.connection is not self:
                self._connection.close("its session has moved to another server")
                return
        if header.type == Operation.PING:
            self._reply(header)
        elif header.type == Operation.CLOSE_SESSION:
            self._end_session(header)
        elif header.type not in server.version.operations:
            if not keeper:
                self._connection.send(self._protocol.reply(header, -1, UnimplementedException.code))
            self._connection.close(f"a request with the unknown operation {header.type}")
        elif keeper and header.type in _SET_WATCHES:
            self._reply_before_events(header, cursor)
        else:
            self._perform(header, cursor)

    def _end_delay(self, proceed: Callable[[], None]) -> None:
        self._delay = None
        proceed()

    def _end_session(self, header: RequestHeader) -> None:
        if self.session is not None:
            self._sessions.end(self.session, CLOSED_BY_CLIENT, self)
        if not self._server.version.keeper:
            self._reply(header)
        self._connection.close()

    def _reply_before_events(self, header: RequestHeader, cursor: Cursor) -> None:
        """Set watches as ClickHouse Keeper does: send the missed events after the reply."""
        events = self._deferred_events = []
        self._perform(header, cursor)
        self._deferred_events = None
        for kind, path in events:
            self.notify(kind, path)

    def _perform(self, header: RequestHeader, cursor: Cursor) -> None:
        try:
            record = self._server.replica.perform(header.type, cursor, self)
        except MarshallingErrorException as error:
            self._log.warn(
                "Refusing a request from {peer} (operation {operation}): {reason}.",
                peer=self._connection.peer,
                operation=header.type,
                reason=str(error),
            )
            self._reply(header, MarshallingErrorException.code)
        except ZooKeeperException as error:
            self._reply(header, error.code or 0)
        else:
            if header.type == Operation.CHECK:
                # A successful check outside a multi gets no reply: a real server fails on the stat that it lacks.
                self._protocol.skip(header)
            else:
                self._reply(header, record=record)

    def _authenticate(self, header: RequestHeader, request: AuthRequest) -> None:
        # The reply is sent out of order and has no zxid, and the request does not touch the session.
        if request.scheme == "digest" and request.auth is not None:
            identity = digest_identity(request.auth)
            if identity not in self.identities:
                self.identities.append(identity)
        elif request.scheme != "ip":
            self._connection.send(self._protocol.reply(header, 0, AuthFailedException.code))
            self._connection.close(f"credentials of the scheme {request.scheme!r}, which is not supported")
            return
        self._connection.send(self._protocol.reply(header, 0))

    def _reply(self, header: RequestHeader, code: int = 0, record: bytes = b"") -> None:
        if self._reply_lost:
            # Earlier replies still arrive.
            self._connection.close()
            return
        zxid = self._server.replica.tree.zxid
        self.stats.replied(header.type, header.xid, zxid, self._server.now())
        self._connection.send(self._protocol.reply(header, zxid, code, record))
