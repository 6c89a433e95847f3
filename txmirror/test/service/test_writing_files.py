"""The files of the daemon: one write after another, in threads that may be slow."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from txmirror.service import StateService, state_file
from txmirror.service.maintenance import Maintenance
from txmirror.service.state_file import Origin, SavedSession
from txmirror.test.threaded import ThreadedClock
from txmirror.types import SessionTicket


def session(number: int) -> SavedSession:
    ticket = SessionTicket(number, b"p" * 16, 0)
    return SavedSession(ticket, 4.0, "127.0.0.1:2181", Origin("machine", "boot"), {"a": "/a"})


class WritingFilesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.threads = ThreadedClock()
        self.path = Path(self.mktemp()).absolute()

    def test_cancelled_save(self) -> None:
        """A write that is cancelled while a thread is at it does not replace the content of a later one."""
        service = StateService(str(self.path), self.threads)
        service.startService()
        first = service.save(session(1))
        self.assertEqual(len(self.threads.waiting), 1)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        second = service.save(session(2))
        self.assertEqual(len(self.threads.waiting), 1)
        self.threads.run_threads()
        self.assertIs(self.successResultOf(second), True)
        self.assertEqual(state_file.read(self.path), (session(2), None))
        forgotten = service.forget()
        forgotten.cancel()
        self.failureResultOf(forgotten, CancelledError)
        third = service.save(session(3))
        self.threads.run_threads()
        self.assertIs(self.successResultOf(third), True)
        self.assertEqual(state_file.read(self.path), (session(3), None))
        self.successResultOf(service.stopService())

    def test_cancelled_maintenance(self) -> None:
        """The same holds for the file of what is in maintenance."""
        maintenance = Maintenance(str(self.path), lambda: None, self.threads)
        first = maintenance.set("a", "a reason", None)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        second = maintenance.end("a")
        self.assertEqual(len(self.threads.waiting), 1)
        self.threads.run_threads()
        self.successResultOf(second)
        self.assertIn('"maintenance": {}', self.path.read_text())
