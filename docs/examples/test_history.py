"""A test that records what two clients do, and judges it."""

import unittest

from counter import Counter
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txmirror.errors import ZooKeeperException
from txmirror.testing import World
from txmirror.testing.history import COUNTER, Add, Count, Number, Outcome, Recorder, Verdict, judge, search


class HistoryTests(unittest.TestCase):
    def setUp(self) -> None:
        self.world = World(servers=3)
        self.addCleanup(self.world.close)
        self.recorder = Recorder()

    def add(self, name: str, counter: Counter) -> None:
        number = self.recorder.begin(name, 1, Add("/counter"))

        def done(result: object) -> None:
            error = result.value if isinstance(result, Failure) else None
            if error is None:
                outcome = Outcome.APPLIED
            elif isinstance(error, ZooKeeperException) and error.applied is False:
                outcome = Outcome.NOT_APPLIED
            else:
                outcome = Outcome.UNKNOWN
            self.recorder.end(number, outcome)

        Deferred.fromCoroutine(counter.add(1)).addBoth(done)

    def test_two_clients(self) -> None:
        clients = [self.world.client(), self.world.client()]
        self.world.result(clients[0].create("/counter", b"0"))
        self.world.server.lose_reply("set")
        for _ in range(5):
            for name, client in zip(("a", "b"), clients, strict=True):
                self.add(name, Counter(client, "/counter"))
        self.world.pass_time(30.0)

        number = self.recorder.begin("a", 1, Count("/counter"))
        self.world.result(clients[0].sync("/counter"))
        value, _ = self.world.result(clients[0].get("/counter"))
        self.recorder.end(number, Outcome.APPLIED, Number(int(value)))

        history = self.recorder.history()
        self.assertEqual([str(finding) for finding in judge(history)], [])
        self.assertIs(search(history.operations, COUNTER).verdict, Verdict.LINEARIZABLE)
