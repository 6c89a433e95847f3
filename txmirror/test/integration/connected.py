"""A client that is connected to a server, for tests that are run on a real one and on the embedded one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.trial.unittest import TestCase

from txmirror.client import ZooKeeperClient
from txmirror.test.zookeeper import shared_server
from txmirror.testing import EmbeddedServerMixin

if TYPE_CHECKING:
    _Base = TestCase
else:
    _Base = object


class Connected(_Base):
    """The base of a contract's tests. A subclass adds one of the servers below, and trial's test case."""

    timeout = 20

    def start_server(self) -> str:
        """Return the address of a server, which is stopped after the test."""
        raise NotImplementedError

    def setUp(self) -> None:
        self.client = ZooKeeperClient(self.start_server(), session_timeout=4)
        self.addCleanup(self.client.close)
        self.client.connect().addErrback(lambda _: None)


class OnRealServer(Connected):
    """The server is the real one that all tests share."""

    def start_server(self) -> str:
        return shared_server().address


class OnEmbeddedServer(EmbeddedServerMixin, Connected):
    """The server is an embedded one on loopback, with the settings in ``zookeeper_settings``."""

    def start_server(self) -> str:
        return self.zookeeper.address
