"""Trees: their nodes, their changes, and their recovery."""

from __future__ import annotations

import attrs
from twisted.internet.defer import Deferred

from txmirror.client import Limits
from txmirror.errors import ClosingException, NoAuthException, ReplyTooLargeException
from txmirror.mirror import Change, ChangeKind, Existence, Mirror, MirrorState, Tree
from txmirror.test.mirror.witnesses import TreeWitness, read_below, shown_below
from txmirror.test.mirror.world import PORT, MirrorTestCase, S, World, watch_children, watch_value
from txmirror.test.models import run_next
from txmirror.types import CREATOR_ALL_ACL, OPEN_ACL
from txmirror.wire import Operation

ADDED, CHANGED, REMOVED = ChangeKind.ADDED, ChangeKind.CHANGED, ChangeKind.REMOVED
HIDDEN, READABLE = ChangeKind.HIDDEN, ChangeKind.READABLE
SETTLED, STALE = ChangeKind.SETTLED, ChangeKind.STALE


class TreeTestCase(MirrorTestCase):
    """Tests of trees, at a server that has persistent watches."""

    def setUp(self) -> None:
        super().setUp()
        self.witnesses: list[TreeWitness] = []
        for path in ("/s", "/s/a", "/s/a/x", "/s/b", "/o"):
            self.world.make(path, path.encode())
        if self.version == "3.4":
            # That a server knows no persistent watches is learned from the connections that it closes.
            tree = self.mirror.tree("/o")
            self.pass_time(3.0)
            tree.close()
            self.settle()

    def tearDown(self) -> None:
        for witness in self.witnesses:
            self.assertEqual(witness.complaints(), [])

    def follow(self, path: str = "/s", **options: object) -> tuple[Tree, TreeWitness]:
        """Make a tree, and watch it."""
        tree = self.mirror.tree(path, **options)  # type: ignore[arg-type]
        witness = TreeWitness(tree)
        self.witnesses.append(witness)
        self.settle()
        return tree, witness

    def assert_equal(self, tree: Tree) -> None:
        """The tree is the server's, in all that it promises."""
        self.settle()
        self.assertTrue(tree.settled, tree)
        there = Deferred.fromCoroutine(read_below(self.other, tree.path))
        self.assertEqual(shown_below(tree), self.done(there))


class ShowingTests(TreeTestCase):
    def test_warm(self) -> None:
        """A tree reports all its nodes, parents first, and then settles."""
        tree, witness = self.follow()
        self.successResultOf(tree.ready())
        told = witness.take()
        self.assertEqual(told[0], (ADDED, "/s"))
        self.assertEqual(told[-1], (SETTLED, "/s"))
        self.assertCountEqual(told[:-1], [(ADDED, path) for path in ("/s", "/s/a", "/s/a/x", "/s/b")])
        self.assert_equal(tree)

    def test_mapping(self) -> None:
        """It is a mapping of paths to data and stats."""
        tree, _ = self.follow()
        data, stat = tree["/s/a"]
        self.assertEqual((data, stat.numChildren), (b"/s/a", 1))
        self.assertEqual(len(tree), 4)
        self.assertIn("/s/b", tree)
        self.assertNotIn("/o", tree)
        self.assertCountEqual(tree, ["/s", "/s/a", "/s/a/x", "/s/b"])
        self.assertRaises(KeyError, lambda: tree["/o"])
        self.assertEqual(tree.children("/s"), ["a", "b"])
        self.assertEqual(tree.children("/s/b"), [])
        self.assertRaises(KeyError, tree.children, "/s/c")

    def test_changes(self) -> None:
        """Each change is reported once, in order, with the old and the new value."""
        tree, _ = self.follow()
        changes: list[Change] = []
        tree.watch(changes.append)
        before = tree["/s/b"]
        self.world.change("/s/b", b"new")
        self.world.make("/s/c")
        self.world.make("/s/c/y")
        self.world.remove("/s/a/x")
        self.assertEqual(
            [change[:2] for change in changes],
            [(CHANGED, "/s/b"), (ADDED, "/s/c"), (ADDED, "/s/c/y"), (REMOVED, "/s/a/x")],
        )
        self.assertEqual(changes[0].old, before)
        assert changes[0].new is not None
        self.assertEqual(changes[0].new[0], b"new")
        self.assert_equal(tree)

    def test_everything(self) -> None:
        """The root of all can be followed, ZooKeeper's own nodes among it."""
        tree, _ = self.follow("/")
        self.assertIn("/zookeeper/quota", tree)
        self.assertEqual(tree.children("/"), ["o", "s", "zookeeper"])
        self.world.make("/p")
        self.assertIn("/p", tree)
        self.assert_equal(tree)

    def test_missing_root(self) -> None:
        """A root that is missing may come, go, and come again."""
        tree, witness = self.follow("/m")
        self.assertEqual(witness.take(), [(SETTLED, "/m")])
        self.world.make("/m", b"1")
        self.world.make("/m/a")
        self.assert_equal(tree)
        self.world.remove("/m/a")
        self.world.remove("/m")
        self.assertEqual(len(tree), 0)
        self.world.make("/m", b"2")
        self.world.make("/m/b")
        self.assert_equal(tree)
        self.assertEqual(
            witness.take(),
            [(ADDED, "/m"), (ADDED, "/m/a"), (REMOVED, "/m/a"), (REMOVED, "/m"), (ADDED, "/m"), (ADDED, "/m/b")],
        )

    def test_recreated(self) -> None:
        """M6: a node that was made anew has changed, with the same data and version too."""
        tree, witness = self.follow()
        witness.take()
        self.other.delete("/s/b")
        self.other.create("/s/b", b"/s/b")
        self.settle()
        self.assertIn(witness.take(), ([(CHANGED, "/s/b")], [(REMOVED, "/s/b"), (ADDED, "/s/b")]))
        self.assert_equal(tree)

    def test_depth(self) -> None:
        """A tree leaves out nodes below its depth."""
        tree, witness = self.follow(depth=1)
        self.assertCountEqual(tree, ["/s", "/s/a", "/s/b"])
        witness.take()
        self.world.change("/s/a/x", b"new")
        self.world.make("/s/b/y")
        self.world.make("/s/c")
        self.assertEqual(witness.take(), [(ADDED, "/s/c")])
        self.assertCountEqual(self.follow("/", depth=0)[0], ["/"])
        self.assertCountEqual(self.follow("/", depth=1)[0], ["/", "/s", "/o", "/zookeeper"])

    def test_keep(self) -> None:
        """A tree leaves out nodes that its filter refuses, and all nodes below them."""
        tree, witness = self.follow(keep=lambda path: not path.endswith("a"))
        self.assertCountEqual(tree, ["/s", "/s/b"])
        witness.take()
        self.world.change("/s/a/x", b"new")
        self.world.make("/s/a/z")
        self.world.make("/s/b/a")
        self.world.make("/s/b/c")
        self.assertEqual(witness.take(), [(ADDED, "/s/b/c")])

    def test_keep_raises(self) -> None:
        """The filter may raise: this is logged, and the node is kept."""

        def keep(path: str) -> bool:
            raise ValueError("unwell")

        tree, _ = self.follow(keep=keep)
        self.assertEqual(len(tree), 4)
        self.assertTrue(self.flushLoggedErrors(ValueError))

    def test_several(self) -> None:
        """Trees do not disturb one another, on one root, one in the other, or beside nodes; nor does one that is closed."""
        outer, _ = self.follow("/s")
        same, _ = self.follow("/s", depth=1)
        inner, _ = self.follow("/s/a")
        node = self.live("/s/a/x")
        root = self.live("/s")
        same.close()
        self.settle()
        self.world.change("/s/a/x", b"new")
        self.world.change("/s", b"new")
        self.assertEqual((outer["/s/a/x"][0], inner["/s/a/x"][0], node.state.value, root.state.value), (b"new",) * 4)
        inner.close()
        self.settle()
        self.world.change("/s/a/x", b"newer")
        self.world.make("/s/z")
        self.assertEqual((outer["/s/a/x"][0], node.state.value), (b"newer", b"newer"))
        outer.close()
        self.settle()
        self.world.change("/s/a/x", b"newest")
        self.world.change("/s", b"newest")
        self.assertEqual((node.state.value, root.state.value), (b"newest", b"newest"))
        self.world.make("/s/y")
        self.assertEqual(self.live("/s").state.children, ("a", "b", "y", "z"))

    def test_wrong_depth(self) -> None:
        """A depth below nothing is refused."""
        self.assertIn("-1", str(self.assertRaises(ValueError, self.mirror.tree, "/s", depth=-1)))
        self.assertIn("\\x00", str(self.assertRaises(ValueError, self.mirror.tree, "a//\0")))


class WatchingTests(TreeTestCase):
    def test_raising(self) -> None:
        """An observer that raises is logged with the path, and the others are called all the same."""

        def bad(change: Change) -> None:
            raise KeyError("unwell")

        tree = self.mirror.tree("/s")
        tree.watch(bad)
        witness = TreeWitness(tree)
        self.settle()
        self.assertEqual(len(witness.take()), 5)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 5)
        tree.unwatch(bad)

    def test_unwatch(self) -> None:
        """A removed observer is not called; removing one that was never added does nothing."""
        tree, _ = self.follow()
        told: list[Change] = []
        tree.watch(told.append)
        tree.unwatch(told.append)
        tree.unwatch(print)
        self.world.change("/s", b"new")
        self.assertEqual(told, [])

    def test_calling_back(self) -> None:
        """M6: an observer may write, close, and make trees; all observers get each change before any gets the next."""
        tree = self.mirror.tree("/s")
        order: list[tuple[str, str]] = []

        def writing(change: Change) -> None:
            order.append(("one", change.path))
            if change[:2] == (ADDED, "/s/b"):
                self.world.mirror_client.create("/s/b/new", b"x")
                self.mirror.tree("/o")

        tree.watch(writing)
        tree.watch(lambda change: order.append(("two", change.path)))
        self.settle()
        self.assertIn("/s/b/new", tree)
        self.assertEqual([path for who, path in order if who == "one"], [path for who, path in order if who == "two"])
        self.assertEqual(order[::2], [("one", path) for _, path in order[1::2]])

    def test_closing_when_told(self) -> None:
        """A tree that its observer closes reads nothing more."""
        tree = self.mirror.tree("/s")
        tree.watch(lambda change: tree.close() if change.path == "/s/a" else None)
        self.settle()
        self.assertLess(len(tree), 4)
        self.assertFalse(tree.settled)
        ready = tree.ready()
        self.failureResultOf(ready, ClosingException)

    def test_closed_by_another(self) -> None:
        """A tree that an observer of another tree closes at a lost connection does not report that."""
        other = self.mirror.tree("/o")
        tree, witness = self.follow()
        witness.take()
        other.watch(lambda change: tree.close())
        self.world.leave()
        self.assertEqual(witness.take(), [])

    def test_closed_while_removing(self) -> None:
        """If an observer closes it at a deletion, the tree stays as it was then, with the other deletions done."""
        tree, witness = self.follow()
        self.world.leave()
        for path in ("/s/a/x", "/s/a", "/s/b", "/s"):
            self.world.remove(path)
        witness.take()
        tree.watch(lambda change: tree.close() if change.kind is REMOVED else None)
        self.world.come_back()
        self.assertEqual(len(witness.take()), 1)
        self.assertEqual(len(tree), 3)

    def test_waiting_to_be_told(self) -> None:
        """Notifications that wait when a tree is closed are dropped."""
        tree = self.mirror.tree("/s")
        self.settle()
        told: list[Change] = []
        tree.watch(lambda change: self.mirror.close())
        tree.watch(told.append)
        self.world.change("/s", b"new")
        self.assertEqual(told, [])


class ClosingTests(TreeTestCase):
    def test_closed(self) -> None:
        """A closed tree stays as it was, reports nothing, and leaves no watch at the server."""
        before = self.world.server._replica.watches.count()
        tree, witness = self.follow()
        self.assertGreater(self.world.server._replica.watches.count(), before)
        witness.take()
        tree.close()
        tree.close()
        self.settle()
        self.assertEqual(self.world.server._replica.watches.count(), before)
        self.world.change("/s", b"new")
        self.world.remove("/s/b")
        self.assertEqual((len(tree), tree["/s"][0], witness.take()), (4, b"/s", []))
        self.successResultOf(tree.ready())

    def test_after_recovery(self) -> None:
        """Watches that a recovery has left go too."""
        before = self.world.server._replica.watches.count()
        tree, _ = self.follow()
        self.world.leave()
        self.world.come_back()
        tree.close()
        self.settle()
        self.assertEqual(self.world.server._replica.watches.count(), before)

    def test_away(self) -> None:
        """Closed while there is no connection, or when its end was not noticed yet, its watches go on return."""
        for noticed in (True, False):
            self.live("/o")
            before = self.world.server._replica.watches.count()
            tree, _ = self.follow()
            self.world.part()
            self.world.link.cut()
            if noticed:
                self.settle()
            self.assertEqual(self.mirror.is_connected(), not noticed)
            tree.close()
            self.world.come_back()
            self.assertEqual(self.world.server._replica.watches.count(), before)

    def test_before_it_is_ready(self) -> None:
        """If it is closed before it was settled, the waits for that fail."""
        tree = self.mirror.tree("/s")
        ready, gone = tree.ready(), tree.ready()
        gone.addErrback(lambda _: None)
        gone.cancel()
        tree.close()
        self.failureResultOf(ready, ClosingException)
        self.settle()
        self.assertEqual(len(tree), 0)

    def test_any_moment(self) -> None:
        """Closed at any turn, nothing is left of it."""
        for turns in range(14):
            tree = self.mirror.tree("/s")
            self.world.step(turns)
            tree.close()
            self.settle()
        self.assertEqual(self.world.server._replica.watches.count(), 0)

    def test_mirror_closed(self) -> None:
        """A mirror's end is its trees' end; one that is asked for later is closed from the start."""
        tree = self.mirror.tree("/s")
        ready = tree.ready()
        self.done(self.mirror.close())
        self.failureResultOf(ready, ClosingException)
        late = self.mirror.tree("/s")
        self.failureResultOf(late.ready(), ClosingException)
        late.close()

    def test_mirror_closed_at_any_moment(self) -> None:
        """A mirror can be closed at any turn of a tree's beginning."""
        for turns in range(20):
            world = World(version=self.version)
            world.make("/s")
            world.make("/s/a")
            world.mirror.tree("/s")
            world.step(turns)
            world.close()


class RecoveryTests(TreeTestCase):
    """In the same session."""

    def leave(self) -> None:
        self.world.leave()

    def test_difference(self) -> None:
        """M7: nodes that changed without a connection are read again, and nothing else; stale and settled are reported."""
        for number in range(50):
            self.world.make(f"/s/b/{number}")
        tree, witness = self.follow()
        self.assertIsNone(tree.stale_since)
        witness.take()
        self.leave()
        self.assertEqual(tree.stale_since, self.world.reactor.seconds())
        self.assertEqual(witness.take(), [(STALE, "/s")])
        self.world.change("/s/a", b"new")
        self.world.remove("/s/b/7")
        self.world.make("/s/a/y")
        self.other.delete("/s/b/9")
        self.other.create("/s/b/9", b"")
        self.settle()
        self.assertEqual((tree["/s/a"][0], tree.settled), (b"/s/a", False))
        self.world.come_back()
        told = witness.take()
        self.assertEqual(told.pop(), (SETTLED, "/s"))
        self.assertCountEqual(told, [(CHANGED, "/s/a"), (REMOVED, "/s/b/7"), (ADDED, "/s/a/y"), (CHANGED, "/s/b/9")])
        self.assert_equal(tree)
        # And it goes on.
        self.world.change("/s/a", b"newer")
        self.world.change("/s/b/8", b"new")
        self.world.make("/s/b/9/z")
        self.assertEqual(witness.take(), [(CHANGED, "/s/a"), (CHANGED, "/s/b/8"), (ADDED, "/s/b/9/z")])
        self.assert_equal(tree)

    def test_again_and_again(self) -> None:
        """A second and a third recovery report the same as the first."""
        tree, witness = self.follow()
        for number in range(4):
            self.leave()
            self.world.change("/s/b", b"%d" % number)
            self.world.make(f"/s/{number}")
            self.world.come_back()
            self.assert_equal(tree)
        self.assertEqual(witness.take().count((CHANGED, "/s/b")), 4)

    def test_subtree_gone(self) -> None:
        """A subtree that is gone is removed from below, and the root may have gone."""
        tree, witness = self.follow()
        witness.take()
        self.leave()
        for path in ("/s/a/x", "/s/a", "/s/b", "/s"):
            self.world.remove(path)
        self.world.come_back()
        self.assertEqual(len(tree), 0)
        told = [path for kind, path in witness.take() if kind is REMOVED]
        self.assertEqual(told[-1], "/s")
        self.world.make("/s", b"again")
        self.assert_equal(tree)

    def test_root_came(self) -> None:
        """A root that was missing may have come."""
        tree, _ = self.follow("/m")
        self.leave()
        self.world.make("/m")
        self.world.make("/m/a")
        self.world.come_back()
        self.assert_equal(tree)

    def test_any_turn(self) -> None:
        """Parted at any turn of its beginning or of its recovery, it is complete in the end."""
        tree, _ = self.follow()
        for turns in range(16):
            self.leave()
            self.world.change("/s/b", b"%d" % turns)
            self.other.delete("/s/a/x")
            self.other.create("/s/a/x", b"%d" % turns)
            self.settle()
            fresh = self.mirror.tree("/s")
            self.world.reactor.undo_black_hole("10.0.0.1", PORT)
            for _ in range(8):
                self.world.reactor.pass_time(0.3)
                if self.mirror.is_connected():
                    break
            self.world.step(turns)
            if self.mirror.is_connected():
                self.world.leave()
            self.world.change("/s/a", b"%d" % turns)
            self.world.come_back()
            self.pass_time(2.0)
            self.assert_equal(tree)
            self.assert_equal(fresh)
            fresh.close()

    def test_ephemeral_no_more(self) -> None:
        """An ephemeral node has no children, and none are looked for; made anew, persistent, it may have some."""
        self.world.make("/s/e", ephemeral=True)
        tree, _ = self.follow()
        self.leave()
        self.world.come_back()
        self.assertNotIn("/s/e", self.world.mirror_client._session.watches.established.child)
        self.leave()
        self.world.remove("/s/e")
        self.world.make("/s/e")
        self.world.make("/s/e/x")
        self.world.come_back()
        self.assert_equal(tree)
        self.world.make("/s/e/y")
        self.assert_equal(tree)
        self.leave()
        self.world.remove("/s/e/x")
        self.world.remove("/s/e/y")
        self.world.remove("/s/e")
        self.world.make("/s/e", ephemeral=True)
        self.world.come_back()
        self.assert_equal(tree)

    def test_unread(self) -> None:
        """M7: a node that had changed and could not be read before the connection was lost is read on return."""
        tree, _ = self.follow()
        self.world.hear_only()
        self.world.change("/s/b", b"new")
        self.world.leave()
        self.assertEqual(tree["/s/b"][0], b"/s/b")
        self.world.come_back()
        self.assert_equal(tree)

    def test_states(self) -> None:
        """The mirror is settled only when its trees are."""
        self.follow()
        states = self.states()
        self.leave()
        self.world.come_back()
        self.assertEqual(states[-2:], [MirrorState.CONNECTED, MirrorState.SETTLED])


class NewSessionTests(RecoveryTests):
    """In a new session."""

    def leave(self) -> None:
        self.world.expire_away()

    def test_ephemerals(self) -> None:
        """Ephemeral nodes of an expired session are gone."""
        self.done(self.mirror.connect())
        self.done(self.world.mirror_client.create("/s/e", b"x", ephemeral=True))
        tree, _ = self.follow()
        self.assertIn("/s/e", tree)
        self.leave()
        self.world.come_back()
        self.assertNotIn("/s/e", tree)
        self.assert_equal(tree)

    def test_closed_before_its_watch_stands(self) -> None:
        """The mirror settles again although the only tree is closed while the new session's watch on its root is requested."""
        for turns in range(20):
            self.world.make(f"/s/{turns}")
            tree = self.mirror.tree(f"/s/{turns}")
            node = self.mirror.get("/s")
            self.world.settle()
            self.leave()
            self.world.unpart()
            calls = 0
            while not self.mirror.is_connected():
                calls += 1
                self.assertLess(calls, 1000)
                run_next(self.world.reactor)
            for _ in range(turns):
                run_next(self.world.reactor)
            tree.close()
            self.pass_time(1.0)
            self.assertIs(self.mirror.state, MirrorState.SETTLED, turns)
            self.assertTrue(self.mirror.recovered)
            self.world.change("/s", b"%d" % turns)
            self.world.settle()
            self.assertEqual(node.state.value, b"%d" % turns)


class KeeperTests(NewSessionTests):
    """At a server that ends sessions with their connections, and calls changed children changed data."""

    version = "keeper"

    def test_no_batches(self) -> None:
        """Where many nodes cannot be read at once, a tree of one node is read all the same: that is no hole."""
        state = self.world.server._own_state
        known = state.version.operations - {Operation.MULTI_READ}
        state.version = attrs.evolve(state.version, operations=known)
        tree, _ = self.follow("/o")
        self.pass_time(3.0)
        self.assertEqual((tree.unreadable, list(tree)), ({}, ["/o"]))
        self.world.change("/o", b"new")
        self.assert_equal(tree)


class HistoryTests(TreeTestCase):
    def test_wiped(self) -> None:
        """In a new data generation everything is read again, and compared with the former data."""
        tree, witness = self.follow()
        witness.take()
        self.world.wipe()
        self.assertEqual(len(tree), 0)
        self.world.make("/s")
        self.assert_equal(tree)


class HoleTests(TreeTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.done(self.other.add_auth("digest", b"bob:secret"))
        self.done(self.other.create("/s/h", b"hidden", CREATOR_ALL_ACL))
        self.done(self.other.create("/s/h/below", b"", CREATOR_ALL_ACL))

    def test_reported(self) -> None:
        """A node that may not be read is reported as unreadable; the tree settles all the same."""
        tree, witness = self.follow()
        self.successResultOf(tree.ready())
        self.assertNotIn("/s/h", tree)
        self.assertIsInstance(tree.unreadable["/s/h"], NoAuthException)
        self.assertIn((HIDDEN, "/s/h"), witness.take())
        self.assertEqual(len([line for line in self.log_lines() if "/s/h cannot be read" in line]), 1)
        self.world.change("/s/b", b"new")
        self.assertEqual(tree["/s/b"][0], b"new")

    def test_many_logged(self) -> None:
        """Thousands of nodes that may not be read are some lines in the log, and one for all others."""
        for number in range(50):
            self.done(self.other.create(f"/s/many{number}", b"", CREATOR_ALL_ACL))
        tree, _ = self.follow()
        self.assertEqual(len(tree.unreadable), 51)
        self.assertEqual(len([line for line in self.log_lines() if "cannot be read: " in line]), 20)
        self.assertEqual(len([line for line in self.log_lines() if "More than 20 nodes cannot be read" in line]), 1)
        self.pass_time(60.0)
        self.done(self.other.create("/t", b"", CREATOR_ALL_ACL))
        self.mirror.get("/t").value().addErrback(lambda _: None)
        self.settle()
        self.assertEqual(len([line for line in self.log_lines() if "/t cannot be read: " in line]), 1)

    def test_allowed(self) -> None:
        """Tried again when there is another identity, the hole is filled."""
        tree, witness = self.follow()
        witness.take()
        self.done(self.mirror.add_auth("digest", b"bob:secret"))
        self.settle()
        self.assertEqual(tree.unreadable, {})
        self.assertEqual(witness.take(), [(ADDED, "/s/h"), (READABLE, "/s/h"), (ADDED, "/s/h/below")])
        self.assertEqual(tree["/s/h"][0], b"hidden")
        self.assertIn("/s/h/below", tree)

    def test_opened(self) -> None:
        """Tried again after a while, too."""
        tree, _ = self.follow()
        self.done(self.other.set_acl("/s/h", OPEN_ACL))
        self.pass_time(1.5)
        self.assertIn("/s/h", tree)
        self.assertIn("/s/h/below", tree.unreadable)

    def test_pauses_grow(self) -> None:
        """An unreadable node is tried again with growing pauses."""
        self.follow()
        before = self.world.requests()
        self.pass_time(60.0)
        pings = 60.0 / (S / 3) * 2
        self.assertLess(self.world.requests() - before, pings + 12)

    def test_hidden_later(self) -> None:
        """A node that may no longer be read stays as it was, and is reported when it is read again."""
        tree, witness = self.follow()
        witness.take()
        self.done(self.other.set_acl("/s/b", CREATOR_ALL_ACL))
        self.world.leave()
        self.world.change("/s/b", b"secret")
        self.world.come_back()
        self.assertEqual(tree["/s/b"][0], b"/s/b")
        self.assertIn("/s/b", tree.unreadable)
        self.assertIn((HIDDEN, "/s/b"), witness.take())

    def test_gone(self) -> None:
        """A hole that is deleted is none any more."""
        tree, witness = self.follow()
        witness.take()
        self.world.remove("/s/h/below")
        self.world.remove("/s/h")
        self.pass_time(1.5)
        self.assertEqual(tree.unreadable, {})
        self.assertEqual(witness.take(), [(READABLE, "/s/h")])


class OverLimitTests(TreeTestCase):
    limits = Limits(max_reply=20_000)

    def test_one(self) -> None:
        """A node that is too large is a hole; those that were asked for with it are read."""
        for number in range(40):
            self.world.make(f"/s/b/{number}", b"x" * 1000)
        self.world.make("/s/large", b"x" * 30_000)
        tree, _ = self.follow()
        self.assertEqual(list(tree.unreadable), ["/s/large"])
        self.assertIsInstance(tree.unreadable["/s/large"], ReplyTooLargeException)
        self.assertEqual(len(tree), 44)
        self.assertTrue(self.mirror.is_connected())
        self.assertTrue(tree.settled)
        self.world.change("/s/large", b"small")
        self.pass_time(2.0)
        self.assertEqual(tree["/s/large"][0], b"small")


class ManyChildrenTests(TreeTestCase):
    limits = Limits(max_reply=2_000)

    def test_unlisted(self) -> None:
        """A node with too many children to be listed is shown, and is reported as hidden once."""
        for number in range(40):
            self.world.make(f"/s/b/{'n' * 60}{number}")
        tree, witness = self.follow()
        self.pass_time(30.0)
        self.assertEqual(witness.take().count((HIDDEN, "/s/b")), 1)
        self.assertEqual(list(tree.unreadable), ["/s/b"])
        self.assertEqual(tree["/s/b"][0], b"/s/b")
        self.assertTrue(tree.settled)
        self.world.change("/s/b", b"new")
        self.assertEqual((tree["/s/b"][0], list(tree.unreadable)), (b"new", ["/s/b"]))
        for number in range(30):
            self.world.remove(f"/s/b/{'n' * 60}{number}")
        self.pass_time(61.0)
        self.assertEqual(tree.unreadable, {})
        self.assertEqual(witness.take().count((READABLE, "/s/b")), 1)
        self.assert_equal(tree)


# A server that has neither persistent watches nor reads of many nodes: all of it, node by node.


class OldShowingTests(ShowingTests):
    version = "3.4"


class OldWatchingTests(WatchingTests):
    version = "3.4"


class OldRecoveryTests(RecoveryTests):
    version = "3.4"


class OldNewSessionTests(NewSessionTests):
    version = "3.4"


class OldHistoryTests(HistoryTests):
    version = "3.4"


class OldHoleTests(HoleTests):
    version = "3.4"


class OldOverLimitTests(OverLimitTests):
    version = "3.4"


class MirrorsTests(MirrorTestCase):
    def test_given_client(self) -> None:
        """A mirror on a client that is connected already has trees at once."""
        self.world.make("/s")
        tree = Mirror(client=self.other, reactor=self.world.reactor).tree("/s")
        self.settle()
        self.assertIn("/s", tree)
        tree.close()


class ServedNodeTests(MirrorTestCase):
    """M7: nodes at or inside a tree with a persistent watch."""

    def setUp(self) -> None:
        super().setUp()
        for path in ("/s", "/s/a", "/s/a/x", "/s/b"):
            self.world.make(path, path.encode())
        self.tree = self.mirror.tree("/s")
        self.settle()
        self.watches = self.world.server._replica.watches
        self.before = self.watches.count()

    def test_no_watch(self) -> None:
        """M7: nodes below a tree set no watch of their own, and are kept up to date all the same."""
        nodes = [self.live(path) for path in ("/s", "/s/a", "/s/missing")]
        self.assertEqual(self.watches.count(), self.before)
        values = [watch_value(node) for node in nodes]
        children = [watch_children(node) for node in nodes]
        self.world.change("/s", b"1")
        self.world.change("/s/a", b"2")
        self.world.make("/s/missing", b"3")
        self.world.make("/s/a/y")
        self.world.remove("/s/a/x")
        self.world.make("/s/missing/z")
        self.assertEqual(values, [[b"1"], [b"2"], [b"3"]])
        self.assertEqual(children, [[["a", "b", "missing"]], [["x", "y"], ["y"]], [[], ["z"]]])
        self.assertEqual(self.watches.count(), self.before)
        self.assert_equal_to_server("/s", "/s/a", "/s/missing")
        self.world.remove("/s/missing/z")
        self.world.remove("/s/missing")
        self.assertEqual(values[2], [b"3", None])
        self.assert_equal_to_server("/s/missing")

    def test_left_out(self) -> None:
        """M7: nodes that the tree leaves out are kept up to date by its watch, which reports them too."""
        shallow = self.mirror.tree("/s", depth=0)
        self.tree.close()
        self.settle()
        before = self.watches.count()
        node = self.live("/s/a/x")
        self.assertEqual(self.watches.count(), before)
        self.world.change("/s/a/x", b"new")
        self.assertEqual(node.state.value, b"new")
        shallow.close()

    def test_writes(self) -> None:
        """M4: their own writes show when they have fired, at the parent too."""
        parent = self.live("/s")
        node = self.mirror.get("/s/n")
        children = watch_children(parent)
        self.done(node.create(b"x"))
        self.assertEqual((node.state.value, parent.state.children), (b"x", ("a", "b", "n")))
        self.done(node.set(b"y"))
        self.assertEqual(node.state.value, b"y")
        self.done(node.delete())
        self.assertIs(node.state.existence, Existence.ABSENT)
        self.assertEqual(children, [["a", "b", "n"], ["a", "b"]])

    def test_tree_closed_before_a_read(self) -> None:
        """M7: a node whose read without a watch was still to be sent when the tree was closed is read with a watch."""
        node = self.live("/s/a")
        self.other.set("/s/a", b"one")
        while "/s/a" not in self.mirror._engine._cache.store.marked_data:
            self.world.step(1)
        self.tree.close()
        self.settle()
        self.world.change("/s/a", b"two")
        self.assertEqual(node.state.value, b"two")

    def test_tree_closed(self) -> None:
        """M7: when the tree is closed they watch for themselves, having missed nothing."""
        nodes = [self.live(path) for path in ("/s", "/s/a", "/s/missing")]
        self.tree.close()
        self.world.change("/s/a", b"new")
        self.world.make("/s/missing")
        self.assert_equal_to_server("/s", "/s/a", "/s/missing")
        self.assertEqual(self.watches.count(), 6)
        self.world.change("/s", b"newer")
        self.world.remove("/s/a/x")
        self.assertEqual((nodes[0].state.value, nodes[1].state.children), (b"newer", ()))

    def check_recovery(self, *, new_session: bool) -> None:
        nodes = [self.live(path) for path in ("/s", "/s/a", "/s/missing", "/s/b")]
        for number in range(3):
            if new_session:
                self.world.expire_away()
            else:
                self.world.leave()
            self.world.change("/s/a", b"%d" % number)
            self.world.make("/s/missing")
            self.world.make(f"/s/b/{number}")
            self.world.come_back()
            self.assert_equal_to_server("/s", "/s/a", "/s/missing", "/s/b")
            self.world.remove("/s/missing")
            self.world.change("/s/b", b"%d" % number)
            self.assert_equal_to_server("/s", "/s/a", "/s/missing", "/s/b")
        self.assertEqual(nodes[1].state.value, b"2")

    def test_same_session(self) -> None:
        """M7: changes without a connection are read on return, creations included."""
        self.check_recovery(new_session=False)

    def test_new_session(self) -> None:
        """M7: changes without a connection are read in a new session, too."""
        self.check_recovery(new_session=True)

    def test_recovery_is_cut_off(self) -> None:
        """M7: changes are read if the first recovery is cut off before anything was reported, too."""
        for turns in range(12):
            self.live("/s/a")
            node, missing = self.live("/s/a"), self.live("/s/missing")
            self.world.leave()
            self.world.change("/s/a", b"%d" % turns)
            self.world.make("/s/missing")
            self.world.reactor.undo_black_hole("10.0.0.1", PORT)
            while not self.mirror.is_connected():
                self.world.reactor.advance(0.01)
                self.world.step(1)
            self.world.step(turns)
            if self.mirror.is_connected():
                self.world.leave()
            self.world.come_back()
            self.assert_equal_to_server("/s/a", "/s/missing")
            self.assertEqual(node.state.value, b"%d" % turns)
            self.assertIs(missing.state.existence, Existence.PRESENT)
            self.world.remove("/s/missing")

    def test_hidden(self) -> None:
        """M5: a node below a tree that is unreadable fails its readers, and is tried again."""
        self.done(self.other.add_auth("digest", b"bob:secret"))
        self.done(self.other.create("/s/h", b"hidden", CREATOR_ALL_ACL))
        node = self.mirror.get("/s/h")
        self.assert_fails(node.value(), NoAuthException)
        self.assert_fails(node.children(), NoAuthException)
        self.done(self.mirror.add_auth("digest", b"bob:secret"))
        self.assertEqual(self.done(node.value())[0], b"hidden")


class ServedTooLargeTests(MirrorTestCase):
    limits = Limits(max_reply=2_000)

    def test_names_alone(self) -> None:
        """A node too large for one reply is read in two requests: too many children do not hide the value."""
        self.world.make("/s", b"x")
        for number in range(40):
            self.world.make(f"/s/{'n' * 60}{number}")
        self.mirror.tree("/s", depth=0)
        self.settle()
        node = self.mirror.get("/s")
        self.assertEqual(self.done(node.value())[0], b"x")
        self.assert_fails(node.children(), ReplyTooLargeException)
        self.world.change("/s", b"y")
        self.assertEqual(self.done(node.value())[0], b"y")
