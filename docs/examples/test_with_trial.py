"""On the real reactor, under trial: a server on loopback for each test."""

from counter import main
from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from txmirror.testing import EmbeddedServerMixin


class ProgramTests(EmbeddedServerMixin, TestCase):
    async def test_program(self):
        await main(reactor, self.zookeeper.address)
        client = await self.zookeeper_client()
        data, _ = await client.get("/counter")
        self.assertEqual(data, b"42")
