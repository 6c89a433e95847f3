"""A client that is connected to a server, for tests that are run on a real one and on the embedded one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from twisted.trial.unittest import TestCase

from txmirror.client import ZooKeeperClient
from txmirror.embedded import EmbeddedServer
from txmirror.test.zookeeper import shared_server

if TYPE_CHECKING:
    _Base = TestCase
else:
    _Base = object


class Connected(_Base):
    """What a contract's tests stand on. Whoever runs them adds one of the servers below, and trial's own test case."""

    timeout = 20

    def start_server(self) -> str:
        """Give the address of a server that will be stopped in the end."""
        raise NotImplementedError

    def setUp(self) -> None:
        self.client = ZooKeeperClient(self.start_server(), session_timeout=4)
        self.addCleanup(self.client.close)
        self.client.connect().addErrback(lambda _: None)


class OnRealServer(Connected):
    """The server is the real one that all tests share."""

    def start_server(self) -> str:
        return shared_server().address


class OnEmbeddedServer(Connected):
    """The server is an embedded one on loopback.

    :cvar settings: its settings.
    """

    settings: ClassVar[dict[str, Any]] = {}

    def start_server(self) -> str:
        from twisted.internet import reactor

        server = EmbeddedServer(reactor, **self.settings)
        server.listen()
        self.addCleanup(server.stop)
        return server.address
