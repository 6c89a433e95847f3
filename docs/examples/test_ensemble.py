"""Tests in a world of several servers: one stops, one lags behind the others."""

import unittest

from counter import Counter
from twisted.internet.defer import Deferred

from txmirror import ZooKeeperClient
from txmirror.testing import World


async def read(client: ZooKeeperClient, path: str) -> bytes:
    data, _ = await client.get(path)
    return data


async def read_latest(client: ZooKeeperClient, path: str) -> bytes:
    await client.sync(path)
    return await read(client, path)


class EnsembleTests(unittest.TestCase):
    def setUp(self) -> None:
        self.world = World(servers=3)
        self.addCleanup(self.world.close)
        self.client = self.world.client()
        self.world.result(self.client.create("/counter", b"0"))

    def test_failover(self) -> None:
        session = self.client.session_id
        (server,) = [each for each in self.world.servers if each.connections]
        self.world.result(server.stop_listening())
        # The client connects to another server at once, in the same session.
        self.assertEqual(self.world.result(Counter(self.client, "/counter").add(1)), 1)
        self.assertEqual(self.client.session_id, session)

    def test_stale_read(self) -> None:
        behind, ahead = self.world.servers[:2]
        reader, writer = self.world.client(behind.address), self.world.client(ahead.address)
        behind.lag()
        self.world.result(writer.set("/counter", b"1"))
        # A slightly older state is a correct answer.
        self.assertEqual(self.world.result(read(reader, "/counter")), b"0")
        behind.catch_up()
        self.assertEqual(self.world.result(read(reader, "/counter")), b"1")

    def test_latest(self) -> None:
        behind, ahead = self.world.servers[:2]
        reader, writer = self.world.client(behind.address), self.world.client(ahead.address)
        behind.lag()
        self.world.result(writer.set("/counter", b"1"))
        reading = Deferred.fromCoroutine(read_latest(reader, "/counter"))
        with self.assertRaisesRegex(AssertionError, "no result yet"):
            self.world.result(reading)
        behind.catch_up()
        self.assertEqual(self.world.result(reading), b"1")


if __name__ == "__main__":
    unittest.main()
