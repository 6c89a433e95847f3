"""Server endpoints in a storm: their ports are registered while they listen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Protocol

import attrs
from twisted.application.internet import StreamServerEndpointService
from twisted.internet.defer import CancelledError, Deferred, gatherResults, maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.python.failure import Failure

from txmirror.endpoints import RegisteringEndpoint, bind, close_sessions
from txmirror.testing.storm.advertised import Way, choose_way
from txmirror.testing.storm.listening import WEB, Address, Service, Users
from txmirror.testing.storm.parts import Pending, Scene

#: The most ports of a part.
_PORTS = 3
#: Codecs whose nodes providers can read.
_FORMATS = ("merged", "plain", "curator", "zczk")


class Greeter(TwistedProtocol):
    """A connection of a server, which sends the server's address and port."""

    def connectionMade(self) -> None:
        assert self.transport is not None
        host: Any = self.transport.getHost()
        self.transport.write(f"{host.host}:{host.port}\n".encode())

    def dataReceived(self, data: bytes) -> None:
        """Close the connection: the client asks for that."""
        assert self.transport is not None
        self.transport.loseConnection()


class GreeterFactory(Factory):
    """Makes greeters."""

    service: Service = WEB
    noisy = False
    protocol: Any = Greeter

    def stop(self) -> None:
        """Do nothing: greeters begin nothing."""


class Served(Protocol):
    """The factory of a server."""

    service: Service

    def stop(self) -> None:
        """Begin nothing any more."""


@attrs.frozen
class _Port:
    """A port that listens."""

    users: Users
    stop: Callable[[], object]
    """Stops it; it may be called again unless it is ``bound``."""
    bound: bool
    """True if it belongs to a service of Twisted."""


class ServerPart:
    """A program that listens at a few ports by endpoints that register them, in shared sessions.

    :param scene: the world.
    :param name: its name in the log.
    :param random: chooses its settings.
    :param factory: the factory of its ports; one that makes greeters if None.
    """

    def __init__(self, scene: Scene, name: str, random: Random, factory: Served | None = None) -> None:
        self.name = name
        self._scene = scene
        self._listening = scene.listening
        self._pending = Pending(scene, name)
        self._factory: Any = GreeterFactory() if factory is None else factory
        self._service: Service = self._factory.service
        self._ports: dict[Address, _Port] = {}
        self._used_ports: list[int] = []
        self._drains = random.choice(((0.0,), (0.0, 1.0, 5.0)))

    def act(self, random: Random) -> None:
        """Begin one action."""
        listen = 6 if len(self._ports) < _PORTS else 0
        actions = [self._listen, self._stop, self._close_sessions]
        random.choices(actions, [listen, 2, 0.15])[0](random)

    def _listen(self, random: Random) -> None:
        settings, bound = self._listening.choose(random), random.random() < 0.3
        way = choose_way(self._scene, self._service, random, known_port=bound)
        options: dict[str, Any] = {
            "drain": random.choice(self._drains),
            "format": random.choice(_FORMATS),
            "advertise": way.advertise,
        }
        users = self._listening.users(settings)
        if bound:
            service = StreamServerEndpointService(way.endpoint, self._factory)
            bind(service, settings, self._service.path, **options).startService()
            self._has_begun(way, way.port, _Port(users, service.stopService, bound=True))
            return
        endpoint = RegisteringEndpoint(settings, self._service.path, way.endpoint, **options)

        def listening(port: IListeningPort) -> None:
            at: Any = port.getHost()
            self._has_begun(way, at.port, _Port(users, port.stopListening, bound=False))

        self._pending.add(endpoint.listen(self._factory).addCallback(listening), "listen")

    def _has_begun(self, way: Way, number: int, port: _Port) -> None:
        address, registered = way.registered(self._service, number)
        self._ports[address] = port
        self._used_ports.append(number)
        port.users.ports.add(address)
        self._listening.wanted[address] = registered
        self._note(f"listens at {address}, {'bound, ' if port.bound else ''}advertised as {way.advertise}")

    def _stop(self, random: Random) -> None:
        if not self._ports:
            return
        address = random.choice(list(self._ports))
        port = self._ports[address]
        self._begin_stop(address)
        if random.random() < 0.3 and not port.bound:
            self._note("stops it again, and does not wait")
            waiting = maybeDeferred(port.stop).addErrback(_trap_cancelled)
            self._pending.add(waiting, "a second stop")
            waiting.cancel()

    def _begin_stop(self, address: Address) -> Deferred[None]:
        port = self._ports.pop(address)
        self._note(f"stops {address}")
        self._listening.wanted.pop(address, None)

        def stopped(_: object) -> None:
            self._note(f"has stopped {address}")
            port.users.ports.discard(address)
            complaint = self._listening.left_open(port.users)
            self._scene.check(complaint is None, f"{self.name}: {complaint}")

        stopping = maybeDeferred(port.stop).addCallback(stopped)
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
        self._factory.stop()
        for link in self._listening.links(self._service):
            if link.server_address.port in self._used_ports:
                link.server.abortConnection()

    def check_closed(self) -> None:
        """All is checked when it has settled: ports that were stopped before may still drain."""

    def spared(self) -> Sequence[int]:
        """Return nothing: the session may expire at any time."""
        return ()


def _trap_cancelled(failure: Failure) -> None:
    failure.trap(CancelledError)
