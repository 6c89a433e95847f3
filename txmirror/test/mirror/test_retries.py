"""Failed reads are retried after growing pauses, each node after its own."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txmirror.mirror.retries import Retries


class RetriesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.tried: list[tuple[float, str]] = []
        self.retries = Retries(self.clock, self.retry)
        self.retries.start()

    def retry(self, path: str) -> None:
        """Try in vain."""
        self.tried.append((self.clock.seconds(), path))
        self.retries.later(path)

    def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds * 2)):
            self.clock.advance(0.5)

    def test_pauses_grow(self) -> None:
        """The pauses double, up to a minute."""
        self.retries.later("/a")
        self.pass_time(200.0)
        self.assertEqual([time for time, _ in self.tried], [1.0, 3.0, 7.0, 15.0, 31.0, 63.0, 123.0, 183.0])

    def test_each(self) -> None:
        """A node that fails for the first time does not wait for another that has failed for long."""
        self.retries.later("/a")
        self.pass_time(70.0)
        self.tried.clear()
        self.retries.later("/b")
        self.pass_time(2.0)
        self.assertEqual(self.tried, [(71.0, "/b")])

    def test_together(self) -> None:
        """Retries that are due at nearly the same time are sent together, so that few requests read them."""
        for path in ("/a", "/b", "/c"):
            self.retries.later(path)
            self.clock.advance(0.03)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(0.92)
        self.assertEqual([path for _, path in self.tried], ["/a", "/b", "/c"])

    def test_twice(self) -> None:
        """A node whose two parts have failed waits once."""
        self.retries.later("/a")
        self.retries.later("/a")
        self.pass_time(1.5)
        self.assertEqual(len(self.tried), 1)

    def test_succeeded(self) -> None:
        """Once a node could be read, it is not retried, and its pauses begin anew."""
        self.retries.later("/a")
        self.pass_time(20.0)
        self.retries.succeeded("/a")
        self.tried.clear()
        self.pass_time(100.0)
        self.assertEqual((self.tried, self.retries.failing), ([], {}))
        self.retries.later("/a")
        self.pass_time(1.0)
        self.assertEqual(len(self.tried), 1)

    def test_now(self) -> None:
        """All are retried at once when there is a reason to; the pauses go on growing."""
        self.retries.later("/a")
        self.retries.retry_now()
        self.pass_time(3.0)
        self.assertEqual(self.tried, [(0.0, "/a"), (2.0, "/a")])

    def test_away(self) -> None:
        """Without a connection nothing is retried, and no timer runs; with the next one all is."""
        self.retries.later("/a")
        self.retries.stop()
        self.retries.later("/b")
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.pass_time(10.0)
        self.retries.start()
        self.assertEqual([path for _, path in self.tried], ["/a", "/b"])
