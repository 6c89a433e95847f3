"""Server endpoints in a storm: their ports are registered while they listen."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, gatherResults, maybeDeferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from txmirror.endpoints import RegisteringEndpoint, close_sessions
from txmirror.testing.storm.listening import PATH, Users
from txmirror.testing.storm.parts import Pending, Scene

#: The most ports of a part.
_PORTS = 3
#: Codecs whose nodes providers can read.
_FORMATS = ("merged", "plain", "curator", "zczk")


class Greeter(Protocol):
    """A connection of a server, which sends the server's address and port. Some close it then."""

    factory: GreeterFactory

    def connectionMade(self) -> None:
        self.factory.open[self] = None
        assert self.transport is not None
        host: Any = self.transport.getHost()
        self.transport.write(f"{host.host}:{host.port}\n".encode())

    def dataReceived(self, data: bytes) -> None:
        """Close the connection: the client asks for that."""
        assert self.transport is not None
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.factory.open.pop(self, None)


class GreeterFactory(Factory):
    """Makes greeters.

    :ivar open: those that are connected.
    """

    noisy = False
    protocol: type[Greeter] = Greeter  # type: ignore[assignment]

    def __init__(self) -> None:
        self.open: dict[Greeter, None] = {}


class ServerPart:
    """A program that listens at a few ports by endpoints that register them, in shared sessions.

    :param scene: the world.
    :param name: its name in the log.
    :param random: chooses its settings.
    """

    def __init__(self, scene: Scene, name: str, random: Random) -> None:
        self.name = name
        self._scene = scene
        self._listening = scene.listening
        self._pending = Pending(scene, name)
        self._factory = GreeterFactory()
        self._ports: dict[tuple[str, int], tuple[IListeningPort, Users]] = {}
        self._closed = False
        self._drains = random.choice(((0.0,), (0.0, 1.0, 5.0)))

    def act(self, random: Random) -> None:
        """Begin one action."""
        listen = 6 if len(self._ports) < _PORTS else 0
        actions = [self._listen, self._stop, self._close_sessions]
        random.choices(actions, [listen, 2, 0.15])[0](random)

    def _listen(self, random: Random) -> None:
        settings, host = self._listening.choose(random), self._listening.host()
        reactor: Any = self._scene.world.reactor
        endpoint = RegisteringEndpoint(
            settings,
            PATH,
            TCP4ServerEndpoint(reactor, 0, interface=host),
            drain=random.choice(self._drains),
            format=random.choice(_FORMATS),
        )
        users = self._listening.users(settings)

        def listening(port: IListeningPort) -> None:
            at: Any = port.getHost()
            address = at.host, at.port
            self._ports[address] = port, users
            users.ports.add(address)
            self._listening.wanted[address] = None
            self._note(f"listens at {address}")

        self._pending.add(endpoint.listen(self._factory).addCallback(listening), "listen")

    def _stop(self, random: Random) -> None:
        if not self._ports:
            return
        address = random.choice(list(self._ports))
        port, _ = self._ports[address]
        self._begin_stop(address)
        if random.random() < 0.3:
            self._note("stops it again, and does not wait")
            waiting = maybeDeferred(port.stopListening).addErrback(_trap_cancelled)
            self._pending.add(waiting, "a second stop")
            waiting.cancel()

    def _begin_stop(self, address: tuple[str, int]) -> Deferred[None]:
        port, users = self._ports.pop(address)
        self._note(f"stops {address}")
        self._listening.wanted.pop(address, None)

        def stopped(_: object) -> None:
            self._note(f"has stopped {address}")
            users.ports.discard(address)
            complaint = self._listening.left_open(users)
            self._scene.check(complaint is None, f"{self.name}: {complaint}")

        stopping = maybeDeferred(port.stopListening).addCallback(stopped)
        self._pending.add(stopping, f"stop {address}")
        return stopping

    def _close_sessions(self, random: Random) -> None:
        """Close all shared sessions, as when a process ends, and go on."""
        self._note("closes all shared sessions")
        self._listening.closing()

        def closed(_: None) -> None:
            self._note("has closed all shared sessions")
            for complaint in self._listening.closed():
                self._scene.check(False, f"{self.name}: {complaint}")

        self._pending.add(close_sessions(self._scene.world.reactor).addCallback(closed), "close all shared sessions")

    def _note(self, text: str) -> None:
        self._scene.journal.note(self.name, text)

    def check(self) -> None:
        """All is checked when it happens, or when it has settled."""

    def check_settled(self) -> None:
        """Check that exactly the ports that listen are registered, and that unused sessions are closed."""
        self._pending.check_none("all has settled")
        for complaint in self._listening.complaints():
            self._scene.check(False, f"{self.name}: {complaint}")

    def close(self) -> Deferred[None]:
        """Stop all ports, and then end the connections."""
        stopping = [self._begin_stop(address) for address in list(self._ports)]
        return gatherResults(stopping).addCallback(self._end_connections)

    def _end_connections(self, _: object) -> None:
        for connection in list(self._factory.open):
            transport: Any = connection.transport
            transport.abortConnection()

    def check_closed(self) -> None:
        """All is checked when it has settled: ports that were stopped before may still drain."""

    def spared(self) -> Sequence[int]:
        """Return nothing: the session may expire at any time."""
        return ()


def _trap_cancelled(failure: Failure) -> None:
    failure.trap(CancelledError)
