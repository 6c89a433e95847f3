"""Reads that a server answers with a code that is not about the node, while the connection is established."""

from __future__ import annotations

from txmirror.client import Limits
from txmirror.errors import (
    OperationTimeoutException,
    RequestTimeoutException,
    SessionExpiredException,
    SessionMovedException,
    SystemErrorException,
    ThrottledOpException,
    UnknownServerException,
    ZooKeeperException,
)
from txmirror.mirror import ChangeKind, Existence, MirrorState, Node
from txmirror.test.mirror.world import MirrorTestCase, S, watch_value

#: Codes that a server may answer a read with, and that say nothing of the node. -4 is the code of a lost connection.
TROUBLES: tuple[ZooKeeperException, ...] = (
    UnknownServerException(-4),
    SystemErrorException(),
    ThrottledOpException(),
    RequestTimeoutException(),
    UnknownServerException(-999),
)
#: Codes that say that the session is not served here.
SESSION_TROUBLES: tuple[ZooKeeperException, ...] = (SessionExpiredException(), SessionMovedException())


class TroubleCase(MirrorTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.server = self.world.server

    def warnings(self) -> list[str]:
        return [line for line in self.log_lines() if line.startswith("Could not read")]


class NodeTests(TroubleCase):
    def test_first_read(self) -> None:
        """The read is retried with growing pauses, a reader waits for it, and nothing is settled meanwhile."""
        self.done(self.mirror.connect())
        for number, error in enumerate(TROUBLES):
            path = f"/a{number}"
            self.world.make(path, b"1")
            faults = [self.server.fail_next("get", error) for _ in range(3)]
            node = self.mirror.get(path)
            value = node.value(timeout=10)
            self.settle()
            self.assertEqual([fault.happened for fault in faults], [True, False, False], error)
            self.pass_time(0.9)
            self.assertEqual([fault.happened for fault in faults], [True, False, False])
            self.pass_time(0.2)
            self.assertEqual([fault.happened for fault in faults], [True, True, False])
            self.assertFalse(value.called)
            self.assertIs(node.state.existence, Existence.UNKNOWN)
            self.pass_time(6.5)
            self.assertEqual(self.done(value)[0], b"1")
        self.assertEqual(len(self.warnings()), len({type(error) for error in TROUBLES}) + 1)

    def test_changed_node(self) -> None:
        """A node whose new value cannot be read is not settled: a reader waits, and gets the new value."""
        self.world.make("/a", b"1")
        node = self.live("/a")
        told = watch_value(node)
        for number, error in enumerate(TROUBLES, 2):
            fault = self.server.fail_next("get", error, session_id=self.mirror.client.session_id)
            self.world.change("/a", b"%d" % number)
            self.assertTrue(fault.happened)
            value = node.value(timeout=5)
            self.settle()
            self.assertFalse(value.called)
            self.pass_time(1.1)
            self.assertEqual(self.done(value)[0], b"%d" % number)
        self.assertEqual(told, [b"2", b"3", b"4", b"5", b"6"])

    def test_settled_no_more(self) -> None:
        """While a change cannot be read, nothing is settled; a state watcher gets that, and the next "settled"."""
        self.world.make("/a", b"1")
        node = self.live("/a")
        tree = self.mirror.tree("/t")
        self.world.make("/t")
        self.pass_time(1.0)
        states = self.states()
        for number, (error, path, kind) in enumerate(
            (error, path, kind) for error in TROUBLES for path, kind in (("/a", "get"), ("/t", "get_many"))
        ):
            self.server.fail_next(kind, error, session_id=self.mirror.client.session_id)
            self.world.change(path, b"%d" % number)
            self.assertEqual(
                (self.mirror.state, states), (MirrorState.CONNECTED, [MirrorState.CONNECTED]), (error, path)
            )
            self.pass_time(1.1)
            self.assertEqual(states, [MirrorState.CONNECTED, MirrorState.SETTLED])
            states.clear()
        self.assertEqual((node.state.value, tree["/t"][0]), (b"8", b"9"))

    def test_children_and_existence(self) -> None:
        """While a list of children, or the existence of a node, cannot be read, nothing is settled."""
        self.world.make("/a")
        self.done(self.mirror.connect())
        for error in TROUBLES:
            faults = [self.server.fail_next("get_children", error), self.server.fail_next("exists", error)]
            names = self.mirror.chroot("/a").get("/").children(timeout=5)
            missing = self.mirror.get(f"/missing{id(error)}").exists(timeout=5)
            self.settle()
            self.assertTrue(all(fault.happened for fault in faults))
            self.assertEqual([names.called, missing.called], [False, False])
            self.pass_time(1.1)
            self.assertEqual(self.done(names), [])
            self.assertIsNone(self.done(missing))
            self.done(self.mirror.chroot("/a").close())

    def test_times_out(self) -> None:
        """A reader with less patience than the trouble lasts gets a timeout, and no lost connection."""
        self.world.make("/a")
        self.done(self.mirror.connect())
        self.server.fail_next("get", UnknownServerException(-4))
        value = self.mirror.get("/a").value(timeout=0.5)
        self.pass_time(0.5)
        self.assert_fails(value, OperationTimeoutException)

    def test_rate(self) -> None:
        """Reads that fail for ever are retried a few times a minute, and warned of once."""
        self.world.make("/a")
        faults = [self.server.fail_next("get", UnknownServerException(-4)) for _ in range(100)]
        node = self.mirror.get("/a")
        self.pass_time(120)
        happened = sum(fault.happened for fault in faults)
        self.assertGreater(happened, 5)
        self.assertLess(happened, 10)
        self.assertEqual(len(self.warnings()), 1)
        self.assertIs(self.mirror.state, MirrorState.CONNECTED)
        for fault in faults:
            fault.cancel()
        self.pass_time(60)
        self.assertIs(node.state.existence, Existence.PRESENT)
        self.assertIs(self.mirror.state, MirrorState.SETTLED)

    def test_session_not_served(self) -> None:
        """If a server answers that it does not serve the session, the mirror reconnects at once, in the same session."""
        self.world.make("/a", b"1")
        node = self.live("/a")
        session_id = self.mirror.client.session_id
        states = self.states()
        for error in SESSION_TROUBLES:
            self.server.fail_next("get", error, session_id=session_id)
            self.done(self.other.set("/a", repr(error).encode()))
            self.pass_time(1.0)
            self.assertEqual(self.done(node.value())[0], repr(error).encode())
            self.assertEqual(self.mirror.client.session_id, session_id)
        self.assertEqual(states, [MirrorState.DISCONNECTED, MirrorState.CONNECTED, MirrorState.SETTLED] * 2)

    def test_watches_not_set(self) -> None:
        """If the recovery is answered so, everything is read again, and the changes in between are seen."""
        self.world.make("/a", b"1")
        for error in TROUBLES:
            node = self.live("/a")
            told = watch_value(node)
            self.world.expire_away()
            self.world.change("/a", repr(error).encode())
            fault = self.server.fail_next("set_watches", error)
            self.world.come_back()
            self.pass_time(2 * S)
            self.assertTrue(fault.happened)
            self.assertEqual(told, [repr(error).encode()])
            self.assertIs(self.mirror.state, MirrorState.SETTLED)
            self.world.change("/a", b"later")
            self.assertEqual(told[-1], b"later")
            node.delValueWatcher("value")


class TreeTests(TroubleCase):
    def setUp(self) -> None:
        super().setUp()
        for path in ("/t", "/t/a", "/t/b"):
            self.world.make(path, path.encode())
        self.done(self.mirror.connect())

    def test_reads(self) -> None:
        """The reads of a tree are retried with growing pauses; it is not settled meanwhile, and nothing is unreadable."""
        for error in TROUBLES:
            faults = [self.server.fail_next("get_many", error) for _ in range(3)]
            tree = self.mirror.tree("/t")
            ready = tree.ready()
            self.pass_time(0.9)
            self.assertEqual([fault.happened for fault in faults], [True, False, False], error)
            self.assertEqual((ready.called, tree.settled), (False, False))
            self.assertEqual(dict(tree.unreadable), {})
            self.pass_time(10)
            self.done(ready)
            self.assertEqual({path: value[0] for path, value in tree.items()}, {p: p.encode() for p in tree})
            self.assertEqual(sorted(tree), ["/t", "/t/a", "/t/b"])
            tree.close()
            self.settle()

    def test_nothing_to_read(self) -> None:
        """A tree of which nothing has changed reports that it has settled again, although its watch was set later."""
        tree = self.mirror.tree("/missing")
        self.pass_time(1)
        kinds: list[ChangeKind] = []
        tree.watch(lambda change: kinds.append(change.kind))
        self.world.expire_away()
        self.server.fail_next("add_watch", SystemErrorException())
        self.world.unpart()
        self.pass_time(20)
        self.assertEqual(kinds, [ChangeKind.STALE, ChangeKind.SETTLED])
        self.assertTrue(tree.settled)

    def test_node_by_node(self) -> None:
        """The reads of a tree that is watched node by node are retried with growing pauses; it is not settled
        meanwhile.
        """
        self.server.fail_next("add_watch", UnknownServerException(-6))
        faults = [self.server.fail_next(kind, UnknownServerException(-4)) for kind in ("get", "get_children")]
        tree = self.mirror.tree("/t")
        self.pass_time(0.5)
        self.assertTrue(faults[0].happened)
        self.assertFalse(tree.settled)
        self.pass_time(6)
        self.assertTrue(faults[1].happened)
        self.assertTrue(tree.settled)
        self.assertEqual(sorted(tree), ["/t", "/t/a", "/t/b"])

    def test_changes(self) -> None:
        """A change that cannot be read keeps the tree unsettled until it can."""
        tree = self.mirror.tree("/t")
        self.settle()
        for number, error in enumerate(TROUBLES):
            kinds: list[ChangeKind] = []
            tree.watch(lambda change, kinds=kinds: kinds.append(change.kind))  # type: ignore[misc]
            self.server.fail_next("get_many", error)
            self.world.change("/t/a", b"%d" % number)
            self.assertFalse(tree.settled)
            self.assertEqual(kinds, [])
            self.pass_time(70)
            self.assertTrue(tree.settled)
            self.assertEqual(tree["/t/a"][0], b"%d" % number)
            self.assertEqual(kinds, [ChangeKind.CHANGED])

    def test_watch(self) -> None:
        """A persistent watch that is answered so is requested again; until it is set, nothing is settled."""
        for error in TROUBLES:
            faults = [self.server.fail_next("add_watch", error) for _ in range(2)]
            tree = self.mirror.tree("/t")
            self.pass_time(0.9)
            self.assertEqual([fault.happened for fault in faults], [True, False])
            self.assertFalse(tree.settled)
            self.pass_time(4)
            self.assertTrue(tree.settled)
            self.world.make(f"/t/{id(error)}")
            self.assertIn(f"/t/{id(error)}", tree)
            tree.close()
            self.settle()

    def test_recovery(self) -> None:
        """A recovery that is answered so reads everything again."""
        tree = self.mirror.tree("/t")
        self.settle()
        for number, error in enumerate(TROUBLES):
            self.world.leave()
            self.world.change("/t/a", b"%d" % number)
            faults = [self.server.fail_next("set_watches", error) for _ in range(3)]
            self.world.come_back()
            self.pass_time(5)
            for fault in faults:
                fault.cancel()
            self.assertTrue(faults[0].happened)
            self.assertTrue(tree.settled)
            self.assertEqual(tree["/t/a"][0], b"%d" % number)

    def test_rate(self) -> None:
        """A tree does not ask at the network's speed."""
        faults = [self.server.fail_next("get_many", UnknownServerException(-4)) for _ in range(1000)]
        self.mirror.tree("/t")
        self.pass_time(60)
        self.assertLess(sum(fault.happened for fault in faults), 10)
        self.assertEqual(len(self.warnings()), 1)
        for fault in faults:
            fault.cancel()


class RemovalTests(TroubleCase):
    def test_rate(self) -> None:
        """A watch whose removal is answered with the code of a lost connection is not removed at the network's speed."""
        self.world.make("/a")
        self.live("/a")
        faults = [self.server.fail_next("remove_watches", UnknownServerException(-4)) for _ in range(1000)]
        self.pass_time(120)
        self.assertLessEqual(sum(fault.happened for fault in faults), 2)
        for fault in faults:
            fault.cancel()


class BoundsTests(TroubleCase):
    """A client that allows itself little, and a program that asks its mirror for much."""

    limits = Limits(in_flight_requests=10, queued_requests=5)

    def test_nodes(self) -> None:
        """All nodes become known, and the mirror settles."""
        for number in range(0, 3000, 500):
            self.world.make(f"/{number}", b"%d" % number)
        nodes = [self.mirror.get(f"/{number}") for number in range(3000)]
        self.settle()
        self.pass_time(1)
        self.assertEqual([node.path for node in nodes if node.state.existence is Existence.UNKNOWN], [])
        present = [node for node in nodes if node.state.existence is Existence.PRESENT]
        self.assertEqual([node.state.value for node in present], [b"%d" % number for number in range(0, 3000, 500)])
        self.assertIs(self.mirror.state, MirrorState.SETTLED)

    def test_writes(self) -> None:
        """All writes are done, in order; a tree shows them, and so does a node that changes meanwhile."""
        tree = self.mirror.tree("/")
        self.world.make("/last", b"")
        node = self.live("/last")
        self.settle()
        made = [self.mirror.create(f"/{number}", b"%d" % number) for number in range(2000)]
        sets = [node.set(b"%d" % number) for number in range(50)]
        self.world.change("/last", b"other")
        for each in (*made, *sets):
            self.done(each)  # type: ignore[arg-type]
        self.settle()
        self.assertTrue(tree.settled)
        self.assertEqual(len([path for path in tree if path.strip("/").isdecimal()]), 2000)
        self.assertEqual([self.done(each).version for each in sets], sorted(self.done(each).version for each in sets))
        self.assert_equal_to_server("/last")

    def test_cut_off(self) -> None:
        """Reads and writes of a mirror that is cut off in the middle are completed on return, or fail with their
        outcome.
        """
        nodes: list[Node] = [self.mirror.get(f"/{number}") for number in range(1000)]
        self.world.step(20)
        self.world.leave()
        self.world.make("/7", b"seven")
        self.world.come_back()
        self.pass_time(5)
        self.assertEqual([node.path for node in nodes if node.state.existence is Existence.UNKNOWN], [])
        self.assertEqual(nodes[7].state.value, b"seven")
        self.assertIs(self.mirror.state, MirrorState.SETTLED)

    def test_closed(self) -> None:
        """A mirror's writes that wait for room do not keep the session from its end."""
        self.live("/")
        made = [self.mirror.create(f"/{number}") for number in range(1000)]
        self.world.step(3)
        closed = self.mirror.client.close()
        self.settle()
        self.done(closed)
        outcomes = [each.called for each in made]
        self.assertTrue(all(outcomes))
        for each in made:
            each.addErrback(lambda failure: None)
