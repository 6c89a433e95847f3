"""Tests with faults of one request or one connection, in a world in memory."""

import unittest

from counter import Counter
from twisted.internet.defer import Deferred

from txmirror.errors import ConnectionLossException, ThrottledOpException
from txmirror.testing import World


class FaultTests(unittest.TestCase):
    def setUp(self) -> None:
        self.world = World()
        self.addCleanup(self.world.close)
        self.server = self.world.server
        self.client = self.world.client(session_timeout=6.0)
        self.world.result(self.client.create("/counter", b"0"))
        self.counter = Counter(self.client, "/counter")

    def value(self) -> bytes:
        self.world.pass_time(1.0)  # enough time to reconnect
        data, _ = self.world.result(self.client.get("/counter"))
        return data

    def test_somebody_is_quicker(self) -> None:
        # Between our read and our write another program can read and write.
        slow = self.server.delay_next("set", 2.0, path="/counter", session_id=self.client.session_id)
        adding = Deferred.fromCoroutine(self.counter.add(1))
        self.world.settle()
        self.assertTrue(slow.happened)
        self.world.result(Counter(self.world.client(), "/counter").add(10))
        self.world.pass_time(2.0)
        self.assertEqual(self.world.result(adding), 11)

    def test_lost_before_it_was_done(self) -> None:
        self.server.lose_request("set", path="/counter")
        with self.assertRaises(ConnectionLossException) as caught:
            self.world.result(self.counter.add(1))
        self.assertIsNone(caught.exception.applied)
        self.assertEqual(self.value(), b"0")

    def test_lost_after_it_was_done(self) -> None:
        self.server.lose_reply("set", path="/counter")
        with self.assertRaises(ConnectionLossException) as caught:
            self.world.result(self.counter.add(1))
        # The exception is the same, but the data differs.
        self.assertIsNone(caught.exception.applied)
        self.assertEqual(self.value(), b"1")

    def test_refused(self) -> None:
        self.server.fail_next("get", ThrottledOpException())
        with self.assertRaises(ThrottledOpException):
            self.world.result(self.counter.add(1))
        self.assertEqual(self.world.result(self.counter.add(1)), 1)

    def test_not_needed(self) -> None:
        fault = self.server.fail_next("delete", ThrottledOpException())
        self.world.result(self.counter.add(1))
        # If the fault never happened, the test proves nothing.
        self.assertFalse(fault.happened)
        fault.cancel()

    def test_one_client_disconnected(self) -> None:
        other = self.world.client()
        self.server.connection_of(self.client.session_id).drop()
        self.world.settle()
        self.assertEqual(self.world.result(Counter(other, "/counter").add(1)), 1)

    def test_answers_stall(self) -> None:
        connection = self.server.connection_of(self.client.session_id)
        connection.stall(incoming=False)
        adding = Deferred.fromCoroutine(self.counter.add(1))
        self.world.pass_time(1.0)
        self.assertFalse(adding.called)
        connection.resume()
        self.assertEqual(self.world.result(adding), 1)

    def test_restored_from_a_backup(self) -> None:
        snapshot = self.server.snapshot()
        for _ in range(10):
            self.world.result(self.counter.add(1))
        self.server.roll_back(snapshot)
        # The client has seen later transactions. If no server knows them for one session timeout, the client drops its
        # state and begins a new data generation.
        self.world.pass_time(30.0)
        self.assertEqual(self.value(), b"0")
        self.assertEqual(self.client.session.data_generation, 1)


if __name__ == "__main__":
    unittest.main()
