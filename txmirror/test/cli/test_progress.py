"""A progress bar appears on a terminal after a second, and leaves nothing behind."""

from __future__ import annotations

import io

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txmirror.cli.console import Console
from txmirror.cli.progress import Progress


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


class ProgressTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.done = 0
        self.total: int | None = None

    def begin(self, err: io.StringIO, *, quiet: bool = False) -> Progress:
        self.err = err
        self.console = Console(io.StringIO(), err, quiet=quiet)
        progress = Progress(self.console, self.clock, "Deleting", lambda: self.done, lambda: self.total)
        progress.start()
        return progress

    def advance(self, done: int) -> None:
        self.done = done
        for _ in range(12):
            self.clock.advance(0.1)

    def test_bar(self) -> None:
        """It shows the number that is done, with the total once that is known."""
        progress = self.begin(Terminal())
        self.clock.advance(0.9)
        self.assertEqual(self.err.getvalue(), "")
        self.advance(7)
        self.assertRegex(self.err.getvalue(), r"Deleting .*\b7\b")
        self.total = 200
        self.advance(50)
        self.assertIn("50/200", self.err.getvalue())
        progress.stop()
        self.assertTrue(self.err.getvalue().endswith("\r\x1b[K\x1b[?25h"))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_short(self) -> None:
        """Work that takes less than a second has none."""
        progress = self.begin(Terminal())
        self.clock.advance(0.9)
        progress.stop()
        self.assertEqual((self.err.getvalue(), self.clock.getDelayedCalls()), ("", []))

    def test_no_terminal(self) -> None:
        """Neither a pipe nor ``quiet`` has one."""
        for err, quiet in ((io.StringIO(), False), (Terminal(), True)):
            progress = self.begin(err, quiet=quiet)
            self.advance(5)
            progress.stop()
            self.assertEqual(self.err.getvalue(), "")

    def test_message(self) -> None:
        """A message has a line of its own, and the bar comes back below it."""
        progress = self.begin(Terminal())
        self.advance(5)
        self.console.say("hello")
        self.assertTrue(self.err.getvalue().endswith("\r\x1b[K\x1b[?25htxmirror: hello\n"))
        self.advance(6)
        self.assertRegex(self.err.getvalue().rpartition("hello")[2], r"\b6\b")
        progress.stop()

    def test_gone(self) -> None:
        """A terminal that is gone does not end the work."""
        terminal = Terminal()
        progress = self.begin(terminal)

        def write(_: str) -> int:
            raise OSError(5, "Input/output error")

        self.patch(terminal, "write", write)
        self.advance(5)
        progress.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
