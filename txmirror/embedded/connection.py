"""The server side of the protocol on one connection: handshake, requests, replies and events.

The replica executes the requests, and :class:`~txmirror.embedded.sessions.Sessions` expires the sessions. A delayed request
delays all requests that came after it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final, cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IConsumer, IDelayedCall, IPushProducer, ITCPTransport
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure
from zope.interface import implementer

from txmirror.deferreds import Waiters
from txmirror.embedded.acl import Identity, digest_identity
from txmirror.embedded.connection_stats import ConnectionStats
from txmirror.embedded.cursor import RequestCursor, TolerantCursor
from txmirror.embedded.faults import Effect, Fault, Faults
from txmirror.embedded.four_letter_words import FourLetterWords
from txmirror.embedded.replica import Replica
from txmirror.embedded.sessionless import SESSIONLESS_TIMEOUT, SessionlessConnections
from txmirror.embedded.sessions import Clock, NoTransactions, Session, SessionConnection, Sessions
from txmirror.embedded.versions import Version
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
    DEFAULT_MAX_REQUEST,
    EVENT_XID,
    PING_XID,
    AuthRequest,
    ConnectRequest,
    ConnectResponse,
    Cursor,
    FrameDecoder,
    Operation,
    OversizedFrame,
    ReplyHeader,
    RequestHeader,
    SaslRequest,
    SaslResponse,
    WatcherEvent,
    encode_frame,
)

_CONNECTED_STATE = 3
#: The protocol version by which ClickHouse Keeper rejects a handshake (``KEEPER_PROTOCOL_VERSION_CONNECTION_REJECT``).
_REJECTED: Final = 42
_SET_WATCHES: Final = frozenset({Operation.SET_WATCHES, Operation.SET_WATCHES2})
#: The limit for bytes that a client has not read, above which its requests wait too; and for the bytes of waiting requests.
#: A real server reads on until its memory is full. A client that reads at all never comes near this limit.
_MAX_UNREAD: Final = 4 * 1024 * 1024
#: The limit for the number of waiting requests of one client.
_MAX_PENDING: Final = 10_000
#: The limit for the bytes of unread events, above which the server closes the connection: other clients cause the events.
_MAX_UNREAD_EVENTS: Final = 4 * _MAX_UNREAD
#: The limits of one client in one turn of the reactor, in requests and in bytes of replies. Then the other clients are served.
_REQUESTS_PER_TURN: Final = 250
_BYTES_PER_TURN: Final = 256 * 1024
#: The operations that may read very many nodes. Each ends its client's turn.
_EXPENSIVE: Final = frozenset(
    {
        Operation.MULTI,
        Operation.MULTI_READ,
        Operation.SET_WATCHES,
        Operation.SET_WATCHES2,
        Operation.GET_EPHEMERALS,
        Operation.GET_ALL_CHILDREN_NUMBER,
    }
)


class Connections(ServerFactory):
    """All connections of a server. They share its data and its sessions.

    :param reactor: runs the turns.
    :param clock: the source of the time.
    :param version: the version that the server reports, and whose protocol it speaks.
    :param mode: the mode that the server reports: ``standalone``, ``leader`` or ``follower``.
    :ivar serving: whether the server accepts clients.
    :ivar read_only: whether the server accepts only clients that allow a read-only server, each with a local session.
    :ivar own_sessions: the local sessions, which no other server knows.
    :ivar faults: the planned faults.
    :ivar sessionless: the connections without a session.
    :ivar live: the connections, the oldest first.
    :ivar port: the TCP port at which the server listens, or listened last.
    :ivar received: the number of frames and four-letter words received.
    :ivar sent: the number of frames and answers to four-letter words sent.
    """

    noisy = False

    def __init__(
        self,
        reactor: Clock,
        clock: Clock,
        replica: Replica,
        sessions: Sessions,
        version: Version,
        mode: str = "standalone",
    ) -> None:
        self._reactor = reactor
        self.clock = clock
        self.replica = replica
        self.sessions = sessions
        self.own_sessions = Sessions(clock, NoTransactions(), sessions.tick)
        self.serving = True
        self.read_only = False
        self.sessionless = SessionlessConnections(clock)
        self.version = version
        self.mode = mode
        self.faults = Faults()
        self.live: dict[Connection, None] = {}
        self.port = 0
        self.received = 0
        self.sent = 0
        self.four_letter_words = FourLetterWords(self, version.release)
        self._when_all_closed: Waiters[None] = Waiters()

    def buildProtocol(self, addr: IAddress | None) -> Connection:
        return Connection(self)

    def now(self) -> int:
        """Return the time in milliseconds since the epoch."""
        return int(self.clock.seconds() * 1000)

    def next_turn(self, proceed: Callable[[], None]) -> IDelayedCall:
        """Call ``proceed`` in the next turn of the reactor, independent of the server's own clock."""
        return self._reactor.callLater(0, proceed)

    def drop_all(self, reason: str) -> Deferred[None]:
        """Abort all connections. Unsent data is lost.

        :param reason: for the log.
        :returns: fires when all are closed. Cancelling it ends the wait.
        """
        for connection in list(self.live):
            connection.drop(reason)
        return self._when_all_closed.wait() if self.live else succeed(None)

    def removed(self, connection: Connection) -> None:
        """Remove a closed connection."""
        self.sessionless.remove(connection)
        self.live.pop(connection, None)
        if not self.live:
            self._when_all_closed.fire(None)


@implementer(IPushProducer)
class Connection(Protocol):
    """One connection. Tests get it from :attr:`Server.connections <txmirror.embedded.Server.connections>`.

    If a client leaves more than 4 MiB unread, or one longer reply, the server stops reading from it, and its session expires
    like that of any silent client. If it leaves more than 16 MiB of events unread, the server closes the connection. A client
    that sends many requests at once is served in turns with the others.

    :ivar identities: the identities of the client.
    :ivar peer: the address of the client, as ``host:port``.
    :ivar stats: the statistics of this connection.
    """

    _log = Logger()

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._replica = connections.replica
        self._sessions = connections.own_sessions if connections.read_only else connections.sessions
        self._decoder = FrameDecoder(DEFAULT_MAX_REQUEST)
        self._first_bytes: bytes | None = b""
        self._session: Session | None = None
        self._closing = False
        self._inbox: deque[Callable[[], None]] = deque()
        self._blocked = False
        self._delay: IDelayedCall | None = None
        self._reply_lost = False
        self._stalled_input: bytearray | None = None
        self._stalled_output: list[Callable[[], None]] | None = None
        self._deferred_events: list[tuple[EventType, str]] | None = None
        """The events to send after the current reply; None if events are sent at once."""
        self._buffered: int | None = None
        """The bytes sent since the transport's buffer filled up; None while it accepts more."""
        self._unread_events = 0
        self._stalled_output_bytes = 0
        """The number of bytes in ``_stalled_output``."""
        self._throttled = False
        self._was_throttled = False
        self._inbox_bytes = 0
        """The number of bytes of the requests in ``_inbox``."""
        self._written = 0
        self._turn: IDelayedCall | None = None
        self._reading = True
        self.identities: list[Identity] = []
        self.peer = ""
        self.stats = ConnectionStats(connections.now())

    @property
    def leaving(self) -> bool:
        """True if the connection is closed, or about to be."""
        return self._closing

    @property
    def session_id(self) -> int:
        """The id of the connection's session; 0 before the handshake."""
        return self._session.id if self._session is not None else 0

    @property
    def session_timeout(self) -> int:
        """The session's timeout in milliseconds; 0 before the handshake."""
        return round(self._session.timeout * 1000) if self._session is not None else 0

    def __repr__(self) -> str:
        state = "closed" if self._closing else f"session {self.session_id:#x}"
        return f"<Connection from {self.peer or 'nowhere'}, {state}>"

    def connectionMade(self) -> None:
        transport = self._tcp()
        transport.setTcpNoDelay(True)
        cast(IConsumer, transport).registerProducer(self, True)
        peer = transport.getPeer()
        self.peer = f"{peer.host}:{peer.port}"
        self.identities.append(Identity("ip", peer.host))
        self._connections.live[self] = None
        self._connections.sessionless.touch(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._detach()
        self._connections.removed(self)

    def dataReceived(self, data: bytes) -> None:
        if self._closing:
            return
        if self._stalled_input is not None:
            self._stalled_input += data
            self._update_reading()
            return
        if self._session is None:
            self._connections.sessionless.touch(self)
        if self._first_bytes is not None:
            # The first bytes are either a length or a four-letter word.
            self._first_bytes += data
            if len(self._first_bytes) < 4:
                return
            data, self._first_bytes = self._first_bytes, None
            if self._answer_four_letter_word(data[:4]):
                return
        for frame in self._decoder.feed(data):
            self._inbox.append(partial(self._receive, frame))
            self._inbox_bytes += _size(frame)
        if self._session is not None and self._blocked:
            # The client has sent something, so its session lives on while its requests wait.
            self._sessions.touch(self._session)
        self._process_inbox()

    def pauseProducing(self) -> None:
        # The transport calls this at each write.
        if self._buffered is None:
            self._buffered = 0

    def resumeProducing(self) -> None:
        self._buffered = None
        self._unread_events = 0
        self._stop_throttling()

    def _stop_throttling(self) -> None:
        if self._throttled and self._buffered is None and self._stalled_output_bytes <= _MAX_UNREAD:
            self._throttled = False
            self._process_inbox()

    def stopProducing(self) -> None:
        """Do nothing: ``connectionLost`` is called too."""

    def stall(self, *, incoming: bool = True, outgoing: bool = True) -> None:
        """Hold all bytes until :meth:`resume`, and also a close that the server starts by itself.

        A test can still close the connection: by :meth:`drop`, or by stopping the server or dropping all connections. The
        server aborts a connection that it is closing after at most 20 seconds.

        :param incoming: whether to hold the client's bytes. The server does not see them, and the session expires in time.
        :param outgoing: whether to hold replies and events.
        :raises ValueError: the connection is closed, or both arguments are false.
        """
        if self._closing:
            raise ValueError(f"{self!r} is closed")
        if not (incoming or outgoing):
            raise ValueError(f"stall() with incoming={incoming!r} and outgoing={outgoing!r} holds nothing")
        if incoming and self._stalled_input is None:
            self._stalled_input = bytearray()
        if outgoing and self._stalled_output is None:
            self._stalled_output = []

    def resume(self) -> None:
        """Release all held bytes, in order. Does nothing if none are held, or if the connection is closed."""
        unsent, self._stalled_output = self._stalled_output, None
        for send in unsent or ():
            send()
        if self._stalled_output_bytes:
            self._stalled_output_bytes = 0
            self._stop_throttling()
        unread, self._stalled_input = self._stalled_input, None
        if unread and not self._closing:
            self.dataReceived(bytes(unread))
            self._update_reading()

    def notify(self, kind: EventType, path: str, zxid: int = -1) -> None:
        if self._deferred_events is not None:
            self._deferred_events.append((kind, path))
            return
        event = WatcherEvent(kind, _CONNECTED_STATE, path)
        shown = zxid if self._connections.version.zxid_in_events else -1
        body = ReplyHeader(EVENT_XID, shown, 0).encode() + event.encode()
        self._send(body)
        if self._buffered is not None and not self._closing:
            self._unread_events += 4 + len(body)
            if self._unread_events > _MAX_UNREAD_EVENTS:
                self._log.warn(
                    "Closing the connection from {peer}: it does not read its events, {unread} bytes are unread",
                    peer=self.peer,
                    unread=self._unread_events,
                )
                self._abort("it does not read its events")

    def drop(self, reason: str = "drop() was called") -> None:
        """Abort the connection. Unsent data is lost. The session lives on until its timeout.

        Does nothing if the connection is closed.

        :param reason: for the log.
        """
        self._stalled_output = None
        self._abort(reason)

    def _abort(self, reason: str) -> None:
        self._log.debug("Dropping the connection from {peer}: {reason}", peer=self.peer, reason=reason)
        self._detach()
        if self._stalled_output is None:
            self._tcp().abortConnection()
        else:
            self._stalled_output.append(self._tcp().abortConnection)

    def expire(self, reason: str) -> None:
        """Abort the connection when this server learns of the transaction that has ended the session."""
        if self._connections.read_only:
            self._abort(reason)
        else:
            self._replica.learn(lambda: self._abort(reason))

    def session_moved(self, other: SessionConnection) -> None:
        """Abort the connection if the session's new connection is at this server too.

        A server does not learn that the session has moved to another server of the ensemble. The client learns of it from
        its next request that needs the leader.
        """
        if isinstance(other, Connection) and other._connections is self._connections:
            self._abort("its session has moved to another connection")

    def _block(self, step: Callable[[], None]) -> Callable[[], None]:
        """Delay a step and all requests after it. Return the function that ends the delay."""
        self._inbox.appendleft(step)
        self._blocked = True
        return self._unblock

    def _unblock(self) -> None:
        self._delay = None
        self._blocked = False
        self._process_inbox()

    def _process_inbox(self) -> None:
        """Serve the waiting requests, up to the limits of one turn of the reactor."""
        served = self._written = 0
        while self._inbox and not (self._blocked or self._throttled or self._closing or self._turn is not None):
            if served >= _REQUESTS_PER_TURN or self._written >= _BYTES_PER_TURN:
                self._turn = self._connections.next_turn(self._start_turn)
            else:
                self._inbox.popleft()()
                served += 1
        self._update_reading()
        if self._decoder.fault is not None and not (self._inbox or self._closing):
            self._close_on_error(str(self._decoder.fault))

    def _start_turn(self) -> None:
        self._turn = None
        self._process_inbox()

    def _update_reading(self) -> None:
        """Pause or resume reading: pause while too many requests wait or replies are unread."""
        reading = not (
            self._throttled
            or self._turn is not None
            or self._inbox_bytes > _MAX_UNREAD
            or len(self._inbox) > _MAX_PENDING
            or (self._stalled_input is not None and len(self._stalled_input) > _MAX_UNREAD)
        )
        if reading is not self._reading and not self._closing:
            self._reading = reading
            transport = cast(IPushProducer, self.transport)
            if reading:
                transport.resumeProducing()
            else:
                transport.pauseProducing()

    def time_out(self) -> None:
        # When the server closes a connection, it has logged the reason before.
        if not self._closing:
            self._log.warn(
                "Closing the connection from {peer}: it has no session, and was silent for {timeout} s",
                peer=self.peer,
                timeout=SESSIONLESS_TIMEOUT,
            )
        self.drop("it has no session, and is silent")

    def _receive(self, frame: bytes | OversizedFrame) -> None:
        self._inbox_bytes -= _size(frame)
        self._count_received()
        if isinstance(frame, OversizedFrame):
            self._close_on_error(
                f"a request of {frame.length} bytes, with {DEFAULT_MAX_REQUEST} allowed (jute.maxbuffer)"
            )
            return
        cursor = RequestCursor(frame)
        try:
            if self._session is None:
                self._handshake(ConnectRequest.decode(cursor))
            else:
                self._handle(RequestHeader.decode(cursor), cursor, self._session)
        except ProtocolError as error:
            self._close_on_error(str(error))

    def _handshake(self, request: ConnectRequest) -> None:
        if self._connections.version.keeper:
            self._handshake_as_keeper(request)
            return
        zxid = self._replica.tree.zxid
        alone = self._connections.read_only
        if not self._connections.serving or (alone and not request.readOnly):
            self._close_on_error("there is no quorum")
            return
        if alone and self._connections.sessions.find(request.sessionId) is not None:
            self._close_on_error("its session is not local to this server, and there is no quorum")
            return
        if request.lastZxidSeen > zxid:
            self._close_on_error(
                f"its client has seen transaction {request.lastZxidSeen:#x}, and the last one here is {zxid:#x}"
            )
            return
        if request.sessionId == 0:
            if self._replica.lagging and not alone:
                # A new session is a transaction, and this server learns of none.
                self._replica.wait(self._block(partial(self._handshake, request)))
                return
            self._session = self._sessions.open(request.timeOut, self)
        else:
            self._session = self._sessions.resume(request.sessionId, request.passwd, request.timeOut, self)
        # A request from a client before 3.4 lacks the field for read-only servers, and so does the reply.
        read_only = None if request.readOnly is None else alone
        if self._session is None:
            self._send(ConnectResponse(0, 0, bytes(16), read_only).encode())
            self._close()
        else:
            self._accept(self._session, read_only)

    def _handshake_as_keeper(self, request: ConnectRequest) -> None:
        """Begin a new session, even if the client names an older one or a later transaction."""
        if not self._connections.serving or self._connections.read_only:
            timeout = round(self._sessions.negotiate(request.timeOut) * 1000)
            self._send(ConnectResponse(timeout, -1, bytes(16), None, _REJECTED).encode())
            self._close_on_error("there is no leader")
        elif self._replica.lagging:
            self._replica.wait(self._block(partial(self._handshake, request)))
        else:
            self._session = self._sessions.open(request.timeOut, self, bytes(16))
            self._accept(self._session, None)

    def _accept(self, session: Session, read_only: bool | None) -> None:
        self._connections.sessionless.remove(self)
        self.stats.session_established(self._replica.tree.zxid, self._connections.now())
        self._send(ConnectResponse(self.session_timeout, session.id, session.password, read_only).encode())

    def _handle(self, header: RequestHeader, cursor: Cursor, session: Session) -> None:
        # Neither of these touches the session, and their replies have no zxid.
        if header.type == Operation.AUTH:
            self._authenticate(header.xid, AuthRequest.decode(TolerantCursor(cursor.frame, cursor.offset)))
            return
        if header.type == Operation.SASL and not self._connections.version.keeper:
            # A server that is not configured for SASL sends a null token, and closes the connection if it receives one.
            if SaslRequest.decode(cursor).token is None:
                raise ProtocolError("a SASL token is null")
            self._send(ReplyHeader(header.xid, 0, 0).encode() + SaslResponse(None).encode())
            return
        if header.type in _EXPENSIVE:
            self._written = _BYTES_PER_TURN
        self._sessions.touch(session)
        faults = self._connections.faults
        fault = faults.take(header.type, cursor, session.id) if faults else None
        if fault is None:
            self._serve(header, cursor, session)
        else:
            self._inject(fault, header, cursor, session)

    def _inject(self, fault: Fault, header: RequestHeader, cursor: Cursor, session: Session) -> None:
        if fault.effect is Effect.DELAYED:
            proceed = self._block(partial(self._serve, header, cursor, session))
            self._delay = self._connections.clock.callLater(fault.delay, proceed)
        elif fault.effect is Effect.REFUSED:
            self._reply(header, fault.code)
        elif fault.effect is Effect.REQUEST_LOST:
            self._close()
        else:
            self._reply_lost = True
            self._serve(header, cursor, session)

    def _serve(self, header: RequestHeader, cursor: Cursor, session: Session) -> None:
        if self._replica.needs_leader(header.type):
            if self._connections.read_only:
                if header.type != Operation.CLOSE_SESSION:
                    self._reply(header, NotReadOnlyException.code)
                    return
            elif self._replica.lagging:
                self._replica.wait(self._block(partial(self._serve, header, cursor, session)))
                return
            elif session.connection is not self:
                self._close_on_error("its session has moved to another server")
                return
        if header.type == Operation.PING:
            self._reply(header._replace(xid=PING_XID))
        elif header.type == Operation.CLOSE_SESSION:
            self._end_session(header, session)
        elif header.type not in self._connections.version.operations:
            if not self._connections.version.keeper:
                self._send(ReplyHeader(header.xid, -1, UnimplementedException.code).encode())
            self._close_on_error(f"a request with the unknown operation {header.type}")
        elif self._connections.version.keeper and header.type in _SET_WATCHES:
            self._reply_before_events(header, cursor)
        else:
            self._perform(header, cursor)

    def _end_session(self, header: RequestHeader, session: Session) -> None:
        self._sessions.end(session, "its client closed it", self)
        if not self._connections.version.keeper:
            self._reply(header)
        self._close()

    def _reply_before_events(self, header: RequestHeader, cursor: Cursor) -> None:
        """Set watches as ClickHouse Keeper does: send the missed events after the reply."""
        events = self._deferred_events = []
        self._perform(header, cursor)
        self._deferred_events = None
        for kind, path in events:
            self.notify(kind, path)

    def _perform(self, header: RequestHeader, cursor: Cursor) -> None:
        try:
            body = self._replica.perform(header.type, cursor, self)
        except MarshallingErrorException as error:
            self._log.warn(
                "Refusing a request from {peer} (operation {operation}): {reason}",
                peer=self.peer,
                operation=header.type,
                reason=str(error),
            )
            self._reply(header, MarshallingErrorException.code)
        except ZooKeeperException as error:
            self._reply(header, error.code or 0)
        else:
            # A successful check outside a multi gets no reply: a real server fails on the stat that it lacks.
            if header.type != Operation.CHECK:
                self._reply(header, body=body)

    def _authenticate(self, xid: int, request: AuthRequest) -> None:
        # The reply is sent out of order and has no zxid, and the request does not touch the session.
        if request.scheme == "digest" and request.auth is not None:
            identity = digest_identity(request.auth)
            if identity not in self.identities:
                self.identities.append(identity)
        elif request.scheme != "ip":
            self._send(ReplyHeader(xid, 0, AuthFailedException.code).encode())
            self._close_on_error(f"credentials of the scheme {request.scheme!r}, which is not supported")
            return
        self._send(ReplyHeader(xid, 0, 0).encode())

    def _answer_four_letter_word(self, word: bytes) -> bool:
        words = self._connections.four_letter_words
        if word not in words:
            return False
        self._count_received()
        answer = words.answer(word)
        self._count_sent()
        self._write(answer.encode())
        self._close()
        return True

    def _reply(self, header: RequestHeader, code: int = 0, body: bytes = b"") -> None:
        if self._reply_lost:
            # Earlier replies still arrive.
            self._close()
            return
        zxid = self._replica.tree.zxid
        self.stats.replied(header.type, header.xid, zxid, self._connections.now())
        self._send(ReplyHeader(header.xid, zxid, code).encode() + body)

    def _send(self, body: bytes) -> None:
        if not self._closing:
            self._count_sent()
            self._write(encode_frame(body))

    def _write(self, data: bytes) -> None:
        self._written += len(data)
        if self._stalled_output is not None:
            self._stalled_output.append(partial(self._tcp().write, data))
            self._stalled_output_bytes += len(data)
            self._throttle_above_limit(self._stalled_output_bytes)
            return
        self._tcp().write(data)
        if self._buffered is not None:
            self._buffered += len(data)
            self._throttle_above_limit(self._buffered)

    def _throttle_above_limit(self, unread: int) -> None:
        if unread > _MAX_UNREAD and not self._throttled:
            # A client that is merely slow gets here again and again.
            self._log.emit(
                LogLevel.debug if self._was_throttled else LogLevel.warn,
                "Throttling the connection from {peer} until it reads: {unread} bytes are unread",
                peer=self.peer,
                unread=unread,
            )
            self._throttled = self._was_throttled = True
            self._update_reading()

    def _count_received(self) -> None:
        self.stats.received += 1
        self._connections.received += 1

    def _count_sent(self) -> None:
        self.stats.sent += 1
        self._connections.sent += 1

    def _close_on_error(self, reason: str) -> None:
        self._log.warn("Closing the connection from {peer}: {reason}", peer=self.peer, reason=reason)
        self._close()

    def _close(self) -> None:
        self._detach()
        # The timeout also ends a connection whose client does not read the remaining bytes.
        self._connections.sessionless.touch(self)
        cast(IConsumer, self.transport).unregisterProducer()
        if self._stalled_output is None:
            self._tcp().loseConnection()
        else:
            self._stalled_output.append(self._tcp().loseConnection)

    def _detach(self) -> None:
        self._closing = True
        self._inbox.clear()
        self._inbox_bytes = 0
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        if self._delay is not None:
            self._delay.cancel()
            self._delay = None
        self._replica.watches.remove_all(self)
        if self._session is not None and self in self._session.connections:
            self._session.connections.remove(self)

    def _tcp(self) -> ITCPTransport:
        return cast(ITCPTransport, self.transport)


def _size(frame: bytes | OversizedFrame) -> int:
    """Return the number of bytes that a waiting frame takes."""
    return 4 + len(frame.head if isinstance(frame, OversizedFrame) else frame)
