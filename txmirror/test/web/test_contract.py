"""The contract of the catalog, on a real ZooKeeper server, and on the embedded server over loopback."""

from __future__ import annotations

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from txmirror.test.client.contract import ContractServer, if_asked_for
from txmirror.test.client.test_contract_embedded import Embedded
from txmirror.test.integration.servers import end_session
from txmirror.test.integration.test_client_contract import Shared
from txmirror.test.web.catalog_contract import CatalogContract
from txmirror.test.zookeeper import shared_server


class ZooKeeperCatalogTests(CatalogContract, TestCase):
    """The whole contract."""

    async def start_server(self) -> ContractServer:
        server = Shared(self.reactor, await deferToThread(shared_server))
        self.addCleanup(server.stop)
        return server

    async def end_session(self) -> None:
        # Not to wait until its time is over.
        ticket = self.client.session_ticket
        await deferToThread(end_session, self.server.direct_address, (ticket.session_id, ticket.password))


@if_asked_for("3.8")
class EmbeddedCatalogTests(CatalogContract, TestCase):
    """The whole contract."""

    async def start_server(self) -> ContractServer:
        server = Embedded(self.reactor)
        self.addCleanup(server.stop)
        return server
