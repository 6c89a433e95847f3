"""Server endpoints: they listen, register, withdraw and drain, through failures of all parts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from twisted.application.internet import StreamServerEndpointService
from twisted.internet.address import UNIXAddress
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, UNIXServerEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IReadDescriptor, IStreamServerEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.protocols.wire import Echo
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import Site
from twisted.web.static import Data
from zope.interface import implementer
from zope.interface.verify import verifyObject

from txmirror.access import Access, read_access
from txmirror.endpoints import RegisteringEndpoint, SharedSession, bind, sessions
from txmirror.errors import NoNodeException
from txmirror.test.endpoints.reactor import EventReactor
from txmirror.test.endpoints.test_sessions import SessionCase
from txmirror.testing import World
from txmirror.types import ACL, Permission

PATH = "/services/web"
NOBODY = [ACL(Permission.READ, "world", "anyone")]


def number(port: IListeningPort) -> int:
    """Return the number of a port."""
    address: Any = port.getHost()
    found: int = address.port
    return found


class Received(Protocol):
    """A connection that keeps what it receives."""

    data = b""
    open = True

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.open = False


class Lookalike(Protocol):
    """A protocol with an attribute of the same name as that of a web server."""

    def requestFactory(self, data: bytes) -> bytes:
        return b"made of " + data

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(self.requestFactory(data))


class Frozen(Lookalike):
    """Such a protocol, whose attribute cannot be changed."""

    def __setattr__(self, name: str, value: object) -> None:
        if name == "requestFactory":
            raise AttributeError(name)
        super().__setattr__(name, value)


@implementer(IListeningPort, IReadDescriptor)
class SocketPort:
    """A port with a socket, which closes in the turn after the stop, as Twisted's do."""

    def __init__(self, reactor: Any, address: Any) -> None:
        self.calls: list[str] = []
        self._reactor = reactor
        self._address = address

    def startListening(self) -> None:
        pass

    def stopListening(self) -> Deferred[None]:
        self.calls.append("stopListening")
        return deferLater(self._reactor, 0.0, self.calls.append, "closed")

    def getHost(self) -> Any:
        return self._address

    def doRead(self) -> None:
        self.calls.append("doRead")

    def fileno(self) -> int:
        return -1

    def connectionLost(self, reason: Failure) -> None:
        pass

    def logPrefix(self) -> str:
        return ""


class ServerCase(SessionCase):
    def setUp(self) -> None:
        super().setUp()
        self.other = self.world.client(session_timeout=40.0)
        self.inner = TCP4ServerEndpoint(self.reactor, 0)
        self.warnings: list[str] = []

        @implementer(ILogObserver)
        def note(event: LogEvent) -> None:
            if event["log_namespace"].startswith("txmirror.endpoints") and event["log_level"] >= LogLevel.warn:
                self.warnings.append(formatEvent(event))

        globalLogPublisher.addObserver(note)
        self.addCleanup(globalLogPublisher.removeObserver, note)

    def endpoint(self, **options: Any) -> RegisteringEndpoint:
        return RegisteringEndpoint(self.settings(), PATH, options.pop("inner", self.inner), **options)

    def listen(self, **options: Any) -> IListeningPort:
        port = self.world.result(self.endpoint(**options).listen(Factory.forProtocol(Echo)))
        self.world.settle()
        return port

    def stop(self, port: IListeningPort) -> None:
        stopped = self.begin_stop(port)
        self.world.pass_time(10)
        self.successResultOf(stopped)
        self.assertEqual((self.nodes(), self.ports()), ([], []))

    def nodes(self) -> list[str]:
        try:
            children: list[str] = self.world.result(self.other.get_children(PATH))
            return sorted(children)
        except NoNodeException:
            return []

    def record(self, name: str) -> dict[str, Any]:
        record: dict[str, Any] = json.loads(self.world.result(self.other.get(f"{PATH}/{name}"))[0])
        return record

    def ports(self) -> list[int]:
        """Return the ports that listen, but for ZooKeeper's."""
        zookeeper = int(self.world.server.address.rpartition(":")[2])
        return [port for _, port in self.reactor.listeners() if port != zookeeper]

    def begin_stop(self, port: IListeningPort) -> Deferred[None]:
        stopped = port.stopListening()
        assert stopped is not None
        return stopped

    def connect(self, port: IListeningPort, protocol: type[Protocol] = Protocol) -> Any:
        made = TCP4ClientEndpoint(self.reactor, "127.0.0.1", number(port)).connect(Factory.forProtocol(protocol))
        return self.world.result(made)

    def inner_address(self) -> Any:
        port = self.world.result(self.inner.listen(Factory()))
        address = port.getHost()
        self.world.result(self.begin_stop(port))
        return address

    @contextmanager
    def without_zookeeper(self) -> Iterator[None]:
        """No connection to ZooKeeper can be made meanwhile, and there is none."""
        host, _, port = self.world.server.address.rpartition(":")
        self.reactor.black_hole(host, int(port))
        self.world.server.drop_connections()
        self.world.settle()
        try:
            yield
        finally:
            self.reactor.undo_black_hole(host, int(port))


class RegisteringTests(ServerCase):
    def test_registered(self) -> None:
        """The real port is registered, in the merged format, at the address of the route to ZooKeeper."""
        port = self.listen(data={"zone": "b"}, weight=3)
        self.assertTrue(verifyObject(IListeningPort, port))
        name = f"127.0.0.1:{number(port)}"
        self.assertEqual(self.nodes(), [name])
        record = self.record(name)
        self.assertEqual((record["host"], record["port"]), ("127.0.0.1", number(port)))
        self.assertEqual((record["zone"], record["weight"]), ("b", 3))
        self.connect(port).transport.loseConnection()
        self.stop(port)

    def test_interface(self) -> None:
        """The address at which it listens is registered, if it is a certain one."""
        self.reactor.nameResolver.names["zk"] = ["127.0.0.1"]  # type: ignore[attr-defined]
        port = self.listen(inner=TCP4ServerEndpoint(self.reactor, 80, interface="127.0.0.7"))
        self.assertEqual(self.nodes(), ["127.0.0.7:80"])
        self.stop(port)

    def test_advertise(self) -> None:
        """Another host, port and name can be registered."""
        port = self.listen(advertise="web1.example:443", name="{name}-{port}", format="ndsr")
        self.assertEqual(self.nodes(), ["web-443"])
        self.stop(port)
        port = self.listen(advertise="web1.example")
        self.assertEqual(self.nodes(), [f"web1.example:{number(port)}"])
        self.stop(port)
        port = self.listen(advertise="[2001:db8::1]:5")
        self.assertEqual(self.nodes(), ["[2001:db8::1]:5"])
        self.assertEqual(self.record("[2001:db8::1]:5")["host"], "2001:db8::1")
        self.stop(port)

    def test_own_registry(self) -> None:
        """With a program's own registry, only the node goes at a stop."""
        registry = self.world.registry()
        endpoint = RegisteringEndpoint(registry, PATH, self.inner)
        port = self.world.result(endpoint.listen(Factory.forProtocol(Echo)))
        self.world.settle()
        self.assertEqual(len(self.nodes()), 1)
        self.stop(port)
        self.assertTrue(self.world.result(registry.get_state()))

    def test_several(self) -> None:
        """Several ports of a process share a session, which is closed with the last."""
        ports = [self.listen() for _ in range(3)]
        self.assertEqual((len(self.nodes()), self.sessions()), (3, 2))
        stopped = [self.begin_stop(port) for port in ports[:2]]
        self.world.pass_time(2)
        for each in stopped:
            self.successResultOf(each)
        self.assertEqual((len(self.nodes()), self.sessions()), (1, 2))
        self.stop(ports[2])
        self.assertEqual(self.sessions(), 1)

    def test_expired(self) -> None:
        """After the session has expired, the instance is registered in the next."""
        port = self.listen()
        (name,) = self.nodes()
        self.world.server.expire_session(self.world.result(self.other.get(f"{PATH}/{name}"))[1].ephemeralOwner)
        self.world.pass_time(5)
        self.assertEqual(self.nodes(), [name])
        self.stop(port)

    def test_not_running(self) -> None:
        """Nothing is sent before the reactor runs: twistd changes the user before that."""
        self.reactor.running = False
        port = self.listen()
        self.assertEqual((len(self.ports()), self.nodes(), self.sessions()), (1, [], 1))
        self.reactor.begin()
        self.assertEqual(len(self.nodes()), 1)
        self.stop(port)

    def test_stopped_before_running(self) -> None:
        self.reactor.running = False
        port = self.listen()
        stopped = port.stopListening()
        self.world.settle()
        self.successResultOf(stopped or succeed(None))
        self.reactor.begin()
        self.assertEqual((self.ports(), self.nodes(), self.sessions()), ([], [], 1))


class FailureTests(ServerCase):
    def test_without_zookeeper(self) -> None:
        """It listens without ZooKeeper, and is registered when that is there."""
        with self.without_zookeeper():
            port = self.listen()
            self.connect(port).transport.loseConnection()
            self.world.pass_time(30)
        self.world.pass_time(5)
        self.assertEqual(len(self.nodes()), 1)
        self.stop(port)

    def test_stopped_without_zookeeper(self) -> None:
        """A stop without ZooKeeper takes a bounded time; the node goes with the session."""
        port = self.listen()
        with self.without_zookeeper():
            stopped = self.begin_stop(port)
            self.world.pass_time(2.9)
            self.assertNoResult(stopped)
            self.world.pass_time(10)
            self.successResultOf(stopped)
        self.world.pass_time(20)
        self.assertEqual(self.nodes(), [])

    def test_stopped_before_registered(self) -> None:
        """A stop before the registration leaves nothing, at each step of it."""
        for turns in range(16):
            with self.subTest(turns=turns):
                port = self.successResultOf(self.endpoint(drain=0.0).listen(Factory.forProtocol(Echo)))
                self.reactor.take_turns(turns)
                self.stop(port)
                # The server has opened a session whose handshake was not awaited.
                self.world.pass_time(10)
                self.assertEqual(self.sessions(), 1)

    def test_interrupted(self) -> None:
        """After the loss of the connection at any step of the registration, the instance is registered all the same."""
        for turns in range(16):
            with self.subTest(turns=turns):
                port = self.successResultOf(self.endpoint(drain=0.0).listen(Factory.forProtocol(Echo)))
                self.reactor.take_turns(turns)
                self.world.server.drop_connections()
                self.world.pass_time(5)
                self.assertEqual(self.nodes(), [f"127.0.0.1:{number(port)}"])
                self.stop(port)

    def test_withdrawal_interrupted(self) -> None:
        """After the loss of the connection at any step of a stop, the port stops, and the node goes, at the latest with the session."""
        for turns in range(10):
            with self.subTest(turns=turns):
                port = self.listen(drain=0.0)
                stopped = self.begin_stop(port)
                self.reactor.take_turns(turns)
                self.world.server.drop_connections()
                self.world.pass_time(8)
                self.successResultOf(stopped)
                self.assertEqual(self.ports(), [])
                self.world.pass_time(10)
                self.assertEqual(self.nodes(), [])

    def test_expired_while_stopping(self) -> None:
        """The end of the session during the drain brings no node back."""
        port = self.listen(drain=5.0)
        connection = self.connect(port)
        stopped = self.begin_stop(port)
        self.world.settle()
        for session in self.world.server.sessions - {self.other.session_id}:
            self.world.server.expire_session(session)
        self.world.pass_time(4)
        self.assertEqual(self.nodes(), [])
        self.assertNoResult(stopped)
        connection.transport.loseConnection()
        self.world.settle()
        self.successResultOf(stopped)
        self.assertEqual(self.sessions(), 1)

    def test_shutdown_at_any_time(self) -> None:
        """A stop of the reactor at any step of the registration ends the port and the session."""
        for turns in range(16):
            with self.subTest(turns=turns), World(reactor=EventReactor()) as world:
                reactor: Any = world.reactor
                session = SharedSession(world.connect_string, reactor=reactor)
                endpoint = RegisteringEndpoint(session, PATH, TCP4ServerEndpoint(reactor, 0))
                port = self.successResultOf(endpoint.listen(Factory.forProtocol(Echo)))
                reactor.take_turns(turns)
                triggered = reactor.shut_down()
                stopped = self.begin_stop(port)
                world.pass_time(2)
                self.successResultOf(triggered)
                self.successResultOf(stopped)
                self.assertEqual(len(reactor.listeners()), 1)
                # The server has opened a session whose handshake was not awaited.
                world.pass_time(10)
                self.assertEqual(world.server.sessions, frozenset())

    def test_refused(self) -> None:
        """ZooKeeper's refusal is logged once, and the attempts go on."""
        self.world.result(self.other.create("/services"))
        self.world.result(self.other.create(PATH, acl=NOBODY))
        port = self.listen()
        self.world.pass_time(100)
        self.assertEqual(len(self.warnings), 1)
        self.assertIn(f"{PATH} is not registered: ", self.warnings[0])
        self.world.result(self.other.delete(PATH))
        self.world.pass_time(40)
        self.assertEqual(len(self.nodes()), 1)
        self.stop(port)

    def test_registry_stopped(self) -> None:
        """A registry that others stop does not disturb the port; when they start it again, the instance is registered."""
        registry = self.world.registry()
        endpoint = RegisteringEndpoint(registry, PATH, self.inner, drain=0.0)
        port = self.world.result(endpoint.listen(Factory.forProtocol(Echo)))
        self.world.result(registry.stop())
        self.assertEqual(self.nodes(), [])
        self.world.result(registry.start())
        self.world.settle()
        self.assertEqual(len(self.nodes()), 1)
        self.world.result(registry.stop())
        other = self.world.result(endpoint.listen(Factory.forProtocol(Echo)))
        self.world.pass_time(10)
        self.assertEqual(len(self.warnings), 1)
        self.world.result(registry.start())
        self.world.pass_time(40)
        self.assertEqual(len(self.nodes()), 2)
        self.world.result(registry.stop())
        for each in (port, other):
            self.world.result(self.begin_stop(each))
        self.assertEqual(self.ports(), [])

    def test_credentials(self) -> None:
        """A missing file of credentials does not keep it from listening."""
        port = self.world.result(
            RegisteringEndpoint(self.settings(credentials="/nowhere/access"), PATH, self.inner).listen(Factory())
        )
        self.world.pass_time(60)
        (warning,) = self.warnings
        self.assertIn("'/nowhere/access' cannot be read", warning)
        self.stop(port)

    def test_stopped_while_credentials_are_read(self) -> None:
        """A port that is stopped while a thread reads the credentials is not registered later, with another port of the session."""
        reading: Deferred[Access] = Deferred()
        self.patch(sessions, "run_in_thread", lambda *_: reading)
        port, other = self.listen(), self.listen()
        stopped = self.begin_stop(port)
        reading.callback(read_access({}))
        self.world.pass_time(10)
        self.successResultOf(stopped)
        self.assertEqual(len(self.nodes()), 1)
        self.stop(other)

    def test_no_address(self) -> None:
        """Without an address to register, the attempts go on."""
        port = self.listen(advertise="interface:none7")
        self.world.pass_time(60)
        (warning,) = self.warnings
        self.assertIn("the interface 'none7' has no IPv4 address", warning)
        self.stop(port)

    def test_cannot_listen(self) -> None:
        """If the other endpoint cannot listen, nothing is registered, and the failure comes at once."""
        first = self.listen(inner=TCP4ServerEndpoint(self.reactor, 80))
        self.failureResultOf(
            self.endpoint(inner=TCP4ServerEndpoint(self.reactor, 80)).listen(Factory()), CannotListenError
        )
        self.assertEqual(len(self.nodes()), 1)
        self.stop(first)
        self.assertEqual(self.sessions(), 1)

    def test_cancelled(self) -> None:
        """Cancelling an attempt to listen cancels the other endpoint's, and leaves nothing."""
        cancelled: list[object] = []
        inner = Inner(Deferred(cancelled.append))
        listening = self.endpoint(inner=inner).listen(Factory())
        listening.cancel()
        self.failureResultOf(listening, CancelledError)
        self.world.settle()
        self.assertEqual((len(cancelled), self.sessions()), (1, 1))

    def test_no_port(self) -> None:
        """What listens at no port is stopped, and refused."""
        port = UnixPort()
        failure = self.failureResultOf(self.endpoint(inner=Inner(succeed(port))).listen(Factory()), ValueError)
        self.assertIn("UNIX socket", str(failure.value))
        self.assertEqual((port.stopped, self.sessions()), (1, 1))
        self.assertRaises(ValueError, self.endpoint, inner=UNIXServerEndpoint(self.reactor, "/run/x"))

    def test_fails_to_stop(self) -> None:
        """A port that fails to stop fails the stop, and the session is closed all the same."""
        port = UnixPort(fail(OSError("no")))
        port.address = self.inner_address()
        registered = self.world.result(self.endpoint(inner=Inner(succeed(port)), drain=0.0).listen(Factory()))
        self.world.settle()
        self.assertEqual(len(self.nodes()), 1)
        stopped = registered.stopListening()
        self.world.settle()
        assert stopped is not None
        self.failureResultOf(stopped, OSError)
        self.assertEqual((self.nodes(), self.sessions()), ([], 1))


class DrainTests(ServerCase):
    def test_order(self) -> None:
        """The node goes at once; new connections are accepted for a second, and then the port stops."""
        port = self.listen()
        stopped = self.begin_stop(port)
        self.world.settle()
        self.assertEqual(self.nodes(), [])
        self.world.pass_time(0.9)
        self.connect(port).transport.loseConnection()
        self.assertNoResult(stopped)
        self.world.pass_time(0.2)
        self.successResultOf(stopped)
        self.assertEqual((self.ports(), self.sessions()), ([], 1))

    def test_open_connection(self) -> None:
        """It waits for open connections, as long as they last."""
        port = self.listen()
        connection = self.connect(port)
        stopped = self.begin_stop(port)
        self.world.pass_time(3)
        self.assertNoResult(stopped)
        connection.transport.loseConnection()
        self.world.settle()
        self.successResultOf(stopped)

    def test_longest(self) -> None:
        """It waits no longer than the drain, and leaves connections open."""
        port = self.listen(drain=4.0)
        connection = self.connect(port)
        stopped = self.begin_stop(port)
        self.world.pass_time(3.9)
        self.assertNoResult(stopped)
        self.world.pass_time(0.2)
        self.successResultOf(stopped)
        self.assertEqual(self.ports(), [])
        self.assertTrue(connection.connected)
        connection.transport.loseConnection()

    def test_last_part(self) -> None:
        """For the last third of the drain it accepts no connections, so that those that it has may end."""
        port = self.listen(drain=6.0)
        connection = self.connect(port, Received)
        stopped = self.begin_stop(port)
        self.world.pass_time(3.9)
        self.connect(port).transport.loseConnection()
        self.world.pass_time(0.2)
        self.assertEqual(self.ports(), [])
        connection.transport.write(b"late")
        self.world.settle()
        self.assertEqual(connection.data, b"late")
        self.assertNoResult(stopped)
        connection.transport.loseConnection()
        self.world.settle()
        self.successResultOf(stopped)

    def test_accepted_by_the_system(self) -> None:
        """Connections that the system accepts until the socket closes are taken over in the last moment."""
        port = SocketPort(self.reactor, self.inner_address())
        registered = self.world.result(self.endpoint(inner=Inner(succeed(port)), drain=0.0).listen(Factory()))
        self.world.result(self.begin_stop(registered))
        self.assertEqual(port.calls, ["stopListening", "doRead", "closed"])

    def test_none(self) -> None:
        """Without a drain, it stops at once after the withdrawal."""
        port = self.listen(drain=0.0)
        connection = self.connect(port)
        self.world.result(self.begin_stop(port))
        self.assertEqual((self.ports(), self.nodes()), ([], []))
        connection.transport.loseConnection()

    def test_web(self) -> None:
        """A client of Twisted's web server that keeps its connection learns with the next response that it ends. So does a new one."""
        page = Data(b"the page", "text/plain")
        root = Resource()
        root.putChild(b"page", page)
        port = self.world.result(self.endpoint().listen(Site(root, reactor=self.reactor)))
        self.world.settle()
        connection, idle = self.connect(port, Received), self.connect(port, Received)
        self.assertNotIn(b"Connection: close", self.get(connection))
        stopped = self.begin_stop(port)
        self.world.settle()
        newer = self.connect(port, Received)
        for each in (connection, newer):
            self.assertIn(b"Connection: close", self.get(each))
            self.assertFalse(each.open)
        self.assertTrue(idle.open)
        self.world.pass_time(4.9)
        self.assertNoResult(stopped)
        self.world.pass_time(0.2)
        self.successResultOf(stopped)
        idle.transport.loseConnection()

    def get(self, connection: Any) -> bytes:
        """Return the response to a request for the page."""
        connection.data = b""
        connection.transport.write(b"GET /page HTTP/1.1\r\nHost: web\r\n\r\n")
        self.world.settle()
        self.assertTrue(connection.data.endswith(b"the page"), connection.data)
        data: bytes = connection.data
        return data

    def test_not_web(self) -> None:
        """A protocol that only looks like a web server's is left alone."""
        for kind in (Lookalike, Frozen):
            with self.subTest(kind=kind):
                endpoint = self.endpoint()
                port = self.world.result(endpoint.listen(Factory.forProtocol(kind)))
                connection = self.connect(port, Received)
                stopped = self.begin_stop(port)
                self.world.settle()
                connection.transport.write(b"a")
                self.world.settle()
                self.assertEqual(connection.data, b"made of a")
                connection.transport.loseConnection()
                self.world.pass_time(1.1)
                self.successResultOf(stopped)
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)

    def test_twice(self) -> None:
        """A second stop waits for the first; cancelling one wait ends neither the stop nor the other."""
        port = self.listen()
        first, second = self.begin_stop(port), self.begin_stop(port)
        first.addErrback(lambda failure: failure.trap(CancelledError))
        first.cancel()
        self.world.pass_time(2)
        self.successResultOf(second)
        self.world.result(self.begin_stop(port))
        self.assertRaises(CannotListenError, port.startListening)

    def test_shutdown(self) -> None:
        """At the reactor's stop, the port withdraws and drains; then the session is closed. The program stops the port beside that."""
        port = self.listen()
        connection = self.connect(port)
        triggered = self.reactor.shut_down()
        stopped = self.begin_stop(port)
        self.assertEqual(self.nodes(), [])
        self.world.pass_time(2)
        self.assertNoResult(triggered)
        self.assertEqual(self.sessions(), 2)
        connection.transport.loseConnection()
        self.world.settle()
        self.successResultOf(stopped)
        self.successResultOf(triggered)
        self.assertEqual((self.ports(), self.sessions()), ([], 1))

    def test_shutdown_alone(self) -> None:
        """If nothing stops the port, the reactor's stop withdraws it all the same."""
        port = self.listen()
        triggered = self.reactor.shut_down()
        self.world.pass_time(1.1)
        self.successResultOf(triggered)
        self.assertEqual((self.nodes(), self.sessions()), ([], 1))
        self.world.result(self.begin_stop(port))


class BindTests(ServerCase):
    def test_bound(self) -> None:
        """A service registers what it listens at while it runs."""
        registry = self.world.registry()
        service = StreamServerEndpointService(self.inner, Factory.forProtocol(Echo))
        self.assertIs(bind(service, registry, PATH, data={"zone": "b"}, drain=0.0), service)
        service.startService()
        self.world.settle()
        (name,) = self.nodes()
        self.assertEqual(self.record(name)["zone"], "b")
        self.assertRaises(ValueError, bind, service, registry, PATH)
        self.world.result(service.stopService())
        self.assertEqual((self.ports(), self.nodes()), ([], []))


class ArgumentTests(ServerCase):
    def test_invalid(self) -> None:
        invalid: tuple[tuple[dict[str, Any], str], ...] = (
            ({"advertise": "a:b:c"}, "'a:b:c'"),
            ({"advertise": "a,b"}, "'a,b'"),
            ({"advertise": "a/b"}, "'a/b'"),
            ({"advertise": ""}, "''"),
            ({"advertise": "interface:"}, "'interface:'"),
            ({"weight": -1}, "-1"),
            ({"weight": 1.5}, "1.5"),
            ({"name": "a/b"}, "'a/b'"),
            ({"name": "{nam}"}, "'{nam}'"),
            ({"name": ""}, "''"),
            ({"drain": -1.0}, "-1.0"),
            ({"format": "plain", "data": {"a": 1}}, "{'a': 1}"),
            ({"data": {"host": "x"}}, "'host'"),
        )
        for options, quoted in invalid:
            with self.subTest(options):
                error = self.assertRaises(ValueError, self.endpoint, **options)
                self.assertIn(quoted, str(error))
                self.assertNotIn("\n", str(error))
        self.assertRaises(LookupError, self.endpoint, format="none")


@implementer(IStreamServerEndpoint)
class Inner:
    """An endpoint with a given result."""

    def __init__(self, result: Deferred[Any]) -> None:
        self.result = result

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        return self.result


@implementer(IListeningPort)
class UnixPort:
    """A port with a given address and end."""

    def __init__(self, end: Deferred[None] | None = None) -> None:
        self.stopped = 0
        self.address: Any = UNIXAddress("/run/x")
        self.end = end

    def startListening(self) -> None:
        """Do nothing."""

    def stopListening(self) -> Deferred[None] | None:
        self.stopped += 1
        return self.end

    def getHost(self) -> Any:
        return self.address
