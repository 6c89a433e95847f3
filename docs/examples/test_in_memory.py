"""Tests in a world in memory: no sockets, and the test controls the time."""

import unittest

from counter import Counter
from twisted.internet.defer import Deferred

from txmirror.errors import ConnectionLossException
from txmirror.testing import World


class CounterTests(unittest.TestCase):
    def setUp(self) -> None:
        self.world = World()
        # It closes its clients and its server. If the program leaves timers or connections behind, it fails and names them.
        self.addCleanup(self.world.close)
        self.client = self.world.client(session_timeout=6.0)
        self.world.result(self.client.create("/counter", b"0"))
        self.counter = Counter(self.client, "/counter")

    def test_adds(self) -> None:
        self.assertEqual(self.world.result(self.counter.add(5)), 5)

    def test_two_at_once(self) -> None:
        other = Counter(self.world.client(), "/counter")
        first = Deferred.fromCoroutine(self.counter.add(1))
        second = Deferred.fromCoroutine(other.add(1))
        self.assertEqual({self.world.result(first), self.world.result(second)}, {1, 2})

    def test_connection_lost(self) -> None:
        adding = Deferred.fromCoroutine(self.counter.add(1))
        (link,) = self.world.reactor.links
        link.cut()
        with self.assertRaises(ConnectionLossException):
            self.world.result(adding)

    def test_server_restarts(self) -> None:
        self.world.result(self.world.server.stop_listening())
        # A request now waits until a server is available.
        adding = Deferred.fromCoroutine(self.counter.add(1))
        self.world.pass_time(3.0)
        _, port = self.world.connect_string.split(":")
        self.world.server.listen(int(port))
        self.world.pass_time(2.0)
        self.assertEqual(self.world.result(adding), 1)

    def test_session_expires(self) -> None:
        before = self.client.session_id
        self.world.server.expire_session(before)
        self.world.pass_time(2.0)
        self.assertNotEqual(self.client.session_id, before)
        self.assertEqual(self.world.result(self.counter.add(1)), 1)

    def test_an_hour_without_network(self) -> None:
        host, port = self.world.connect_string.split(":")
        (link,) = self.world.reactor.links
        link.stall()
        self.world.reactor.black_hole(host, int(port))
        self.world.pass_time(3600.0)
        self.assertEqual(self.world.server.sessions, frozenset())
        self.world.reactor.undo_black_hole(host, int(port))
        self.world.pass_time(10.0)
        self.assertEqual(self.world.result(self.counter.add(1)), 1)


if __name__ == "__main__":
    unittest.main()
