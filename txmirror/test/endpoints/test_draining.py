"""Servers whose protocols end their connections: none of their calls is lost at a stop."""

from __future__ import annotations

from typing import Any, ClassVar

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols import amp
from zope.interface import implementer

from txmirror.interfaces import IDraining
from txmirror.test.endpoints.test_server_endpoint import ServerCase


class Sum(amp.Command):
    arguments: ClassVar = [(b"a", amp.Integer()), (b"b", amp.Integer())]
    response: ClassVar = [(b"total", amp.Integer())]


@implementer(IDraining)
class Calculator(amp.AMP):
    """A server whose calls the test answers. It ends when all are answered."""

    running = 0
    idle: Deferred[None] | None = None

    def dispatchCommand(self, box: amp.AmpBox) -> Deferred[amp.AmpBox]:
        self.running += 1
        return maybeDeferred(super().dispatchCommand, box).addBoth(self._answered)

    def _answered(self, answer: amp.AmpBox) -> amp.AmpBox:
        self.running -= 1
        if self.idle is not None and not self.running:
            self.idle.callback(None)
        return answer

    def drain(self) -> Deferred[None]:
        if not self.running:
            return succeed(None)
        self.idle = Deferred()
        return self.idle

    @Sum.responder
    def sum(self, a: int, b: int) -> Deferred[dict[str, int]]:
        factory: Any = self.factory
        answer: Deferred[None] = Deferred()
        factory.calls.append(answer)
        return answer.addCallback(lambda _: {"total": a + b})


@implementer(IDraining)
class Waiting(Protocol):
    """A server's protocol whose end the test decides."""

    def connectionMade(self) -> None:
        factory: Any = self.factory
        factory.made.append(self)
        self.draining: list[Deferred[None]] = []
        self.cancelled: list[Deferred[None]] = []

    def drain(self) -> Deferred[None]:
        self.draining.append(Deferred(self.cancelled.append))
        return self.draining[-1]


@implementer(IDraining)
class Broken(Protocol):
    def drain(self) -> Deferred[None]:
        raise ZeroDivisionError


class DrainingTests(ServerCase):
    def start(self, protocol: type[Protocol], **options: Any) -> IListeningPort:
        factory: Any = Factory.forProtocol(protocol)
        factory.calls, factory.made = [], []
        self.factory = factory
        port = self.world.result(self.endpoint(**options).listen(self.factory))
        self.world.settle()
        return port

    def test_calls_are_answered(self) -> None:
        """The calls of an AMP server are answered, also those that come after the withdrawal. Then its connection is closed."""
        port = self.start(Calculator)
        client = self.connect(port, amp.AMP)
        sums = [client.callRemote(Sum, a=1, b=2)]
        self.world.settle()
        stopped = self.begin_stop(port)
        self.world.pass_time(0.9)
        sums.append(client.callRemote(Sum, a=3, b=4))
        self.world.pass_time(1.0)
        self.assertEqual(self.nodes(), [])
        sums.append(client.callRemote(Sum, a=5, b=6))
        self.world.settle()
        for answer in self.factory.calls:
            self.assertNoResult(stopped)
            answer.callback(None)
        self.world.settle()
        self.assertEqual([self.successResultOf(each)["total"] for each in sums], [3, 7, 11])
        self.successResultOf(stopped)
        self.assertIsNone(client.transport)

    def test_idle(self) -> None:
        """An idle connection is closed when other programs have learnt of the withdrawal. Other protocols' connections stay."""
        for protocol, ended in ((Calculator, True), (Protocol, False)):
            port = self.start(protocol)
            client = self.connect(port)
            stopped = self.begin_stop(port)
            self.world.pass_time(0.9)
            self.assertTrue(client.connected)
            self.world.pass_time(0.2)
            self.assertEqual((stopped.called, not client.transport.connected), (ended, ended))
            client.transport.loseConnection()
            self.world.settle()
            self.successResultOf(stopped)

    def test_late(self) -> None:
        """A newer connection is asked when the port stops listening; each is asked once."""
        port = self.start(Waiting, drain=6.0)
        self.connect(port)
        stopped = self.begin_stop(port)
        self.world.pass_time(1.1)
        self.connect(port)
        one, other = self.factory.made
        self.assertEqual((len(one.draining), len(other.draining)), (1, 0))
        self.world.pass_time(3.0)
        self.assertEqual((len(one.draining), len(other.draining)), (1, 1))
        one.draining[0].callback(None)
        self.world.settle()
        self.assertNoResult(stopped)
        other.draining[0].callback(None)
        self.world.settle()
        self.successResultOf(stopped)

    def test_lost(self) -> None:
        """If the connection is lost meanwhile, the protocol's Deferred is cancelled."""
        port = self.start(Waiting)
        client = self.connect(port)
        stopped = self.begin_stop(port)
        self.world.pass_time(1.1)
        client.transport.loseConnection()
        self.world.settle()
        (made,) = self.factory.made
        self.assertEqual((made.cancelled, len(made.draining)), (made.draining, 1))
        self.successResultOf(stopped)

    def test_longest(self) -> None:
        """A protocol that does not end its connection holds up the stop no longer than the drain."""
        port = self.start(Waiting, drain=3.0)
        client = self.connect(port)
        stopped = self.begin_stop(port)
        self.world.pass_time(2.9)
        self.assertNoResult(stopped)
        self.world.pass_time(0.2)
        self.successResultOf(stopped)
        client.transport.loseConnection()

    def test_failing(self) -> None:
        """A protocol that fails is logged, and its connection stays."""
        port = self.start(Broken, drain=3.0)
        client = self.connect(port)
        stopped = self.begin_stop(port)
        self.world.pass_time(1.1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertTrue(client.transport.connected)
        self.world.pass_time(2.0)
        self.successResultOf(stopped)
        self.assertEqual(self.flushLoggedErrors(ZeroDivisionError), [])
        client.transport.loseConnection()

    def test_no_drain(self) -> None:
        """Without a drain no protocol is asked."""
        port = self.start(Waiting, drain=0.0)
        client = self.connect(port)
        self.world.result(self.begin_stop(port))
        self.assertEqual(self.factory.made[0].draining, [])
        client.transport.loseConnection()
