"""The watchdog is notified at half of its timeout, while there is progress."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from txmirror.service.watchdog import Watchdog, find_standstill
from txmirror.test.service.case import DaemonTestCase, Log, S, service


class WatchdogTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.times: list[float] = []
        self.reasons: list[str] = []
        self.log = Log()
        globalLogPublisher.addObserver(self.log)
        self.addCleanup(globalLogPublisher.removeObserver, self.log)

    def start(self, timeout: float) -> Watchdog:
        watchdog = Watchdog(timeout, lambda: self.reasons, lambda: self.times.append(self.clock.seconds()), self.clock)
        watchdog.start()
        self.addCleanup(watchdog.stop)
        return watchdog

    def pass_time(self, seconds: int) -> None:
        self.clock.pump([0.5] * (2 * seconds))

    def test_half(self) -> None:
        """It is notified at once, and at half of the timeout."""
        watchdog = self.start(30)
        self.pass_time(50)
        self.assertEqual(self.times, [0, 15, 30, 45])
        watchdog.stop()
        self.pass_time(50)
        self.assertEqual(len(self.times), 4)
        self.assertEqual(self.log.lines, [])

    def test_withheld(self) -> None:
        """It is not notified while there is no progress, which is one error for each reason; and then at once."""
        watchdog = self.start(30)
        self.reasons = ["web hangs"]
        self.pass_time(20)
        self.reasons = ["web hangs", "so does db"]
        self.pass_time(5)
        self.assertEqual((self.times, watchdog.reason), ([0], "web hangs; so does db"))
        text = "The watchdog is not notified, which leads to a restart: "
        self.assertEqual(self.log.lines, [f"{text}web hangs.", f"{text}web hangs; so does db."])
        self.reasons = []
        self.pass_time(16)
        self.assertEqual((self.times, watchdog.reason), ([0, 26, 41], ""))
        self.assertEqual(self.log.lines[2:], ["There is progress again, and the watchdog is notified."])

    def test_extreme(self) -> None:
        """A timeout that is too short does not take all CPU time, and a long one does not exceed a reactor's timer."""
        self.start(0.000001)
        self.clock.pump([0.001] * 1000)
        self.assertLess(len(self.times), 22)
        self.times.clear()
        self.start(1.8e13)
        self.assertEqual(len(self.times), 1)
        self.assertLessEqual(max(call.getTime() for call in self.clock.getDelayedCalls()), self.clock.seconds() + 3600)


class StandstillTests(DaemonTestCase):
    def test_outage(self) -> None:
        """Neither an outage of ZooKeeper, nor a probe that never comes, nor a stop is a standstill."""
        daemon = self.daemon(service("web"))
        for _ in range(20):
            self.assertEqual(find_standstill(daemon), [])
            self.reactor.pass_time(S / 2)
        self.server.listen(2181)
        # A pause between two attempts takes up to 5 s.
        self.reactor.pass_time(2 * S)
        self.push(daemon, "web")
        self.assertEqual(list(self.registered()), ["web"])
        self.assertEqual(find_standstill(daemon), [])
        self.server.stop()
        for _ in range(20):
            self.assertEqual(find_standstill(daemon), [])
            self.reactor.pass_time(S / 2)

    def test_dead_loop(self) -> None:
        """A dead loop of a check is a standstill, until the daemon stops."""
        daemon = self.daemon(service("web"), service("db"))
        loop = daemon.checks.services["web"].checks[0]._loop
        assert loop is not None
        loop._due = self.reactor.seconds() - 10.5
        self.assertEqual(find_standstill(daemon), ["the loops of these checks do nothing any more: web/c0"])
        # It has ended by itself, so that the stop does not end it.
        task, loop._task = loop._task, None
        daemon.stopService()
        self.assertEqual(daemon.checks.dead(), ["web/c0"])
        self.assertEqual(find_standstill(daemon), [])
        loop._task = task
        loop.stop()

    def test_stuck_client(self) -> None:
        """A client that does not connect any more is a standstill."""
        daemon = self.daemon(service("web"))
        session = daemon.registrations.session
        assert session is not None
        client: Any = session.client
        client._session._attempts.reconnector.stop()
        text = "the client of ZooKeeper neither has a connection nor tries to get one"
        self.assertEqual(find_standstill(daemon), [text])
