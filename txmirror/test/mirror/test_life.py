"""How long a node stays in memory, and that its watches at the server are removed (M8)."""

from __future__ import annotations

import gc

from twisted.internet.defer import Deferred

from txmirror.mirror import Existence, Mirror, Node
from txmirror.test.mirror.world import MirrorTestCase, World, follow_children, ignore, watch_value

#: The default, and what it may be longer.
LINGER = 60.0
LONGEST = LINGER * 1.25


class LifeTestCase(MirrorTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.world.make("/a", b"one")
        self.watches = self.world.server._replica.watches

    def kept(self, path: str = "/a") -> bool:
        """Return whether the mirror still keeps something for a path; the question keeps nothing."""
        return path in self.mirror._engine._cache.records


class LingeringTests(LifeTestCase):
    def test_goes(self) -> None:
        """M8: a node that nobody holds goes after a while, with its watches at the server."""
        self.live("/a")
        self.assertEqual(self.watches.count(), 2)
        self.pass_time(LINGER - 1.0)
        self.assertTrue(self.kept())
        self.pass_time(LONGEST - LINGER + 1.0)
        self.assertFalse(self.kept())
        self.assertEqual(self.watches.count(), 0)

    def test_missing(self) -> None:
        """M8: a missing node that nobody holds is evicted, with the watch for its creation."""
        self.live("/missing")
        self.assertEqual(self.watches.count(), 1)
        self.pass_time(LONGEST)
        self.assertEqual(self.watches.count(), 0)

    def test_comes_again(self) -> None:
        """M8: asked for again later, it is read anew."""
        self.live("/a")
        self.pass_time(LONGEST)
        self.world.change("/a", b"two")
        node = self.live("/a")
        self.assertEqual(node.state.value, b"two")
        self.world.change("/a", b"three")
        self.assertEqual(node.state.value, b"three")

    def test_asked_for_in_time(self) -> None:
        """M8: asked for again before, it is there without a round trip, and stays as long again."""
        self.live("/a")
        self.pass_time(LINGER - 1.0)
        self.assertEqual(self.successResultOf(self.mirror.get("/a").value())[0], b"one")
        self.pass_time(LINGER - 1.0)
        self.assertTrue(self.kept())
        self.pass_time(LONGEST - LINGER + 1.0)
        self.assertFalse(self.kept())

    def test_held(self) -> None:
        """M8: a node that a program holds stays, and stays up to date."""
        node = self.live("/a")
        self.pass_time(10 * LINGER)
        self.world.change("/a", b"two")
        self.assertEqual(node.state.value, b"two")
        self.assertIs(self.mirror.get("/a"), node)

    def test_watched(self) -> None:
        """M8: a watched node stays until it is no longer watched, even if no program holds it."""
        values = watch_value(self.live("/a"))
        gc.collect()
        self.pass_time(10 * LINGER)
        self.world.change("/a", b"two")
        self.assertEqual(values, [b"two"])
        self.mirror.get("/a").delValueWatcher("value")
        self.pass_time(LONGEST)
        self.assertFalse(self.kept())
        self.assertEqual(self.watches.count(), 0)

    def test_waited_for(self) -> None:
        """M8: a node that a program waits for stays, for as long as it takes."""
        self.world.stop_server()
        read = self.mirror.get("/a").value(timeout=None)
        gc.collect()
        self.pass_time(10 * LINGER)
        self.world.start_server()
        self.pass_time(10.0)
        self.assertEqual(self.successResultOf(read)[0], b"one")

    def test_waited_for_in_vain(self) -> None:
        """M8: a wait that is given up keeps nothing."""
        self.world.stop_server()
        read = self.mirror.get("/a").value(timeout=1.0)
        ignore(read)
        self.pass_time(LONGEST + 2.0)
        self.assertFalse(self.kept())
        # A Deferred that has failed holds the node by its traceback.
        del read

    def test_written(self) -> None:
        """M8: a write that is on its way keeps the node, and is shown."""
        written = self.mirror.get("/a").set(b"two")
        gc.collect()
        self.done(written)
        self.assertEqual(self.mirror.get("/a").state.value, b"two")

    def test_unreadable(self) -> None:
        """M8: an unreadable node is evicted, and is not tried again."""
        self.world.stop_server()
        self.mirror.get("/a")
        self.assertTrue(self.kept())
        self.pass_time(LONGEST + 1.0)
        self.assertFalse(self.kept())
        self.world.start_server()
        self.pass_time(10.0)
        self.assertEqual(self.watches.count(), 0)

    def test_gone_while_away(self) -> None:
        """M8: a node that is evicted without a connection leaves no watch on the next one, in the same session."""
        mirror = Mirror(client=self.world.mirror_client, linger=2.0, reactor=self.world.reactor)
        self.done(mirror.connect())
        follow_children(mirror.get("/a"))
        self.pass_time(1.0)
        self.assertEqual(self.watches.count(), 2)
        self.world.leave()
        self.pass_time(1.5)
        self.assertEqual(len(mirror._engine._cache.records), 0)
        self.world.come_back()
        self.assertEqual(self.world.mirror_client.session.session_number, 1)
        self.assertEqual(self.watches.count(), 0)
        self.done(mirror.close())

    def test_settled(self) -> None:
        """M8: a mirror does not wait for evicted nodes."""
        self.world.stop_server()
        self.mirror.get("/a")
        self.pass_time(LONGEST + 1.0)
        self.assertEqual(self.mirror._engine._cache.store.unsettled, 0)

    def test_neighbours(self) -> None:
        """M8: others stay, and their watches."""
        child = self.live("/")
        self.live("/a")
        self.pass_time(LONGEST)
        self.assertEqual(self.watches.count(), 2)
        self.world.make("/b")
        self.assertEqual(child.state.children, ("a", "b", "zookeeper"))

    def test_somebody_else_watches(self) -> None:
        """M8: a watch that another program needs on the same client is left."""
        self.live("/a")
        answer, watch = self.world.mirror_client.get_and_watch("/a")
        self.done(answer)
        self.pass_time(LONGEST)
        self.assertFalse(self.kept())
        self.world.change("/a", b"two")
        self.successResultOf(watch)

    def test_somebody_else_listens(self) -> None:
        """M8: a persistent watch that has another listener is left."""
        told: list[object] = []
        self.live("/a")
        self.done(self.world.mirror_client.add_watch("/a", told.append))
        self.pass_time(LONGEST)
        self.world.change("/a", b"two")
        self.assertEqual(len(told), 1)

    def test_two_mirrors(self) -> None:
        """M8: two mirrors on one client leave each other's watches alone."""
        other = Mirror(client=self.world.mirror_client, reactor=self.world.reactor)
        node = other.get("/a")
        self.live("/a")
        self.pass_time(LONGEST)
        self.assertFalse(self.kept())
        self.world.change("/a", b"two")
        self.assertEqual(node.state.value, b"two")
        self.done(other.close())

    def test_tree(self) -> None:
        """M8: a watch that a tree needs is left."""
        tree = self.mirror.tree("/a")
        self.live("/a")
        self.pass_time(LONGEST)
        self.assertFalse(self.kept())
        self.world.change("/a", b"two")
        self.assertEqual(tree["/a"][0], b"two")
        self.world.leave()
        self.world.change("/a", b"three")
        self.world.come_back()
        self.assertEqual(tree["/a"][0], b"three")

    def test_tree_in_a_tree(self) -> None:
        """M8: a node that is evicted while a tree needs its watch loses it with that tree."""
        self.world.make("/a/x")
        outer, inner = self.mirror.tree("/a"), self.mirror.tree("/a/x")
        self.live("/a/x")
        self.pass_time(LONGEST)
        inner.close()
        self.settle()
        self.world.change("/a/x", b"two")
        self.assertEqual(outer["/a/x"][0], b"two")
        outer.close()
        self.settle()
        self.assertEqual(self.watches.count(), 0)

    def test_many(self) -> None:
        """M8: ten thousand nodes that come and go leave nothing."""
        for number in range(2000):
            self.mirror.get(f"/a/{number}")
            if not number % 500:
                self.pass_time(LONGEST)
        self.pass_time(LONGEST)
        self.assertEqual(len(self.mirror._engine._cache.records), 0)
        self.assertEqual(self.watches.count(), 0)

    def test_short(self) -> None:
        """How long they stay may be chosen."""
        mirror = Mirror(client=self.world.mirror_client, linger=2.0, reactor=self.world.reactor)
        self.settle()
        mirror.get("/a")
        self.pass_time(2.5)
        self.assertEqual(len(mirror._engine._cache.records), 0)
        self.done(mirror.close())

    def test_no_time(self) -> None:
        """A linger that is no time is refused."""
        for linger in (0.0, -1.0, float("inf"), float("nan")):
            error = self.assertRaises(ValueError, Mirror, linger=linger, reactor=self.world.reactor)
            self.assertIn(repr(linger), str(error))


class GivenClientTests(LifeTestCase):
    """A mirror that leaves its client open."""

    def setUp(self) -> None:
        super().setUp()
        self.world.make("/a/x")
        self.other_mirror = Mirror(client=self.other, reactor=self.world.reactor)
        self.nodes = [follow_children(self.other_mirror.get(path)) for path in ("/", "/a", "/missing")]
        self.tree = self.other_mirror.tree("/a")
        self.settle()

    def test_closed(self) -> None:
        """M8: closed, it leaves no watches behind."""
        self.assertGreater(self.watches.count(), 4)
        self.done(self.other_mirror.close())
        self.settle()
        self.assertEqual(self.watches.count(), 0)
        self.assertEqual(self.nodes[1].state.value, b"one")

    def test_closed_after_a_recovery(self) -> None:
        """M8: closed, it leaves none of the watches that a recovery has set."""
        self.world.server.drop_connections()
        self.settle()
        self.pass_time(2.0)
        self.done(self.other_mirror.close())
        self.settle()
        self.assertEqual(self.watches.count(), 0)

    def test_closed_while_away(self) -> None:
        """M8: closed without a connection, it leaves no watches: they are removed on return."""
        self.world.server.stop_listening()
        self.settle()
        self.done(self.other_mirror.close())
        self.world.server.listen(2181, interface="")
        self.pass_time(4.0)
        self.assertEqual(self.other.session.session_number, 1)
        self.assertEqual(self.watches.count(), 0)

    def test_others(self) -> None:
        """M8: a watch that another mirror on the client needs is left."""
        other = Mirror(client=self.other, reactor=self.world.reactor)
        node, tree = other.get("/a"), other.tree("/a")
        self.settle()
        self.done(self.other_mirror.close())
        self.settle()
        self.world.change("/a", b"two")
        self.world.change("/a/x", b"three")
        self.assertEqual((node.state.value, tree["/a/x"][0]), (b"two", b"three"))
        self.done(other.close())
        self.settle()
        self.assertEqual(self.watches.count(), 0)

    def test_view(self) -> None:
        """M8: a view that is closed leaves none, and takes none of the mirror's."""
        view = self.mirror.chroot("/a")
        node, above = follow_children(view.get("/x")), follow_children(self.mirror.get("/a/x"))
        self.settle()
        self.done(self.other_mirror.close())
        self.done(view.close())
        self.settle()
        self.assertEqual(self.watches.count(), 2)
        self.world.change("/a/x", b"two")
        self.assertEqual((above.state.value, node.state.value), (b"two", b""))


class OldServerTests(LifeTestCase):
    """A server that cannot take watches away."""

    version = "3.4"

    def test_connection_kept(self) -> None:
        """M8: once that is known, its connection is left alone."""
        for number in range(6):
            self.live(f"/{number}")
            self.pass_time(LONGEST + 5.0)
        links = list(self.world.reactor.links)
        for number in range(6):
            self.live(f"/a{number}")
            self.pass_time(LONGEST + 5.0)
        self.assertEqual(self.world.reactor.links, links)
        self.assertEqual(len(self.mirror._engine._cache.records), 0)


class ValuesTests(LifeTestCase):
    """``async for value in node.values()``."""

    def follow(self, node: Node, count: int | None = None) -> tuple[list[bytes | None], Deferred[None]]:
        """Run a loop; return the list of its values, and its Deferred."""
        seen: list[bytes | None] = []

        async def loop() -> None:
            async for value in node.values():
                seen.append(None if value is None else value[0])
                if len(seen) == count:
                    break

        return seen, Deferred.fromCoroutine(loop())

    def test_changes(self) -> None:
        """The loop begins with the current value, and continues with each change; absence is one."""
        seen, ended = self.follow(self.live("/a"))
        self.assertEqual(seen, [b"one"])
        self.world.change("/a", b"two")
        self.world.remove("/a")
        self.world.make("/a", b"three")
        self.assertEqual(seen, [b"one", b"two", None, b"three"])
        ended.cancel()
        ignore(ended)

    def test_unknown(self) -> None:
        """The loop waits until a value is known, even if the program holds neither the node nor the loop."""
        self.world.stop_server()
        seen, ended = self.follow(self.mirror.get("/a"), 1)
        gc.collect()
        self.pass_time(3 * LINGER)
        gc.collect()
        self.assertEqual(seen, [])
        self.world.start_server()
        self.pass_time(10.0)
        self.assertEqual(seen, [b"one"])
        self.successResultOf(ended)

    def test_missing(self) -> None:
        """A node that is missing is None."""
        seen, ended = self.follow(self.live("/missing"), 1)
        self.assertEqual(seen, [None])
        self.successResultOf(ended)

    def test_slow(self) -> None:
        """A slow loop gets the latest value, once."""
        node = self.live("/a")
        seen: list[bytes | None] = []
        pauses: list[Deferred[None]] = []

        async def loop() -> None:
            async for value in node.values():
                seen.append(None if value is None else value[0])
                pauses.append(Deferred())
                await pauses[-1]

        running = Deferred.fromCoroutine(loop())
        for number in range(5):
            self.world.change("/a", b"%d" % number)
        pauses[-1].callback(None)
        self.assertEqual(seen, [b"one", b"4"])
        pauses[-1].callback(None)
        self.assertEqual(seen, [b"one", b"4"])
        running.cancel()
        ignore(running)

    def test_left(self) -> None:
        """M8: a loop that ends early leaves nothing behind."""
        seen, ended = self.follow(self.live("/a"), 2)
        self.world.change("/a", b"two")
        self.successResultOf(ended)
        self.assertEqual(seen, [b"one", b"two"])
        del ended
        gc.collect()
        self.pass_time(LONGEST)
        self.assertFalse(self.kept())
        self.assertEqual(self.watches.count(), 0)
        self.assertEqual(len(self.mirror._engine._close_waiters), 0)

    def test_cancelled(self) -> None:
        """M8: a cancelled loop leaves nothing behind."""
        _, ended = self.follow(self.live("/a"))
        ended.cancel()
        ignore(ended)
        del ended
        gc.collect()
        self.pass_time(LONGEST)
        self.assertFalse(self.kept())
        self.assertEqual(len(self.mirror._engine._close_waiters), 0)

    def test_closed(self) -> None:
        """The loop ends with the mirror."""
        seen, ended = self.follow(self.live("/a"))
        self.done(self.mirror.close())
        self.successResultOf(ended)
        self.assertEqual(seen, [b"one"])
        after, ended = self.follow(self.mirror.get("/a"))
        self.successResultOf(ended)
        self.assertEqual(after, [b"one"])

    def test_several(self) -> None:
        """Several loops over one node do not disturb one another."""
        node = self.live("/a")
        (first, one), (second, two) = self.follow(node, 2), self.follow(node, 3)
        self.world.change("/a", b"two")
        self.world.change("/a", b"three")
        self.assertEqual((first, second), ([b"one", b"two"], [b"one", b"two", b"three"]))
        self.successResultOf(one)
        self.successResultOf(two)


class EndTests(LifeTestCase):
    def test_closed_at_any_moment(self) -> None:
        """A mirror that is closed while nodes linger leaves a clean reactor."""
        for seconds in (0.0, 10.0, LINGER, LONGEST):
            world = World()
            world.mirror.get("/a")
            world.pass_time(seconds)
            world.close()

    def test_state_of_the_unknown(self) -> None:
        """A node that was let go of and is asked for without a connection is unknown."""
        self.live("/a")
        self.pass_time(LONGEST)
        self.world.leave()
        node = self.mirror.get("/a")
        self.assertIs(node.state.existence, Existence.UNKNOWN)
        self.world.come_back()
        self.assertIs(node.state.existence, Existence.PRESENT)
