"""The marks of parts that are not up to date: which are to be read, and how many are unsettled."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txmirror.mirror.branch import Selection
from txmirror.mirror.store import DATA, NAMES, PartState, Store, TreeIndex


class Tree:
    """A subtree that does no more than count."""

    def __init__(self, path: str, depth: int | None = None) -> None:
        self.path = path
        self.covers = Selection(path, depth, None).covers
        self.unsettled = 0


class StoreTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.trees = TreeIndex()
        self.store = Store(self.trees)

    def add(self, path: str, depth: int | None = None) -> Tree:
        tree = Tree(path, depth)
        self.trees.add(path, tree)
        return tree

    def assert_state(self, state: PartState, unsettled: int) -> None:
        self.assertIs(self.store.state(DATA, "/a"), state)
        self.assertEqual(self.store.unsettled, unsettled)


class MarkTests(StoreTestCase):
    def test_at_first(self) -> None:
        """M7c: nothing is read that nobody wants."""
        self.assert_state(PartState.CURRENT, 0)
        self.assertFalse(self.store.begin_read(DATA, "/a"))

    def test_read(self) -> None:
        """M5: a stale part is read, and then settled."""
        self.assertTrue(self.store.invalidate(DATA, "/a"))
        self.assert_state(PartState.STALE, 1)
        self.assertEqual(list(self.store.stale(DATA)), ["/a"])
        self.assertTrue(self.store.begin_read(DATA, "/a"))
        self.assert_state(PartState.READING, 1)
        self.assertTrue(self.store.settle(DATA, "/a"))
        self.assert_state(PartState.CURRENT, 0)

    def test_parts(self) -> None:
        """The two parts of a node have nothing to do with one another."""
        self.store.invalidate(NAMES, "/a")
        self.assert_state(PartState.CURRENT, 1)
        self.assertTrue(self.store.marked("/a"))
        self.store.discard(NAMES, "/a")
        self.assertFalse(self.store.marked("/a"))

    def test_stale_twice(self) -> None:
        """A stale value is read once, however often it has changed."""
        self.store.invalidate(DATA, "/a")
        self.store.invalidate(DATA, "/a")
        self.assert_state(PartState.STALE, 1)

    def test_changed_while_read(self) -> None:
        """M2: a change during a read is another change: it stays to be read."""
        self.store.invalidate(DATA, "/a")
        self.store.begin_read(DATA, "/a")
        self.assertFalse(self.store.invalidate(DATA, "/a"))
        self.assertFalse(self.store.invalidate(DATA, "/a"))
        self.assert_state(PartState.OUTDATED, 1)
        self.assertFalse(self.store.settle(DATA, "/a"))
        self.assert_state(PartState.STALE, 1)

    def test_interrupted(self) -> None:
        """M7: a lost read leaves it to be read."""
        self.store.invalidate(DATA, "/a")
        self.store.begin_read(DATA, "/a")
        self.assertTrue(self.store.interrupt(DATA, "/a"))
        self.assert_state(PartState.STALE, 1)
        self.assertFalse(self.store.interrupt(DATA, "/nowhere"))

    def test_refused(self) -> None:
        """M5: an unreadable part does not count as unsettled; while it is read again, it does."""
        self.store.invalidate(DATA, "/a")
        self.store.begin_read(DATA, "/a")
        self.store.refuse(DATA, "/a")
        self.assert_state(PartState.REFUSED, 0)
        self.assertTrue(self.store.invalidate(DATA, "/a"))
        self.assert_state(PartState.STALE, 1)
        self.store.refuse(DATA, "/a")
        self.store.discard(DATA, "/a")
        self.assert_state(PartState.CURRENT, 0)

    def test_postponed(self) -> None:
        """M3: a part that a lagging server has answered stays unsettled, and is not read before its time."""
        self.store.invalidate(DATA, "/a")
        self.store.begin_read(DATA, "/a")
        self.store.postpone(DATA, "/a")
        self.assert_state(PartState.POSTPONED, 1)
        self.assertEqual(list(self.store.stale(DATA)), [])

    def test_late(self) -> None:
        """M3: a reply that is older than one before it is late."""
        self.assertEqual([self.store.is_late(zxid) for zxid in (5, 5, 4, 6, 5)], [False, False, True, False, True])


class SiblingTests(StoreTestCase):
    """The children of one node, which become stale together."""

    def check(self, marked: list[str]) -> None:
        """Check that each tree counts as many as it counts if they become stale one after the other."""
        siblings = ["/p/a", "/p/b", "/p/c"]
        alone = Store(self.trees)
        counts = []
        for store in (alone, self.store):
            trees = self.trees.covering("/p/b")
            for tree in trees:
                tree.unsettled = 0
            for path in marked:
                store.invalidate(DATA, path)
                store.begin_read(DATA, path)
            if store is alone:
                stale = [path for path in siblings if store.invalidate(DATA, path)]
            else:
                stale = list(store.invalidate_siblings(DATA, siblings))
            self.assertEqual(stale, [path for path in siblings if path not in marked])
            self.assertEqual(
                [store.state(DATA, path) is PartState.OUTDATED for path in siblings].count(True), len(marked)
            )
            counts.append((store.unsettled, [tree.unsettled for tree in trees]))
        self.assertEqual(*counts)

    def test_one_root(self) -> None:
        """The trees with the same root count all of them."""
        self.add("/")
        self.add("/", depth=1)
        self.check([])

    def test_roots(self) -> None:
        """With trees elsewhere, those above count all of them."""
        self.add("/")
        self.add("/p", depth=1)
        self.add("/elsewhere")
        self.check([])

    def test_root_among_them(self) -> None:
        """A tree with its root at one of them counts that one only."""
        self.add("/p")
        self.add("/p/b")
        self.check([])

    def test_marked(self) -> None:
        """A part that was being read is read once more, and counted once."""
        self.add("/p")
        self.add("/elsewhere")
        self.check(["/p/b"])


class CountTests(StoreTestCase):
    def test_trees(self) -> None:
        """Each tree counts its own parts."""
        everything, below, flat = self.add("/"), self.add("/a"), self.add("/", depth=1)
        self.store.invalidate(DATA, "/a/x")
        self.store.invalidate(DATA, "/b")
        self.assertEqual([tree.unsettled for tree in (everything, below, flat)], [2, 1, 1])
        self.store.discard(DATA, "/a/x")
        self.assertEqual([tree.unsettled for tree in (everything, below, flat)], [1, 0, 1])
        self.assertEqual(self.store.take_finished(), [below])
        self.assertEqual(self.store.take_finished(), [])

    def test_finished_and_unsettled_again(self) -> None:
        """A tree that has settled and not settled since is not named."""
        self.add("/")
        self.store.invalidate(DATA, "/a")
        self.store.discard(DATA, "/a")
        self.store.invalidate(DATA, "/b")
        self.assertEqual(self.store.take_finished(), [])

    def test_added_meanwhile(self) -> None:
        """A tree that is added while a part is being read counts it as soon as it asks for it."""
        self.store.invalidate(DATA, "/a")
        tree = self.add("/")
        self.assertEqual(tree.unsettled, 0)
        self.store.invalidate(DATA, "/a")
        self.assertEqual((tree.unsettled, self.store.unsettled), (1, 1))
        other = self.add("/a")
        self.assertTrue(self.store.is_pending(DATA, "/a"))
        self.assertEqual((tree.unsettled, other.unsettled, self.store.unsettled), (1, 1, 1))

    def test_removed_meanwhile(self) -> None:
        """A tree that was removed gets nothing more."""
        tree, other = self.add("/"), self.add("/a")
        self.store.invalidate(DATA, "/a")
        self.trees.remove("/", tree)
        self.assertEqual(self.store.covering(DATA, "/a"), (other,))
        self.assertEqual(self.trees.at("/"), [])

    def test_covering(self) -> None:
        """A path belongs to the trees at it and above it, and to no other."""
        tree, other = self.add("/a"), self.add("/a/b")
        self.assertEqual(self.trees.covering("/a/b/c"), (other, tree))
        self.assertEqual(self.trees.covering("/ab"), ())
        self.trees.remove("/a/b", other)
        self.assertEqual(self.trees.covering("/a/b/c"), (tree,))
        self.assertEqual(self.trees.covering("/ab"), ())
