"""The contract of all recipes, on the embedded server that imitates ClickHouse Keeper, over loopback."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from txmirror.test.client.contract import ContractServer, if_asked_for
from txmirror.test.client.test_contract_embedded import Embedded
from txmirror.test.client.test_contract_keeper import KeeperSide
from txmirror.test.recipes.contract import RecipesContract
from txmirror.test.recipes.contract_barriers import BarriersContract
from txmirror.test.recipes.contract_queues import QueuesContract


@if_asked_for("keeper")
class KeeperRecipesTests(KeeperSide, RecipesContract, QueuesContract, BarriersContract, TestCase):
    """The whole contract."""

    async def start_server(self) -> ContractServer:
        server = Embedded(self.reactor, version="keeper")
        self.addCleanup(server.stop)
        return server
