"""Reloads: one at a time; requests that come at once share one; nothing is applied after a stop."""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from txmirror.configuration import Configuration, ConfigurationError, Difference, difference, from_options
from txmirror.service.reloading import Reloader
from txmirror.test.service.case import Log
from txmirror.test.threaded import ThreadedClock


def configuration(name: str) -> Configuration:
    return from_options([("register", f"/{name}/1")], servers="127.0.0.1:2181", session_timeout=4.0)


class ReloaderTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.log = Log()
        globalLogPublisher.addObserver(self.log)
        self.addCleanup(globalLogPublisher.removeObserver, self.log)
        self.threads = ThreadedClock()
        self.current = configuration("a")
        #: The content of the file; None if it is invalid.
        self.file: Configuration | None = configuration("b")
        self.applied: list[Configuration] = []
        #: "began", and the results.
        self.steps: list[object] = []
        self.reloader = Reloader(
            self.load, self.apply, self.threads, began=lambda: self.steps.append("began"), ended=self.note
        )

    def note(self, result: object) -> object:
        self.steps.append(type(result))
        return result

    def load(self) -> Configuration:
        if self.file is None:
            raise ConfigurationError(["it is bad"])
        return self.file

    def apply(self, new: Configuration) -> Difference:
        self.applied.append(new)
        return difference(self.current, new)

    def test_shared(self) -> None:
        """Of many requests the first one reads at once, and the others share the next reload."""
        requests = [self.reloader.reload() for _ in range(50)]
        self.assertEqual(len(self.threads.waiting), 1)
        first = self.file
        self.threads.waiting.pop()()
        self.successResultOf(requests[0])
        self.assertNoResult(requests[1])
        self.file = configuration("c")
        self.threads.run_threads()
        self.assertEqual(self.applied, [first, self.file])
        for request in requests[1:]:
            self.assertEqual(len(self.successResultOf(request).added), 1)
        # And later ones begin anew.
        last = self.reloader.reload()
        self.threads.run_threads()
        self.successResultOf(last)
        self.assertEqual(len(self.applied), 3)
        self.assertEqual(self.steps, ["began", Difference] * 3)

    def test_invalid(self) -> None:
        """An invalid file is logged once for all that share a reload; then a valid one is applied."""
        self.file = None
        requests = [self.reloader.reload() for _ in range(3)]
        self.threads.run_threads()
        for request in requests:
            self.assertEqual(self.failureResultOf(request, ConfigurationError).value.lines, ("it is bad",))
        self.assertEqual(self.log.lines, ["Not reloaded: it is bad"] * 2)
        self.assertEqual(self.steps, ["began", Failure] * 2)
        self.file = configuration("c")
        good = self.reloader.reload()
        self.threads.run_threads()
        self.successResultOf(good)
        self.assertEqual(self.applied, [self.file])

    def test_cancelled(self) -> None:
        """Cancelling a request ends only this wait."""
        one, other, third = (self.reloader.reload() for _ in range(3))
        one.cancel()
        other.cancel()
        self.threads.run_threads()
        self.failureResultOf(one, CancelledError)
        self.failureResultOf(other, CancelledError)
        self.successResultOf(third)
        self.assertEqual(len(self.applied), 2)

    def test_stopped(self) -> None:
        """After a stop nothing is applied, although the files were being read, and later requests read nothing."""
        request = self.reloader.reload()
        self.reloader.stop()
        self.threads.run_threads()
        self.failureResultOf(request, ConfigurationError)
        self.failureResultOf(self.reloader.reload(), ConfigurationError)
        self.assertEqual((self.threads.waiting, self.applied), ([], []))
        self.assertEqual(self.log.lines, ["Not reloaded: The daemon is stopping."] * 2)
        self.assertEqual(self.steps, ["began", Failure])

    def test_bug(self) -> None:
        """An unexpected exception is logged, fails the requests, and leaves the next reload possible."""
        self.file = 3  # type: ignore[assignment]
        request = self.reloader.reload()
        self.threads.run_threads()
        self.failureResultOf(request, AttributeError)
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)
        self.file = configuration("c")
        again = self.reloader.reload()
        self.threads.run_threads()
        self.successResultOf(again)
