"""One connection: Twisted's protocol, which reads requests and writes replies as fast as the client reads them.

The wire's protocol machine decodes the requests, and the request processor executes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, cast

from twisted.internet.interfaces import IDelayedCall, IPushProducer, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txmirror.embedded.acl import Identity
from txmirror.embedded.cursor import RequestCursor
from txmirror.embedded.output import MAX_UNREAD, Output
from txmirror.embedded.request_processor import RequestProcessor
from txmirror.embedded.request_queue import RequestQueue
from txmirror.embedded.server_state import ServerState
from txmirror.embedded.sessionless import SESSIONLESS_TIMEOUT
from txmirror.errors import ProtocolError
from txmirror.wire import DEFAULT_MAX_REQUEST, ConnectRequest, Operation, ServerProtocol

#: The limit for the bytes of unread events, above which the server closes the connection: other clients cause the events.
_MAX_UNREAD_EVENTS: Final = 4 * MAX_UNREAD
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


@implementer(IPushProducer)
class Connection(Protocol):
    """One connection. Tests get it from :attr:`Server.connections <txmirror.embedded.Server.connections>`.

    If a client leaves more than 4 MiB unread, or one longer reply, the server stops reading from it, and its session expires
    like that of any silent client. If it leaves more than 16 MiB of events unread, the server closes the connection. A client
    that sends many requests at once is served in turns with the others.

    :ivar closing: whether the connection is closed, or is being closed.
    """

    _log = Logger()

    def __init__(
        self,
        server: ServerState,
        words: Mapping[bytes, Callable[[], str]],
        next_turn: Callable[[Callable[[], None]], IDelayedCall],
        closed: Callable[[Connection], None],
    ) -> None:
        # The words' values return the answers; ``closed`` is called once the connection is closed.
        self._server = server
        self._words = words
        self._closed = closed
        self._protocol = ServerProtocol(DEFAULT_MAX_REQUEST, RequestCursor)
        self._output = Output()
        self._queue = RequestQueue(self._protocol.frames, self._output, self._serve_next, self._serve, next_turn)
        self.client: RequestProcessor = RequestProcessor(server, self._protocol, self._queue, self)
        self._first_bytes: bytes | None = b""
        self._held_input: bytearray | None = None
        self._reading = True
        self.closing: bool = False

    @property
    def identities(self) -> Sequence[Identity]:
        """The identities of the client."""
        return self.client.identities

    @property
    def peer(self) -> str:
        """The address of the client, as ``host:port``."""
        return self._output.peer

    @property
    def session_id(self) -> int:
        """The id of the connection's session; 0 before the handshake."""
        return self.client.session_id

    def __repr__(self) -> str:
        state = "closed" if self.closing else f"session {self.session_id:#x}"
        return f"<Connection from {self.peer or 'nowhere'}, {state}>"

    # Called by the transport.

    def connectionMade(self) -> None:
        transport = cast(ITCPTransport, self.transport)
        self._output.connected(transport, self)
        self.client.identities.append(Identity("ip", transport.getPeer().host))
        self._server.sessionless.touch(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._detach()
        self._server.sessionless.remove(self)
        self._closed(self)

    def dataReceived(self, data: bytes) -> None:
        if self.closing:
            return
        if self._held_input is not None:
            self._held_input += data
            self._update_reading()
            return
        if self.client.session is None:
            self._server.sessionless.touch(self)
        if self._first_bytes is not None:
            # The first bytes are either a length or a four-letter word.
            self._first_bytes += data
            if len(self._first_bytes) < 4:
                return
            data, self._first_bytes = self._first_bytes, None
            answer = self._words.get(data[:4])
            if answer is not None:
                self._count_received()
                self.send(answer().encode())
                self.close()
                return
        self._protocol.receive_data(data)
        if self._queue.delayed:
            # The client has sent something, so its session stays alive while its requests wait.
            self.client.touch()
        self._serve()

    def pauseProducing(self) -> None:
        self._output.buffer_full()

    def resumeProducing(self) -> None:
        if self._output.buffer_empty():
            self._serve()

    def stopProducing(self) -> None:
        """Do nothing: ``connectionLost`` is called too."""

    # Called by tests.

    def stall(self, *, incoming: bool = True, outgoing: bool = True) -> None:
        """Hold all bytes until :meth:`resume`, and also a close that the server starts by itself.

        A test can still close the connection: by :meth:`drop`, or by stopping the server or dropping all connections. The
        server aborts a connection that it is closing after at most 20 seconds.

        :param incoming: whether to hold the client's bytes. The server does not see them, and the session expires in time.
        :param outgoing: whether to hold replies and events.
        :raises ValueError: the connection is closed, or both arguments are false.
        """
        if self.closing:
            raise ValueError(f"{self!r} is closed")
        if not (incoming or outgoing):
            raise ValueError(f"stall() with incoming={incoming!r} and outgoing={outgoing!r} holds nothing")
        if incoming and self._held_input is None:
            self._held_input = bytearray()
        if outgoing:
            self._output.hold()

    def resume(self) -> None:
        """Release all held bytes, in order. Does nothing if none are held, or if the connection is closed."""
        if self._output.release():
            self._serve()
        unread, self._held_input = self._held_input, None
        if unread and not self.closing:
            self.dataReceived(bytes(unread))
            self._update_reading()

    def drop(self, reason: str = "drop() was called") -> None:
        """Abort the connection. Unsent data is lost. The session stays alive until its timeout.

        Does nothing if the connection is closed.

        :param reason: for the log.
        """
        self._output.discard()
        self.abort(reason)

    # Called by the request processor, and by the timer of connections without a session.

    def send(self, data: bytes) -> None:
        """Send a frame, or the answer to a four-letter word. Do nothing if the connection is closing."""
        if self.closing:
            return
        self.client.stats.sent += 1
        self._server.sent += 1
        self._output.write(data)
        if self._output.throttled:
            self._update_reading()

    def send_event(self, frame: bytes) -> None:
        """Send a frame with a watch event, and abort the connection if the client reads no events."""
        if self.closing:
            return
        self.send(frame)
        unread = self._output.count_event(len(frame))
        if unread > _MAX_UNREAD_EVENTS:
            self._log.warn(
                "Closing the connection from {peer}: it does not read its events, of which {unread} bytes are unread.",
                peer=self.peer,
                unread=unread,
            )
            self.abort("it does not read its events")

    def close(self, reason: str | None = None) -> None:
        """Close the connection once the client has read everything.

        :param reason: the error, for the log; None if there is none.
        """
        if reason is not None:
            self._log.warn("Closing the connection from {peer}: {reason}.", peer=self.peer, reason=reason)
        self._detach()
        # The timeout also ends a connection whose client does not read the remaining bytes.
        self._server.sessionless.touch(self)
        self._output.close()

    def abort(self, reason: str) -> None:
        """Abort the connection. Unsent data is lost."""
        self._log.debug("Aborting the connection from {peer}: {reason}.", peer=self.peer, reason=reason)
        self._detach()
        self._output.abort()

    def time_out(self) -> None:
        # When the server closes a connection, it has logged the reason before.
        if not self.closing:
            self._log.warn(
                "Closing the connection from {peer}: it has no session, and was silent for {timeout} s.",
                peer=self.peer,
                timeout=SESSIONLESS_TIMEOUT,
            )
        self.drop("it has no session, and is silent")

    def _serve(self) -> None:
        self._queue.serve()
        self._update_reading()
        error = self._protocol.frames.error
        if error is not None and self._queue.empty and not self.closing:
            self.close(str(error))

    def _serve_next(self) -> None:
        self._count_received()
        try:
            event = self._protocol.next_event()
            if isinstance(event, ConnectRequest):
                self.client.connect(event)
            elif event is not None:
                if event.header.type in _EXPENSIVE:
                    self._queue.end_turn()
                self.client.process(event.header, event.cursor)
        except ProtocolError as error:
            self.close(str(error))

    def _update_reading(self) -> None:
        """Pause or resume reading: pause while too many requests wait or replies are unread."""
        held = self._held_input
        reading = not (self._queue.full or (held is not None and len(held) > MAX_UNREAD))
        if reading is not self._reading and not self.closing:
            self._reading = reading
            transport = cast(IPushProducer, self.transport)
            if reading:
                transport.resumeProducing()
            else:
                transport.pauseProducing()

    def _count_received(self) -> None:
        self.client.stats.received += 1
        self._server.received += 1

    def _detach(self) -> None:
        self.closing = True
        self._queue.clear()
        self.client.disconnected()
