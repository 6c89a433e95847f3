"""A recovery by a side session: whatever is cut, refused or closed meanwhile, nothing that has changed is missed."""

from __future__ import annotations

from txmirror.errors import SystemErrorException
from txmirror.mirror import MirrorState, Tree, recovery
from txmirror.test.mirror.test_tree import TreeTestCase
from txmirror.test.mirror.world import MIRROR_HOST, MirrorTestCase, watch_value
from txmirror.test.models import run_next
from txmirror.testing import Link

#: More than the longest pause before a side session.
JITTER = 0.3


def always(case: MirrorTestCase, least: int = 0) -> None:
    """Let recoveries of so many nodes use a side session."""
    case.patch(recovery, "SIDE_SESSION_FROM", least)


class SideRecoveryCase(TreeTestCase):
    """Recoveries of any size use a side session."""

    def setUp(self) -> None:
        super().setUp()
        always(self)

    def sides(self) -> list[Link]:
        """Return the mirror's connections besides that of its own session, which was there before."""
        return [link for link in self.world.reactor.links if link.server_address.host == MIRROR_HOST][1:]

    def opened(self) -> int:
        """Return the number of sessions that were opened and closed so far, as the log of the server has them."""
        return len([line for line in self.log_lines() if "timeout 1.0 s" in line])

    def watches(self) -> int:
        """Return the number of watches at the server."""
        return self.world.server._replica.watches.count()

    def own(self) -> Link:
        """Return the connection of the mirror's own session."""
        return next(link for link in self.world.reactor.links if link.server_address.host == MIRROR_HOST)

    def leave_own(self) -> None:
        """Part the mirror from the server, but for its side session."""
        self.world.part()
        self.own().cut()
        self.settle()
        self.assertFalse(self.mirror.is_connected())

    def return_to_side(self) -> None:
        """Let the mirror reach the server again, until its side session has a connection, and no turn longer."""
        self.world.unpart()
        for _ in range(5000):
            if self.mirror.is_connected() and self.sides():
                return
            run_next(self.world.reactor)
        self.fail("there is no side session")


class UsingTests(SideRecoveryCase):
    def test_used(self) -> None:
        """A side session finds the changes; it leaves no watch and no session behind, and takes two transactions."""
        tree, witness = self.follow()
        witness.take()
        self.world.leave()
        self.world.change("/s/b", b"new")
        self.world.remove("/s/a/x")
        self.world.make("/s/n")
        zxid = self.world.server.zxid
        self.world.come_back()
        self.assert_equal(tree)
        self.assertEqual(self.opened(), 1)
        self.assertEqual(self.world.server.zxid, zxid + 2)
        self.assertEqual(len(self.world.server.sessions), 2)
        # One, in both tables.
        self.assertEqual(self.watches(), 2)
        self.pass_time(5.0)
        self.assertEqual(self.watches(), 2)

    def test_requests(self) -> None:
        """The number of requests does not grow with the number of nodes."""
        tree, _ = self.follow()
        counts: list[int] = []
        for size in (10, 500):
            for number in range(size):
                self.other.create(f"/s/{size}-{number}")
            self.settle()
            self.world.leave()
            before = self.world.requests()
            self.world.come_back()
            counts.append(self.world.requests() - before)
            self.assert_equal(tree)
        # Two handshakes, pings, setWatches with the persistent watch, without any, and in the side session, closeSession, and a
        # batched read.
        self.assertLessEqual(max(counts), 10)

    def test_small(self) -> None:
        """A recovery of few nodes uses the client's own session, without a pause."""
        self.patch(recovery, "SIDE_SESSION_FROM", 1000)
        tree, _ = self.follow()
        self.world.leave()
        self.world.change("/s/b", b"new")
        self.world.unpart()
        while not self.mirror.is_connected():
            self.pass_time(0.01)
        self.settle()
        self.assert_equal(tree)
        self.assertEqual(self.opened(), 0)

    def test_threshold(self) -> None:
        """From a thousand nodes on, without any patch, a side session is used."""
        self.patch(recovery, "SIDE_SESSION_FROM", 1000)
        for number in range(995):
            self.other.create(f"/s/{number}")
        self.settle()
        tree, _ = self.follow()
        self.assertEqual(len(tree), 999)
        for opened in (0, 1):
            self.world.leave()
            self.world.come_back()
            self.assert_equal(tree)
            self.assertEqual(self.opened(), opened)
            if not opened:
                self.world.make("/s/last")

    def test_root(self) -> None:
        """The root is read again even if no event names it."""
        self.follow()
        self.world.leave()
        self.world.unpart()
        reads = self.world.server.lose_reply("get_many", session_id=self.world.mirror_client.session_id)
        self.pass_time(2.5)
        self.assertTrue(reads.happened, reads)

    def test_nodes(self) -> None:
        """A node inside a tree is found too; one outside is restored by the client itself."""
        self.follow()
        inside, outside = self.live("/s/b"), self.live("/o")
        values = watch_value(inside), watch_value(outside)
        for number in range(2):
            self.world.leave() if number else self.world.expire_away()
            self.world.change("/s/b", b"%d" % number)
            self.world.change("/o", b"%d" % number)
            self.world.come_back()
        self.assertEqual(values, ([b"0", b"1"], [b"0", b"1"]))
        self.assert_equal_to_server("/s/b", "/o")
        self.world.change("/o", b"later")
        self.assertEqual(values[1][-1], b"later")

    def test_views(self) -> None:
        """All mirrors on one session share one side session."""
        tree, _ = self.follow()
        view = self.mirror.chroot("/s")
        below = view.tree("/a")
        self.settle()
        self.world.leave()
        self.world.change("/s/a/x", b"new")
        self.world.come_back()
        self.assert_equal(tree)
        self.assertEqual(below["/a/x"][0], b"new")
        self.assertEqual(self.opened(), 1)

    def test_new_trees(self) -> None:
        """Trees that are made during a recovery do not begin it again, however many there are."""
        tree, _ = self.follow()
        self.world.leave()
        self.world.change("/s/b", b"new")
        made: list[Tree] = []
        self.world.unpart()
        for number in range(150):
            self.pass_time(0.02)
            if self.mirror.is_connected():
                self.world.make(f"/t{number}")
                made.append(self.mirror.tree(f"/t{number}"))
                made.append(self.mirror.tree("/s"))
        self.assertGreater(len(made), 20)
        self.settle()
        self.assertIs(self.mirror.state, MirrorState.SETTLED)
        self.assertEqual(self.opened(), 1)
        for each in (tree, *made):
            self.assert_equal(each)


class DelayedRootTests(SideRecoveryCase):
    """In a new session a server may be unable to set the persistent watches of some trees at first."""

    def return_delayed(self, *roots: str, wait: bool = True) -> list[Tree]:
        """Recover trees; the watches on some of their roots are set a second later.

        :param wait: whether to wait for these.
        """
        for root in ("/p", "/q"):
            self.world.make(root)
            self.world.make(f"{root}/a")
        trees = [self.follow(root)[0] for root in ("/s", "/p", "/q")]
        self.world.expire_away()
        self.world.change("/s/b", b"missed")
        for root in ("/p", "/q"):
            self.world.change(f"{root}/a", b"missed")
            self.world.make(f"{root}/n")
        for root in roots:
            self.world.server.fail_next("add_watch", SystemErrorException(), path=root)
        self.world.unpart()
        while not self.mirror.is_connected():
            run_next(self.world.reactor)
        self.pass_time(2.5 if wait else 0.0)
        return trees

    def assert_recovered(self, trees: list[Tree], opened: int = 1) -> None:
        """Check that all trees equal the server, after a number of side sessions at most, and that no other watches are left."""
        self.pass_time(3.0)
        self.assertIs(self.mirror.state, MirrorState.SETTLED)
        for tree in trees:
            self.assert_equal(tree)
        self.assertLessEqual(self.opened(), opened)
        self.pass_time(3.0)
        self.assertEqual(self.watches(), 2 * len(trees))

    def test_one(self) -> None:
        """The tree gets one-shot watches meanwhile, which are removed when the persistent one stands."""
        self.assert_recovered(self.return_delayed("/p"))

    def test_changes_meanwhile(self) -> None:
        """What changes before the watch stands is not missed."""
        trees = self.return_delayed("/p", wait=False)
        self.pass_time(0.5)
        self.world.make("/p/later")
        self.world.change("/p/a", b"later")
        self.assert_recovered(trees)

    def test_two(self) -> None:
        """Two roots whose watches are set at the same time are no other case."""
        self.assert_recovered(self.return_delayed("/p", "/q"))

    def test_all(self) -> None:
        """All roots may be delayed."""
        self.assert_recovered(self.return_delayed("/s", "/p", "/q"))

    def test_cut(self) -> None:
        """Another cut before the delayed watch stands loses nothing."""
        trees = self.return_delayed("/p", wait=False)
        self.leave_own()
        self.world.change("/p/a", b"missed again")
        self.world.come_back()
        self.assert_recovered(trees, 2)

    def test_new_trees(self) -> None:
        """Trees that are made meanwhile, with watches that are delayed too, do not let the others recover again, or wait."""
        trees = self.return_delayed("/p")
        for number in range(10):
            self.world.make(f"/t{number}")
            self.world.server.fail_next("add_watch", SystemErrorException(), path=f"/t{number}")
            trees.append(self.mirror.tree(f"/t{number}"))
            self.pass_time(0.2)
        self.assert_recovered(trees)

    def test_closed(self) -> None:
        """A tree that is closed before its watch stands no longer keeps the recovery open."""
        trees = self.return_delayed("/p", wait=False)
        trees.pop(1).close()
        self.assert_recovered(trees)

    def test_mirror_closed(self) -> None:
        """A mirror that is closed before the watch stands leaves no watches in the session of its client."""
        self.return_delayed("/p", wait=False)
        closed = self.mirror.close()
        self.pass_time(3.0)
        self.successResultOf(closed)
        self.assertEqual(self.watches(), 0)
