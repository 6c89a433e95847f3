"""The contract of locks, semaphores and elections over txzookeeper, on the embedded server."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from txmirror.compat import TxZooKeeperClient
from txmirror.test.client.contract import ContractServer
from txmirror.test.client.test_contract_embedded import Embedded
from txmirror.test.compat.available import install_or_skip
from txmirror.test.compat.test_contract import PlainClients
from txmirror.test.recipes.contract import RecipesContract


class EmbeddedRecipesTests(RecipesContract, TestCase):
    """The whole contract."""

    def make_client(self, servers: str, session_timeout: float) -> TxZooKeeperClient:
        return PlainClients().make_client(servers, session_timeout)

    async def start_server(self) -> ContractServer:
        install_or_skip()
        server = Embedded(self.reactor)
        self.addCleanup(server.stop)
        return server
