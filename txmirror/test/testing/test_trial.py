"""The mixin for trial: a server and clients for each test, of which trial finds nothing in the reactor afterwards."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

from twisted.trial.unittest import TestCase

from txmirror.client import ZooKeeperClient
from txmirror.testing import EmbeddedServerMixin


class MixinTests(EmbeddedServerMixin, TestCase):
    timeout = 10

    def setUp(self) -> None:
        self.clients: list[ZooKeeperClient] = []
        # First in, last out: behind the mixin's own.
        self.addCleanup(self.check_gone)
        super().setUp()

    def check_gone(self) -> None:
        """Assert that all clients are closed, and that no server listens. trial itself finds the rest in the reactor."""
        self.assertEqual([client.session_id for client in self.clients], [0] * len(self.clients))
        host, port = self.zookeeper.address.split(":")
        with socket.socket() as asker:
            self.assertNotEqual(asker.connect_ex((host, int(port))), 0)

    async def client(self, **options: Any) -> ZooKeeperClient:
        client = await self.zookeeper_client(**options)
        self.clients.append(client)
        return client

    async def test_fresh(self) -> None:
        """The server listens on loopback and is empty, and a client has its session."""
        self.assertTrue(self.zookeeper.address.startswith("127.0.0.1:"))
        client = await self.client(session_timeout=5.0)
        self.assertEqual(self.zookeeper.sessions, {client.session_id})
        self.assertEqual(client.session_timeout, 5.0)
        self.assertEqual(await client.get_children("/"), ["zookeeper"])
        await client.create("/a")

    test_fresh_again = test_fresh

    async def test_busy(self) -> None:
        """A client that is at work when the test is over is closed, and so is one elsewhere, of a chroot."""
        client = await self.client()
        client.create("/a").addErrback(lambda _: None)
        self.clients.append(await self.zookeeper_client(f"{self.zookeeper.address}/chroot"))

    async def test_server_away(self) -> None:
        """A test may stop the server: clients are closed all the same, and nothing is left."""
        client = await self.client()
        await self.zookeeper.stop_listening()
        client.create("/a").addErrback(lambda _: None)

    async def test_client_of_its_own(self) -> None:
        """A client that the test closes itself is closed."""
        client = await self.client()
        await client.close()


class SettingsTests(EmbeddedServerMixin, TestCase):
    timeout = 10
    zookeeper_settings: Mapping[str, object] = {"tick_time": 1.5}

    async def test_settings(self) -> None:
        """The server has the settings of the class."""
        client = await self.zookeeper_client(session_timeout=0.1)
        self.assertEqual(client.session_timeout, 3.0)
