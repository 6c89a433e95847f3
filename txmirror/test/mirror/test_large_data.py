"""A tree of large nodes asks a server for no more at a time than it takes: a server makes the whole of a reply in its memory."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from txmirror.client import Limits
from txmirror.interfaces import IMetrics
from txmirror.mirror import Mirror, Tree
from txmirror.testing import World
from txmirror.types import SessionEvent

_LARGE = b"x" * 500_000


@implementer(IMetrics)
class Replies:
    """Notes how large the answers to reads of many nodes are, in bytes."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def sent(self, operation: str, size: int) -> None:
        pass

    def answered(self, operation: str, seconds: float, error: int, size: int) -> None:
        if operation == "MULTI_READ":
            self.sizes.append(size)

    def lost(self, operation: str, seconds: float) -> None:
        pass

    def received(self, size: int) -> None:
        pass

    def connected(self, event: SessionEvent) -> None:
        pass

    def disconnected(self, event: SessionEvent) -> None:
        pass


class LargeNodeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = world = World()
        self.addCleanup(world.close)
        self.other = world.client()
        self.replies = Replies()

    def make(self, path: str, count: int, data: bytes) -> None:
        if not self.world.result(self.other.exists(path)):
            self.world.result(self.other.create(path))
        for number in range(count):
            self.world.result(self.other.create(f"{path}/{number}", data))

    def follow(self, path: str, limits: Limits | None = None) -> Tree:
        client = self.world.client(metrics=self.replies, limits=limits)
        mirror = Mirror(client=client, reactor=self.world.reactor)
        self.addCleanup(lambda: self.world.result(mirror.close()))
        tree = mirror.tree(path)
        self.world.pass_time(5.0)
        self.assertTrue(tree.settled)
        return tree

    def test_all_large(self) -> None:
        """No reply to a tree of large nodes is thrown away, and none is much over a mebibyte."""
        self.make("/large", 60, _LARGE)
        tree = self.follow("/large")
        self.assertEqual(len(tree), 61)
        self.assertLess(max(self.replies.sizes), 5 * len(_LARGE))

    def test_large_after_small(self) -> None:
        """Where many small nodes came before, only those reads of large ones are too much that were on their way."""
        self.make("/small", 1_000, b"")
        self.make("/small/0", 100, _LARGE)
        tree = self.follow("/small")
        self.assertEqual(len(tree), 1_101)
        self.assertEqual(tree["/small/0/99"][0], _LARGE)
        self.assertLess(len([size for size in self.replies.sizes if size > 5 * len(_LARGE)]), 7)

    def test_small(self) -> None:
        """Small nodes are read many at a time."""
        self.make("/small", 5_000, b"")
        self.assertEqual(len(self.follow("/small")), 5_001)
        self.assertLess(len(self.replies.sizes), 80)

    def test_low_limit(self) -> None:
        """All are read where hardly one of them is within the client's limit for a reply."""
        self.make("/some", 100, b"x" * 1_000)
        tree = self.follow("/some", Limits(max_reply=2_000))
        self.assertEqual(len(tree), 101)
        self.assertEqual(tree.unreadable, {})
