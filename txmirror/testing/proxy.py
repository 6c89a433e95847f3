"""A TCP proxy between clients and a ZooKeeper server, which injects faults.

:mod:`txmirror.testing.relay` forwards the connections, and :mod:`txmirror.testing.faults` has the faults of the data.
"""

from __future__ import annotations

import enum
from collections import Counter
from typing import Any, cast

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.interfaces import IReactorTCP
from twisted.internet.protocol import Protocol, ServerFactory

from txmirror.testing.faults import Faults
from txmirror.testing.relay import Relay, Side
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
    :ivar requests: the number of requests that were forwarded to the server, by operation.
    :ivar replies: the number of replies that were forwarded to clients, by the operation that they answer.
    """

    def __init__(self, port: int, *, reactor: IReactorTCP | None = None) -> None:
        if reactor is None:
            from twisted.internet import reactor as global_reactor

            reactor = IReactorTCP(global_reactor)
        self._faults = Faults()
        self.requests: Counter[int] = self._faults.requests
        self.replies: Counter[int] = self._faults.replies
        self._clients = _Clients(reactor, TCP4ClientEndpoint(reactor, "127.0.0.1", port), self._faults)
        self._listening = cast(Any, reactor).listenTCP(0, self._clients, interface="127.0.0.1")

    @property
    def address(self) -> str:
        """The address for clients, as ``127.0.0.1:port``."""
        return f"127.0.0.1:{cast(IPv4Address, self._listening.getHost()).port}"

    @property
    def connections(self) -> int:
        """The number of connections, including held ones and those with only one side left."""
        return len(self._clients.relays)

    @property
    def accepted(self) -> int:
        """The number of clients that were accepted, without those that were refused."""
        return self._clients.accepted

    @property
    def bytes_to_client(self) -> int:
        """The number of bytes that were forwarded to clients."""
        return self._faults.sizes[True]

    @property
    def bytes_to_server(self) -> int:
        """The number of bytes that were forwarded to the server."""
        return self._faults.sizes[False]

    @property
    def events(self) -> int:
        """The number of watch events that were forwarded to clients."""
        return self._faults.events

    # New clients.

    def cut(self) -> None:
        """Abort every connection, and refuse new clients (accept and close), until :meth:`open`."""
        self.shut()
        self.drop()

    def shut(self) -> None:
        """Refuse new clients, until :meth:`open`. Current connections go on.

        The faults that happen once do not refuse new clients. To prevent a reconnection, let their Deferred call this.
        """
        self._clients.treatment = _NewClients.REFUSED

    def drop(self) -> None:
        """Abort every connection on both sides, with all data in transit. New clients are treated as before."""
        for relay in list(self._clients.relays):
            relay.abort()

    def hold(self) -> None:
        """Hold new clients: accept and read, but forward and send nothing, until :meth:`open`. Current connections go on."""
        self._clients.treatment = _NewClients.HELD

    def open(self) -> None:
        """Forward clients again. Held clients come first, with the data that they have sent meanwhile."""
        self._clients.treatment = _NewClients.FORWARDED
        for relay in list(self._clients.relays):
            relay.connect_server()

    def close(self) -> Deferred[None]:
        """Abort every connection and stop listening. Deferreds of faults that have not happened never fire.

        :returns: fires when every socket is closed.
        """
        waited_for: list[Deferred[Any]] = [relay.over for relay in self._clients.relays]
        self.cut()
        waited_for.append(maybeDeferred(self._listening.stopListening))
        return DeferredList(waited_for).addCallback(lambda _: None)

    # The stream.

    def stall(self, *, to_client: bool = True, to_server: bool = True) -> None:
        """Forward nothing, neither bytes nor the end of a connection, until :meth:`resume`. Both sides notice nothing.

        :param to_client: whether to stall the direction to clients.
        :param to_server: whether to stall the direction to the server.
        """
        self._set_stalled(True, to_client, to_server)

    def resume(self, *, to_client: bool = True, to_server: bool = True) -> None:
        """Forward the stalled data, in order, and go on. If a side has aborted its connection meanwhile, its data is lost, and
        the other side is disconnected now.

        :param to_client: whether to resume the direction to clients.
        :param to_server: whether to resume the direction to the server.
        """
        self._set_stalled(False, to_client, to_server)
        for relay in list(self._clients.relays):
            relay.pump()

    def half_close(self, *, to_client: bool = False, to_server: bool = False) -> None:
        """Half-close each current connection: send FIN to one side, and discard further data for it. Data from that side is
        still forwarded.

        :param to_client: whether to send it to the clients.
        :param to_server: whether to send it to the server.
        """
        for relay in list(self._clients.relays):
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
            raise ValueError(f"a piece has 1 byte or more, not {size!r}; None does not split")
        self._faults.piece = size

    # Faults that happen once. The connection is then closed, after all forwarded data has arrived.

    def cut_after(self, *, to_client: int | None = None, to_server: int | None = None) -> Deferred[None]:
        """Forward a number of bytes of a direction, then close the connection of the last one; for 0, the connection of the
        next byte, which is not forwarded.

        The bytes of all connections, current and new, count together. Each direction has one count: a new one replaces it.

        :param to_client: the number of bytes for clients.
        :param to_server: the number of bytes for the server.
        :returns: fires when the connection is closed. Cancelling disarms the fault.
        :raises ValueError: not exactly one of them has a value, or it is negative.
        """
        if (to_client is None) == (to_server is None):
            raise ValueError("set the number of bytes of exactly one direction")
        direction = to_client is not None
        count = (to_client if direction else to_server) or 0
        if count < 0:
            raise ValueError(f"a number of bytes is negative: {count!r}")
        return self._faults.arm_after(direction, count)

    def cut_after_reply(self, xid: int) -> Deferred[None]:
        """Close a connection after the next reply with this xid was forwarded.

        :param xid: the client's number of the request; -2 is a ping's.
        :returns: fires when the connection is closed. Cancelling disarms the fault.
        """
        return self._faults.arm(lambda frame: frame.operation is not None and frame.xid == xid, swallows=False)

    def cut_after_event(self, count: int = 1) -> Deferred[None]:
        """Close a connection after a watch event was forwarded.

        :param count: the number of the event, counted from now over all connections.
        :returns: fires when the connection is closed. Cancelling disarms the fault.
        """
        left = iter(range(count - 1, -1, -1))
        return self._faults.arm(lambda frame: frame.xid == EVENT_XID and next(left) == 0, swallows=False)

    def swallow_reply(self, xid: int) -> Deferred[None]:
        """Close a connection in place of forwarding the next reply with this xid: the server has done the request, and the
        client gets no answer.

        :param xid: as for :meth:`cut_after_reply`.
        :returns: fires when the connection is closed. Cancelling disarms the fault.
        """
        return self._faults.arm(lambda frame: frame.operation is not None and frame.xid == xid, swallows=True)

    def swallow_reply_to(self, operation: Operation) -> Deferred[None]:
        """Close a connection in place of forwarding the next reply to an operation, as :meth:`swallow_reply`.

        :returns: fires when the connection is closed. Cancelling disarms the fault.
        """
        return self._faults.arm(lambda frame: frame.operation == operation, swallows=True)

    def _set_stalled(self, stalled: bool, to_client: bool, to_server: bool) -> None:
        if to_client:
            self._faults.stall(True, stalled)
        if to_server:
            self._faults.stall(False, stalled)


class _Clients(ServerFactory):
    """The clients of a proxy, each with its relay.

    :ivar relays: the relays that have a connection.
    :ivar treatment: the treatment of new clients.
    :ivar accepted: the number of clients that were accepted.
    """

    noisy = False

    def __init__(self, reactor: Any, server: TCP4ClientEndpoint, faults: Faults) -> None:
        self._reactor = reactor
        self._server = server
        self._faults = faults
        self.relays: list[Relay] = []
        self.treatment = _NewClients.FORWARDED
        self.accepted = 0

    def buildProtocol(self, addr: object) -> Protocol | None:
        """Return the protocol of a new client; None refuses it."""
        if self.treatment is _NewClients.REFUSED:
            return None
        return Relay(self._reactor, self._faults, self).client

    def connect(self, side: Side) -> Deferred[Side]:
        """Connect a side to the server. Called by a relay."""
        connected: Deferred[Side] = connectProtocol(self._server, side)
        return connected

    def client_connected(self, relay: Relay) -> None:
        """Note a new client, and connect to the server for it if it is forwarded. Called by a relay."""
        self.accepted += 1
        self.relays.append(relay)
        if self.treatment is _NewClients.FORWARDED:
            relay.connect_server()

    def relay_closed(self, relay: Relay) -> None:
        """Note that both sides of a relay are disconnected. Called by a relay."""
        self.relays.remove(relay)
