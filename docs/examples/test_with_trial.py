"""Tests on the real reactor, under trial: a server on loopback for each test."""

from typing import Any

from counter import main
from twisted.internet import reactor
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from txmirror.testing import EmbeddedServerMixin


class ProgramTests(EmbeddedServerMixin, TestCase):
    async def test_program(self) -> None:
        await main(reactor, self.zookeeper.address)
        client = await self.zookeeper_client()
        data, _ = await client.get("/counter")
        self.assertEqual(data, b"42")


class ClockTests(EmbeddedServerMixin, TestCase):
    def setUp(self) -> Any:
        self.clock = Clock()
        self.zookeeper_settings = {"clock": self.clock}
        return super().setUp()

    async def test_session_ends(self) -> None:
        client = await self.zookeeper_client()
        await client.create("/here", ephemeral=True)
        # For the server, the client was silent for a minute.
        self.clock.advance(60.0)
        self.assertEqual(self.zookeeper.sessions, frozenset())
        other = await self.zookeeper_client()
        self.assertIsNone(await other.exists("/here"))
