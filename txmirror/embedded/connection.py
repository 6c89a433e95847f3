"""The protocol's server side on one connection: handshake, requests in, replies and events out.

What a request does is the replica's matter, and how long a session lives is the sessions'. A frame that is held up holds up
all that came after it.
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
#: The protocol version by which ClickHouse Keeper refuses a handshake (``KEEPER_PROTOCOL_VERSION_CONNECTION_REJECT``).
_REJECTED: Final = 42
_SET_WATCHES: Final = frozenset({Operation.SET_WATCHES, Operation.SET_WATCHES2})
#: How many bytes may wait for a client to read them before its requests wait too; and how many bytes of requests may wait.
#: A real server reads on until its memory is full; this is far above what a client has outstanding that reads at all.
_MAX_UNREAD: Final = 4 * 1024 * 1024
#: How many requests of one client may wait.
_MAX_PENDING: Final = 10_000
#: How many bytes of events a client may leave unread before its connection is closed: others make them.
_MAX_UNREAD_EVENTS: Final = 4 * _MAX_UNREAD
#: What one client gets in one turn of the reactor, in requests and in bytes of answers: then it is the others' turn.
_REQUESTS_PER_TURN: Final = 250
_BYTES_PER_TURN: Final = 256 * 1024
#: What may look at very many nodes has a turn of its own.
_COSTLY: Final = frozenset(
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
    """All connections of a server: they share its data and its sessions.

    :param reactor: runs the turns.
    :param clock: what time is taken from.
    :param version: what it says that it is, and whose protocol it speaks.
    :param mode: what it says that it is among others: ``standalone``, ``leader`` or ``follower``.
    :ivar serving: whether it lets clients in.
    :ivar read_only: whether it lets in only those that do with a server that can only be read, each with a session that
        nobody else knows.
    :ivar own_sessions: the sessions that nobody else knows.
    :ivar faults: what is to go wrong with requests.
    :ivar strangers: those of them that serve no session.
    :ivar live: the connections, the oldest first.
    :ivar port: the TCP port that it listens at, or listened at last.
    :ivar received: how many frames and four-letter words came in.
    :ivar sent: how many frames and answers to four-letter words went out.
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
        self._when_all_closed: list[Deferred[None]] = []

    def buildProtocol(self, addr: IAddress | None) -> Connection:
        return Connection(self)

    def now(self) -> int:
        """Give the time in milliseconds since the epoch."""
        return int(self.clock.seconds() * 1000)

    def next_turn(self, proceed: Callable[[], None]) -> IDelayedCall:
        """Call something in the next turn of the reactor, whatever the server's own clock shows."""
        return self._reactor.callLater(0, proceed)

    def drop_all(self, reason: str) -> Deferred[None]:
        """Close all connections at once; what was not sent is lost.

        :returns: fires when they are gone.
        """
        for connection in list(self.live):
            connection.drop(reason)
        if not self.live:
            return succeed(None)
        gone: Deferred[None] = Deferred()
        self._when_all_closed.append(gone)
        return gone

    def removed(self, connection: Connection) -> None:
        """Forget a connection that is gone."""
        self.sessionless.remove(connection)
        self.live.pop(connection, None)
        if not self.live:
            waiting, self._when_all_closed = self._when_all_closed, []
            for gone in waiting:
                gone.callback(None)


@implementer(IPushProducer)
class Connection(Protocol):
    """One connection. Tests get it from :attr:`Server.connections <txmirror.embedded.Server.connections>`.

    A client that does not read what it is told is not listened to either, once that is more than 4 MiB, or one answer: its session
    then ends as that of any client that is silent. When events that it does not read are more than 16 MiB, the connection is closed. One that
    asks for much at once gets its answers bit by bit, and others theirs in between.

    :ivar identities: who its client has proved to be.
    :ivar peer: where its client is, as ``host:port``.
    :ivar traffic: what it has counted.
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
        """What is to be sent behind the answer that is being made; None where events go out at once."""
        self._buffered: int | None = None
        """How much was sent since the transport had its fill; None while it takes more."""
        self._unread_events = 0
        self._stalled_output_bytes = 0
        """How many bytes wait in ``_stalled_output``."""
        self._throttled = False
        self._was_throttled = False
        self._inbox_bytes = 0
        """How many bytes of requests wait in ``_inbox``."""
        self._written = 0
        self._turn: IDelayedCall | None = None
        self._reading = True
        self.identities: list[Identity] = []
        self.peer = ""
        self.stats = ConnectionStats(connections.now())

    @property
    def leaving(self) -> bool:
        """Whether it was closed, or is about to be."""
        return self._closing

    @property
    def session_id(self) -> int:
        """The id of the session that it serves; 0 before the handshake."""
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
            # What comes first is either a length or a four-letter word.
            self._first_bytes += data
            if len(self._first_bytes) < 4:
                return
            data, self._first_bytes = self._first_bytes, None
            if self._answer_word(data[:4]):
                return
        for frame in self._decoder.feed(data):
            self._inbox.append(partial(self._receive, frame))
            self._inbox_bytes += _size(frame)
        if self._session is not None and self._blocked:
            # Its client was heard from, whenever it gets its answer.
            self._sessions.touch(self._session)
        self._process_inbox()

    def pauseProducing(self) -> None:
        # The transport says so at each write.
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
        """The connection is gone, which ``connectionLost`` is told too."""

    def stall(self, *, incoming: bool = True, outgoing: bool = True) -> None:
        """Let nothing through any more until :meth:`resume`, neither bytes nor an end that the server makes by itself.

        What a test makes is not held: :meth:`drop`, and what stops or drops all. Nor does a server bear for longer than 20
        seconds with a connection that it is closing.

        :param incoming: whether to hold what comes from the client: the server does not hear of it, and its session ends
            in time.
        :param outgoing: whether to hold replies and events.
        :raises ValueError: the connection is closed, or nothing is to be held.
        """
        if self._closing:
            raise ValueError(f"{self!r} is closed")
        if not (incoming or outgoing):
            raise ValueError(f"to stall neither incoming={incoming!r} nor outgoing={outgoing!r} stalls nothing")
        if incoming and self._stalled_input is None:
            self._stalled_input = bytearray()
        if outgoing and self._stalled_output is None:
            self._stalled_output = []

    def resume(self) -> None:
        """Let through what was held, in order, and all that follows. Harmless where nothing was, and where it is closed."""
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
                    "Closing the connection from {peer}: it does not read its events, of which {unread} bytes wait",
                    peer=self.peer,
                    unread=self._unread_events,
                )
                self._abort("it does not read its events")

    def drop(self, reason: str = "it was made to go") -> None:
        """Close the connection at once; what was not sent is lost. The session lives on for as long as its timeout says.

        Harmless where it is closed.

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
        """Close the connection when this server learns of a transaction that has ended the session."""
        if self._connections.read_only:
            self._abort(reason)
        else:
            self._replica.learn(lambda: self._abort(reason))

    def session_moved(self, other: SessionConnection) -> None:
        """Go, if the connection on which the session goes on is at this server too.

        At another server of an ensemble nobody tells this one. Its client learns of it when it next wants something that the
        leader has to know.
        """
        if isinstance(other, Connection) and other._connections is self._connections:
            self._abort("its session went on elsewhere")

    def _block(self, what: Callable[[], None]) -> Callable[[], None]:
        """Put something off, and all that comes after it, and give what is to be called when it may be done."""
        self._inbox.appendleft(what)
        self._blocked = True
        return self._unblock

    def _unblock(self) -> None:
        self._delay = None
        self._blocked = False
        self._process_inbox()

    def _process_inbox(self) -> None:
        """Serve the requests that have come in, as far as that is one client's due in a turn of the reactor."""
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
        """Read what the client sends, unless it has sent more than it is given answers for."""
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
        # That it is being closed, and why, was told before.
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
            self._close_on_error("its session is not this server's alone, and there is no quorum")
            return
        if request.lastZxidSeen > zxid:
            self._close_on_error(
                f"its client has seen transaction {request.lastZxidSeen:#x}, and the last one here is {zxid:#x}"
            )
            return
        if request.sessionId == 0:
            if self._replica.lagging and not alone:
                # It is a transaction, and this server does not learn of any.
                self._replica.wait(self._block(partial(self._handshake, request)))
                return
            self._session = self._sessions.open(request.timeOut, self)
        else:
            self._session = self._sessions.resume(request.sessionId, request.passwd, request.timeOut, self)
        # A client from before 3.4 says nothing about read-only servers, and is told nothing.
        read_only = None if request.readOnly is None else alone
        if self._session is None:
            self._send(ConnectResponse(0, 0, bytes(16), read_only).encode())
            self._close()
        else:
            self._accept(self._session, read_only)

    def _handshake_as_keeper(self, request: ConnectRequest) -> None:
        """Begin a session, whatever the client says of an older one and of what it has seen."""
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
        # Both of these touch no session, and their headers have no zxid.
        if header.type == Operation.AUTH:
            self._authenticate(header.xid, AuthRequest.decode(TolerantCursor(cursor.frame, cursor.offset)))
            return
        if header.type == Operation.SASL and not self._connections.version.keeper:
            # A server that was not set up for SASL has nothing to say to it, and trips over no token at all.
            if SaslRequest.decode(cursor).token is None:
                raise ProtocolError("a SASL token is null")
            self._send(ReplyHeader(header.xid, 0, 0).encode() + SaslResponse(None).encode())
            return
        if header.type in _COSTLY:
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
            self._answer_before_events(header, cursor)
        else:
            self._perform(header, cursor)

    def _end_session(self, header: RequestHeader, session: Session) -> None:
        self._sessions.end(session, "its client closed it", self)
        if not self._connections.version.keeper:
            self._reply(header)
        self._close()

    def _answer_before_events(self, header: RequestHeader, cursor: Cursor) -> None:
        """Serve a request that sets watches as ClickHouse Keeper does: the events that it causes come behind the answer."""
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
            # A check that holds has no answer but among several: a real server trips over the stat that it lacks.
            if header.type != Operation.CHECK:
                self._reply(header, body=body)

    def _authenticate(self, xid: int, request: AuthRequest) -> None:
        # It is answered out of order and touches no session, and its header has no zxid.
        if request.scheme == "digest" and request.auth is not None:
            identity = digest_identity(request.auth)
            if identity not in self.identities:
                self.identities.append(identity)
        elif request.scheme != "ip":
            self._send(ReplyHeader(xid, 0, AuthFailedException.code).encode())
            self._close_on_error(f"credentials of the scheme {request.scheme!r}, which cannot be used")
            return
        self._send(ReplyHeader(xid, 0, 0).encode())

    def _answer_word(self, word: bytes) -> bool:
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
            # What was sent before it arrives.
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
            # Whoever is merely slow comes here again and again.
            self._log.emit(
                LogLevel.debug if self._was_throttled else LogLevel.warn,
                "Not listening to {peer} until it reads what it was told: {unread} bytes wait",
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
        # Whoever does not read what there is left to send is not waited for.
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
    """Return how many bytes a frame takes while it waits."""
    return 4 + len(frame.head if isinstance(frame, OversizedFrame) else frame)
