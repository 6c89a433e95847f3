"""A TCP proxy between clients and a ZooKeeper server, in the hands of a test: it breaks what the test tells it to.

This module knows what a test can ask for. How connections are passed on is :mod:`txmirror.testing.relay`'s matter.
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


class _Door(enum.Enum):
    OPEN = "comers are passed on"
    SHUT = "comers are turned away"
    HELD = "comers are let in, and nobody talks to them"


class FaultProxy:
    """Listens on a free port of loopback, passes on what comes to a server on loopback, and does it all the harm it is
    told to.

    It needs a real reactor. Everything here takes effect at once, on the connections that are there and on those to come,
    unless it says otherwise. Who was cut off can come back at once; only :meth:`cut` and :meth:`shut` shut the door.

    :param port: where the server listens.
    :param reactor: the reactor; the global one if None.
    :ivar accepted: how many clients have come, those that were turned away not counted.
    :ivar bytes_to_client: how many bytes were passed on to clients.
    :ivar bytes_to_server: how many bytes were passed on to the server.
    :ivar requests: how many requests were passed on to the server, by operation.
    :ivar replies: how many replies were passed on to clients, by the operation that they answer.
    :ivar events: how many watch events were passed on to clients.
    """

    def __init__(self, port: int, *, reactor: IReactorTCP | None = None) -> None:
        if reactor is None:
            from twisted.internet import reactor as global_reactor

            reactor = IReactorTCP(global_reactor)
        self._reactor: Any = reactor
        self._server = TCP4ClientEndpoint(reactor, "127.0.0.1", port)
        self._door = _Door.OPEN
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
        """What a client connects to, as ``127.0.0.1:port``."""
        return f"127.0.0.1:{cast(IPv4Address, self._listening.getHost()).port}"

    @property
    def connections(self) -> int:
        """How many connections there are, those that are held and those of which one side is gone among them."""
        return len(self._relays)

    # The door.

    def cut(self) -> None:
        """Abort every connection, and turn away whoever comes (accept and close), until :meth:`open`."""
        self.shut()
        self.drop()

    def shut(self) -> None:
        """Turn away whoever comes, until :meth:`open`. Connections that are there go on.

        A fault that strikes once leaves the door as it is; so that nobody comes back after it, let its Deferred call this.
        """
        self._door = _Door.SHUT

    def drop(self) -> None:
        """Abort every connection on both sides, with what was on its way. Whoever comes is received as before."""
        for relay in list(self._relays):
            relay.abort()

    def hold(self) -> None:
        """Be a black hole to whoever comes: accept the connection, take what is sent, and say nothing, until :meth:`open`.
        Connections that are there go on.
        """
        self._door = _Door.HELD

    def open(self) -> None:
        """Let clients through again, those that were held first, with what they have said meanwhile."""
        self._door = _Door.OPEN
        for relay in list(self._relays):
            relay.dial()

    def close(self) -> Deferred[None]:
        """Abort every connection and stop listening. Faults that have not struck never will.

        :returns: fires when every socket is gone.
        """
        waited_for: list[Deferred[Any]] = [relay.over for relay in self._relays]
        self.cut()
        waited_for.append(maybeDeferred(self._listening.stopListening))
        return DeferredList(waited_for).addCallback(lambda _: None)

    # The stream.

    def stall(self, *, to_client: bool = True, to_server: bool = True) -> None:
        """Pass nothing on any more, neither bytes nor an end, until :meth:`resume`: both sides think that all is well.

        :param to_client: whether to keep what travels to clients.
        :param to_server: whether to keep what travels to the server.
        """
        self._stalled[True] |= to_client
        self._stalled[False] |= to_server

    def resume(self, *, to_client: bool = True, to_server: bool = True) -> None:
        """Pass on what was kept, in order, and go on. What a side has sent that has broken its connection meanwhile is
        gone; the other side learns of the break now.

        :param to_client: whether to let go what travels to clients.
        :param to_server: whether to let go what travels to the server.
        """
        self._stalled[True] &= not to_client
        self._stalled[False] &= not to_server
        for relay in list(self._relays):
            relay.pump()

    def half_close(self, *, to_client: bool = False, to_server: bool = False) -> None:
        """Tell one side of each connection that is there that the other has no more to say (FIN). What that one says from
        now on is thrown away; what the side that was told says is passed on.

        :param to_client: whether to tell the clients.
        :param to_server: whether to tell the server.
        """
        for relay in list(self._relays):
            if to_client:
                relay.to_client.stop()
            if to_server:
                relay.to_server.stop()

    def split(self, size: int | None) -> None:
        """Pass everything on in pieces of so many bytes, each with time to arrive before the next, in both directions.

        :param size: the most bytes of a piece; None for whatever comes.
        :raises ValueError: it is not above 0.
        """
        if size is not None and size < 1:
            raise ValueError(f"a piece has a byte at least, not {size!r}")
        self._piece = size

    # What strikes once. The connection is closed then, with what was passed on arriving for certain.

    def cut_after(self, *, to_client: int | None = None, to_server: int | None = None) -> Deferred[None]:
        """Pass on so many more bytes of a direction, then close the connection on which the last one travelled; for 0, the
        one on which the next byte would have.

        The bytes of all connections count together, those to come too. Of each direction one count runs: a new one
        replaces it.

        :param to_client: how many bytes clients still get.
        :param to_server: how many bytes the server still gets.
        :returns: fires when the connection was closed. Cancelling disarms it.
        :raises ValueError: not one of both is given, or it is negative.
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

        struck: Deferred[None] = Deferred(disarm)
        self._allowance[direction] = (count, struck)
        return struck

    def cut_after_reply(self, xid: int) -> Deferred[None]:
        """Close a connection as soon as the next reply with this xid was passed on.

        :param xid: the client's number of the request; -2 is a ping's.
        :returns: fires when it was closed. Cancelling disarms it.
        """
        return self._arm(lambda frame: frame.operation is not None and frame.xid == xid, swallows=False)

    def cut_after_event(self, count: int = 1) -> Deferred[None]:
        """Close a connection as soon as a watch event was passed on.

        :param count: which event, counted from now over all connections.
        :returns: fires when it was closed. Cancelling disarms it.
        """
        left = iter(range(count - 1, -1, -1))
        return self._arm(lambda frame: frame.xid == EVENT_XID and next(left) == 0, swallows=False)

    def swallow_reply(self, xid: int) -> Deferred[None]:
        """Close a connection in place of passing on the next reply with this xid: the server has done what it was asked,
        and the client never learns.

        :param xid: as for :meth:`cut_after_reply`.
        :returns: fires when the connection was closed. Cancelling disarms it.
        """
        return self._arm(lambda frame: frame.operation is not None and frame.xid == xid, swallows=True)

    def swallow_reply_to(self, operation: Operation) -> Deferred[None]:
        """Close a connection in place of passing on the next reply to a request of this operation, as
        :meth:`swallow_reply`.

        :returns: fires when the connection was closed. Cancelling disarms it.
        """
        return self._arm(lambda frame: frame.operation == operation, swallows=True)

    def _arm(self, strikes: Callable[[Frame], bool], *, swallows: bool) -> Deferred[None]:
        struck: Deferred[None] = Deferred(lambda _: self._faults.remove(fault))
        fault = Fault(strikes, swallows, struck)
        self._faults.append(fault)
        return struck

    # What the relays ask and tell: the Rules of theirs.

    def connect(self, side: Side) -> Deferred[Side]:
        """Connect a side to the server."""
        connected: Deferred[Side] = connectProtocol(self._server, side)
        return connected

    def came(self, relay: Relay) -> None:
        """Note a client, and pass it on or not."""
        self.accepted += 1
        self._relays.append(relay)
        if self._door is _Door.OPEN:
            relay.dial()

    def left(self, relay: Relay) -> None:
        """Note that both sides of a connection are gone."""
        self._relays.remove(relay)

    @property
    def turns_away(self) -> bool:
        """Whether comers are turned away."""
        return self._door is _Door.SHUT

    @property
    def piece(self) -> int | None:
        """How many bytes are written at once, at most."""
        return self._piece

    def stalled(self, to_client: bool) -> bool:
        """Tell whether nothing is passed on in a direction."""
        return self._stalled[to_client]

    def fault_at(self, frame: Frame) -> Fault | None:
        """Take out the fault that strikes at a frame, if one does."""
        for fault in self._faults:
            if fault.strikes(frame):
                self._faults.remove(fault)
                return fault
        return None

    def passed(self, to_client: bool, frame: Frame) -> None:
        """Count a frame that was passed on."""
        if not to_client:
            self.requests[frame.operation or 0] += 1
        elif frame.operation is None:
            self.events += 1
        else:
            self.replies[frame.operation] += 1

    def allow(self, to_client: bool, size: int) -> tuple[int, Deferred[None] | None]:
        """Tell how many of so many bytes may be passed on, and whom to tell if they are the last."""
        passed, struck = size, None
        if to_client in self._allowance:
            left, waiting = self._allowance[to_client]
            passed = min(left, size)
            if left <= size:
                del self._allowance[to_client]
                struck = waiting
            else:
                self._allowance[to_client] = (left - passed, waiting)
        if to_client:
            self.bytes_to_client += passed
        else:
            self.bytes_to_server += passed
        return passed, struck


class _Clients(ServerFactory):
    noisy = False

    def __init__(self, reactor: Any, proxy: FaultProxy) -> None:
        self._reactor = reactor
        self._proxy = proxy

    def buildProtocol(self, addr: object) -> Protocol | None:
        """Receive a client, or turn it away."""
        return None if self._proxy.turns_away else Relay(self._reactor, self._proxy).client
