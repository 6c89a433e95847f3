"""The heartbeat is for a supervisor: it stops when a check makes no progress."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from txmirror.service.heartbeat import Heartbeat
from txmirror.test.service.case import Log


class HeartbeatTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.file = Path(self.mktemp())
        self.stuck: list[str] = []
        self.log = Log()
        globalLogPublisher.addObserver(self.log)
        self.addCleanup(globalLogPublisher.removeObserver, self.log)

    def beats(self, heartbeat: Heartbeat) -> bool:
        """Return whether the file is touched in the next ten seconds."""
        self.file.unlink(missing_ok=True)
        self.clock.advance(10)
        return self.file.exists()

    def test_touched(self) -> None:
        """The file is touched at once and every ten seconds, while all checks make progress."""
        heartbeat = Heartbeat(str(self.file), lambda: self.stuck, self.clock)
        heartbeat.start()
        self.assertTrue(self.file.exists())
        self.assertTrue(self.beats(heartbeat))
        self.stuck.append("web/tcp")
        self.assertFalse(self.beats(heartbeat))
        self.assertFalse(self.beats(heartbeat))
        self.assertEqual(len(self.log.about("the checks web/tcp make no progress")), 1)
        self.stuck.clear()
        self.assertTrue(self.beats(heartbeat))
        heartbeat.stop()
        self.assertFalse(self.beats(heartbeat))

    def test_cannot(self) -> None:
        """If it cannot be touched, one line is logged."""
        self.file = self.file / "missing"
        heartbeat = Heartbeat(str(self.file), lambda: self.stuck, self.clock)
        heartbeat.start()
        self.clock.advance(10)
        self.assertEqual(len(self.log.about("is not touched")), 1)
        heartbeat.stop()
