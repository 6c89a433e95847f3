"""The native client's contract, on the embedded server over loopback."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.trial.unittest import TestCase

from txmirror.client import ZooKeeperClient
from txmirror.embedded import EmbeddedServer
from txmirror.test.client.contract import (
    AbsenceContract,
    ClientContract,
    ContractServer,
    ReconnectionContract,
    if_asked_for,
)
from txmirror.test.client.contract_abilities import (
    AbilityContract,
    PersistentWatchAbsenceContract,
    PersistentWatchContract,
)
from txmirror.testing import FaultProxy


class Embedded:
    """An embedded server of one test's own, behind a proxy."""

    def __init__(self, reactor: Any, **options: Any) -> None:
        self.server = EmbeddedServer(reactor, **options)
        host: Any = self.server.listen().getHost()
        self._proxy = FaultProxy(host.port, reactor=reactor)

    @property
    def address(self) -> str:
        return self._proxy.address

    @property
    def direct_address(self) -> str:
        return self.server.address

    def sessions(self) -> Deferred[set[int]]:
        return succeed({session & 0xFFFFFFFFFFFFFFFF for session in self.server.sessions})

    def disconnect(self) -> Deferred[None]:
        self._proxy.cut()
        return succeed(None)

    def reconnect(self) -> Deferred[None]:
        self._proxy.open()
        return succeed(None)

    def expire(self, session_id: int) -> Deferred[None]:
        self.server.expire_session(session_id)
        return succeed(None)

    def stop(self) -> Deferred[Any]:
        return gatherResults([self._proxy.close(), self.server.stop()])


@if_asked_for("3.8")
class EmbeddedServerTests(ClientContract, ReconnectionContract, AbsenceContract, TestCase):
    """The whole contract."""

    def start_server(self) -> Deferred[ContractServer]:
        server = Embedded(self.reactor)
        self.addCleanup(server.stop)
        return succeed(server)

    def make_client(self, servers: str, session_timeout: float) -> ZooKeeperClient:
        return ZooKeeperClient(servers, session_timeout=session_timeout)


@if_asked_for("3.8")
class EmbeddedServerAbilityTests(PersistentWatchContract, PersistentWatchAbsenceContract, AbilityContract, TestCase):
    """Operations that the oldest servers lack."""

    def start_server(self) -> Deferred[ContractServer]:
        server = Embedded(self.reactor, ttl_nodes=True, container_check_interval=0.2)
        self.addCleanup(server.stop)
        return succeed(server)

    def make_client(self, servers: str, session_timeout: float, **options: Any) -> ZooKeeperClient:
        return ZooKeeperClient(servers, session_timeout=session_timeout, **options)
