"""The provider: it picks, waits and follows the service."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import attrs
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from txmirror.discovery.waiting import WaitingCalls
from txmirror.errors import NoInstanceException
from txmirror.interfaces import IServiceProvider, IStrategy
from txmirror.test.discovery.case import PATH, ProviderTestCase, names
from txmirror.types import Instance


class PickingTests(ProviderTestCase):
    def test_interface(self) -> None:
        verifyObject(IServiceProvider, self.provider())

    def test_in_turn(self) -> None:
        self.make("abc")
        provider = self.provider()
        self.assertIn(self.picks(provider, 6), ("abcabc", "bcabca", "cabcab"))

    def test_leaving(self) -> None:
        """An instance that goes is not picked any more, and one that comes is."""
        self.make("abc")
        provider = self.provider()
        self.remove("b")
        self.make("d")
        self.assertEqual(names(provider.instances()), "acd")
        self.assertEqual(sorted(self.picks(provider, 6)), list("aaccdd"))

    def test_avoiding(self) -> None:
        self.make("abc")
        provider = self.provider()
        avoid = [each for each in provider.instances() if each.name != "b:1"]
        self.assertEqual(self.picks(provider, 3, avoid=avoid), "bbb")

    def test_avoiding_many(self) -> None:
        """Also of many, equal instances are avoided, and those that are at another address by now are not."""
        self.make("abcdefghijklmnopq")
        provider = self.provider()
        avoid = [each for each in provider.instances() if each.name != "b:1"]
        self.assertEqual(self.picks(provider, 3, avoid=avoid), "bbb")
        avoid[0] = attrs.evolve(avoid[0], weight=7)
        avoid[1] = attrs.evolve(avoid[1], port=7)
        self.assertEqual(sorted(self.picks(provider, 4, avoid=avoid)), ["b", "b", "c", "c"])

    def test_avoiding_all(self) -> None:
        self.make("ab")
        provider = self.provider()
        waiting = provider.instance(avoid=provider.instances())
        self.assertNoResult(waiting)
        self.make("c")
        self.assertEqual(self.successResultOf(waiting).name, "c:1")


class StrategyTests(ProviderTestCase):
    def test_least_pending(self) -> None:
        """A request that is pending counts, until its context ends."""
        self.make("ab")
        provider = self.provider(pick="least-pending")
        a, b = provider.instances()
        with provider.using(a):
            self.assertEqual(self.picks(provider, 3), "bbb")
            with provider.using(b), provider.using(b):
                self.assertEqual(self.picks(provider, 3), "aaa")
        self.assertEqual(sorted(self.picks(provider, 4)), list("aabb"))

    def test_sticky(self) -> None:
        """Two providers choose the same for equal keys, and still do after an outage."""
        self.make("abcd")
        one, other = (self.provider(pick="sticky", registry=self.world.registry()) for _ in range(2))
        before = [self.picks(one, 1, key=number) for number in range(20)]
        self.assertEqual([self.picks(other, 1, key=number) for number in range(20)], before)
        self.assertGreater(len(set(before)), 1)
        self.world.disconnect()
        self.world.reconnect()
        self.world.pass_time(6)
        self.assertEqual([self.picks(one, 1, key=number) for number in range(20)], before)

    def test_of_program(self) -> None:
        """A program's own strategy gets the key, the same tuple until something changes, and a list if some are avoided."""
        self.make("ab")
        calls: list[tuple[Sequence[Instance], object]] = []

        @implementer(IStrategy)
        class Last:
            def pick(self, instances: Sequence[Instance], key: Hashable | None) -> Instance:
                calls.append((instances, key))
                return instances[-1]

        provider = self.provider(pick=Last())
        self.assertEqual(self.picks(provider, 2, key="k"), "bb")
        self.assertEqual(self.picks(provider, 1, avoid=provider.instances()[1:]), "a")
        self.make("c")
        self.assertEqual(self.picks(provider, 1), "c")
        self.assertIs(calls[0][0], calls[1][0])
        self.assertEqual([type(each) for each, _ in calls], [tuple, tuple, list, tuple])
        self.assertEqual([key for _, key in calls], ["k", "k", None, None])

    def test_bad_key(self) -> None:
        """A key that a strategy cannot use fails its own call only, at once or when there is an instance."""
        provider = self.provider(pick="sticky")
        bad, good = provider.instance(object()), provider.instance("key")
        self.make("a")
        self.failureResultOf(bad, TypeError)
        self.assertEqual(self.successResultOf(good).name, "a:1")
        self.failureResultOf(provider.instance(object()), TypeError)


class KnownTests(ProviderTestCase):
    def test_empty(self) -> None:
        """A list that was read is known, also if it is empty."""
        self.world.disconnect()
        provider = self.provider()
        waiting, cancelled = provider.when_known(), provider.when_known()
        self.assertFalse(provider.known)
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        self.world.reconnect()
        self.world.pass_time(6)
        self.assertIsNone(self.successResultOf(waiting))
        self.assertTrue(provider.known)
        self.successResultOf(provider.when_known())

    def test_closed(self) -> None:
        """The wait ends when the provider is closed."""
        self.world.disconnect()
        provider = self.provider()
        waiting = provider.when_known()
        self.assertNoResult(waiting)
        provider.close()
        self.successResultOf(waiting)
        self.successResultOf(provider.when_known())
        self.assertFalse(provider.known)


def _nothing() -> None:
    pass


class LateTests(SynchronousTestCase):
    def test_late(self) -> None:
        """If the reactor is late, so that an instance has come and the wait is over in the same turn, the call gets the instance."""
        clock, found = Clock(), [Instance(name="a")]
        calls = WaitingCalls(
            lambda key, avoid: found[0] if found else None, lambda *_: NoInstanceException("none"), _nothing
        )
        waiting = calls.add(None, (), 5.0, clock)
        clock.advance(5.0)
        self.assertEqual(self.successResultOf(waiting), found.pop())
        waiting = calls.add(None, (), 5.0, clock)
        clock.advance(5.0)
        self.failureResultOf(waiting, NoInstanceException)
        self.assertFalse(calls)
        self.assertEqual(clock.getDelayedCalls(), [])


class WaitingTests(ProviderTestCase):
    def test_first_list(self) -> None:
        """A call before the list is read waits for it."""
        self.make("a")
        provider = self.provider(registry=self.world.registry(start=False))
        waiting = provider.instance()
        self.world.pass_time(1)
        self.assertEqual(self.successResultOf(waiting).name, "a:1")

    def test_first_instance(self) -> None:
        provider = self.provider()
        waiting = [provider.instance(), provider.instance()]
        self.make("a")
        for each in waiting:
            self.assertEqual(self.successResultOf(each).name, "a:1")

    def test_too_late(self) -> None:
        provider = self.provider(wait=3.0)
        waiting = provider.instance()
        self.world.pass_time(2.9)
        self.assertNoResult(waiting)
        self.world.pass_time(0.2)
        self.assertEqual(self.reason(waiting), f"there is no instance of {PATH!r} within 3 s: the path does not exist")

    def test_no_wait(self) -> None:
        self.assertIn("within 0 s", self.reason(self.provider().instance(wait=0)))

    def test_cancelling(self) -> None:
        """A cancelled call ends, and leaves nothing; another one gets its instance."""
        provider = self.provider()
        waiting, other = provider.instance(), provider.instance()
        waiting.cancel()
        self.failureResultOf(waiting)
        self.make("a")
        self.assertEqual(self.successResultOf(other).name, "a:1")

    def test_closing(self) -> None:
        """Closing ends the waits, and there is no instance any more."""
        provider = self.provider()
        waiting = provider.instance()
        provider.close()
        provider.close()
        for each in (waiting, provider.instance()):
            self.assertEqual(self.reason(each), f"there is no instance of {PATH!r}: the provider is closed")


class WatchingTests(ProviderTestCase):
    def test_changes(self) -> None:
        """A watcher is called when the instances that may be picked have changed, and only then."""
        provider = self.provider()
        seen: list[str] = []

        def watch(instances: object) -> None:
            seen.append(names(provider.instances()))

        provider.watch(watch)
        self.make("ab")
        self.make("c")
        self.assertEqual(seen[-1], "abc")
        before = list(seen)
        # An instance that may not be picked changes nothing.
        self.make("d", b'{"weight": 0}')
        self.assertEqual(seen, before)
        provider.unwatch(watch)
        self.remove("a")
        self.assertEqual(seen, before)


class FeedbackTests(ProviderTestCase):
    def test_down(self) -> None:
        """Two failures in a row mark an instance down, and a success one between them does not count."""
        self.make("ab")
        provider = self.provider()
        a, _ = provider.instances()
        provider.failed(a)
        provider.succeeded(a)
        provider.failed(a)
        self.assertEqual(names(provider.instances()), "ab")
        provider.failed(a)
        self.assertEqual(self.picks(provider, 3), "bbb")
        self.world.pass_time(29.9)
        self.assertEqual(names(provider.instances()), "b")
        self.world.pass_time(0.1)
        self.assertEqual(names(provider.instances()), "ab")

    def test_all_down(self) -> None:
        """A call waits for the first instance that comes back."""
        self.make("a")
        provider = self.provider(down_for=3.0)
        (a,) = provider.instances()
        for _ in range(2):
            provider.failed(a)
        waiting = provider.instance()
        self.world.pass_time(2.9)
        self.assertNoResult(waiting)
        self.world.pass_time(0.2)
        self.assertEqual(self.successResultOf(waiting).name, "a:1")
