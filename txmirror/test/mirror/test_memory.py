"""The memory of a mirror is proportional to the nodes that it shows, however long it has been running."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable

from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from txmirror.test.mirror.world import World

#: What may be left in the end, in bytes: it is not the same at each moment, nor with each Python (9,400 were seen with 3.10).
#: It is less than 40 reconnections would leave with an object of 400 bytes each, or 200 trees with an entry in a dictionary
#: each.
_SLACK = 16_000


class MemoryTests(SynchronousTestCase):
    def setUp(self) -> None:
        # Whoever is told of what is logged may keep it, as trial's workers do until there is time to tell it on.
        self.patch(globalLogPublisher, "_observers", [])
        self.world = World()
        self.addCleanup(self.world.close)
        self.mirror = self.world.mirror
        self.world.result(self.mirror.connect())
        for path in ("/s", "/s/a", "/s/a/x", "/s/b"):
            self.world.make(path, path.encode())

    def assert_no_growth(self, step: Callable[[], object], times: int, traced: int) -> None:
        """Check that repeating an action leaves nothing behind.

        :param times: how often.
        :param traced: how many of them, the last, are measured, which makes them slow. A tenth as many go before.
        """
        for _ in range(times - traced - traced // 10):
            step()
        tracemalloc.start()
        try:
            for _ in range(traced // 10):
                step()
            gc.collect()
            before, _ = tracemalloc.get_traced_memory()
            for _ in range(traced):
                step()
            gc.collect()
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        self.assertLess(after - before, _SLACK)

    def test_closed_trees(self) -> None:
        """M8: of a thousand trees that were made and closed nothing is left."""

        def make_and_close() -> None:
            trees = [self.mirror.tree("/s") for _ in range(10)]
            for tree in trees:
                tree.watch(lambda change: None)
            self.world.settle()
            for tree in trees:
                self.assertEqual(len(tree), 4)
                tree.close()
            self.world.settle()

        self.assert_no_growth(make_and_close, 100, 20)

    def test_reconnections(self) -> None:
        """M8: a hundred reconnections, with changes in between, leave nothing in memory."""
        tree = self.mirror.tree("/s")
        node = self.mirror.get("/s/b")
        changes = iter(range(100, 200))

        def reconnect() -> None:
            data = b"%d" % next(changes)
            self.world.link.cut()
            self.world.change("/s/b", data)
            self.world.remove("/s/a/x")
            self.world.make("/s/a/x", data)
            # Each connection lives, and so the next one is made at once.
            self.world.pass_time(4.0)
            self.assertTrue(tree.settled)
            self.assertEqual(node.state.value, data)

        self.assert_no_growth(reconnect, 100, 40)
