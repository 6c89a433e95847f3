"""Faults during a recovery by a side session: nothing that has changed is missed, and nothing is left behind."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred

from txmirror.mirror import MirrorState, Tree
from txmirror.mirror.mirror import Mirror
from txmirror.test.mirror import test_recovery, test_tree
from txmirror.test.mirror.test_side_recovery import SideRecoveryCase, always
from txmirror.test.mirror.witnesses import read_below, shown_below
from txmirror.test.mirror.world import MIRROR_HOST, PORT, MirrorTestCase, S, World
from txmirror.test.models import run_next

#: More turns of the reactor than a recovery takes.
TURNS = 40


class SameSessionTests(test_tree.RecoveryTests):
    """The recoveries of ``test_tree`` in the same session, with side sessions."""

    def setUp(self) -> None:
        super().setUp()
        always(self)


class NewSessionTests(test_tree.NewSessionTests):
    """The recoveries of ``test_tree`` in a new session, with side sessions."""

    def setUp(self) -> None:
        super().setUp()
        always(self)


class GenerationTests(test_recovery.HistoryTests):
    """The recoveries of ``test_recovery`` in another data generation, with side sessions."""

    def setUp(self) -> None:
        super().setUp()
        always(self)
        self.mirror.tree("/")
        self.settle()


class FaultTests(SideRecoveryCase):
    """Each fault at each turn of the reactor from the side session's connection on."""

    def recover(self, fault: Callable[[], object]) -> None:
        """Let a fault happen at each turn of a recovery."""
        tree, _ = self.follow()
        for turn in range(TURNS):
            self.world.leave()
            self.world.change("/s/b", b"%d" % turn)
            self.other.delete("/s/a/x").addErrback(lambda _: None)
            self.settle()
            self.return_to_side()
            self.world.step(turn)
            fault()
            self.world.unpart()
            self.pass_time(2.5)
            self.assertIs(self.mirror.state, MirrorState.SETTLED, turn)
            self.assert_equal(tree)
            self.world.make("/s/a/x", b"%d" % turn)
            self.assert_equal(tree)
            for link in self.world.reactor.links:
                link.resume()
            self.settle()
            self.assertEqual(self.sides(), [], turn)

    def cut_side(self) -> None:
        for link in self.sides():
            link.cut()

    def cut_own(self) -> None:
        self.own().cut()

    def test_side_cut(self) -> None:
        """The side session's connection is lost: the client's own session is asked."""
        self.recover(self.cut_side)

    def test_own_cut(self) -> None:
        """The client's own connection is lost: the next one begins again."""
        self.recover(self.cut_own)

    def test_both_cut(self) -> None:
        """Both are lost, and more changes meanwhile."""

        def fault() -> None:
            self.cut_side()
            self.leave_own()
            self.world.change("/s/b", b"cut")

        self.recover(fault)

    def test_expired(self) -> None:
        """The client's own session expires."""
        self.recover(self.world.expire)

    def test_all_expire(self) -> None:
        """All sessions of the mirror expire, the side session too."""

        def fault() -> None:
            for session_id in self.world.server.sessions - {self.other.session_id}:
                self.world.server.expire_session(session_id)
            self.settle()

        self.recover(fault)

    def test_server_restarted(self) -> None:
        """The server goes, and comes back with its data."""

        def fault() -> None:
            self.world.stop_server()
            self.world.start_server()
            self.pass_time(2.0)

        self.recover(fault)

    def test_side_silent(self) -> None:
        """The side session's connection falls silent: after its timeout the client's own session is asked."""

        def fault() -> None:
            for link in self.sides():
                link.stall()

        self.recover(fault)

    def test_tree_closed(self) -> None:
        """The only tree is closed: the side session ends, and leaves no watches."""
        for turn in range(TURNS):
            tree, _ = self.follow()
            self.world.leave()
            self.world.change("/s/b", b"%d" % turn)
            self.return_to_side()
            self.world.step(turn)
            tree.close()
            self.pass_time(2.5)
            self.assertIs(self.mirror.state, MirrorState.SETTLED, turn)
            self.assertEqual(self.sides(), [], turn)
            self.assertEqual(self.world.server._replica.watches.count(), 0, turn)


class SecondCutTests(SideRecoveryCase):
    def test_old_zxid(self) -> None:
        """A second cut, before the side session is answered, begins again with the zxid of the first."""
        tree, _ = self.follow()
        self.world.leave()
        self.world.change("/s/b", b"missed")
        self.return_to_side()
        (side,) = self.sides()
        side.stall()
        self.settle()
        # The client's own session goes on, and sees later transactions.
        self.world.make("/o/later")
        self.done(self.world.mirror_client.get("/o/later"))
        self.leave_own()
        self.world.come_back()
        self.assertEqual(tree["/s/b"][0], b"missed")
        self.assert_equal(tree)

    def test_own_session_instead(self) -> None:
        """A recovery is cut off in its side session, and the next one uses the client's own session."""
        tree, _ = self.follow()
        self.world.leave()
        self.world.change("/s/b", b"missed")
        self.return_to_side()
        (side,) = self.sides()
        side.stall()
        self.world.make("/o/later")
        self.done(self.world.mirror_client.get("/o/later"))
        self.leave_own()
        always(self, 1000)
        self.world.come_back()
        self.assertEqual(tree["/s/b"][0], b"missed")
        self.assert_equal(tree)

    def test_not_settled_before(self) -> None:
        """The mirror is not settled before the side session is answered."""
        tree, _ = self.follow()
        self.world.leave()
        self.world.change("/s/b", b"missed")
        self.return_to_side()
        (side,) = self.sides()
        side.stall()
        self.settle()
        self.assertIs(self.mirror.state, MirrorState.CONNECTED)
        self.assertFalse(tree.settled)
        side.resume()
        self.settle()
        self.assertIs(self.mirror.state, MirrorState.SETTLED)
        self.assert_equal(tree)


class LaggingTests(MirrorTestCase):
    """Three servers. The mirror's own does not take the side session."""

    def setUp(self) -> None:
        super().setUp()
        always(self)
        self.ensemble = World(size=3)
        self.addCleanup(self.ensemble.close)
        for path in ("/s", "/s/a", "/s/b"):
            self.ensemble.make(path)

    def recover(self, lagging: int) -> tuple[Mirror, Tree]:
        """Let the mirror return, while its own server takes no second connection, and some others lag."""
        world, mirror = self.ensemble, self.ensemble.mirror
        tree = mirror.tree("/s")
        world.settle()
        home = world.link.server_address.port
        writer = world.client([("10.0.0.4", home)])
        world.leave()
        others = [port for port in world.ports if port != home]
        for port in others[:lagging]:
            world.servers[world.ports.index(port)].lag()
        world.result(writer.set("/s/b", b"missed"))
        world.result(writer.close())
        world.reactor.undo_black_hole(MIRROR_HOST, home)
        while not mirror.is_connected():
            run_next(world.reactor)
        world.reactor.black_hole(MIRROR_HOST, home)
        for port in others:
            world.reactor.undo_black_hole(MIRROR_HOST, port)
        return mirror, tree

    def assert_recovered(self, mirror: Mirror, tree: Tree) -> None:
        world = self.ensemble
        world.pass_time(S)
        self.assertIs(mirror.state, MirrorState.SETTLED)
        there = Deferred.fromCoroutine(read_below(world.other, "/s"))
        self.assertEqual(shown_below(tree), world.result(there))
        self.assertEqual(tree["/s/b"][0], b"missed")

    def test_one(self) -> None:
        """A server that lags refuses the side session."""
        self.assert_recovered(*self.recover(1))

    def test_all(self) -> None:
        """If all others lag, the client's own session is asked."""
        self.assert_recovered(*self.recover(2))
        self.assertTrue([line for line in self.log_lines() if "client's own session" in line])


class ClosingTests(SideRecoveryCase):
    def close_at(self, turn: int) -> float:
        """Close a mirror with a client of its own, so many turns after its side session has a connection.

        :returns: the time that it takes, in seconds.
        """
        mirror = Mirror(f"{MIRROR_HOST}:{PORT}", session_timeout=S, reactor=self.world.reactor)
        mirror.tree("/s")
        self.pass_time(0.5)
        self.assertTrue(mirror.is_connected())
        links = list(self.world.reactor.links)
        links[-1].cut()
        for _ in range(5000):
            if len(self.world.reactor.links) > len(links):
                break
            run_next(self.world.reactor)
        self.world.step(turn)
        begun = self.world.reactor.seconds()
        closed = mirror.close()
        self.settle()
        for _ in range(100):
            if closed.called:
                break
            self.pass_time(0.1)
        self.successResultOf(closed)
        self.assertEqual(len(self.world.reactor.links), len(links) - 1, turn)
        return self.world.reactor.seconds() - begun

    def test_any_turn(self) -> None:
        """Closed at any turn of a recovery, all is closed at once, and no session is left once its timeout is over."""
        for turn in range(TURNS):
            self.assertLess(self.close_at(turn), 0.2, turn)
        self.pass_time(2.0)
        self.assertEqual(self.world.server.sessions, {self.other.session_id})
