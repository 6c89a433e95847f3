"""Reads and watches at the server: only for data that is wanted, and no more after a recovery than before it."""

from __future__ import annotations

from txmirror.errors import NoAuthException
from txmirror.mirror import Existence, MirrorState, Tree
from txmirror.test.mirror.test_scale import ManyTestCase
from txmirror.test.mirror.world import MirrorTestCase, follow_children, watch_children, watch_value
from txmirror.types import CREATOR_ALL_ACL

#: So many seconds after a recovery nothing is left of it at the server.
_SOON = 10.0


class WantedTests(MirrorTestCase):
    """M7c: nobody reads children unasked."""

    def setUp(self) -> None:
        super().setUp()
        for path in ("/a", "/a/x"):
            self.world.make(path, path.encode())
        self.live("/zookeeper")
        self.watches = self.world.server._replica.watches
        self.before = self.world.requests(), self.watches.count()

    def assert_cost(self, requests: int, watches: int) -> None:
        """So many requests were sent since the beginning, and so many watches were added."""
        self.settle()
        self.assertEqual(self.world.requests() - self.before[0], requests)
        self.assertEqual(self.watches.count() - self.before[1], watches)

    def test_value(self) -> None:
        """A node whose children nobody has asked for costs one request and one watch, and settles."""
        node = self.mirror.get("/a")
        watch_value(node)
        self.assert_cost(1, 1)
        self.assertEqual((node.state.value, node.state.children), (b"/a", None))
        self.assertIs(self.mirror.state, MirrorState.SETTLED)

    def test_new_children(self) -> None:
        """New children that nobody has asked for cause no read."""
        self.mirror.get("/a")
        self.settle()
        self.world.make("/a/y")
        # This is somebody else's request.
        self.assert_cost(2, 1)

    def test_children(self) -> None:
        """Once they were asked for they are followed, with a second request and a second watch."""
        node = self.mirror.get("/a")
        self.assertEqual(self.done(node.children()), ["x"])
        self.assert_cost(2, 2)
        self.world.make("/a/y")
        self.assertEqual(node.state.children, ("x", "y"))
        self.assertEqual(self.successResultOf(node.children()), ["x", "y"])
        self.assert_cost(4, 2)

    def test_watcher(self) -> None:
        """A watcher asks for them too. They were unknown, so that the first list is a change."""
        node = self.mirror.get("/a")
        self.settle()
        self.assertEqual(watch_children(node), [])
        lists = watch_children(node, "other")
        self.settle()
        self.assertEqual(lists, [["x"]])
        self.assert_cost(2, 2)

    def test_interest_stays(self) -> None:
        """A reader that has asked once sees the children as long as the node is kept."""
        node = follow_children(self.mirror.get("/a"))
        self.settle()
        self.pass_time(100.0)
        self.world.make("/a/y")
        self.assertEqual(node.state.children, ("x", "y"))

    def test_missing(self) -> None:
        """The children of a node that is known to be missing are known; they are followed when it is created."""
        node = self.mirror.get("/missing")
        self.settle()
        before = self.world.requests()
        lists = watch_children(node)
        self.assertEqual(self.world.requests(), before)
        self.world.make("/missing")
        self.world.make("/missing/x")
        self.assertEqual(lists, [[], ["x"]])

    def test_refused(self) -> None:
        """The children of a node that cannot be read are refused too, and readable with it."""
        self.done(self.other.add_auth("digest", b"joe:secret"))
        self.done(self.other.create("/secret", b"one", CREATOR_ALL_ACL))
        node = self.mirror.get("/secret")
        self.assert_fails(node.value(), NoAuthException)
        self.assert_fails(node.children(), NoAuthException)
        self.done(self.mirror.add_auth("digest", b"joe:secret"))
        self.assertEqual(self.done(node.children()), [])

    def test_away(self) -> None:
        """Asked for without a connection, they are read on return; unknown, they are waited for."""
        node = self.mirror.get("/a")
        self.settle()
        self.world.leave()
        names = node.children(timeout=None)
        self.settle()
        self.assertNoResult(names)
        self.world.come_back()
        self.assertEqual(self.successResultOf(names), ["x"])

    def test_parent(self) -> None:
        """A write waits for the parent's children only if a program wants them."""
        self.mirror.get("/a")
        node = self.mirror.get("/a/y")
        self.settle()
        before = self.world.requests()
        self.done(node.create(b"y"))
        self.settle()
        # The create, and the read that leaves another watch.
        self.assertEqual(self.world.requests() - before, 2)


class NewTreeTests(MirrorTestCase):
    """A node below a tree whose persistent watch is being set: nobody knows yet how it is to be read."""

    def setUp(self) -> None:
        super().setUp()
        for path in ("/a", "/a/x"):
            self.world.make(path, path.encode())
        self.node = self.live("/a/x")

    def begin(self) -> Tree:
        """Make a tree whose request does not reach the server; meanwhile the node changes, and its event comes."""
        self.world.link.stall(to_client=False, to_server=True)
        tree = self.mirror.tree("/a")
        self.world.change("/a/x", b"new")
        self.assertEqual(self.node.state.value, b"/a/x")
        return tree

    def assert_read(self) -> None:
        self.settle()
        self.assertEqual(self.node.state.value, b"new")
        self.assertIs(self.mirror.state, MirrorState.SETTLED)
        self.world.change("/a/x", b"newer")
        self.assertEqual(self.node.state.value, b"newer")

    def test_set(self) -> None:
        """The node is read when the watch is set."""
        tree = self.begin()
        self.world.link.resume()
        self.assert_read()
        self.assertTrue(tree.settled)

    def test_closed(self) -> None:
        """The node is read when the tree is closed before."""
        self.begin().close()
        self.world.link.resume()
        self.assert_read()

    def test_left_out(self) -> None:
        """A node that the tree leaves out is covered by its watch all the same, and watches for itself when that is gone."""
        for depth, keep in ((0, None), (None, lambda path: False)):
            tree = self.mirror.tree("/a", depth=depth, keep=keep)
            node = self.live("/a/x")
            self.settle()
            self.world.change("/a/x", b"covered")
            self.assertEqual((node.state.value, list(tree)), (b"covered", ["/a"]))
            tree.close()
            self.settle()
            self.world.change("/a/x", b"by itself")
            self.assertEqual(node.state.value, b"by itself")
            self.world.change("/a/x", b"again")
            self.assertEqual(node.state.value, b"again")

    def test_cut_off(self) -> None:
        """The node is read after a reconnection."""
        tree = self.begin()
        self.world.leave()
        self.world.come_back()
        self.assert_read()
        self.assertTrue(tree.settled)

    def test_requests(self) -> None:
        """A new tree costs three requests: its watch, its root with the names of the children, and their data."""
        before = self.world.requests()
        tree = self.mirror.tree("/a")
        self.settle()
        self.assertEqual((self.world.requests() - before, len(tree)), (3, 2))


class LeftoverTests(ManyTestCase):
    """M7b: a recovery leaves no watches behind."""

    count = 300
    #: How many watches of a root stand beside its persistent one after a recovery, until they fire.
    beside = 0

    def setUp(self) -> None:
        super().setUp()
        self.plant(self.count)
        self.watches = self.world.server._replica.watches
        self.tree = self.mirror.tree("/s")
        self.node = self.live("/s/1")
        self.settle()
        self.before = self.watches.count()

    def come_back(self) -> None:
        self.world.come_back()
        self.assertTrue(self.tree.settled)

    def assert_followed(self) -> None:
        """All that happens now is seen, though the watches of the recovery are gone."""
        self.assert_count(self.before)
        self.world.change("/s/1", b"later")
        self.world.change("/s/7/1", b"later")
        self.world.make("/s/8/later")
        self.world.remove("/s/9/1")
        self.compare(self.tree)
        self.assertEqual(self.node.state.value, b"later")
        self.world.change("/s/1", b"")
        self.world.remove("/s/8/later")
        self.world.make("/s/9/1", b"old")
        self.assert_count(self.before)

    def assert_count(self, count: int, roots: int = 1) -> None:
        """There are so many watches, but for those of roots."""
        self.assertIn(self.watches.count() - count, range(roots * self.beside + 1))

    def test_recoveries(self) -> None:
        """After one, and after three, in the same session and in new ones, there are as many watches as before."""
        for number, leave in enumerate((self.world.leave, self.world.expire_away, self.world.leave)):
            leave()
            self.world.change("/s/5/2", b"%d" % number)
            self.come_back()
            self.pass_time(_SOON)
            self.assert_followed()

    def test_what_is_sent(self) -> None:
        """A recovery takes a handshake, a setWatches, a read for each change, and a small request for each node some
        time later.
        """
        self.world.leave()
        self.world.change("/s/5/2", b"new")
        before, self.reads = self.world.requests(), 0
        self.come_back()
        self.pass_time(_SOON)
        pings = 6
        self.assertLessEqual(self.reads, 5)
        self.assertLessEqual(self.world.requests() - before, self.count + 100 + 12 + pings)

    def test_cut_off_in_the_middle(self) -> None:
        """A cut while the watches are being set, or removed, leaves none in the end, and nothing goes unseen."""
        for turns in range(0, 24, 2):
            self.world.leave()
            self.world.change("/s/5/2", b"%d" % turns)
            self.world.unpart()
            for _ in range(8):
                self.world.reactor.pass_time(0.3)
                if self.mirror.is_connected():
                    break
            self.pass_time(0.4 * turns / 4)
            self.world.step(turns)
            self.world.leave()
            self.world.change("/s/6/2", b"%d" % turns)
            self.come_back()
            self.compare(self.tree)
        self.pass_time(_SOON)
        self.assert_followed()

    def test_fires_while_removed(self) -> None:
        """A change that comes while the watch on its node is being removed is seen as any other."""
        self.world.leave()
        self.come_back()
        for number in range(40):
            self.pass_time(0.05)
            self.world.change(f"/s/{number}/2", b"%d" % number)
            self.assertEqual(self.tree[f"/s/{number}/2"][0], b"%d" % number)
        self.pass_time(_SOON)
        self.assert_followed()

    def test_closed_meanwhile(self) -> None:
        """A tree that is closed before its watches are removed leaves none."""
        self.world.leave()
        self.come_back()
        self.tree.close()
        self.pass_time(_SOON)
        self.assertEqual(self.watches.count(), 2)
        self.world.change("/s/1", b"seen by its own watch")
        self.assertEqual(self.node.state.value, b"seen by its own watch")

    def test_others(self) -> None:
        """A watch that other code waits for in the same session stays."""
        self.world.leave()
        self.come_back()
        _, watch = self.world.mirror_client.get_and_watch("/s/5/2")
        self.pass_time(_SOON)
        self.world.change("/s/5/2", b"new")
        self.successResultOf(watch)

    def test_absent_root(self) -> None:
        """A root that is missing has its watch, and no other is left."""
        tree = self.mirror.tree("/missing")
        self.settle()
        before = self.watches.count()
        self.world.leave()
        self.come_back()
        self.pass_time(_SOON)
        self.assert_count(before, roots=2)
        self.world.make("/missing")
        self.assertIn("/missing", tree)
        self.assertIs(self.mirror.get("/missing").state.existence, Existence.UNKNOWN)


class NewLeftoverTests(LeftoverTests):
    """Costs at a server that keeps watches of both modes on one path. To remove one of the two would remove both."""

    version = "3.9"
    beside = 2
