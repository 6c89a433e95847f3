"""A provider that is closed, or whose calls are cancelled, at any moment leaves nothing, and touches nobody else.

The world fails a test that leaves a delayed call, a connection or a thread.
"""

from __future__ import annotations

from pathlib import Path

from twisted.internet.defer import CancelledError
from twisted.logger import LogLevel, capturedLogs

from txmirror.discovery import ServiceProvider
from txmirror.errors import NoInstanceException
from txmirror.test.discovery.case import PATH, ProviderTestCase, names
from txmirror.types import Instance


class ClosingTests(ProviderTestCase):
    def closes(self, provider: ServiceProvider) -> None:
        """Close a provider, and check that its calls end, and that it is as good as gone."""
        waiting = provider.instance(wait=50, avoid=provider.instances())
        provider.watch(lambda _: self.fail("it is closed"))
        provider.close()
        self.failureResultOf(waiting, NoInstanceException)
        self.make("z")
        self.world.pass_time(1)

    def test_while_reading(self) -> None:
        """The list is being read."""
        self.make("a")
        provider = ServiceProvider(self.registry, PATH)
        self.closes(provider)
        self.assertEqual(provider.instances(), [])

    def test_while_registry_stops(self) -> None:
        self.make("a")
        provider = self.provider()
        stopped = self.registry.stop()
        self.closes(provider)
        self.world.result(stopped)

    def test_while_away(self) -> None:
        self.make("a")
        provider = self.provider(hold_for=60.0)
        self.world.disconnect(self.registry)
        self.closes(provider)
        self.world.reconnect(self.registry)

    def test_while_held_back(self) -> None:
        """The timer of the hold ends with it."""
        self.make("ab")
        provider = self.provider(hold_for=600.0)
        self.world.disconnect(self.registry)
        self.remove("ab")
        self.world.reconnect(self.registry)
        self.world.pass_time(6)
        self.assertEqual(names(provider.instances()), "ab")
        self.closes(provider)

    def test_while_down(self) -> None:
        """So does that of the marks."""
        self.make("a")
        provider = self.provider(down_for=600.0)
        (a,) = provider.instances()
        provider.failed(a)
        provider.failed(a)
        self.closes(provider)
        provider.failed(a)
        provider.succeeded(a)

    def test_while_cache_file_is_read(self) -> None:
        """A thread reads the file."""
        self.world.result(self.registry.stop())
        self.world.disconnect()
        registry = self.world.registry(start=False, cachefile=str(Path(self.mktemp()).absolute()))
        provider = ServiceProvider(registry, PATH)
        self.world.pass_time(0.999)
        self.world.reactor.advance(0.001)
        provider.close()
        self.world.reconnect()

    def test_by_callback(self) -> None:
        """A call's own callback closes it: the other calls fail, and no watcher is called."""
        provider = self.provider()
        first, second = provider.instance(), provider.instance()
        first.addCallback(lambda _: provider.close())
        provider.watch(lambda _: self.fail("it is closed"))
        self.make("a")
        self.successResultOf(first)
        self.failureResultOf(second, NoInstanceException)

    def test_by_watcher(self) -> None:
        provider = self.provider()
        provider.watch(lambda _: provider.close())
        self.make("ab")
        self.assertIn("closed", self.reason(provider.instance()))

    def test_failing_watcher(self) -> None:
        """A watcher that raises is logged, and the others are called."""
        provider = self.provider()
        seen: list[str] = []
        provider.watch(lambda instances: instances[1])
        provider.watch(lambda instances: seen.append(names(instances)))
        self.make("a")
        self.assertEqual(seen, ["a"])
        self.assertEqual(len(self.flushLoggedErrors(IndexError)), 1)


class CancellingTests(ProviderTestCase):
    def test_each_moment(self) -> None:
        """A cancelled call ends at once, before the list is read, while all are down, and while all are avoided."""
        self.make("a")
        provider = ServiceProvider(self.registry, PATH)
        self.providers.append(provider)
        waiting = [provider.instance()]
        self.world.settle()
        self.successResultOf(waiting.pop())
        unread = ServiceProvider(self.registry, PATH + "/unread")
        waiting.append(unread.instance())
        (a,) = provider.instances()
        waiting.append(provider.instance(avoid=[a]))
        provider.failed(a)
        provider.failed(a)
        waiting.append(provider.instance())
        other = provider.instance(wait=60)
        for each in waiting:
            each.cancel()
            self.failureResultOf(each, CancelledError)
        unread.close()
        self.world.pass_time(31)
        self.assertEqual(self.successResultOf(other).name, "a:1")

    def test_by_another(self) -> None:
        """The callback of a call cancels the next one, which gets nothing; the one after it gets its instance."""
        provider = self.provider()
        first, second, third = (provider.instance() for _ in range(3))

        def cancel(instance: Instance) -> Instance:
            second.cancel()
            return instance

        first.addCallback(cancel)
        self.make("a")
        self.failureResultOf(second, CancelledError)
        self.assertEqual([self.successResultOf(each).name for each in (first, third)], ["a:1", "a:1"])


class LogTests(ProviderTestCase):
    def warnings(self) -> list[str]:
        """Return the warnings of a provider of 8 unreadable nodes, of which one changes and one is deleted."""
        self.make("abcdefgh", b"\xff")
        with capturedLogs() as events:
            provider = self.provider()
            self.world.result(self.other.set(f"{PATH}/a:1", b"\xff\xff"))
            self.remove("b")
            self.world.disconnect(self.registry)
            self.world.reconnect(self.registry)
            self.world.pass_time(6)
        self.assertEqual(len(provider.omitted), 7)
        return [
            str(each.get("path") or each.get("count"))
            for each in events
            if each["log_level"] is LogLevel.warn and each["log_namespace"].startswith("txmirror.discovery")
        ]

    def test_once(self) -> None:
        """Each is said once for each reason, and five at a time."""
        self.assertEqual(self.warnings(), [*(f"{PATH}/{letter}:1" for letter in "abcde"), "3", f"{PATH}/a:1"])
