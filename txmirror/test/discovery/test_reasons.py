"""The message that says why there is no instance."""

from __future__ import annotations

from txmirror.test.discovery.case import PATH, ProviderTestCase
from txmirror.test.pages.found import tested_blocks


class ReasonsTests(ProviderTestCase):
    def assert_reason(self, reasons: str, **options: object) -> None:
        """Check the message of a provider with some options, without the beginning."""
        message = self.reason(self.provider(**options).instance(wait=0))
        self.assertEqual(message, f"there is no instance of {PATH!r} within 0 s: {reasons}")

    def test_path(self) -> None:
        self.assert_reason("the path does not exist")
        self.make("")
        self.assert_reason("no instance is registered")

    def test_nodes(self) -> None:
        """Each node counts among those with the first reason against it."""
        self.make("ab", b'{"serviceEndpoint": {"host": "h", "port": 1}, "status": "DEAD"}')
        self.make("c", b'{"weight": 0}')
        self.make("d", b"\xff")
        self.assert_reason(
            "2 registered as down; 1 with the weight 0; 1 unreadable (such as 'd:1': not UTF-8 at byte 0: b'\\xff')"
        )

    def test_filter(self) -> None:
        self.make("abc")
        self.assert_reason("3 filtered out by {'zone': 'b'}", where={"zone": "b"})
        self.assert_reason(
            "3 on which the filter has failed (such as 'a:1': the filter raised KeyError('a:1'))",
            where=lambda each: {}[each.name],
        )
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_down(self) -> None:
        self.make("ab")
        provider = self.provider()
        for each in provider.instances():
            provider.failed(each)
            provider.failed(each)
            self.world.pass_time(10)
        self.assertIn("2 down after failures, the first for another 10.0 s", self.reason(provider.instance(wait=0)))

    def test_avoided(self) -> None:
        self.make("ab")
        provider = self.provider()
        reason = self.reason(provider.instance(avoid=provider.instances(), wait=0))
        self.assertIn("2 avoided, after the caller has tried them", reason)

    def test_away(self) -> None:
        """While ZooKeeper is away, the message says so beside the last known reasons."""
        self.make("a", b'{"weight": 0}')
        provider = self.provider()
        self.world.disconnect(self.registry)
        self.world.pass_time(12)
        self.assertIn("ZooKeeper has been away for 12.0 s; 1 with the weight 0", self.reason(provider.instance(wait=0)))

    def test_page(self) -> None:
        """The message in the documentation is that of such a provider."""
        (block,) = tested_blocks("docs/guides/discovery.rst", __name__)
        for name, version in (("a", 2), ("b", 2), ("c", 1)):
            self.make(name, b'{"version": %d}' % version)
        provider = self.provider(where={"version": 2})
        for each in provider.instances():
            provider.failed(each)
            provider.failed(each)
        self.world.pass_time(0.7)
        self.world.disconnect(self.registry)
        self.world.pass_time(7.3)
        waiting = provider.instance(wait=5)
        self.world.pass_time(5)
        self.assertEqual(self.reason(waiting), " ".join(block.lines))

    def test_one_line(self) -> None:
        """A filter with a strange name does not break the line."""

        class Strange(dict[str, object]):
            def __repr__(self) -> str:
                return "\n"

        self.make("a")
        self.assert_reason("1 filtered out by {'zone': \\n}", where={"zone": Strange()})
