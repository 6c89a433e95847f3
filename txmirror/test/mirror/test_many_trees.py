"""Many trees on one mirror: what happens in one costs the others nothing."""

from __future__ import annotations

import sys

from twisted.trial.unittest import SynchronousTestCase

from txmirror.mirror import Mirror
from txmirror.testing import World


class ManyTreesTests(SynchronousTestCase):
    def calls_for_a_change(self, count: int) -> int:
        """Give how many calls of functions it takes to take in one change, with so many trees beside its own."""
        with World() as world:
            client = world.client()
            for number in range(count + 1):
                world.result(client.create(f"/{number}"))
            mirror = Mirror(world.connection_string, reactor=world.reactor)
            trees = [mirror.tree(f"/{number}", depth=1) for number in range(count + 1)]
            world.settle()
            calls = 0

            def called(frame: object, event: str, argument: object) -> None:
                nonlocal calls
                calls += event == "call"

            changed = client.set("/0", b"new")
            sys.setprofile(called)
            try:
                world.settle()
            finally:
                sys.setprofile(None)
            world.result(changed)
            self.assertEqual(trees[0]["/0"][0], b"new")
            self.assertTrue(all(tree.settled for tree in trees))
            closed = mirror.close()
            world.pass_time(10)
            self.successResultOf(closed)
            return calls

    def test_change(self) -> None:
        """To take in a change takes as much with a hundred trees as with two."""
        # The first time some things are done once.
        self.calls_for_a_change(1)
        self.assertLess(self.calls_for_a_change(100) - self.calls_for_a_change(1), 50)
