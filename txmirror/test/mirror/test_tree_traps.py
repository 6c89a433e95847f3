"""Where other projects' caches went wrong: each trap by its name, for trees."""

from __future__ import annotations

from txmirror.client import Limits
from txmirror.mirror import Existence, Mirror, Tree
from txmirror.mirror.store import DATA
from txmirror.test.client.peer import STAT, Peer
from txmirror.test.mirror.test_tree import ADDED, CHANGED, HIDDEN, REMOVED, SETTLED, STALE, TreeTestCase
from txmirror.test.mirror.world import S, ScriptedTestCase
from txmirror.types import CREATOR_ALL_ACL, EventType
from txmirror.wire import (
    AddWatchRequest,
    AddWatchResponse,
    ErrorResult,
    GetChildrenResponse,
    GetDataResponse,
    MultiReadRequest,
    MultiResponse,
    SetWatchesRequest,
)


class AwayTests(TreeTestCase):
    """Changes while the mirror is disconnected. Here the session goes on."""

    def leave(self) -> None:
        self.world.leave()

    def recreate(self, *paths: str) -> None:
        """Let the other client delete nodes, from below, and recreate them with their data."""
        old = {path: self.done(self.other.get(path)) for path in paths}
        for path in reversed(paths):
            self.world.remove(path)
        for path in paths:
            self.world.make(path, old[path][0])
            self.assertEqual(self.done(self.other.get(path))[1].version, old[path][1].version)

    def test_consumed_watch(self) -> None:
        """The consumed watch: it has fired, the read that was to set it again was lost with the connection, and the
        last zxid seen is later than the change. The node is read on return, though no event of the server names it.
        """
        tree, witness = self.follow()
        self.world.link.stall(to_client=True, to_server=False)
        self.world.change("/s/b", b"new")
        self.world.make("/s/a/y")
        later = self.world.mirror_client.get("/o")
        self.settle()
        self.world.hear_only()
        self.successResultOf(later)
        self.assertEqual(tree["/s/b"][0], b"/s/b")
        self.leave()
        witness.take()
        self.world.come_back()
        self.assertCountEqual(witness.take(), [(CHANGED, "/s/b"), (ADDED, "/s/a/y"), (SETTLED, "/s")])
        self.assert_equal(tree)

    def test_same_bytes_and_version(self) -> None:
        """Deleted and recreated with the same bytes and version: the version does not show that, the czxid does."""
        tree, witness = self.follow()
        witness.take()
        self.leave()
        self.recreate("/s/b")
        self.world.come_back()
        self.assertEqual(witness.take(), [(STALE, "/s"), (CHANGED, "/s/b"), (SETTLED, "/s")])
        self.assert_equal(tree)

    def test_inner_node(self) -> None:
        """A node that is recreated with some of its children has changed; its children are removed, changed and added."""
        tree, witness = self.follow()
        self.world.make("/s/a/same", b"1")
        witness.take()
        self.leave()
        self.world.remove("/s/a/x")
        self.recreate("/s/a", "/s/a/same")
        self.world.make("/s/a/z")
        self.world.come_back()
        told = witness.take()
        self.assertCountEqual(
            told[1:-1],
            [(CHANGED, "/s/a"), (REMOVED, "/s/a/x"), (CHANGED, "/s/a/same"), (ADDED, "/s/a/z")],
        )
        self.assert_equal(tree)

    def test_reordered(self) -> None:
        """Children in another order are no news of their parent."""
        self.world.make("/s/a/y")
        tree, witness = self.follow()
        witness.take()
        self.leave()
        self.recreate("/s/a/x")
        self.world.come_back()
        self.assertEqual(witness.take(), [(STALE, "/s"), (CHANGED, "/s/a/x"), (SETTLED, "/s")])
        self.assert_equal(tree)

    def test_no_catch_up(self) -> None:
        """A persistent watch that was set again does not report missed changes: also where the changed node is far
        below, and nothing above it has changed.
        """
        self.world.make("/s/a/x/y")
        self.world.make("/s/a/x/y/z", b"old")
        tree, witness = self.follow()
        witness.take()
        self.leave()
        self.world.change("/s/a/x/y/z", b"new")
        self.world.come_back()
        self.assertEqual(witness.take(), [(STALE, "/s"), (CHANGED, "/s/a/x/y/z"), (SETTLED, "/s")])
        self.assert_equal(tree)

    def test_root(self) -> None:
        """The tree's own root goes, comes, and comes anew; and each time it is followed."""
        tree, _ = self.follow("/m")
        for step in (1, 2, 3):
            self.leave()
            if step > 1:
                self.world.remove("/m/a")
                self.world.remove("/m")
            if step != 3:
                self.world.make("/m")
                self.world.make("/m/a", b"%d" % step)
            self.world.come_back()
            self.assert_equal(tree)
            self.assertEqual(len(tree), 0 if step == 3 else 2)
        self.world.make("/m")
        self.assert_equal(tree)

    def test_children_of_a_new_node(self) -> None:
        """A node is deleted; the connection is lost when its children are known to be gone and its data is not read again yet.
        Then it is created again: its children are read too.
        """
        self.follow()
        node = self.live("/s/b")
        self.world.remove("/s/b")
        self.assertEqual(node.state.existence, Existence.ABSENT)
        self.world.link.stall(to_client=False, to_server=True)
        self.mirror._engine._cache.invalidate(DATA, "/s/b")
        self.settle()
        self.leave()
        self.world.make("/s/b", b"new")
        self.world.come_back()
        self.assertEqual((node.state.value, node.state.children), (b"new", ()))
        self.world.make("/s/b/c")
        self.assertEqual(node.state.children, ("c",))

    def test_turned_ephemeral(self) -> None:
        """A node that is made anew as an ephemeral one has another owner, and goes with them."""
        tree, witness = self.follow()
        witness.take()
        self.leave()
        self.world.remove("/s/b")
        self.world.make("/s/b", b"/s/b", ephemeral=True)
        self.world.come_back()
        self.assertEqual(tree["/s/b"][1].ephemeralOwner, self.other.session_id)
        self.assertEqual(witness.take()[1:-1], [(CHANGED, "/s/b")])
        self.world.server.expire_session(self.other.session_id)
        self.pass_time(2.0)
        self.assertEqual(witness.take(), [(REMOVED, "/s/b")])
        self.assert_equal(tree)

    def test_left_out_below_what_is_new(self) -> None:
        """A node left out by the filter or the depth stays out when its parent is created anew."""
        kept, _ = self.follow(keep=lambda path: not path.endswith("/x"))
        deep, _ = self.follow(depth=1)
        deeper, _ = self.follow(depth=2)
        for away in (True, False):
            if away:
                self.leave()
            self.recreate("/s/a", "/s/a/x")
            self.world.make("/s/a/x/deep")
            self.world.make("/s/a/w", b"new")
            if away:
                self.world.come_back()
            self.assertCountEqual(kept, ["/s", "/s/a", "/s/a/w", "/s/b"])
            self.assertCountEqual(deep, ["/s", "/s/a", "/s/b"])
            self.assertCountEqual(deeper, ["/s", "/s/a", "/s/a/w", "/s/a/x", "/s/b"])
            self.assertEqual(kept["/s/a"][1].czxid, self.done(self.other.exists("/s/a")).czxid)  # type: ignore[union-attr]
            self.world.remove("/s/a/w")
            self.world.remove("/s/a/x/deep")

    def test_parent_of_a_hole(self) -> None:
        """A node that may not be read is looked for again where its parent is made anew: open now, hidden again, or gone."""
        self.done(self.other.add_auth("digest", b"bob:secret"))
        self.done(self.other.create("/s/b/h", b"1", CREATOR_ALL_ACL))
        tree, _ = self.follow()
        self.assertEqual(list(tree.unreadable), ["/s/b/h"])
        for acl in (None, CREATOR_ALL_ACL):
            self.leave()
            self.world.remove("/s/b/h")
            self.world.remove("/s/b")
            self.world.make("/s/b")
            if acl is None:
                self.world.make("/s/b/h", b"2")
            else:
                self.done(self.other.create("/s/b/h", b"3", acl))
            self.world.come_back()
            self.assertEqual(list(tree.unreadable), [] if acl is None else ["/s/b/h"])
            self.assertTrue(tree.settled)
        self.leave()
        self.world.remove("/s/b/h")
        self.world.remove("/s/b")
        self.world.come_back()
        self.assertEqual(tree.unreadable, {})
        self.assert_equal(tree)


class AwayInNewSessionTests(AwayTests):
    """Here another begins."""

    def leave(self) -> None:
        self.world.expire_away()


class KeeperAwayTests(AwayInNewSessionTests):
    """Here too, and changed children are called changed data."""

    version = "keeper"


class ConnectedTests(TreeTestCase):
    def test_event_before_the_reply(self) -> None:
        """An event arrives while the node's reply is on its way: the node is read once more, and reported once."""
        tree, witness = self.follow()
        witness.take()
        self.world.link.stall(to_client=False, to_server=True)
        self.world.change("/s/b", b"new")
        self.world.change("/s/b", b"newer")
        self.world.link.resume()
        self.assert_equal(tree)
        self.assertEqual(witness.take(), [(CHANGED, "/s/b")])

    def test_event_before_the_first_reply(self) -> None:
        """An event arrives while the first reply of a new node is on its way: the node is read once more, and reported
        once.
        """
        tree, witness = self.follow()
        witness.take()
        self.world.link.stall(to_client=False, to_server=True)
        self.world.make("/s/c")
        self.world.change("/s/c", b"new")
        self.world.make("/s/c/d")
        self.world.change("/s/c/d", b"new")
        self.world.link.resume()
        self.assert_equal(tree)
        self.assertEqual(witness.take(), [(ADDED, "/s/c"), (ADDED, "/s/c/d")])

    def test_hidden_once(self) -> None:
        """An unreadable node is reported once, however often it is tried."""
        self.done(self.other.add_auth("digest", b"bob:secret"))
        self.done(self.other.create("/s/h", b"", CREATOR_ALL_ACL))
        _, witness = self.follow()
        self.pass_time(200.0)
        self.world.leave()
        self.world.come_back()
        self.assertEqual(witness.take().count((HIDDEN, "/s/h")), 1)

    def test_same_zxid_in_a_new_history(self) -> None:
        """In a new data generation a node may have the very czxid and mzxid that another had in the old one."""
        tree, witness = self.follow("/m")
        server = self.world.server
        snapshot = server.snapshot()
        self.advance_to(server.zxid + 50)
        self.world.make("/m", b"one")
        self.assertEqual(tree["/m"][0], b"one")
        before = tree["/m"][1]
        self.advance_to(server.zxid + 200)
        self.done(self.world.mirror_client.sync())
        self.world.leave()
        witness.take()
        server.roll_back(snapshot)
        self.pass_time(3 * S)
        self.advance_to(before.czxid - 1)
        self.world.make("/m", b"two")
        self.world.unpart()
        self.pass_time(5 * S)
        self.assertEqual((tree["/m"][0], tree["/m"][1].czxid), (b"two", before.czxid))
        self.assertIn((CHANGED, "/m"), witness.take())

    def advance_to(self, zxid: int) -> None:
        """Let transactions happen that change nothing."""
        while self.world.server.zxid < zxid:
            self.other.delete("/nothing").addErrback(lambda _: None)
            self.settle()


class TooManyNamesTests(TreeTestCase):
    limits = Limits(max_reply=20_000)

    def test_names(self) -> None:
        """A reply that is too large is a failure of that node alone, and no reason to connect again and again."""
        for number in range(1200):
            self.other.create(f"/s/b/{number:020}")
        self.settle()
        tree, _ = self.follow()
        before = self.world.requests()
        connection = self.world.link
        self.pass_time(100.0)
        self.assertIs(self.world.link, connection)
        self.assertLess(self.world.requests() - before, 100.0 / (S / 3) * 2 + 20)
        self.assertEqual(list(tree.unreadable), ["/s/b"])
        self.assertTrue(tree.settled)
        self.world.change("/s/a/x", b"new")
        self.assertEqual(tree["/s/a/x"][0], b"new")


class OldAwayTests(AwayTests):
    version = "3.4"


class OldAwayInNewSessionTests(AwayInNewSessionTests):
    version = "3.4"


class OldConnectedTests(ConnectedTests):
    version = "3.4"


class OldTooManyNamesTests(TooManyNamesTests):
    version = "3.4"


class LaggingTests(ScriptedTestCase):
    """A server that lags behind the shown data. Real ones refuse such a client; this one does not."""

    def follow(self) -> tuple[Mirror, Peer, Tree]:
        mirror, peer = self.make_mirror()
        peer.answer(SetWatchesRequest)
        tree = mirror.tree("/a")
        peer.answer(AddWatchRequest, AddWatchResponse())
        return mirror, peer, tree

    def test_absence(self) -> None:
        """A lagging server's NoNode after a newer value is not believed: it is asked again, and until then nothing is settled."""
        mirror, peer, tree = self.follow()
        both = MultiResponse([GetDataResponse(b"one", STAT), GetChildrenResponse([])])
        peer.answer(MultiReadRequest, both, zxid=100)
        self.assertEqual((tree["/a"][0], tree.settled), (b"one", True))
        peer.event(EventType.CHANGED, "/a")
        peer.answer(MultiReadRequest, MultiResponse([ErrorResult(-101)]), zxid=90)
        self.assertEqual((tree["/a"][0], tree.settled), (b"one", False))
        self.pass_time(1.0)
        peer.answer(MultiReadRequest, MultiResponse([GetDataResponse(b"two", STAT._replace(mzxid=101))]), zxid=101)
        self.assertEqual((tree["/a"][0], tree.settled), (b"two", True))
        self.successResultOf(mirror.close())
