"""The protocol's server side on one connection: handshake, requests in, replies and events out.

What a request does is the database's matter, and how long a session lives is the sessions'.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, ITCPTransport
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror.embedded.acl import Identity, digest_identity
from txmirror.embedded.database import Database
from txmirror.embedded.sessions import Session, Sessions
from txmirror.embedded.traffic import Traffic
from txmirror.embedded.versions import Version
from txmirror.embedded.words import Words
from txmirror.errors import (
    AuthFailedException,
    MarshallingErrorException,
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


class Connections(ServerFactory):
    """All connections of a server: they share its data and its sessions.

    :param version: what it says that it is, and whose protocol it speaks.
    :param now: gives the time in milliseconds since the epoch.
    :ivar live: the connections, the oldest first.
    :ivar port: the TCP port that it listens at, or listened at last.
    :ivar received: how many frames and four-letter words came in.
    :ivar sent: how many frames and answers to four-letter words went out.
    """

    noisy = False

    def __init__(self, database: Database, sessions: Sessions, version: Version, now: Callable[[], int]) -> None:
        self.database = database
        self.sessions = sessions
        self.version = version
        self.now = now
        self.live: dict[Connection, None] = {}
        self.port = 0
        self.received = 0
        self.sent = 0
        self.words = Words(self, version.release)
        self._when_none: list[Deferred[None]] = []

    def buildProtocol(self, addr: IAddress | None) -> Connection:
        return Connection(self)

    def drop_all(self, reason: str) -> Deferred[None]:
        """Close all connections at once; what was not sent is lost.

        :returns: fires when they are gone.
        """
        for connection in list(self.live):
            connection.drop(reason)
        if not self.live:
            return succeed(None)
        gone: Deferred[None] = Deferred()
        self._when_none.append(gone)
        return gone

    def removed(self, connection: Connection) -> None:
        """Forget a connection that is gone."""
        self.live.pop(connection, None)
        if not self.live:
            waiting, self._when_none = self._when_none, []
            for gone in waiting:
                gone.callback(None)


class Connection(Protocol):
    """One connection.

    :ivar identities: who its client has proved to be.
    :ivar peer: where its client is, as ``host:port``.
    :ivar traffic: what it has counted.
    """

    _log = Logger()

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._database = connections.database
        self._sessions = connections.sessions
        self._decoder = FrameDecoder(DEFAULT_MAX_REQUEST)
        self._start: bytes | None = b""
        self._session: Session | None = None
        self._closing = False
        self.identities: list[Identity] = []
        self.peer = ""
        self.traffic = Traffic(connections.now())

    @property
    def session_id(self) -> int:
        """The id of the session that it serves; 0 before the handshake."""
        return self._session.id if self._session is not None else 0

    @property
    def session_timeout(self) -> int:
        """The session's timeout in milliseconds; 0 before the handshake."""
        return round(self._session.timeout * 1000) if self._session is not None else 0

    def connectionMade(self) -> None:
        transport = self._tcp()
        transport.setTcpNoDelay(True)
        peer = transport.getPeer()
        self.peer = f"{peer.host}:{peer.port}"
        self.identities.append(Identity("ip", peer.host))
        self._connections.live[self] = None

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._leave()
        self._connections.removed(self)

    def dataReceived(self, data: bytes) -> None:
        if self._start is not None:
            # What comes first is either a length or a four-letter word.
            self._start += data
            if len(self._start) < 4:
                return
            data, self._start = self._start, None
            if self._answer_word(data[:4]):
                return
        for frame in self._decoder.feed(data):
            if self._closing:
                return
            self._receive(frame)
        if self._decoder.fault is not None and not self._closing:
            self._give_up(str(self._decoder.fault))

    def notify(self, kind: EventType, path: str, zxid: int = -1) -> None:
        event = WatcherEvent(kind, _CONNECTED_STATE, path)
        shown = zxid if self._connections.version.zxid_in_events else -1
        self._send(ReplyHeader(EVENT_XID, shown, 0).encode() + event.encode())

    def drop(self, reason: str) -> None:
        """Close the connection at once; what was not sent is lost."""
        self._log.debug("Dropping the connection from {peer}: {reason}", peer=self.peer, reason=reason)
        self._leave()
        self._tcp().abortConnection()

    def _receive(self, frame: bytes | OversizedFrame) -> None:
        self._count_received()
        if isinstance(frame, OversizedFrame):
            self._give_up(f"a request of {frame.length} bytes, with {DEFAULT_MAX_REQUEST} allowed (jute.maxbuffer)")
            return
        cursor = Cursor(frame)
        try:
            if self._session is None:
                self._shake_hands(ConnectRequest.decode(cursor))
            else:
                self._handle(RequestHeader.decode(cursor), cursor, self._session)
        except ProtocolError as error:
            self._give_up(str(error))

    def _shake_hands(self, request: ConnectRequest) -> None:
        zxid = self._database.tree.zxid
        if request.lastZxidSeen > zxid:
            self._give_up(
                f"its client has seen transaction {request.lastZxidSeen:#x}, and the last one here is {zxid:#x}"
            )
            return
        if request.sessionId == 0:
            self._session = self._sessions.open(request.timeOut, self)
        else:
            self._session = self._sessions.resume(request.sessionId, request.passwd, request.timeOut, self)
        session = self._session
        # A client from before 3.4 says nothing about read-only servers, and is told nothing.
        read_only = None if request.readOnly is None else False
        if session is None:
            self._send(ConnectResponse(0, 0, bytes(16), read_only).encode())
            self._close()
        else:
            self.traffic.shaken(self._database.tree.zxid, self._connections.now())
            self._send(ConnectResponse(self.session_timeout, session.id, session.password, read_only).encode())

    def _handle(self, header: RequestHeader, cursor: Cursor, session: Session) -> None:
        # Both of these touch no session, and their headers have no zxid.
        if header.type == Operation.AUTH:
            self._authenticate(header.xid, AuthRequest.decode(cursor))
            return
        if header.type == Operation.SASL:
            # A server that was not set up for SASL has nothing to say to it, and trips over no token at all.
            if SaslRequest.decode(cursor).token is None:
                raise ProtocolError("a SASL token is null")
            self._send(ReplyHeader(header.xid, 0, 0).encode() + SaslResponse(None).encode())
            return
        self._sessions.touch(session)
        if header.type == Operation.PING:
            self._reply(header._replace(xid=PING_XID))
        elif header.type == Operation.CLOSE_SESSION:
            self._sessions.end(session, "its client closed it")
            self._reply(header)
            self._close()
        elif header.type in self._connections.version.operations:
            self._perform(header, cursor)
        else:
            self._send(ReplyHeader(header.xid, -1, UnimplementedException.code).encode())
            self._give_up(f"a request with the unknown operation {header.type}")

    def _perform(self, header: RequestHeader, cursor: Cursor) -> None:
        try:
            body = self._database.perform(header.type, cursor, self)
        except MarshallingErrorException as error:
            self._log.warn(
                "Refusing a request from {peer} (operation {operation}): {reason}",
                peer=self.peer,
                operation=header.type,
                reason=str(error),
            )
            self._reply(header, error)
        except ZooKeeperException as error:
            self._reply(header, error)
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
            self._give_up(f"credentials of the scheme {request.scheme!r}, which cannot be used")
            return
        self._send(ReplyHeader(xid, 0, 0).encode())

    def _answer_word(self, word: bytes) -> bool:
        words = self._connections.words
        if word not in words:
            return False
        self._count_received()
        answer = words.answer(word)
        self._count_sent()
        self._tcp().write(answer.encode())
        self._close()
        return True

    def _reply(self, header: RequestHeader, error: ZooKeeperException | None = None, body: bytes = b"") -> None:
        code = (error.code or 0) if error is not None else 0
        zxid = self._database.tree.zxid
        self.traffic.replied(header.type, header.xid, zxid, self._connections.now())
        self._send(ReplyHeader(header.xid, zxid, code).encode() + body)

    def _send(self, body: bytes) -> None:
        if not self._closing:
            self._count_sent()
            self._tcp().write(encode_frame(body))

    def _count_received(self) -> None:
        self.traffic.received += 1
        self._connections.received += 1

    def _count_sent(self) -> None:
        self.traffic.sent += 1
        self._connections.sent += 1

    def _give_up(self, reason: str) -> None:
        self._log.warn("Closing the connection from {peer}: {reason}", peer=self.peer, reason=reason)
        self._close()

    def _close(self) -> None:
        self._leave()
        self._tcp().loseConnection()

    def _leave(self) -> None:
        self._closing = True
        self._database.watches.remove_all(self)
        if self._session is not None and self._session.connection is self:
            self._session.connection = None

    def _tcp(self) -> ITCPTransport:
        return cast(ITCPTransport, self.transport)
