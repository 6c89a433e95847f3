"""The native client's contract, on a real ZooKeeper server."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from txmirror.client import ZooKeeperClient
from txmirror.test.client.contract import (
    AbsenceContract,
    ClientContract,
    ContractServer,
    ReconnectionContract,
)
from txmirror.test.client.contract_abilities import (
    AbilityContract,
    PersistentWatchAbsenceContract,
    PersistentWatchContract,
)
from txmirror.test.zookeeper import ZooKeeperProcess, shared_server
from txmirror.testing import FaultProxy


class Shared:
    """The server that all tests of a run share, behind a proxy of one test's own."""

    def __init__(self, reactor: Any, process: ZooKeeperProcess) -> None:
        self._reactor = reactor
        self._process = process
        self.proxy = FaultProxy(process.port, reactor=reactor)

    @property
    def address(self) -> str:
        return self.proxy.address

    @property
    def direct_address(self) -> str:
        return self._process.address

    def sessions(self) -> Deferred[set[int]]:
        return deferToThread(self._process.sessions)

    def disconnect(self) -> Deferred[None]:
        self.proxy.cut()
        return succeed(None)

    def reconnect(self) -> Deferred[None]:
        self.proxy.open()
        return succeed(None)

    async def expire(self, session_id: int) -> None:
        """Keep the client away until the server has given its session up."""
        self.proxy.cut()
        while session_id & 0xFFFFFFFFFFFFFFFF in await self.sessions():
            await deferLater(self._reactor, 0.1)
        self.proxy.open()

    def stop(self) -> Deferred[Any]:
        return self.proxy.close()


class Own:
    """A server of one test's own, that can be killed (SIGKILL) and started again."""

    def __init__(self, process: ZooKeeperProcess) -> None:
        self._process = process

    @property
    def address(self) -> str:
        return self._process.address

    direct_address = address

    def sessions(self) -> Deferred[set[int]]:
        return deferToThread(self._process.sessions)

    def disconnect(self) -> Deferred[None]:
        return deferToThread(self._process.kill)

    def reconnect(self) -> Deferred[None]:
        return deferToThread(self._process.start)

    async def expire(self, session_id: int) -> None:
        raise NotImplementedError


class ZooKeeperTests(ClientContract, ReconnectionContract, AbsenceContract, TestCase):
    """The whole contract."""

    async def start_server(self) -> ContractServer:
        server = Shared(self.reactor, await deferToThread(shared_server))
        self.addCleanup(server.stop)
        return server

    def make_client(self, servers: str, session_timeout: float) -> ZooKeeperClient:
        return ZooKeeperClient(servers, session_timeout=session_timeout)


class ZooKeeperAbilityTests(PersistentWatchContract, PersistentWatchAbsenceContract, AbilityContract, TestCase):
    """Operations that the oldest servers lack."""

    async def start_server(self) -> ContractServer:
        server = Shared(self.reactor, await deferToThread(shared_server))
        self.addCleanup(server.stop)
        return server

    def make_client(self, servers: str, session_timeout: float, **options: Any) -> ZooKeeperClient:
        return ZooKeeperClient(servers, session_timeout=session_timeout, **options)


class CrashTests(ReconnectionContract, TestCase):
    """The server is killed, and starts again on its data."""

    timeout = 60
    # Long enough for a server to come back within.
    session_timeout = 8.0

    async def start_server(self) -> ContractServer:
        process = ZooKeeperProcess()
        self.addCleanup(process.cleanup)
        await deferToThread(process.start)
        return Own(process)

    def make_client(self, servers: str, session_timeout: float) -> ZooKeeperClient:
        return ZooKeeperClient(servers, session_timeout=session_timeout)
