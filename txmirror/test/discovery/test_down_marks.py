"""The marks of instances that are down, on a clock."""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txmirror.discovery.down_marks import DownMarks
from txmirror.test.discovery.case import ProviderTestCase, names


class DownMarksTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.changes: list[str] = []
        self.marks = DownMarks(2, 30.0, self.note, self.clock)
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))
        self.addCleanup(self.marks.stop)

    def note(self) -> None:
        self.changes.append("".join(name for name in "abc" if not self.marks.withheld(name)))

    def fail_twice(self, name: str) -> None:
        for _ in range(2):
            self.marks.failed(name)

    def test_two_in_a_row(self) -> None:
        self.marks.failed("a")
        self.marks.succeeded("a")
        self.marks.failed("a")
        self.marks.failed("b")
        self.assertEqual(self.changes, [])
        self.marks.failed("a")
        self.assertEqual(self.changes, ["bc"])
        self.clock.advance(29.9)
        self.assertTrue(self.marks.withheld("a"))
        self.clock.advance(0.1)
        self.assertEqual(self.changes, ["bc", "abc"])

    def test_each_in_its_time(self) -> None:
        self.fail_twice("a")
        self.clock.advance(10)
        self.fail_twice("b")
        self.assertEqual((self.marks.available_in("a"), self.marks.available_in("b")), (20.0, 30.0))
        self.assertEqual(self.marks.available_in("c"), 0.0)
        self.clock.advance(20)
        self.assertEqual(self.changes[-1], "ac")
        self.clock.advance(10)
        self.assertEqual(self.changes[-1], "abc")

    def test_failures_while_down(self) -> None:
        """Requests that were sent before do not make it longer."""
        self.fail_twice("a")
        self.clock.advance(20)
        self.fail_twice("a")
        self.clock.advance(10)
        self.assertFalse(self.marks.withheld("a"))

    def test_success_while_down(self) -> None:
        """A request that was sent before has succeeded: it works."""
        self.fail_twice("a")
        self.marks.succeeded("a")
        self.assertEqual(self.changes, ["bc", "abc"])
        self.marks.failed("a")
        self.assertFalse(self.marks.withheld("a"))

    def test_probe_fails(self) -> None:
        """After the time one request probes it; its failure marks it down again."""
        self.fail_twice("a")
        self.clock.advance(30)
        self.marks.picked("a")
        self.assertTrue(self.marks.withheld("a"))
        self.marks.failed("a")
        self.clock.advance(29.9)
        self.assertTrue(self.marks.withheld("a"))
        self.clock.advance(0.1)
        self.assertFalse(self.marks.withheld("a"))

    def test_probe_succeeds(self) -> None:
        self.fail_twice("a")
        self.clock.advance(30)
        self.marks.picked("a")
        self.marks.succeeded("a")
        self.marks.picked("a")
        self.marks.failed("a")
        self.assertFalse(self.marks.withheld("a"))

    def test_probe_without_result(self) -> None:
        """A program that says nothing gets it again after five seconds; one failure marks it down again."""
        self.fail_twice("a")
        self.clock.advance(30)
        self.marks.picked("a")
        self.clock.advance(4.9)
        self.marks.picked("a")
        self.assertTrue(self.marks.withheld("a"))
        self.clock.advance(0.1)
        self.marks.picked("a")
        self.assertFalse(self.marks.withheld("a"))
        self.marks.failed("a")
        self.assertTrue(self.marks.withheld("a"))

    def test_forgotten(self) -> None:
        self.fail_twice("a")
        self.marks.forget("a")
        self.marks.failed("a")
        self.assertEqual(self.changes, ["bc", "abc"])

    def test_one_failure(self) -> None:
        marks = DownMarks(1, 1.0, self.note, self.clock)
        marks.failed("a")
        self.assertTrue(marks.withheld("a"))
        self.clock.advance(1)
        self.assertFalse(marks.withheld("a"))

    def test_not_watched(self) -> None:
        """Without a timer, time counts when it is asked for."""
        self.marks.watched = False
        self.fail_twice("a")
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(29.9)
        self.marks.expire()
        self.assertTrue(self.marks.withheld("a"))
        self.clock.advance(0.1)
        self.marks.expire()
        self.assertEqual(self.changes, ["bc", "abc"])

    def test_watched_later(self) -> None:
        """The timer runs while it is watched."""
        self.marks.watched = False
        self.fail_twice("a")
        self.clock.advance(10)
        self.marks.watched = True
        self.clock.advance(20)
        self.assertEqual(self.changes, ["bc", "abc"])
        self.fail_twice("b")
        self.marks.watched = False
        self.assertEqual(self.clock.getDelayedCalls(), [])


class OfProviderTests(ProviderTestCase):
    def test_no_timer(self) -> None:
        """A provider that nobody watches leaves no timer behind when its registry has stopped; the marks count as before."""
        self.make("ab")
        provider = self.provider()
        a = self.successResultOf(provider.instance(avoid=provider.instances()[1:]))
        for _ in range(2):
            provider.failed(a)
        waiting = provider.instance(avoid=provider.instances())
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.world.close()
        self.assertEqual(self.world.reactor.getDelayedCalls(), [])
        self.world.pass_time(29.0)
        self.assertEqual(self.picks(provider, 2), "bb")
        self.world.pass_time(1.0)
        self.assertEqual(names(provider.instances()), "ab")

    def test_registered_again(self) -> None:
        """A new node of the same name has no failures."""
        self.make("ab")
        provider = self.provider()
        (a, _) = provider.instances()
        provider.failed(a)
        provider.failed(a)
        self.remove("a")
        self.make("a")
        self.assertEqual(names(provider.instances()), "ab")
        provider.failed(a)
        self.assertEqual(names(provider.instances()), "ab")

    def test_registered_again_while_away(self) -> None:
        self.make("ab")
        provider = self.provider()
        (a, _) = provider.instances()
        for _ in range(2):
            provider.failed(a)
        self.world.disconnect(self.registry)
        self.remove("a")
        self.make("a")
        self.world.reconnect(self.registry)
        self.world.pass_time(6)
        self.assertEqual(names(provider.instances()), "ab")

    def test_changed(self) -> None:
        """An instance whose data changes at the same address stays down; at another address it is another one."""
        self.make("a", b"h:80")
        provider = self.provider()
        (a,) = provider.instances()
        for _ in range(2):
            provider.failed(a)
        self.world.result(self.other.set("/services/web/a:1", b"h:80:5"))
        self.assertEqual(provider.instances(), [])
        self.world.result(self.other.set("/services/web/a:1", b"h:81"))
        self.assertEqual(names(provider.instances()), "a")
        for _ in range(2):
            provider.failed(a)
        self.assertEqual(names(provider.instances()), "a")

    def test_unknown(self) -> None:
        """Feedback about an instance that has gone does nothing."""
        self.make("a")
        provider = self.provider()
        (a,) = provider.instances()
        self.remove("a")
        provider.failed(a)
        provider.failed(a)
        provider.succeeded(a)
        self.make("a")
        self.assertEqual(names(provider.instances()), "a")

    def test_one_probe(self) -> None:
        """Of several calls, one gets the instance that was down; the others wait for its result."""
        self.make("a")
        provider = self.provider(down_for=1.0)
        (a,) = provider.instances()
        for _ in range(2):
            provider.failed(a)
        waiting = [provider.instance(wait=10), provider.instance(wait=10)]
        self.world.pass_time(1)
        self.assertEqual(self.successResultOf(waiting[0]).name, "a:1")
        self.assertNoResult(waiting[1])
        provider.succeeded(a)
        self.world.settle()
        self.assertEqual(self.successResultOf(waiting[1]).name, "a:1")
