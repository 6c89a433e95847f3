"""Client endpoints in a storm: each connection is one to a port of the service, and what was given up leaves nothing."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from txmirror.discovery import ServiceProvider
from txmirror.endpoints import ProviderClientEndpoint, RegistryClientEndpoint
from txmirror.errors import ClosingException, NoInstanceException
from txmirror.registry import ServiceRegistry
from txmirror.testing.storm.listening import WEB
from txmirror.testing.storm.parts import TIMEOUTS, Pending, Scene

_STRATEGIES = ("round-robin", "random", "weighted", "least-pending")


class _Greeted(Protocol):
    """A connection of a client, which expects the server's address and port."""

    def __init__(self) -> None:
        self.data = b""
        self.connected_once = self.lost = False

    @property
    def tcp(self) -> Any:
        """The transport."""
        assert self.transport is not None
        return self.transport

    def connectionMade(self) -> None:
        self.connected_once = True

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = True


class _Attempt(Factory):
    """One attempt to connect, and the protocols that were made for it.

    :ivar made: the protocols.
    :ivar result: the one with which the attempt has succeeded.
    """

    noisy = False

    def __init__(self) -> None:
        self.made: list[_Greeted] = []
        self.result: _Greeted | None = None

    def buildProtocol(self, addr: object) -> _Greeted:
        self.made.append(_Greeted())
        return self.made[-1]

    def left(self) -> list[_Greeted]:
        """Return the connections that are open, and not the result."""
        return [each for each in self.made if each.connected_once and not each.lost and each is not self.result]


@attrs.frozen
class _Endpoints:
    """The endpoints of a part, one that waits long enough when all is well, and their owner."""

    often: IStreamClientEndpoint
    surely: IStreamClientEndpoint
    provider: ServiceProvider | None
    registry: ServiceRegistry[bool] | None


class CallerPart:
    """A program that connects to the service, gives up some attempts, and closes connections. It has a provider of its own registry, or
    uses a shared session.

    :param scene: the world.
    :param name: its name in the log.
    :param random: chooses its settings.
    """

    def __init__(self, scene: Scene, name: str, random: Random) -> None:
        self.name = name
        self._scene = scene
        self._listening = scene.listening
        self._pending = Pending(scene, name)
        self._connecting: dict[Deferred[Any], None] = {}
        self._attempts: list[_Attempt] = []
        self._open: dict[_Greeted, None] = {}
        self._shared = random.random() < 0.5
        #: The arguments of endpoints with a shared session. Those with a function share no provider.
        self._options: dict[str, Any] = {
            "pick": random.choice(_STRATEGIES),
            "where": random.choice((None, None, bool)),
            "down_for": random.choice((1.0, 30.0)),
            "timeout": random.choice((5.0, 20.0)),
        }
        self._endpoints = self._make_shared(random) if self._shared else self._make_own(random)

    def _make_shared(self, random: Random) -> _Endpoints:
        settings = self._listening.settings[-1]
        often, surely = (
            RegistryClientEndpoint(settings, WEB.path, wait=wait, **self._options)
            for wait in (random.choice((0.0, 2.0, 10.0)), 10.0)
        )
        return _Endpoints(often, surely, None, None)

    def _make_own(self, random: Random) -> _Endpoints:
        registry = self._scene.world.registry(
            self._scene.servers(), start=False, lazy=random.random() < 0.5, session_timeout=random.choice(TIMEOUTS[1:])
        )
        provider = ServiceProvider(
            registry,
            WEB.path,
            pick=random.choice(_STRATEGIES),
            down_for=random.choice((1.0, 30.0)),
            random=Random(self.name),
        )
        reactor = self._scene.world.reactor
        timeout = random.choice((5.0, 20.0))
        often, surely = (
            ProviderClientEndpoint(provider, wait=wait, timeout=timeout, reactor=reactor)
            for wait in (random.choice((0.0, 2.0, 10.0)), 10.0)
        )
        return _Endpoints(often, surely, provider, registry)

    # Actions.

    def act(self, random: Random) -> None:
        """Begin one action."""
        random.choices([self._connect, self._cancel, self._close_one, self._renew], [5, 3, 3, 0.5])[0](random)

    def _renew(self, random: Random) -> None:
        """Use new endpoints, and forget the former ones, which may still connect."""
        if self._shared:
            self._note("makes new endpoints")
            self._endpoints = self._make_shared(random)

    def _connect(self, random: Random) -> None:
        if len(self._connecting) < 5:
            self._begin(self._endpoints.often)

    def _begin(self, endpoint: IStreamClientEndpoint) -> Deferred[_Greeted | None]:
        """Begin to connect. The result is None if it has failed for a known reason."""
        if self._shared:
            self._listening.users(self._listening.settings[-1]).kept = True
        attempt = _Attempt()
        self._attempts.append(attempt)
        self._note("connects")
        connecting: Any = endpoint.connect(attempt)
        ended: Deferred[_Greeted | None] = Deferred()

        def end(result: _Greeted | Failure) -> None:
            self._connecting.pop(connecting, None)
            if isinstance(result, Failure):
                result.trap(NoInstanceException, ClosingException, CancelledError)
                self._note(f"has no connection: {type(result.value).__name__}")
                ended.callback(None)
                return
            attempt.result = result
            self._open[result] = None
            self._note(f"is connected to {result.tcp.getPeer().host}")
            ended.callback(result)

        self._connecting[connecting] = None
        self._pending.add(connecting.addCallbacks(end, end), "connect")
        if connecting.called:
            self._connecting.pop(connecting, None)
        return ended

    def _cancel(self, random: Random) -> None:
        if not self._connecting:
            return
        connecting = random.choice(list(self._connecting))
        self._note("gives up connecting")
        connecting.cancel()
        self._scene.check(
            connecting not in self._connecting, f"{self.name}: connecting was cancelled, and has not ended"
        )

    def _close_one(self, random: Random) -> None:
        self._forget_lost()
        if self._open:
            greeted = random.choice(list(self._open))
            self._note("closes a connection")
            how = random.choice(("lose", "abort", "ask"))
            if how == "ask":
                greeted.tcp.write(b"end\n")
            else:
                (greeted.tcp.loseConnection if how == "lose" else greeted.tcp.abortConnection)()

    def _forget_lost(self) -> None:
        for each in [each for each in self._open if each.lost]:
            del self._open[each]

    def _note(self, text: str) -> None:
        self._scene.journal.note(self.name, text)

    def _check_that(self, holds: bool, complaint: str) -> None:
        self._scene.check(holds, f"{self.name}: {complaint}")

    # Checks.

    def check(self) -> None:
        """Check that each connection is one to the port that its server says."""
        for each in self._open:
            if each.data and not each.lost:
                peer = each.tcp.getPeer()
                said = f"{peer.host}:{peer.port}\n".encode()
                self._check_that(said.startswith(each.data), f"{each.data!r} was said at {peer}")

    def check_settled(self) -> None:
        """Check that no attempt waits, or has left a connection."""
        self._pending.check_none("all has settled")
        for attempt in self._attempts:
            self._check_that(not attempt.left(), f"{len(attempt.left())} connections of an attempt are left")
        self._attempts.clear()

    def connect_settled(self) -> Deferred[None]:
        """Connect, and check that it succeeds if there is a port."""
        wanted = bool(self._listening.wanted_of(WEB))
        return self._begin(self._endpoints.surely).addCallback(self._connected, wanted)

    def _connected(self, greeted: _Greeted | None, wanted: bool) -> None:
        there = self._listening.wanted_of(WEB)
        if greeted is None:
            self._check_that(not wanted, f"no connection, and {there} are registered")
            return
        peer = greeted.tcp.getPeer()
        self._check_that((peer.host, peer.port) in there, f"is connected to {peer}, and {there} are registered")
        greeted.tcp.loseConnection()

    @property
    def connections(self) -> int:
        """The number of connections that are open."""
        self._forget_lost()
        return len(self._open)

    def close(self) -> Deferred[None]:
        """Cancel all attempts, end all connections, and stop the registry."""
        for connecting in list(self._connecting):
            connecting.cancel()
        self._check_that(not self._connecting, "an attempt was cancelled, and has not ended")
        for greeted in self._open:
            if not greeted.lost:
                greeted.tcp.abortConnection()
        closed: Deferred[None] = Deferred()
        if self._endpoints.provider is not None:
            self._endpoints.provider.close()
        if self._endpoints.registry is None:
            closed.callback(None)
            return closed
        return self._endpoints.registry.stop()

    def check_closed(self) -> None:
        """Check that nothing waits."""
        self._pending.check_none("the program has ended")

    def spared(self) -> Sequence[int]:
        """Return nothing: the session may expire at any time."""
        return ()
