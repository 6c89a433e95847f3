"""Many trees on one mirror: changes in one take no work in the others."""

from __future__ import annotations

import sys
from types import FrameType

from twisted.trial.unittest import SynchronousTestCase

from txmirror.mirror import Mirror, MirrorState
from txmirror.testing import World


class ManyTreesTests(SynchronousTestCase):
    def calls_for_a_tree(self, count: int) -> int:
        """Return the number of function calls for another tree of 100 nodes, with so many trees beside it."""
        with World() as world:
            client = world.client()
            world.result(client.create("/new"))
            for number in range(100):
                world.result(client.create(f"/new/{number}"))
            mirror = Mirror(world.connect_string, reactor=world.reactor)
            connected = mirror.connect()
            for number in range(count):
                mirror.tree(f"/{number}", depth=1)
            world.settle()
            calls = 0

            def called(frame: FrameType, event: str, argument: object) -> None:
                nonlocal calls
                calls += event == "call" and "mirror/mirror" in frame.f_code.co_filename

            sys.setprofile(called)
            try:
                tree = mirror.tree("/new", depth=1)
                world.settle()
            finally:
                sys.setprofile(None)
            self.successResultOf(connected)
            self.assertEqual(len(tree), 101)
            closed = mirror.close()
            world.pass_time(10)
            self.successResultOf(closed)
            return calls

    def test_tree(self) -> None:
        """A node of a new tree takes as many calls with a hundred other trees as alone."""
        self.calls_for_a_tree(0)
        alone, many = self.calls_for_a_tree(0), self.calls_for_a_tree(100)
        self.assertLess(many - alone, 300)

    def looks_for_trees(self, count: int) -> int:
        """Return the number of looks at roots while so many trees are made at once, until all are settled."""
        with World() as world:
            mirror = Mirror(world.connect_string, reactor=world.reactor)
            looks = 0

            def called(frame: FrameType, event: str, argument: object) -> None:
                nonlocal looks
                looks += event == "call" and frame.f_code.co_filename.endswith("coverage.py")

            sys.setprofile(called)
            try:
                trees = [mirror.tree(f"/{number}", depth=1) for number in range(count)]
                world.settle()
            finally:
                sys.setprofile(None)
            self.assertTrue(all(tree.settled for tree in trees))
            closed = mirror.close()
            world.pass_time(10)
            self.successResultOf(closed)
            return looks

    def test_trees(self) -> None:
        """Each of many trees takes as many looks at the roots' watches as one of few."""
        few, many = self.looks_for_trees(20), self.looks_for_trees(200)
        self.assertLess(many, 12 * few)

    def calls_for_a_change(self, count: int) -> int:
        """Return the number of function calls for one change, with so many trees beside its own."""
        with World() as world:
            client = world.client()
            for number in range(count + 1):
                world.result(client.create(f"/{number}"))
            mirror = Mirror(world.connect_string, reactor=world.reactor)
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
        """A change takes as much work with a hundred trees as with two."""
        # The first time some things are done once.
        self.calls_for_a_change(1)
        self.assertLess(self.calls_for_a_change(100) - self.calls_for_a_change(1), 50)

    def calls_for_a_return(self, count: int) -> int:
        """Return the number of function calls until so many trees are settled after a reconnection."""
        with World() as world:
            client = world.client()
            mirror = Mirror(client=client, reactor=world.reactor)
            trees = [mirror.tree(f"/{number}") for number in range(count)]
            world.settle()
            calls = 0

            def called(frame: FrameType, event: str, argument: object) -> None:
                nonlocal calls
                # The reactor in memory sorts what it is to call.
                calls += event == "call" and "txmirror" in frame.f_code.co_filename

            (link,) = world.reactor.links
            link.cut()
            sys.setprofile(called)
            try:
                world.pass_time(2.0)
            finally:
                sys.setprofile(None)
            self.assertIs(mirror.state, MirrorState.SETTLED)
            self.assertTrue(all(tree.settled for tree in trees))
            world.result(mirror.close())
            return calls

    def test_return(self) -> None:
        """Each of many trees takes as much to settle as one of few."""
        self.calls_for_a_return(1)
        few, many = self.calls_for_a_return(50), self.calls_for_a_return(500)
        self.assertLess(many, 13 * few)
