"""Watchers get each change once, in order, and all of them the first before any of them the second, whatever their code
does.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from twisted.internet.defer import Deferred

from txmirror.mirror import Existence, Node
from txmirror.test.mirror.world import MirrorTestCase, Value, ignore, watch_children, watch_value
from txmirror.types import ZnodeStat


class TellingTests(MirrorTestCase):
    def test_adding(self) -> None:
        """M6: adding a watcher calls nothing, even where the state is known."""
        self.world.make("/a", b"one")
        node = self.live("/a")
        values, children = watch_value(node), watch_children(node)
        self.settle()
        self.assertEqual((values, children), ([], []))

    def test_from_unknown(self) -> None:
        """M6: from unknown to known is a change."""
        self.world.make("/a", b"one")
        self.world.make("/a/b")
        node = self.mirror.get("/a")
        values, children = watch_value(node), watch_children(node)
        self.settle()
        self.assertEqual((values, children), ([b"one"], [["b"]]))

    def test_from_unknown_to_absent(self) -> None:
        """M6: from unknown to absent is a change."""
        node = self.mirror.get("/a")
        values, children = watch_value(node), watch_children(node)
        self.settle()
        self.assertEqual((values, children), ([None], [None]))

    def test_names_before_data(self) -> None:
        """M6: children that a batched read has shown before the data are not reported again."""
        node = self.mirror.get("/a")
        children = watch_children(node)
        self.settle()
        record = self.mirror._engine._cache.records["/a"]
        ignore(self.world.other.create("/a"))
        ignore(self.world.other.create("/a/b"))
        # The reply of a batched read, before the watch reports the creation.
        record.names_read(["b"], None, self.world.server.zxid + 2)
        self.settle()
        self.assertEqual(children, [None, ["b"]])

    def test_arguments(self) -> None:
        """M6: a value watcher gets the data and the stat, as ``value()`` returns them."""
        self.world.make("/a", b"one")
        node = self.mirror.get("/a")
        told: list[Value | None] = []
        node.addValueWatcher("key", told.append)
        self.settle()
        self.assertEqual(told, [self.successResultOf(node.value())])

    def test_every_change(self) -> None:
        """M6: changes are reported in order, each once."""
        node = self.live("/a")
        values, children = watch_value(node), watch_children(node)
        self.world.make("/a", b"one")
        self.world.change("/a", b"two")
        self.world.make("/a/c")
        self.world.make("/a/b")
        self.world.change("/a", b"three")
        self.world.remove("/a/b")
        self.world.remove("/a/c")
        self.world.remove("/a")
        self.assertEqual(values, [b"one", b"two", b"three", None])
        self.assertEqual(children, [[], ["c"], ["b", "c"], ["c"], [], None])

    def test_same_bytes(self) -> None:
        """M6: a write of the same bytes is a change."""
        self.world.make("/a", b"one")
        node = self.live("/a")
        values = watch_value(node)
        self.world.change("/a", b"one")
        self.assertEqual(values, [b"one"])

    def test_children_are_no_value(self) -> None:
        """M6: children that come and go change the value's stat, and are no change to a watcher of the value."""
        self.world.make("/a", b"one")
        node = self.live("/a")
        values = watch_value(node)
        self.world.make("/a/b")
        self.assertEqual(values, [])
        self.assertEqual(self.successResultOf(node.value())[1].numChildren, 1)

    def test_value_is_no_children(self) -> None:
        """M6: a new value is no change to a watcher of the children."""
        self.world.make("/a", b"one")
        node = self.live("/a")
        children = watch_children(node)
        self.world.change("/a", b"two")
        self.assertEqual(children, [])

    def test_reordered(self) -> None:
        """M6: children that the server lists in another order are the same children."""
        for path in ("/a", "/a/b", "/a/c"):
            self.world.make(path)
        node = self.live("/a")
        children = watch_children(node)
        for deferred in (self.other.delete("/a/b"), self.other.create("/a/b")):
            ignore(deferred)
        self.settle()
        self.assertEqual(self.done(self.other.get_children("/a")), ["c", "b"])
        self.assertEqual(children, [])
        self.assert_equal_to_server("/a")

    def test_recreated(self) -> None:
        """M6: a node that was deleted and created anew, with the same bytes, is another node (D7)."""
        self.world.make("/a", b"one")
        node = self.live("/a")
        stats: list[ZnodeStat | None] = []
        node.addValueWatcher("key", lambda value: stats.append(None if value is None else value[1]))
        before = node.state.stat
        self.other.delete("/a")
        self.other.create("/a", b"one")
        self.settle()
        self.assertEqual(stats[-1], node.state.stat)
        self.assertNotEqual(node.state.stat, before)

    def test_reread_without_change(self) -> None:
        """M6: a new read without a change is not reported."""
        self.world.make("/a", b"one")
        node = self.live("/a")
        values, children = watch_value(node), watch_children(node)
        for _ in range(3):
            self.world.leave()
            self.world.come_back()
        self.world.expire_away()
        self.world.come_back()
        self.assertEqual((values, children), ([], []))

    def test_settled_before_told(self) -> None:
        """M6: within a watcher the node has the reported state, or a later one."""
        self.world.make("/a", b"one")
        node = self.live("/a")
        seen: list[tuple[bytes, bytes | None]] = []
        node.addValueWatcher("key", lambda value: seen.append((value[0] if value else b"", node.state.value)))
        self.world.change("/a", b"two")
        self.assertEqual(seen, [(b"two", b"two")])


class KeyTests(MirrorTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.world.make("/a", b"one")
        self.node = self.live("/a")

    def test_replaced(self) -> None:
        """A key that is used again replaces the former watcher."""
        former, latter = watch_value(self.node, "key"), watch_value(self.node, "key")
        children_former, children_latter = watch_children(self.node, "key"), watch_children(self.node, "key")
        self.world.change("/a", b"two")
        self.world.make("/a/b")
        self.assertEqual((former, latter), ([], [b"two"]))
        self.assertEqual((children_former, children_latter), ([], [["b"]]))

    def test_kinds_are_apart(self) -> None:
        """Watchers of the value and of the children may have the same key."""
        values, children = watch_value(self.node, "key"), watch_children(self.node, "key")
        self.world.change("/a", b"two")
        self.world.make("/a/b")
        self.node.delValueWatcher("key")
        self.world.make("/a/c")
        self.world.change("/a", b"three")
        self.assertEqual((values, children), ([b"two"], [["b"], ["b", "c"]]))

    def test_nodes_are_apart(self) -> None:
        """Watchers of two nodes may have the same key."""
        self.world.make("/b")
        other = self.live("/b")
        mine, theirs = watch_value(self.node, "key"), watch_value(other, "key")
        self.world.change("/a", b"two")
        self.world.change("/b", b"three")
        self.assertEqual((mine, theirs), ([b"two"], [b"three"]))

    def test_removed(self) -> None:
        """A removed watcher is not called any more."""
        values, children = watch_value(self.node, "key"), watch_children(self.node, "key")
        self.node.delValueWatcher("key")
        self.node.delChildWatcher("key")
        self.world.change("/a", b"two")
        self.world.make("/a/b")
        self.assertEqual((values, children), ([], []))

    def test_unknown_key(self) -> None:
        """The removal of an unknown key does nothing."""
        self.node.delValueWatcher("nobody")
        self.node.delChildWatcher("nobody")
        self.mirror.delStateWatcher("nobody")

    def test_any_key(self) -> None:
        """Anything hashable is a key."""
        told: list[object] = []
        keys: list[object] = [0, "", None, ("a", 1), object(), self.node]

        def note(key: object, value: Value | None) -> None:
            told.append(key)

        for key in keys:
            self.node.addValueWatcher(key, partial(note, key))
        self.world.change("/a", b"two")
        self.assertEqual(told, keys)


class UnrulyTests(MirrorTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.world.make("/a", b"one")
        self.node = self.live("/a")

    def on_value(self, function: Callable[[], object]) -> list[bytes | None]:
        """Add a watcher that calls ``function``, and another after it; return the values of the second."""
        self.node.addValueWatcher("unruly", lambda value: function())
        return watch_value(self.node)

    def test_raises(self) -> None:
        """M6: a watcher that raises is logged with its key and path; the others are called, and it is the next time too."""
        calls: list[str] = []

        def bad() -> None:
            calls.append("bad")
            raise ValueError("a bad watcher")

        values = self.on_value(bad)
        self.world.change("/a", b"two")
        self.world.change("/a", b"three")
        self.assertEqual((calls, values), (["bad", "bad"], [b"two", b"three"]))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)
        self.assertIn("The watcher unruly of /a failed.", self.log_lines())
        self.assertEqual(self.done(self.node.value())[0], b"three")

    def test_child_watcher_raises(self) -> None:
        """M6: a watcher of the children that raises hurts nobody either."""
        self.node.addChildWatcher("bad", lambda names: 1 / 0)
        children = watch_children(self.node)
        self.world.make("/a/b")
        self.assertEqual(children, [["b"]])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assert_equal_to_server("/a")

    def test_sets(self) -> None:
        """M6: a watcher may write, and all see the first state before any sees the second."""
        order: list[tuple[str, bytes | None]] = []

        def first(value: Value | None) -> None:
            assert value is not None
            order.append(("first", value[0]))
            if value[0] == b"two":
                ignore(self.node.set(b"three"))

        self.node.addValueWatcher("first", first)
        self.node.addValueWatcher("second", lambda value: order.append(("second", value[0] if value else None)))
        self.world.change("/a", b"two")
        self.assertEqual(order, [("first", b"two"), ("second", b"two"), ("first", b"three"), ("second", b"three")])

    def test_sets_for_ever(self) -> None:
        """M6: two nodes whose watchers write to each other take turns, and do not stack up."""
        self.world.make("/b", b"0")
        other = self.live("/b")
        rounds = 300

        def pass_on(to: Node, value: Value | None) -> None:
            if value is not None and int(value[0]) < rounds:
                ignore(to.set(b"%d" % (int(value[0]) + 1)))

        self.node.addValueWatcher("key", partial(pass_on, other))
        other.addValueWatcher("key", partial(pass_on, self.node))
        self.world.change("/a", b"1")
        self.assertEqual({self.node.state.value, other.state.value}, {b"%d" % rounds, b"%d" % (rounds - 1)})

    def test_deletes(self) -> None:
        """M6: a watcher may delete the node, and gets that change too."""
        values = self.on_value(lambda: ignore(self.node.delete()))
        self.world.change("/a", b"two")
        self.assertEqual(values, [b"two", None])

    def test_reads(self) -> None:
        """M6: a watcher may read the node, and gets the reported value or a later one."""
        reads: list[Deferred[Value]] = []
        self.on_value(lambda: reads.append(self.node.value()))
        self.world.change("/a", b"two")
        self.assertEqual(self.successResultOf(reads[0])[0], b"two")

    def test_gets_nodes(self) -> None:
        """M6: a watcher may get other nodes, and they come to life."""
        self.on_value(lambda: self.mirror.get("/b"))
        self.world.change("/a", b"two")
        self.assertIs(self.mirror.get("/b").state.existence, Existence.ABSENT)

    def test_adds(self) -> None:
        """M6: a watcher that another one adds gets the next change."""
        added: list[bytes | None] = []

        def add() -> None:
            if not added:
                self.node.addValueWatcher("added", note)

        def note(value: Value | None) -> None:
            added.append(value[0] if value else None)

        self.on_value(add)
        self.world.change("/a", b"two")
        self.assertEqual(added, [])
        self.world.change("/a", b"three")
        self.assertEqual(added, [b"three"])

    def test_removes_another(self) -> None:
        """M6: a watcher that another one removes is not called any more, in the same round neither."""
        values = self.on_value(lambda: self.node.delValueWatcher("value"))
        self.world.change("/a", b"two")
        self.assertEqual(values, [])

    def test_removes_itself(self) -> None:
        """M6: a watcher may remove itself."""
        calls: list[str] = []

        def once() -> None:
            calls.append("once")
            self.node.delValueWatcher("unruly")

        values = self.on_value(once)
        self.world.change("/a", b"two")
        self.world.change("/a", b"three")
        self.assertEqual((calls, values), (["once"], [b"two", b"three"]))

    def test_closes(self) -> None:
        """M6: a watcher may close the mirror; the others get that change all the same."""
        values = self.on_value(lambda: ignore(self.mirror.close()))
        self.world.change("/a", b"two")
        self.assertEqual(values, [b"two"])
        self.assertEqual(self.node.state.value, b"two")

    def test_loses_the_connection(self) -> None:
        """M6: a connection that goes while watchers are called is none of their concern."""
        values = self.on_value(self.world.link.cut)
        self.world.change("/a", b"two")
        self.world.change("/a", b"three")
        self.pass_time(1.0)
        self.assertEqual(values, [b"two", b"three"])
        self.assert_equal_to_server("/a")

    def test_closes_the_client(self) -> None:
        """M6: a watcher may close even the client."""
        closed: list[Deferred[None]] = []
        values = self.on_value(lambda: closed.append(self.world.mirror_client.close()))
        self.world.change("/a", b"two")
        self.assertEqual(values, [b"two"])
        self.successResultOf(closed[0])
        self.assertFalse(self.mirror.is_connected())


class StateWatcherTests(MirrorTestCase):
    def test_raises(self) -> None:
        """M6: a state watcher that raises is logged with its key; the others are called, and everything goes on."""
        self.mirror.addStateWatcher("bad", lambda state: 1 / 0)
        told = self.states()
        self.world.make("/a", b"one")
        self.assertEqual(self.live("/a").state.value, b"one")
        self.mirror.delStateWatcher("bad")
        self.assertEqual([state.value for state in told], ["connected", "settled"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        self.assertIn("The state watcher bad failed.", self.log_lines())

    def test_replaced(self) -> None:
        """A state watcher's key that is used again replaces the former."""
        former: list[object] = []
        latter: list[object] = []
        self.mirror.addStateWatcher("key", former.append)
        self.mirror.addStateWatcher("key", latter.append)
        self.live("/a")
        self.assertEqual((former, len(latter)), ([], 2))

    def test_removed(self) -> None:
        """A removed state watcher is not called any more."""
        told: list[object] = []
        self.mirror.addStateWatcher("key", told.append)
        self.mirror.delStateWatcher("key")
        self.live("/a")
        self.assertEqual(told, [])

    def test_gets_nodes(self) -> None:
        """M6: a state watcher may get nodes, and "settled" is reported when they are."""
        unknown: list[bool] = []

        def look(state: object) -> None:
            unknown.append(self.mirror.get("/b").state.existence is Existence.UNKNOWN)

        self.mirror.addStateWatcher("key", look)
        self.live("/a")
        self.assertEqual(unknown, [True, False])

    def test_closes(self) -> None:
        """M6: a state watcher may close the mirror, and the next state is closed."""
        told = self.states()
        self.mirror.addStateWatcher("key", lambda state: ignore(self.mirror.close()))
        self.mirror.get("/a")
        self.settle()
        self.assertEqual([state.value for state in told], ["connected", "disconnected", "closed"])
        # Two handshakes, and this question: a mirror that is closed asks for nothing more.
        before = self.world.requests()
        self.done(self.world.mirror_client.exists("/a"))
        self.assertEqual((before, self.world.requests()), (2, 3))

    def test_order(self) -> None:
        """M6: no state watcher sees a second state before all have seen the first."""
        self.mirror.addStateWatcher("first", lambda state: ignore(self.mirror.close()))
        told = self.states()
        self.mirror.get("/a")
        self.settle()
        self.assertEqual([state.value for state in told], ["connected", "disconnected", "closed"])
