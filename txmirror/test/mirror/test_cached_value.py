"""A cached value keeps the data or children of a node, and its guarantees to readers and watchers, with no server in sight."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from txmirror.errors import NoAuthException
from txmirror.mirror.cached_value import CachedValue
from txmirror.test.mirror.world import record_log


class CachedValueTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.log_lines = record_log(self)
        self.cached: CachedValue[str] = CachedValue("/a")
        self.told: list[str | None] = []

    def take(self, identity: object, value: str | None, zxid: int) -> None:
        """Take a value, whether or not it was read."""
        self.cached.show(identity, value, zxid, lambda: None)

    def show(self, value: str | None, zxid: int) -> None:
        """Take a value that was read, with a watch."""
        self.take(value, value, zxid)
        self.cached.settled()


class KnowingTests(CachedValueTestCase):
    def test_unknown(self) -> None:
        """M2: at first nothing is known."""
        self.assertFalse(self.cached.known)

    def test_known(self) -> None:
        """M2: a value that was read is known."""
        self.show("one", 1)
        self.assertEqual((self.cached.known, self.cached.value, self.cached.zxid), (True, "one", 1))

    def test_absent_is_known(self) -> None:
        """M2: the absence of a node is a known value, too."""
        self.show(None, 1)
        self.assertTrue(self.cached.known)
        self.assertIsNone(self.cached.value)

    def test_stored_before_watchers(self) -> None:
        """The function for snapshots is called when the value is stored, and before any watcher."""
        order: list[str] = []
        self.cached.watch("key", lambda value: order.append("watcher"))
        self.cached.show("one", "one", 1, lambda: order.append(f"stored {self.cached.value}"))
        self.assertEqual(order, ["stored one", "watcher"])

    def test_never_backwards(self) -> None:
        """M3: an older value than the known one is ignored."""
        self.show("two", 2)
        self.take("one", "one", 1)
        self.assertEqual((self.cached.value, self.cached.zxid), ("two", 2))

    def test_absence_never_backwards(self) -> None:
        """M3: older absence is not taken either."""
        self.show("two", 2)
        self.take(None, None, 1)
        self.assertEqual(self.cached.value, "two")

    def test_as_of_later(self) -> None:
        """M3: an unchanged value is known as of the later transaction."""
        self.show("one", 1)
        self.show("one", 3)
        self.take("two", "two", 2)
        self.assertEqual(self.cached.value, "one")

    def test_forgotten(self) -> None:
        """M3: in a new data generation nothing is known, and any transaction counts."""
        self.show("nine", 9)
        self.cached.forget()
        self.assertFalse(self.cached.known)
        self.show("one", 1)
        self.assertEqual(self.cached.value, "one")

    def test_problem_over(self) -> None:
        """M5: a value that can be read again has no problem any more."""
        self.cached.fail(NoAuthException())
        self.assertIsInstance(self.cached.problem, NoAuthException)
        self.show("one", 1)
        self.assertIsNone(self.cached.problem)


class WaitingTests(CachedValueTestCase):
    def test_readers(self) -> None:
        """M2: a reader waits until the value is known."""
        reader = self.cached.when_readable()
        self.take("one", "one", 1)
        self.assertNoResult(reader)
        self.cached.settled()
        self.successResultOf(reader)

    def test_release_unknown(self) -> None:
        """M2: without a value there is no answer: readers continue to wait."""
        reader = self.cached.when_readable()
        self.cached.answer_readers()
        self.assertNoResult(reader)
        self.cached.fail(NoAuthException())
        self.successResultOf(reader)

    def test_release_known(self) -> None:
        """M7: without a connection, readers get the known value; waits for the settled one continue."""
        self.show("one", 1)
        reader, settler = self.cached.when_readable(), self.cached.when_settled()
        self.cached.answer_readers()
        self.successResultOf(reader)
        self.assertNoResult(settler)

    def test_problem(self) -> None:
        """M5: a problem is an answer to everybody."""
        reader, settler = self.cached.when_readable(), self.cached.when_settled()
        self.cached.fail(NoAuthException())
        self.successResultOf(reader)
        self.successResultOf(settler)

    def test_cancel(self) -> None:
        """A cancelled reader waits no more, and the others do."""
        first, second = self.cached.when_readable(), self.cached.when_readable()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.show("one", 1)
        self.successResultOf(second)


class TellingTests(CachedValueTestCase):
    def watch(self, key: object = "key", also: Callable[[str | None], object] = lambda value: None) -> None:
        """Record the calls of a watcher, and then call another function in it."""

        def function(value: str | None) -> None:
            self.told.append(value)
            also(value)

        self.cached.watch(key, function)

    def test_adding(self) -> None:
        """M6: adding a watcher calls nothing."""
        self.show("one", 1)
        self.watch()
        self.assertEqual(self.told, [])

    def test_from_unknown(self) -> None:
        """M6: from unknown to known is a change, and so it is to absent."""
        self.watch()
        self.show("one", 1)
        self.assertEqual(self.told, ["one"])
        self.cached.forget()
        self.show(None, 1)
        self.assertEqual(self.told, ["one", None])

    def test_each_once(self) -> None:
        """M6: the same state is reported once."""
        self.watch()
        self.show("one", 1)
        self.show("one", 2)
        self.show(None, 3)
        self.show(None, 4)
        self.assertEqual(self.told, ["one", None])

    def test_identity(self) -> None:
        """M6: an equal value with another identity is a change."""
        self.watch()
        self.take((1, 1), "one", 1)
        self.take((2, 2), "one", 2)
        self.assertEqual(self.told, ["one", "one"])

    def test_not_told(self) -> None:
        """M6: a value that is no change for a watcher is known all the same."""
        self.watch()
        self.take("same", "one", 1)
        self.take("same", "two", 2)
        self.assertEqual(self.told, ["one"])
        self.assertEqual(self.cached.value, "two")

    def test_forgetting(self) -> None:
        """M3: forget() reports nothing; the next value is reported, even if it is the same."""
        self.watch()
        self.show("one", 9)
        self.cached.forget()
        self.assertEqual(self.told, ["one"])
        self.show("one", 1)
        self.assertEqual(self.told, ["one", "one"])

    def test_order(self) -> None:
        """M6: nobody sees a second state before all have seen the first, though the first to see it brings it about."""
        order: list[tuple[str, str | None]] = []

        def first(value: str | None) -> None:
            order.append(("first", value))
            if value == "one":
                self.take("two", "two", 2)

        self.cached.watch("first", first)
        self.cached.watch("second", lambda value: order.append(("second", value)))
        self.show("one", 1)
        self.assertEqual(order, [("first", "one"), ("second", "one"), ("first", "two"), ("second", "two")])

    def test_raising(self) -> None:
        """M6: a watcher that raises is logged with its key and path; the others are called, and so is it the next time."""
        calls: list[str | None] = []

        def bad(value: str | None) -> None:
            calls.append(value)
            raise ValueError("a bad watcher")

        self.cached.watch("its key", bad)
        self.watch()
        self.show("one", 1)
        self.show("two", 2)
        self.assertEqual((calls, self.told), (["one", "two"], ["one", "two"]))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)
        self.assertEqual([("its key" in line, "/a" in line) for line in self.log_lines()], [(True, True)] * 2)

    def test_replaced(self) -> None:
        """A key that is used again replaces the former watcher."""
        self.watch("key", lambda value: self.fail("it was replaced"))
        self.cached.watch("key", self.told.append)
        self.show("one", 1)
        self.assertEqual(self.told, ["one"])

    def test_removed(self) -> None:
        """A removed watcher is not called; a second removal does nothing."""
        self.watch("key")
        self.cached.unwatch("key")
        self.cached.unwatch("key")
        self.show("one", 1)
        self.assertEqual(self.told, [])

    def test_removes_another(self) -> None:
        """M6: a watcher that another one removes in the same round is not called."""
        self.watch("first", lambda value: self.cached.unwatch("second"))
        self.watch("second")
        self.show("one", 1)
        self.assertEqual(self.told, ["one"])

    def test_removes_itself(self) -> None:
        """M6: a watcher may remove itself, and the one after it is called."""
        self.watch("first", lambda value: self.cached.unwatch("first"))
        self.watch("second")
        self.show("one", 1)
        self.show("two", 2)
        self.assertEqual(self.told, ["one", "one", "two"])

    def test_adds_another(self) -> None:
        """M6: a watcher that is added in a round is not called in it, but in the next."""
        second: list[str | None] = []
        function = second.append
        self.watch("first", lambda value: self.cached.watch("second", function))
        self.show("one", 1)
        self.assertEqual(second, [])
        self.show("two", 2)
        self.assertEqual(second, ["two"])

    def test_told_before_readers(self) -> None:
        """M4: watchers are called before readers continue."""
        order: list[str] = []
        self.cached.when_readable().addCallback(lambda _: order.append("reader"))
        self.cached.watch("key", lambda value: order.append("watcher"))
        self.show("one", 1)
        self.assertEqual(order, ["watcher", "reader"])
