"""A TCP proxy between clients and a ZooKeeper server, which injects the faults that a test calls for.

This module knows the faults. :mod:`txmirror.testing.relay` forwards the connections.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable
from typing import Any, cast

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.interfaces import IReactorTCP
from twisted.internet.protocol import Protocol, ServerFactory

from txmirror.testing.relay import Fault, Frame, Relay, Side
from txmirror.wire import EVENT_XID, Operation


class _NewClients(enum.Enum):
    FORWARDED = "new clients are forwarded"
    REFUSED = "new clients are accepted and closed"
    HELD = "new clients are accepted, and nothing is sent to them"


class FaultProxy:
    """A proxy on a free port of loopback that forwards connections to a server on loopback, and injects faults.

    It needs a real reactor. Each method takes effect at once, on current and on new connections, unless it says otherwise. A
    client that was disconnected can reconnect at once, except after :meth:`cut` and :meth:`shut`.

    :param port: the server's port.
    :param reactor: the reactor; the global one if None.
    :ivar accepted: the number of clients that were accepted, without those that were refused.
    :ivar bytes_to_client: the number of bytes that were forwarded to clients.
    :ivar bytes_to_server: the number of bytes that were forwarded to the server.
    :ivar requests: the number of requests that were forwarded to the server, by operation.
    :ivar replies: the number of replies that were forwarded to clients, by the operation that they answer.
    :ivar events: the number of watch events that were forwarded to clients.
    """

    def __init__(self, port: int, *, reactor: IReactorTCP | None = None) -> None:
        if reactor is None:
            from twisted.internet import reactor as global_reactor

            reactor = IReactorTCP(global_reactor)
        self._reactor: Any = reactor
        self._server = TCP4ClientEndpoint(reactor, "127.0.0.1", port)
        self._new_clients = _NewClients.FORWARDED
        self._relays: list[Relay] = []
        self._faults: list[Fault] = []
        self._stalled = {True: False, False: False}
        self._allowance: dict[bool, tuple[int, Deferred[None]]] = {}
        self._piece: int | None = None
        self.accepted = 0
        self.bytes_to_client = 0
        self.bytes_to_server = 0
        self.requests: Counter[int] = Counter()
        self.replies: Counter[int] = Counter()
        self.events = 0
        factory = _Clients(reactor, self)
        self._listening = self._reactor.listenTCP(0, factory, interface="127.0.0.1")

    @property
    def address(self) -> str:
        """The address for clients, as ``127.0.0.1:port``."""
        return f"127.0.0.1:{cast(IPv4Address, self._listening.getHost()).port}"

    @property
    def connections(self) -> int:
        """The number of connections, including held ones and those with only one side left."""
        return len(self._relays)

    # New clients.

    def cut(self) -> None:
        """Abort every connection, and refuse new clients (accept and close), until :meth:`open`."""
        self.shut()
        self.drop()

    def shut(self) -> None:
        """Refuse new clients, until :meth:`open`. Current connections go on.

        The faults that happen once do not refuse new clients. To prevent a reconnection, let their Deferred call this.
        """
        self._new_clients = _NewClients.REFUSED

    def drop(self) -> None:
        """Abort every connection on both sides, with all data in transit. New clients are treated as before."""
        for relay in list(self._relays):
            relay.abort()

    def hold(self) -> None:
        """Hold new clients: accept and read, but forward and send nothing, until :meth:`open`. Current connections go on."""
        self._new_clients = _NewClients.HELD

    def open(self) -> None:
        """Forward clients again. Held clients come first, with the data that they have sent meanwhile."""
        self._new_clients = _NewClients.FORWARDED
        for relay in list(self._relays):
            relay.connect_server()

    def close(self) -> Deferred[None]:
        """Abort every connection and stop listening. Deferreds of faults that have not happened never fire.

        :returns: fires when every socket is closed.
        """
        waited_for: list[Deferred[Any]] = [relay.over for relay in self._relays]
        self.cut()
        waited_for.append(maybeDeferred(self._listening.stopListening))
        return DeferredList(waited_for).addCallback(lambda _: None)

    # The stream.

    def stall(self, *, to_client: bool = True, to_server: bool = True) -> None:
        """Forward nothing, neither bytes nor the end of a connection, until :meth:`resume`. Both sides notice nothing.

        :param to_client: whether to stall the direction to clients.
        :param to_server: whether to stall the direction to the server.
        """
        self._stalled[True] |= to_client
        self._stalled[False] |= to_server

    def resume(self, *, to_client: bool = True, to_server: bool = True) -> None:
        """Forward the stalled data, in order, and go on. If a side has aborted its connection meanwhile, its data is lost, and
        the other side is disconnected now.

        :param to_client: whether to resume the direction to clients.
        :param to_server: whether to resume the direction to the server.
        """
        self._stalled[True] &= not to_client
        self._stalled[False] &= not to_server
        for relay in list(self._relays):
            relay.pump()

    def half_close(self, *, to_client: bool = False, to_server: bool = False) -> None:
        """Half-close each current connection: send FIN to one side, and discard further data for it. Data from that side is
        still forwarded.

        :param to_client: whether to send it to the clients.
        :param to_server: whether to send it to the server.
        """
        for relay in list(self._relays):
            if to_client:
                relay.to_client.stop()
            if to_server:
                relay.to_server.stop()

    def split(self, size: int | None) -> None:
        """Forward all data in pieces of at most ``size`` bytes, each with time to arrive before the next, in both directions.

        :param size: the most bytes of a piece; None does not split.
        :raises ValueError: ``size`` is not above 0.
        """
        if size is not None and size < 1:
            raise ValueError(f"a piece has a byte at least, not {size!r}")
        self._piece = size

    # Faults that happen once. The connection is then closed, after all forwarded data has arrived.

    def cut_after(self, *, to_client: int | None = None, to_server: int | None = None) -> Deferred[None]:
        """Forward a number of bytes of a direction, then close the connection of the last one; for 0, the connection of the
        next byte, which is not forwarded.

        The bytes of all connections, current and new, count together. Each direction has one count: a new one replaces it.

        :param to_client: the number of bytes for clients.
        :param to_server: the number of bytes for the server.
        :returns: fires when the connection is closed. Cancelling disarms the fault.
        :raises ValueError: not exactly one of both is given, or it is negative.
        """
        if (to_client is None) == (to_server is None):
            raise ValueError("one direction has a number of bytes, and not both")
        direction = to_client is not None
        count = (to_client if direction else to_server) or 0
        if count < 0:
            raise ValueError(f"a number of bytes is negative: {count!r}")

        def disarm(cancelled: Deferred[None]) -> None:
            if direction in self._allowance and self._allowance[direction][1] is cancelled:
                del self._allowance[direction]

        happened: Deferred[None] = Deferred(disarm)
        self._allowance[direction] = (count, happened)
        return happened

    def cut_after_reply(self, xid: int) -> Deferred[None]:
        """Close a connection after the next reply with this xid was forwarded.

        :param xid: the client's number of the request; -2 is a ping's.
        :returns: fires when the connection is closed. Cancelling disarms the fault.
        """
        return self._arm(lambda frame: frame.operation is not None and frame.xid == xid, swallows=False)

    def cut_after_event(self, count: int = 1) -> Deferred[None]:
        """Close a connection after a watch event was forwarded.

        :param count: the number of the event, counted from now over all connections.
        :returns: fires when the connection is closed. Cancelling disarms the fault.
        """
        left = iter(range(count - 1, -1, -1))
        return self._arm(lambda frame: frame.xid == EVENT_XID and next(left) == 0, swallows=False)

    def swallow_reply(self, xid: int) -> Deferred[None]:
        """Close a connection in place of forwarding the next reply with this xid: the server has done the request, and the
        client gets no answer.

        :param xid: as for :meth:`cut_after_reply`.
        :returns: fires when the connection is closed. Cancelling disarms the fault.
        """
        return self._arm(lambda frame: frame.operation is not None and frame.xid == xid, swallows=True)

    def swallow_reply_to(self, operation: Operation) -> Deferred[None]:
        """Close a connection in place of forwarding the next reply to an operation, as :meth:`swallow_reply`.

        :returns: fires when the connection is closed. Cancelling disarms the fault.
        """
        return self._arm(lambda frame: frame.operation == operation, swallows=True)

    def _arm(self, matches: Callable[[Frame], bool], *, swallows: bool) -> Deferred[None]:
        happened: Deferred[None] = Deferred(lambda _: self._faults.remove(fault))
        fault = Fault(matches, swallows, happened)
        self._faults.append(fault)
        return happened

    # The Rules of the relays.

    def connect(self, side: Side) -> Deferred[Side]:
        """Connect a side to the server."""
        connected: Deferred[Side] = connectProtocol(self._server, side)
        return connected

    def client_connected(self, relay: Relay) -> None:
        """Note a new client, and connect to the server for it if it is forwarded."""
        self.accepted += 1
        self._relays.append(relay)
        if self._new_clients is _NewClients.FORWARDED:
            relay.connect_server()

    def relay_closed(self, relay: Relay) -> None:
        """Note that both sides of a relay are disconnected."""
        self._relays.remove(relay)

    @property
    def refuses_clients(self) -> bool:
        """True if new clients are refused."""
        return self._new_clients is _NewClients.REFUSED

    @property
    def piece(self) -> int | None:
        """The most bytes to write at once."""
        return self._piece

    def stalled(self, to_client: bool) -> bool:
        """Return whether a direction is stalled."""
        return self._stalled[to_client]

    def take_fault(self, frame: Frame) -> Fault | None:
        """Remove and return the fault that matches a frame, if there is one."""
        for fault in self._faults:
            if fault.matches(frame):
                self._faults.remove(fault)
                return fault
        return None

    def frame_forwarded(self, to_client: bool, frame: Frame) -> None:
        """Count a frame that was forwarded."""
        if not to_client:
            self.requests[frame.operation or 0] += 1
        elif frame.operation is None:
            self.events += 1
        else:
            self.replies[frame.operation] += 1

    def allow(self, to_client: bool, size: int) -> tuple[int, Deferred[None] | None]:
        """Return how many of ``size`` bytes may be forwarded, and the Deferred to fire if they are the last."""
        passed, happened = size, None
        if to_client in self._allowance:
            left, waiting = self._allowance[to_client]
            passed = min(left, size)
            if left <= size:
                del self._allowance[to_client]
                happened = waiting
            else:
                self._allowance[to_client] = (left - passed, waiting)
        if to_client:
            self.bytes_to_client += passed
        else:
            self.bytes_to_server += passed
        return passed, happened


class _Clients(ServerFactory):
    noisy = False

    def __init__(self, reactor: Any, proxy: FaultProxy) -> None:
        self._reactor = reactor
        self._proxy = proxy

    def buildProtocol(self, addr: object) -> Protocol | None:
        """Return the protocol of a new client; None refuses it."""
        return None if self._proxy.refuses_clients else Relay(self._reactor, self._proxy).client
