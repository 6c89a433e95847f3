"""Instances in memory that behave and misbehave, a provider of them, and protocols that note what happens."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Hashable, Iterator
from contextlib import contextmanager
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from txmirror.endpoints import ProviderClientEndpoint
from txmirror.errors import NoInstanceException
from txmirror.interfaces import IServiceProvider
from txmirror.testing import MemoryReactor
from txmirror.types import Instance

PORT = 8000

#: The audit events of files, sockets and processes since a test began to note them; None if none does.
_events: list[str] | None = None


def _note_event(event: str, arguments: tuple[object, ...]) -> None:
    if _events is not None and event.partition(".")[0] in ("open", "os", "socket", "subprocess", "import"):
        _events.append(event)


# There is no way to remove it.
sys.addaudithook(_note_event)


@contextmanager
def noted_io() -> Iterator[list[str]]:
    """Note the input and output of this process, and the imports: the list has the names of the audit events."""
    global _events  # noqa: PLW0603 - the hook cannot have it otherwise
    _events = events = list[str]()
    try:
        yield events
    finally:
        _events = None


class Recorder(Protocol):
    """Notes all that happens to it."""

    def __init__(self) -> None:
        self.data = b""
        self.lost: Failure | None = None

    @property
    def tcp(self) -> Any:
        """The transport."""
        assert self.transport is not None
        return self.transport

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason


class RecorderFactory(Factory):
    """Makes recorders.

    :ivar made: all of them.
    """

    noisy = False
    protocol = Recorder

    def __init__(self) -> None:
        self.made: list[Any] = []

    def buildProtocol(self, addr: object) -> Any:
        self.made.append(self.protocol())
        return self.made[-1]


class Greeter(Recorder):
    """An instance that says its name."""

    def connectionMade(self) -> None:
        self.tcp.write(self.tcp.getHost().host.encode())


class Closer(Recorder):
    """An instance that closes each connection at once."""

    def connectionMade(self) -> None:
        self.tcp.loseConnection()


@implementer(IServiceProvider)
class ListProvider:
    """Provides instances in the order of a list, which a test may change at any time.

    :ivar listed: the instances.
    :ivar notes: what it was told: the word and the name of the instance.
    :ivar pending: the pending uses by name.
    :ivar keys: the keys of all calls.
    :ivar waiting: the calls that have had to wait; a test may fire them.
    """

    path = "/services/web"

    def __init__(self, reactor: MemoryReactor) -> None:
        self.listed: list[Instance] = []
        self.notes: list[tuple[str, str]] = []
        self.pending: dict[str, int] = {}
        self.keys: list[Hashable | None] = []
        self.waiting: list[Deferred[Instance]] = []
        self._reactor = reactor

    def instance(
        self, key: Hashable | None = None, *, avoid: Collection[Instance] = (), wait: float | None = None
    ) -> Deferred[Instance]:
        self.keys.append(key)
        left = [each for each in self.listed if each.name not in {other.name for other in avoid}]
        if left:
            return succeed(left[0])
        error = NoInstanceException(f"none after {wait} s")
        if not wait:
            return fail(error)
        waiting: Deferred[Instance] = Deferred()
        self.waiting.append(waiting)
        return waiting.addTimeout(wait, self._reactor, lambda _, __: Failure(error))

    def instances(self) -> list[Instance]:
        return list(self.listed)

    def failed(self, instance: Instance) -> None:
        self.notes.append(("failed", instance.name))

    def succeeded(self, instance: Instance) -> None:
        self.notes.append(("succeeded", instance.name))

    @contextmanager
    def using(self, instance: Instance) -> Iterator[Instance]:
        self.pending[instance.name] = self.pending.get(instance.name, 0) + 1
        try:
            yield instance
        finally:
            self.pending[instance.name] -= 1

    def watch(self, function: Callable[[list[Instance]], object]) -> None: ...

    def unwatch(self, function: Callable[[list[Instance]], object]) -> None: ...

    def close(self) -> None: ...


class ConnectCase(SynchronousTestCase):
    """A test of connecting to instances at 10.0.0.1, 10.0.0.2 and so on, which are named by their addresses."""

    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.provider = ListProvider(self.reactor)
        self.factory = RecorderFactory()

    def serve(self, host: str, protocol: type[Protocol] = Greeter, **fields: Any) -> None:
        """Register an instance that serves a protocol."""
        self.reactor.listenTCP(fields.get("tls_port", PORT), Factory.forProtocol(protocol), interface=host)  # type: ignore[arg-type]
        self.register(host, **fields)

    def register(self, host: str, **fields: Any) -> None:
        """Register an instance."""
        self.provider.listed.append(Instance(**{"name": host, "address": host, "port": PORT, **fields}))

    def black_hole(self, host: str) -> None:
        """Register an instance that does not answer."""
        self.reactor.black_hole(host, PORT)
        self.register(host)

    def endpoint(self, **options: Any) -> ProviderClientEndpoint:
        """Return an endpoint."""
        return ProviderClientEndpoint(self.provider, reactor=self.reactor, **options)

    def connect(self, **options: Any) -> Deferred[Any]:
        """Connect, as far as that takes no time."""
        connecting = self.endpoint(**options).connect(self.factory)
        self.reactor.settle()
        return connecting

    def connected(self, **options: Any) -> Any:
        """Connect, and return the protocol."""
        return self.successResultOf(self.connect(**options))

    def assert_clean(self) -> None:
        """Nothing is left of any attempt."""
        self.reactor.settle()
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual(self.reactor.links, [])
        self.assertEqual(set(self.provider.pending.values()) - {0}, set())
