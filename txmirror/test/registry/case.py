"""A world in memory with a registry in it, and another client that looks at its nodes and changes them."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from txmirror.registry import CODECS, ServiceRegistry
from txmirror.testing import World
from txmirror.types import Answer, ZnodeStat

PATH = "/services/ssh"
NODE = PATH + "/server1:22"


@implementer(ILogObserver)
class Warnings:
    """Keeps the warnings and errors of this package's registry, and those about nodes that cannot be decoded."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, event: LogEvent) -> None:
        if (
            event["log_namespace"].startswith(("txmirror.registry", "txmirror.mirror.decoded"))
            and event["log_level"] >= LogLevel.warn
        ):
            self.texts.append(formatEvent(event))


class RegistryTestCase(SynchronousTestCase):
    """A ZooKeeper in memory; registries that are stopped at the end, after which nothing is left; and another client."""

    #: The timeout of the registries, in seconds.
    timeout = 4.0

    def setUp(self) -> None:
        self.world = World()
        self.reactor = self.world.reactor
        self.registries: list[ServiceRegistry] = []
        self.addCleanup(self.end)
        self.warnings = Warnings()
        globalLogPublisher.addObserver(self.warnings)
        self.addCleanup(globalLogPublisher.removeObserver, self.warnings)
        self.other = self.world.client(session_timeout=40.0)

    def end(self) -> None:
        self.come_back()
        stopped = [registry.stop() for registry in self.registries]
        self.world.pass_time(10)
        for each in stopped:
            self.successResultOf(each)
        self.world.close()

    def registry(self, **options: Any) -> ServiceRegistry:
        """Make a registry; it is not started."""
        options.setdefault("timeout", self.timeout)
        options.setdefault("reactor", self.reactor)
        registry = ServiceRegistry(self.world.connect_string, **options)
        self.registries.append(registry)
        return registry

    def started(self, **options: Any) -> ServiceRegistry:
        """Make a registry that has its session."""
        registry = self.registry(**options)
        self.assertIs(self.world.result(registry.start()), True)
        return registry

    def session_of(self, registry: ServiceRegistry) -> int:
        """Return the id of a registry's session."""
        assert registry._connections.current is not None
        return registry._connections.current.mirror.client.session_id

    # ZooKeeper, and those who use it besides.

    @property
    def _port(self) -> int:
        return int(self.world.server.address.rpartition(":")[2])

    def go_away(self) -> None:
        """Let nobody reach ZooKeeper, but the other client. Its time goes on, and sessions may end."""
        self.reactor.black_hole("127.0.0.1", self._port)
        for connection in self.world.server.connections:
            if connection.session_id != self.other.session_id:
                connection.drop()
        self.world.settle()

    def come_back(self) -> None:
        """Let everybody reach it again."""
        self.reactor.undo_black_hole("127.0.0.1", self._port)

    def make(self, path: str, data: bytes = b"", *, ephemeral: bool = False) -> None:
        """Let the other client create a node, and those above it that are missing."""
        parts = path.split("/")[1:-1]
        for count in range(1, len(parts) + 1):
            parent = "/" + "/".join(parts[:count])
            if self.world.result(self.other.exists(parent)) is None:
                self.world.result(self.other.create(parent))
        self.world.result(self.other.create(path, data, ephemeral=ephemeral))

    def stat(self, path: str = NODE) -> ZnodeStat | None:
        """Return the stat of a node from the server."""
        return self.world.result(self.other.exists(path))

    def says(self, path: str = NODE) -> object:
        """Return the data of a node without the keys that every node of a registry has."""
        data, _ = self.world.result(self.other.get(path))
        facts = CODECS["ndsr"].decode(data)
        if isinstance(facts, dict):
            return {key: value for key, value in facts.items() if key not in ("pid", "created", "created_zone")}
        return facts

    def answer(self, registry: ServiceRegistry[bool], path: str = PATH) -> Answer:
        """Return the answer of a registry at this instant."""
        answer = self.world.result(registry.get(path))
        assert answer is not False
        return answer

    def names(self, registry: ServiceRegistry[bool], path: str = PATH) -> list[str]:
        """Return the names that a registry finds."""
        return list(self.answer(registry, path)["children"])

    def failure(self, deferred: Deferred[Any], kind: type[Exception]) -> str:
        """Return the message of the exception with which a Deferred has failed."""
        self.world.settle()
        return str(self.failureResultOf(deferred, kind).value)
