"""Connecting to one instance after another: every way in which an instance, the network or the program can fail."""

from __future__ import annotations

from typing import Any

from twisted.internet import error
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IHandshakeListener,
    ILoggingContext,
    IProtocolNegotiationFactory,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory, Protocol
from zope.interface import implementer
from zope.interface.verify import verifyObject

from txmirror.endpoints.connecting import Connector
from txmirror.endpoints.instance_connection import InstanceConnectionFactory, InstanceUse
from txmirror.errors import NoInstanceException
from txmirror.interfaces import IServiceProvider
from txmirror.test.endpoints.case import Closer, ConnectCase, Recorder
from txmirror.types import Instance

A, B, C, D = "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"


class ConnectedTests(ConnectCase):
    def test_interface(self) -> None:
        endpoint = self.endpoint()
        verifyObject(IStreamClientEndpoint, endpoint)
        self.assertEqual(repr(endpoint), "<ProviderClientEndpoint '/services/web'>")

    def test_connected(self) -> None:
        """The program gets its own protocol, and that has the transport itself."""
        self.serve(A)
        protocol = self.connected()
        self.assertIs(protocol, self.factory.made[0])
        self.assertIs(protocol.transport, self.reactor.links[0].client)
        self.assertEqual(protocol.tcp.getPeer().host, A)
        self.reactor.settle()
        self.assertEqual((protocol.data, self.provider.notes), (A.encode(), [("succeeded", A)]))

    def test_pending(self) -> None:
        """A connection is pending until it is lost, whoever ends it."""
        self.serve(A)
        protocol = self.connected()
        self.assertEqual(self.provider.pending, {A: 1})
        protocol.tcp.loseConnection()
        self.reactor.settle()
        self.assertIsNotNone(protocol.lost)
        self.connected()
        self.reactor.links[0].server.loseConnection()
        self.assert_clean()

    def test_key(self) -> None:
        self.serve(A)
        self.connected(key="user 7")
        self.assertEqual(self.provider.keys, ["user 7"])

    def test_name(self) -> None:
        """The address of an instance may be a name, or an IPv6 address."""
        self.reactor.nameResolver.names["web1"] = [B]  # type: ignore[attr-defined]
        self.serve(B)
        self.provider.listed = [Instance(name="one", address="web1", port=8000)]
        self.assertEqual(self.connected().tcp.getPeer().host, B)
        self.provider.listed = []
        self.serve("fd00::1")
        self.assertEqual(self.connected().tcp.getPeer().host, "fd00::1")

    def test_invalid(self) -> None:
        invalid: tuple[tuple[dict[str, Any], str], ...] = (
            ({"wait": -1.0}, "wait is -1.0"),
            ({"timeout": 0.0}, "timeout is 0.0"),
            ({"hostname": "web"}, "hostname is 'web'"),
        )
        for options, message in invalid:
            with self.subTest(options), self.assertRaises(ValueError) as raised:
                self.endpoint(**options)
            self.assertIn(message, str(raised.exception))


class NextInstanceTests(ConnectCase):
    def test_refused(self) -> None:
        """After a refusal the next instance is tried, in the same instant."""
        self.register(A)
        self.serve(B)
        self.assertEqual(self.connected().tcp.getPeer().host, B)
        self.reactor.settle()
        self.assertEqual(self.provider.notes, [("failed", A), ("succeeded", B)])
        self.assertEqual(self.provider.pending, {A: 0, B: 1})

    def test_no_address(self) -> None:
        """A name that is not resolved, or that is no name at all, is a failure like any other."""
        names = (
            "no-such-host",
            "my_service",
            "",
            " ",
            "a b",
            "a..b",
            "[::1]",
            "1.2.3.4.5",
            "a\0b",
            "\ud800",
            "\n",
            "x" * 300,
        )
        for name in names:
            self.register(name)
        self.serve(B)
        self.assertEqual(self.connected().tcp.getPeer().host, B)
        self.assertEqual(self.provider.notes[: len(names)], [("failed", name) for name in names])

    def test_no_address_at_all(self) -> None:
        """Whatever the address is, the message is one line."""
        for name in ("a\nb", "\x1b[2J"):
            self.register(name)
        message = str(self.failureResultOf(self.connect(), NoInstanceException).value)
        self.assertTrue(message.isprintable(), repr(message))

    def test_black_hole(self) -> None:
        """An instance that does not answer leaves time for the others, and at the end gets what is left."""
        for host in (A, B, C):
            self.black_hole(host)
        self.serve(D)
        connecting = self.connect(timeout=30.0)
        self.reactor.pass_time(4.9)
        self.assertEqual(self.provider.notes, [])
        self.reactor.pass_time(0.1)
        self.assertEqual(self.provider.notes, [("failed", A)])
        self.reactor.pass_time(10.0)
        self.assertEqual(self.successResultOf(connecting).tcp.getPeer().host, D)
        self.assertEqual(len(self.reactor.links), 1)

    def test_short_time(self) -> None:
        """With little time, an attempt takes a third of the rest."""
        self.black_hole(A)
        self.black_hole(B)
        self.serve(C)
        connecting = self.connect(timeout=6.0)
        self.reactor.pass_time(2.0)
        self.assertEqual(self.provider.notes, [("failed", A)])
        self.reactor.pass_time(4 / 3)
        self.assertEqual(self.successResultOf(connecting).tcp.getPeer().host, C)

    def test_after_wait(self) -> None:
        """The wait for the first instance is part of the time."""
        self.reactor.black_hole(A, 8000)
        connecting = self.connect(wait=5.0, timeout=6.0)
        self.reactor.pass_time(4.5)
        self.provider.waiting[0].callback(Instance(name=A, address=A, port=8000))
        self.reactor.pass_time(1.4)
        self.assertNoResult(connecting)
        self.reactor.pass_time(0.1)
        failed = self.failureResultOf(connecting, NoInstanceException).value
        self.assertIn("the 6 s for the connection are over", str(failed))
        self.assert_clean()

    def test_least_time(self) -> None:
        """An attempt gets a second, if there is one."""
        self.black_hole(A)
        self.serve(B)
        connecting = self.connect(timeout=1.5)
        self.reactor.pass_time(0.9)
        self.assertEqual(self.provider.notes, [])
        self.reactor.pass_time(0.1)
        self.assertEqual(self.successResultOf(connecting).tcp.getPeer().host, B)

    def test_only_one(self) -> None:
        """If there is no other instance, one that does not answer gets all the time, but no more."""
        self.black_hole(A)
        connecting = self.connect(timeout=20.0)
        self.reactor.pass_time(19.9)
        self.assertNoResult(connecting)
        self.reactor.pass_time(0.1)
        failed = self.failureResultOf(connecting, NoInstanceException).value
        self.assertIsInstance(failed.__cause__, error.TimeoutError)
        self.assertIn(f"2 tried: '{A}' at {A}:8000 (", str(failed))
        self.assertIn("no connection within 15 s); the 20 s for the connection are over", str(failed))
        self.assertEqual(self.provider.notes, [("failed", A)] * 2)
        self.assert_clean()

    def test_slow(self) -> None:
        """It is used if it answers in that time."""
        self.black_hole(A)
        connecting = self.connect(timeout=20.0)
        self.reactor.undo_black_hole(A, 8000)
        self.provider.listed.clear()
        self.serve(A)
        self.reactor.pass_time(5.0)
        self.assertEqual(self.successResultOf(connecting).tcp.getPeer().host, A)

    def test_refused_after_black_hole(self) -> None:
        """One that refuses at the end ends it: there is nothing to wait for."""
        self.black_hole(A)
        self.register(B)
        connecting = self.connect()
        self.reactor.pass_time(5.0)
        failed = self.failureResultOf(connecting, NoInstanceException).value
        self.assertIn("2 tried", str(failed))
        self.assert_clean()

    def test_all_refuse(self) -> None:
        """If all refuse, the failure says so at once, with the number and the reasons, and its cause is the last refusal."""
        for host in (A, B, C, D):
            self.register(host)
        failed = self.failureResultOf(self.connect(), NoInstanceException).value
        self.assertIsInstance(failed.__cause__, error.ConnectionRefusedError)
        self.assertEqual(failed.path, "/services/web")
        refused = "Connection was refused by other side"
        self.assertEqual(
            str(failed),
            f"no connection to '/services/web'; 4 tried: ..., '{B}' at {B}:8000 ({refused}), '{C}' at {C}:8000 ({refused}),"
            f" '{D}' at {D}:8000 ({refused}); no other instance: none after 0.0 s",
        )
        self.assertEqual(self.provider.notes, [("failed", each) for each in (A, B, C, D)])
        self.assert_clean()

    def test_new_instance(self) -> None:
        """An instance that is registered during an attempt is tried after it."""
        self.black_hole(A)
        self.register(B)
        connecting = self.connect()
        del self.provider.listed[1]
        self.serve(C)
        self.reactor.pass_time(5.0)
        self.assertEqual(self.successResultOf(connecting).tcp.getPeer().host, C)

    def test_gone_while_connecting(self) -> None:
        """An instance that is withdrawn during the attempt is used if it accepts the connection."""
        self.serve(A)
        endpoint = self.endpoint()
        connecting: Deferred[Any] = endpoint.connect(self.factory)
        self.provider.listed.clear()
        self.reactor.settle()
        self.assertEqual(self.successResultOf(connecting).tcp.getPeer().host, A)

    def test_unusable(self) -> None:
        """An instance without an address, or with a port for TLS only, is a failure that says so."""
        self.register(A, address=None)
        self.register(B, port=None, tls_port=8443)
        failed = self.failureResultOf(self.connect(), NoInstanceException).value
        self.assertIn("(it has no address)", str(failed))
        self.assertIn("(it has no port without TLS)", str(failed))
        self.assert_clean()

    def test_many_unusable(self) -> None:
        """The reactor goes on between attempts that fail at once, however many there are."""
        for number in range(100):
            self.register(f"10.0.1.{number}", port=None, tls_port=8443)
        connecting = self.endpoint().connect(self.factory)
        self.assertEqual(len(self.provider.notes), 1)
        self.reactor.settle()
        self.failureResultOf(connecting, NoInstanceException)
        self.assertEqual(len(self.provider.notes), 100)
        self.assert_clean()
        connecting = self.endpoint().connect(self.factory)
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)
        self.assert_clean()

    def test_no_instance(self) -> None:
        """Without an instance it fails after the wait as the provider does, at the deadline at the latest."""
        for options, seconds in (({"wait": 3.0}, 3.0), ({"wait": 9.0, "timeout": 2.0}, 2.0)):
            connecting = self.connect(**options)
            self.reactor.pass_time(seconds - 0.1)
            self.assertNoResult(connecting)
            self.reactor.pass_time(0.1)
            failed = self.failureResultOf(connecting, NoInstanceException).value
            self.assertEqual(str(failed), f"none after {seconds} s")
            self.assert_clean()


class FeedbackTests(ConnectCase):
    def lost(self) -> Any:
        """Connect, and wait for the end of the connection."""
        protocol = self.connected()
        self.reactor.settle()
        self.assertIsNotNone(protocol.lost)
        self.assert_clean()
        return protocol

    def test_closed_at_once(self) -> None:
        """An instance that closes the connection without a byte has failed."""
        self.serve(A, Closer)
        self.lost()
        self.assertEqual(self.provider.notes, [("failed", A)])

    def test_reset(self) -> None:
        """So has one that resets it."""
        self.serve(A, Protocol)
        protocol = self.connected()
        self.reactor.pass_time(1.9)
        self.reactor.links[0].cut()
        self.reactor.settle()
        self.assertIsNotNone(protocol.lost)
        self.assertEqual(self.provider.notes, [("failed", A)])
        self.assert_clean()

    def test_answered(self) -> None:
        """One that has sent a byte has succeeded, once, and its end is no failure."""
        self.serve(A)
        self.connected()
        self.reactor.links[0].server.write(b"more")
        self.reactor.settle()
        self.reactor.links[0].cut()
        self.assert_clean()
        self.assertEqual(self.provider.notes, [("succeeded", A)])

    def test_silent(self) -> None:
        """A connection without a byte has succeeded after two seconds."""
        self.serve(A, Protocol)
        self.connected()
        self.reactor.pass_time(2.0)
        self.assertEqual(self.provider.notes, [("succeeded", A)])
        self.reactor.links[0].cut()
        self.assert_clean()
        self.assertEqual(self.provider.notes, [("succeeded", A)])

    def test_closed_here(self) -> None:
        """A connection that the program closes or aborts shows nothing about the instance."""
        self.serve(A, Protocol)
        self.connected().tcp.loseConnection()
        self.assert_clean()
        self.connected().tcp.abortConnection()
        self.assert_clean()
        self.assertEqual(self.provider.notes, [])


class CancellingTests(ConnectCase):
    def cancelled(self, connecting: Deferred[Any]) -> None:
        """Cancel, and nothing is left, and no instance has failed."""
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)
        self.assert_clean()
        self.assertEqual((self.provider.notes, self.factory.made), ([], []))

    def test_waiting(self) -> None:
        self.cancelled(self.connect())

    def connector(self) -> Connector:
        return Connector(key=None, wait=5.0, timeout=3.0, tls=None, hostname=None, reactor=self.reactor)

    def test_registry(self) -> None:
        """The wait for the registry, as for the file with its credentials, ends."""
        coming: Deferred[IServiceProvider] = Deferred()
        self.cancelled(self.connector().connect(coming, self.factory))
        self.assertTrue(coming.called)

    def test_no_registry(self) -> None:
        """It has a limit, too."""
        connecting = self.connector().connect(Deferred(), self.factory)
        self.reactor.pass_time(3.0)
        self.assertIn("no registry within 3 s", str(self.failureResultOf(connecting, error.TimeoutError).value))
        self.assert_clean()

    def test_connecting(self) -> None:
        self.black_hole(A)
        self.serve(B)
        connecting = self.connect()
        self.assertEqual(self.provider.pending, {A: 1})
        self.cancelled(connecting)

    def test_resolving(self) -> None:
        self.register("web1")
        self.reactor.nameResolver.names["web1"] = [A]  # type: ignore[attr-defined]
        self.cancelled(self.endpoint().connect(self.factory))

    def test_several_addresses(self) -> None:
        """All attempts for one name end."""
        self.reactor.nameResolver.names["web1"] = [A, B]  # type: ignore[attr-defined]
        self.register("web1")
        self.reactor.black_hole(A, 8000)
        self.reactor.black_hole(B, 8000)
        connecting = self.connect()
        self.reactor.pass_time(1.0)
        self.cancelled(connecting)

    def test_second(self) -> None:
        """During a later attempt, the failures before it stay noted."""
        self.register(A)
        self.black_hole(B)
        connecting = self.connect()
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)
        self.assert_clean()
        self.assertEqual(self.provider.notes, [("failed", A)])

    def test_connected(self) -> None:
        """Afterwards it does nothing."""
        self.serve(A)
        connecting = self.connect()
        connecting.cancel()
        self.assertIsNone(self.successResultOf(connecting).lost)


class RaisingProtocol(Recorder):
    def connectionMade(self) -> None:
        raise LookupError("the protocol's")


class ProgramErrorTests(ConnectCase):
    def fails(self, kind: type[Exception]) -> None:
        """The exception is the program's, no instance has failed, and no other one is tried."""
        self.serve(A)
        self.serve(B)
        self.failureResultOf(self.connect(), kind)
        self.assert_clean()
        self.assertEqual(self.provider.notes, [])

    def test_factory_raises(self) -> None:
        def build(addr: object) -> Any:
            raise LookupError("the factory's")

        self.factory.buildProtocol = build  # type: ignore[method-assign]
        self.fails(LookupError)

    def test_factory_refuses(self) -> None:
        self.factory.buildProtocol = lambda addr: None  # type: ignore[method-assign]
        self.fails(error.NoProtocol)

    def test_protocol_raises(self) -> None:
        self.factory.protocol = RaisingProtocol
        self.fails(LookupError)
        self.assertEqual(len(self.factory.made), 1)


@implementer(IHalfCloseableProtocol)
class HalfCloseableProtocol(Recorder):
    """A protocol that can be half-closed."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def readConnectionLost(self) -> None:
        self.calls.append("read")

    def writeConnectionLost(self) -> None:
        self.calls.append("write")


@implementer(IHandshakeListener)
class FurtherProtocol(HalfCloseableProtocol):
    """A protocol that also listens for handshakes."""

    def logPrefix(self) -> str:
        return "further"

    def handshakeCompleted(self) -> None:
        self.calls.append("handshake")


@implementer(IProtocolNegotiationFactory)
class NegotiatingFactory(Factory):
    def acceptableProtocols(self) -> list[bytes]:
        return [b"h2"]


class TransparencyTests(ConnectCase):
    """Whatever a transport may look for in a protocol or a factory is there, and nothing else."""

    def test_half_close(self) -> None:
        self.factory.protocol = HalfCloseableProtocol
        self.serve(A, HalfCloseableProtocol)
        protocol = self.connected()
        protocol.tcp.loseWriteConnection()
        self.reactor.settle()
        self.assertEqual(protocol.calls, ["write"])
        self.reactor.links[0].server.loseWriteConnection()
        self.reactor.settle()
        self.assertEqual(protocol.calls, ["write", "read"])
        protocol.tcp.loseConnection()
        self.reactor.links[0].server.loseConnection()
        self.assert_clean()

    def wrap(self, factory: Factory) -> InstanceConnectionFactory:
        use = InstanceUse(self.provider, Instance(name="one"), self.reactor)
        return InstanceConnectionFactory(factory, use, tls=False)

    def test_interfaces(self) -> None:
        """The wrapper has the further interfaces of the program's protocol, and without those none."""
        plain: Any = self.wrap(self.factory).buildProtocol(None)  # type: ignore[arg-type]
        further: Any = self.wrap(Factory.forProtocol(FurtherProtocol)).buildProtocol(None)  # type: ignore[arg-type]
        for interface in (IHalfCloseableProtocol, IHandshakeListener):
            self.assertFalse(interface.providedBy(plain))
            verifyObject(interface, further)
        further.handshakeCompleted()
        self.assertEqual(further._wrapped.calls, ["handshake"])
        verifyObject(ILoggingContext, further)
        self.assertEqual((plain.logPrefix(), further.logPrefix()), ("Recorder", "further"))

    def test_negotiation(self) -> None:
        self.assertFalse(IProtocolNegotiationFactory.providedBy(self.wrap(self.factory)))
        wrapped: Any = self.wrap(NegotiatingFactory())
        verifyObject(IProtocolNegotiationFactory, wrapped)
        self.assertEqual(wrapped.acceptableProtocols(), [b"h2"])

    def test_start_and_stop(self) -> None:
        """The program's factory is started with the first attempt, and stopped with the connection."""
        calls: list[str] = []
        self.factory.startFactory = lambda: calls.append("start")  # type: ignore[method-assign]
        self.factory.stopFactory = lambda: calls.append("stop")  # type: ignore[method-assign]
        self.register(A)
        self.serve(B)
        self.connected().tcp.loseConnection()
        self.assert_clean()
        self.assertEqual(calls, ["start", "stop"])
