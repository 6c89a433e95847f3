"""After a disconnection, in the same session or in a new one, changed nodes are read again, and nothing else."""

from __future__ import annotations

import attrs
from twisted.internet.defer import Deferred

from txmirror.errors import AuthFailedException, NoAuthException, NoNodeException, ZooServerProblem
from txmirror.mirror import Existence, MirrorState
from txmirror.test.client.peer import SESSION, STAT
from txmirror.test.mirror.world import (
    MIRROR_HOST,
    PORT,
    MirrorTestCase,
    S,
    ScriptedTestCase,
    Value,
    follow_children,
    ignore,
    watch_children,
    watch_value,
)
from txmirror.types import CREATOR_ALL_ACL, READ_ACL, EventType
from txmirror.wire import (
    Create2Request,
    Create2Response,
    ExistsRequest,
    GetChildren2Request,
    GetChildren2Response,
    GetDataRequest,
    GetDataResponse,
    Operation,
    SetDataRequest,
    SetWatchesRequest,
)


class RecoveryTestCase(MirrorTestCase):
    """Each test runs twice: once where the session goes on, and once where another begins."""

    new_session = False

    def leave(self) -> None:
        """Part the mirror from the server."""
        if self.new_session:
            self.world.expire_away()
        else:
            self.world.leave()

    def come_back(self) -> None:
        """Let it return."""
        self.world.come_back()


class SameSessionTests(RecoveryTestCase):
    def test_changed(self) -> None:
        """M7: a value that changed while away is shown on return."""
        self.world.make("/a", b"one")
        node = self.live("/a")
        values = watch_value(node)
        self.leave()
        self.world.change("/a", b"two")
        self.assertEqual(node.state.value, b"one")
        self.come_back()
        self.assertEqual((node.state.value, values), (b"two", [b"two"]))
        self.assert_equal_to_server("/a")

    def test_created(self) -> None:
        """M7: a node that was created while away is there on return."""
        node = self.live("/a")
        values, children = watch_value(node), watch_children(node)
        self.leave()
        self.world.make("/a", b"one")
        self.come_back()
        self.assertEqual((values, children), ([b"one"], [[]]))
        self.assert_equal_to_server("/a", "/")

    def test_deleted(self) -> None:
        """M7: a node that was deleted without a connection is absent afterwards, and its watchers are notified."""
        self.world.make("/a", b"one")
        node = self.live("/a")
        values, children = watch_value(node), watch_children(node)
        self.leave()
        self.world.remove("/a")
        self.come_back()
        self.failureResultOf(node.value(), NoNodeException)
        self.failureResultOf(node.children(), NoNodeException)
        self.assertEqual((values, children), ([None], [None]))
        self.assert_equal_to_server("/a", "/")

    def test_deleted_then_settled(self) -> None:
        """M7: a node that was deleted while away keeps nothing from being settled."""
        self.world.make("/a", b"one")
        self.live("/a")
        told = self.states()
        self.leave()
        self.world.remove("/a")
        self.come_back()
        self.assertEqual(told, [MirrorState.DISCONNECTED, MirrorState.CONNECTED, MirrorState.SETTLED])

    def test_deleted_then_created(self) -> None:
        """M7: a node that was deleted while away is followed from there on."""
        self.world.make("/a", b"one")
        node = self.live("/a")
        self.leave()
        self.world.remove("/a")
        self.come_back()
        self.world.make("/a", b"two")
        self.assertEqual(node.state.value, b"two")
        self.assertEqual(self.successResultOf(node.value())[0], b"two")
        self.world.change("/a", b"three")
        self.assertEqual(node.state.value, b"three")

    def test_recreated(self) -> None:
        """M7: a node that was deleted and created anew while away, with the same bytes and the same version, is
        another (C3)."""
        self.world.make("/a", b"one")
        node = self.live("/a")
        before = node.state.stat
        told: list[Value | None] = []
        node.addValueWatcher("key", told.append)
        self.leave()
        self.world.remove("/a")
        self.world.make("/a", b"one")
        self.come_back()
        after = node.state.stat
        assert before is not None
        assert after is not None
        self.assertEqual((after.version, node.state.value), (before.version, b"one"))
        self.assertGreater(after.czxid, before.czxid)
        self.assertEqual(told, [(b"one", after)])
        self.assert_equal_to_server("/a")

    def test_children(self) -> None:
        """M7: children that came and went while away are shown on return."""
        for path in ("/a", "/a/b", "/a/c"):
            self.world.make(path)
        node = self.live("/a")
        children = watch_children(node)
        self.leave()
        self.world.remove("/a/b")
        self.world.make("/a/d")
        self.come_back()
        self.assertEqual(children, [["c", "d"]])
        self.assert_equal_to_server("/a")

    def test_children_reordered(self) -> None:
        """M7: the same children are no change, in whichever order the server lists them."""
        for path in ("/a", "/a/b", "/a/c"):
            self.world.make(path)
        node = self.live("/a")
        values, children = watch_value(node), watch_children(node)
        self.leave()
        self.world.remove("/a/b")
        self.world.make("/a/b")
        self.come_back()
        self.assertEqual((values, children), ([], []))
        self.assert_equal_to_server("/a")

    def test_nothing_changed(self) -> None:
        """M7: without changes nothing is reported, and everything is followed."""
        self.world.make("/a", b"one")
        node, missing = self.live("/a"), self.live("/missing")
        values, children, absent = watch_value(node), watch_children(node), watch_value(missing)
        self.leave()
        self.come_back()
        self.assertEqual((values, children, absent), ([], [], []))
        self.world.change("/a", b"two")
        self.world.make("/a/b")
        self.world.make("/missing")
        self.assertEqual((values, children, absent), ([b"two"], [["b"]], [b""]))

    def test_again_and_again(self) -> None:
        """M7: a second and a third recovery work like the first."""
        self.world.make("/a", b"one")
        self.live("/")
        self.live("/a")
        self.live("/b")
        for number in range(4):
            self.leave()
            self.world.change("/a", b"%d" % number)
            if number % 2:
                self.world.remove("/b")
            else:
                self.world.make("/b")
            self.come_back()
            self.assert_equal_to_server("/", "/a", "/b")

    def test_cost(self) -> None:
        """M7: with 200 nodes of which 3 have changed, recovery reads those 3, and all 200 are the server's afterwards."""
        paths = [f"/n{number:03d}" for number in range(190)]
        missing = [f"/m{number}" for number in range(10)]
        for path in paths:
            self.other.create(path, path.encode())
        self.settle()
        for path in (*paths, *missing):
            self.mirror.get(path)
        self.live(paths[0])
        told = self.states()
        self.leave()
        self.world.change(paths[7], b"changed")
        self.world.remove(paths[8])
        self.world.make(missing[9])
        before = self.world.requests()
        self.come_back()
        self.assertEqual(told[-1], MirrorState.SETTLED)
        # Handshakes, setWatches and pings are in this number too.
        self.assertLessEqual(self.world.requests() - before, 2 * 3 + 10)
        self.assert_equal_to_server(*paths, *missing)
        self.world.change(paths[100], b"later")
        self.world.make(missing[0])
        self.assert_equal_to_server(*paths, *missing)

    def test_cost_of_the_next(self) -> None:
        """M7: a node that one recovery has read is not read by the next one, if it has not changed."""
        names = [f"/n{number}" for number in range(50)]
        for name in names:
            self.other.create(name)
        self.settle()
        for name in names:
            self.mirror.get(name)
        self.settle()
        self.leave()
        for name in names:
            self.other.set(name, b"away")
        self.settle()
        self.come_back()
        self.leave()
        before = self.world.requests()
        self.come_back()
        self.assertLessEqual(self.world.requests() - before, 10)
        self.assert_equal_to_server(*names)

    def test_many(self) -> None:
        """M7: watches that do not go into one packet are all set again."""
        names = [f"/{'long' * 50}{number}" for number in range(900)]
        for name in names:
            self.other.create(name)
        self.settle()
        for name in names:
            self.mirror.get(name)
        self.settle()
        self.leave()
        for name in names[::100]:
            self.other.set(name, b"away")
        self.settle()
        self.come_back()
        self.assertEqual(self.mirror.state, MirrorState.SETTLED)
        for name in names[5::100]:
            self.other.set(name, b"back")
        self.settle()
        self.assert_equal_to_server(*names[::100], *names[5::100], *names[7::100])

    def test_consumed_watch(self) -> None:
        """M7: a node whose watch has fired, and whose next read was lost, is read again on return, though its change is
        older than the last zxid seen (C7).
        """
        self.world.make("/a", b"one")
        self.world.make("/b")
        node = self.live("/a")
        values = watch_value(node)
        self.world.link.stall(to_client=True, to_server=False)
        self.world.change("/a", b"two")
        later = self.world.mirror_client.get("/b")
        self.settle()
        self.world.hear_only()
        self.successResultOf(later)
        self.assertEqual(node.state.value, b"one")
        self.leave()
        self.come_back()
        self.assertEqual((node.state.value, values), (b"two", [b"two"]))

    def test_consumed_child_watch(self) -> None:
        """M7: children whose watch has fired, and whose next read was lost, are read again on return (C7)."""
        self.world.make("/a")
        self.world.make("/b")
        node = self.live("/a")
        self.world.link.stall(to_client=True, to_server=False)
        self.world.make("/a/c")
        later = self.world.mirror_client.get("/b")
        self.settle()
        self.world.hear_only()
        self.successResultOf(later)
        self.leave()
        self.come_back()
        self.assertEqual(node.state.children, ("c",))

    def test_consumed_existence_watch(self) -> None:
        """M7: a missing node whose watch has fired, and whose next read was lost, is read again on return (C7)."""
        self.world.make("/b")
        node = self.live("/a")
        self.world.link.stall(to_client=True, to_server=False)
        self.world.make("/a", b"one")
        later = self.world.mirror_client.get("/b")
        self.settle()
        self.world.hear_only()
        self.successResultOf(later)
        self.leave()
        self.come_back()
        self.assertEqual(node.state.value, b"one")
        self.assert_equal_to_server("/a")

    def test_consumed_by_deletion(self) -> None:
        """M7: a deleted node whose next read was lost is read again on return (C7)."""
        self.world.make("/a", b"one")
        self.world.make("/b")
        node = self.live("/a")
        self.world.link.stall(to_client=True, to_server=False)
        self.world.remove("/a")
        later = self.world.mirror_client.get("/b")
        self.settle()
        self.world.hear_only()
        self.successResultOf(later)
        self.leave()
        self.come_back()
        self.assertIs(node.state.existence, Existence.ABSENT)
        self.failureResultOf(node.value(), NoNodeException)

    def test_event_lost(self) -> None:
        """M7: an event that was sent and never arrived is made up for."""
        self.world.make("/a", b"one")
        node = self.live("/a")
        self.world.link.stall()
        self.world.change("/a", b"two")
        self.leave()
        self.come_back()
        self.assertEqual(node.state.value, b"two")

    def test_first_read_lost(self) -> None:
        """M7: a node whose first read was lost is read on return, and its readers wait until then."""
        self.world.make("/a", b"one")
        self.live("/")
        self.world.link.stall()
        read = self.mirror.get("/a").value()
        self.settle()
        self.leave()
        self.assertNoResult(read)
        self.come_back()
        self.assertEqual(self.successResultOf(read)[0], b"one")

    def test_got_while_away(self) -> None:
        """M7: a node that is first asked for while away is read on return."""
        self.world.make("/a", b"one")
        self.live("/")
        self.leave()
        node = self.mirror.get("/a")
        self.come_back()
        self.assertEqual(node.state.value, b"one")

    def test_read_on_return(self) -> None:
        """M7: a read that begins on return, before the changes are known, may return the old value or the new, and no
        failure.
        """
        self.world.make("/a", b"one")
        node = self.live("/a")
        reads: list[Deferred[Value]] = []
        self.mirror.addStateWatcher("key", lambda state: reads.append(node.value()))
        self.leave()
        self.world.change("/a", b"two")
        self.come_back()
        answers = [self.successResultOf(read)[0] for read in reads]
        self.assertEqual((answers[0], answers[-1]), (b"one", b"two"))

    def test_settled_is_true(self) -> None:
        """M7: at "settled" every node shows the server's data, even those that were unreadable before."""
        self.done(self.other.add_auth("digest", b"joe:secret"))
        self.done(self.other.create("/secret", b"one", CREATOR_ALL_ACL))
        self.world.make("/a", b"one")
        secret, node, missing = self.mirror.get("/secret"), self.live("/a"), self.live("/missing")
        seen: list[tuple[bytes | None, ...]] = []

        def look(state: MirrorState) -> None:
            if state is MirrorState.SETTLED:
                seen.append((secret.state.value, node.state.value, missing.state.value))

        self.mirror.addStateWatcher("key", look)
        self.leave()
        self.done(self.other.set_acl("/secret", (*CREATOR_ALL_ACL, *READ_ACL)))
        self.world.change("/a", b"two")
        self.world.make("/missing", b"three")
        self.come_back()
        self.assertEqual(seen, [(b"one", b"two", b"three")])

    def test_settled_with_nothing_but_what_was_refused(self) -> None:
        """M7: before "settled", unreadable nodes were tried again."""
        self.done(self.other.add_auth("digest", b"joe:secret"))
        self.done(self.other.create("/secret", b"one", CREATOR_ALL_ACL))
        secret = self.mirror.get("/secret")
        self.settle()
        seen: list[tuple[MirrorState, bytes | None]] = []
        self.mirror.addStateWatcher("key", lambda state: seen.append((state, secret.state.value)))
        self.leave()
        self.done(self.other.set_acl("/secret", (*CREATOR_ALL_ACL, *READ_ACL)))
        self.come_back()
        self.assertEqual(seen[-1], (MirrorState.SETTLED, b"one"))

    def test_states(self) -> None:
        """M7: the state watchers get each step: disconnected, connected, settled."""
        told = self.states()
        self.live("/")
        for _ in range(2):
            self.leave()
            self.come_back()
        back = [MirrorState.DISCONNECTED, MirrorState.CONNECTED, MirrorState.SETTLED]
        self.assertEqual(told, [MirrorState.CONNECTED, MirrorState.SETTLED, *back, *back])

    def test_settled_without_nodes(self) -> None:
        """M7: a mirror without nodes settles too."""
        told = self.states()
        ignore(self.mirror.connect())
        self.settle()
        self.leave()
        self.come_back()
        self.assertEqual(told[-2:], [MirrorState.CONNECTED, MirrorState.SETTLED])

    def test_not_settled_before(self) -> None:
        """M7: before a change was read, the mirror is not settled."""
        self.world.make("/a", b"one")
        node = self.live("/a")
        told = self.states()
        self.leave()
        self.world.change("/a", b"two")
        self.world.reactor.undo_black_hole(MIRROR_HOST, PORT)
        while not self.mirror.is_connected():
            self.pass_time(0.01)
        while MirrorState.SETTLED not in told:
            self.world.step(1)
        self.assertEqual(node.state.value, b"two")

    def test_interrupted(self) -> None:
        """M7: a recovery that is cut off anywhere is taken up again, and misses nothing."""
        paths = ["/a", "/b", "/c", "/d"]
        for path in paths[:2]:
            self.world.make(path, b"one")
        for path in paths:
            self.live(path)
        for count in (*range(0, 200, 9), *range(200, 1000, 67)):
            told = watch_value(self.mirror.get("/a"))
            self.leave()
            self.world.change("/a", b"%d" % count)
            self.toggle("/b")
            self.toggle("/c")
            self.return_until_cut(to_client=count)
            self.world.change("/a", b"%d again" % count)
            self.toggle("/d")
            self.come_back()
            self.assertEqual(self.mirror.state, MirrorState.SETTLED, count)
            self.assert_equal_to_server(*paths)
            self.assertEqual(len(told), len(set(told)))

    def test_interrupted_by_another_expiry(self) -> None:
        """M7: a recovery that is cut off, with the session ended while away, misses nothing either."""
        paths = ["/a", "/b", "/c", "/d"]
        for path in paths[:2]:
            self.world.make(path, b"one")
        for path in paths:
            self.live(path)
        for count in (*range(0, 200, 9), *range(200, 1000, 67)):
            self.leave()
            self.world.change("/a", b"%d" % count)
            self.toggle("/b")
            self.toggle("/c")
            self.return_until_cut(to_client=count)
            if self.world.mirror_client.session_id in self.world.server.sessions:
                self.world.expire()
            self.toggle("/d")
            self.come_back()
            self.assertEqual(self.mirror.state, MirrorState.SETTLED, count)
            self.assert_equal_to_server(*paths)

    def test_requests_interrupted(self) -> None:
        """M7: a recovery whose own requests are cut off misses nothing."""
        paths = ["/a", "/b", "/c", "/d"]
        for path in paths[:2]:
            self.world.make(path, b"one")
        for path in paths:
            self.live(path)
        for count in range(0, 400, 13):
            self.leave()
            self.world.change("/a", b"%d" % count)
            self.toggle("/b")
            self.toggle("/c")
            self.return_until_cut(to_server=count)
            self.toggle("/d")
            self.come_back()
            self.assertEqual(self.mirror.state, MirrorState.SETTLED, count)
            self.assert_equal_to_server(*paths)

    def toggle(self, path: str) -> None:
        """Let the other client create or delete a node."""
        if self.done(self.other.exists(path)) is None:
            self.world.make(path, b"toggled")
        else:
            self.world.remove(path)

    def return_until_cut(self, *, to_client: int | None = None, to_server: int | None = None) -> None:
        """Let the mirror return, on a connection that is cut after so many bytes; then keep it away."""
        reactor = self.world.reactor
        reactor.undo_black_hole(MIRROR_HOST, PORT)
        while not [link for link in reactor.links if link.server_address.host == MIRROR_HOST]:
            reactor.advance(0.01)
        self.world.link.cut_after(to_client=to_client, to_server=to_server)
        reactor.black_hole(MIRROR_HOST, PORT)
        self.settle()
        for link in reactor.links:
            if link.server_address.host == MIRROR_HOST:
                link.cut()
        self.settle()


class NewSessionTests(SameSessionTests):
    new_session = True

    def test_one_history(self) -> None:
        """M3: a new session is no new data generation: nothing becomes unknown."""
        self.world.make("/a", b"one")
        node = self.live("/a")
        self.leave()
        self.assertEqual(node.state.value, b"one")
        self.come_back()
        self.assertEqual(
            (self.world.mirror_client.session.session_number, self.world.mirror_client.session.data_generation), (2, 0)
        )

    def test_expired_while_connected(self) -> None:
        """M7: a session that ends under a connected mirror costs nothing that anybody could see."""
        self.world.make("/a", b"one")
        node = self.live("/a")
        values = watch_value(node)
        self.world.expire()
        self.world.change("/a", b"two")
        self.pass_time(1.0)
        self.assertEqual(values, [b"two"])
        self.assert_equal_to_server("/a")

    def test_away_for_long(self) -> None:
        """M7: however long the mirror was disconnected, its values stay readable, and the changes are shown on return."""
        self.world.make("/a", b"one")
        node = self.live("/a")
        self.world.leave()
        self.pass_time(3600.0)
        self.assertEqual(self.successResultOf(node.value())[0], b"one")
        self.assertEqual(node.state.stale_since, 1000.0)
        self.world.change("/a", b"two")
        self.world.reactor.undo_black_hole(MIRROR_HOST, PORT)
        self.pass_time(10.0)
        self.assertEqual(node.state.value, b"two")
        self.assertEqual(self.world.mirror_client.session.session_number, 2)

    def test_twice_without_recovery(self) -> None:
        """M7: sessions that end one after another, before their watches were set, lose no watch."""
        self.world.make("/a", b"one")
        node, missing = self.live("/a"), self.live("/missing")
        reactor = self.world.reactor
        self.leave()
        for number in range(3):
            self.world.change("/a", b"%d" % number)
            reactor.undo_black_hole(MIRROR_HOST, PORT)
            # The handshake's answer comes through (37 bytes and a length), and nothing after it.
            while not [link for link in reactor.links if link.server_address.host == MIRROR_HOST]:
                reactor.advance(0.01)
            self.world.link.cut_after(to_client=41)
            reactor.black_hole(MIRROR_HOST, PORT)
            self.settle()
            if self.world.mirror_client.session_id in self.world.server.sessions:
                self.world.expire()
        self.come_back()
        self.assertEqual(node.state.value, b"2")
        self.world.change("/a", b"last")
        self.world.make("/missing")
        self.assertEqual((node.state.value, missing.state.existence), (b"last", Existence.PRESENT))


class KeeperTests(NewSessionTests):
    """At a server that ends sessions with their connections, and calls changed children changed data."""

    version = "keeper"


class OldKeeperTests(MirrorTestCase):
    """At one that does not know ``setWatches`` either, nor watches that last."""

    version = "keeper"

    def setUp(self) -> None:
        super().setUp()
        state = self.world.server._own_state
        unknown = {Operation.SET_WATCHES, Operation.SET_WATCHES2, Operation.ADD_WATCH, Operation.MULTI_READ}
        state.version = attrs.evolve(state.version, operations=state.version.operations - unknown)
        for path in ("/a", "/a/x", "/b"):
            self.world.make(path)

    def test_recovery(self) -> None:
        """M7: everything is read again on return. An operation that the server lacks is found out once, and costs no
        session later.
        """
        for path in ("/a", "/b", "/missing"):
            self.mirror.get(path).addValueWatcher(self, lambda value: None)
        tree = self.mirror.tree("/a")
        self.pass_time(5)
        self.assertTrue(tree.settled)
        self.assertIs(self.mirror.state, MirrorState.SETTLED)
        # Each of what it does not know has cost one.
        session_number = self.world.mirror_client.session.session_number
        self.assertLessEqual(session_number, 4)
        for number in range(1, 4):
            self.world.leave()
            self.world.change("/a", b"%d" % number)
            self.world.make(f"/a/x/{number}")
            self.world.make("/missing")
            self.world.come_back()
            self.assertEqual(self.world.mirror_client.session.session_number, session_number + number)
            self.assertIs(self.mirror.state, MirrorState.SETTLED)
            self.assert_equal_to_server("/a", "/a/x", "/b", "/missing")
            self.assertCountEqual(tree, ["/a", "/a/x", *(f"/a/x/{made}" for made in range(1, number + 1))])
            self.world.remove("/missing")
            self.world.change("/b", b"later %d" % number)
            self.settle()
            self.assert_equal_to_server("/b", "/missing")


class NoBatchesTests(MirrorTestCase):
    """At a server with persistent watches that cannot read many nodes in one request."""

    version = "keeper"

    def setUp(self) -> None:
        super().setUp()
        state = self.world.server._own_state
        operations = state.version.operations - {Operation.MULTI_READ}
        state.version = attrs.evolve(state.version, operations=operations)

    def test_absent_before_its_children_are_read(self) -> None:
        """A connection that breaks between the answer that a node is gone and that about its children leaves nothing unsettled."""
        self.world.make("/a")
        node = self.mirror.get("/a")
        node.addValueWatcher(self, lambda value: None)
        node.addChildWatcher(self, lambda names: None)
        tree = self.mirror.tree("/")
        self.pass_time(5)
        self.assertIs(self.mirror.state, MirrorState.SETTLED)
        fault = self.world.server.lose_reply("get_children", path="/a")
        self.world.wipe()
        self.pass_time(5)
        self.assertTrue(fault.happened)
        self.assertTrue(tree.settled)
        self.assertIs(self.mirror.state, MirrorState.SETTLED)
        self.assert_equal_to_server("/a")
        self.world.make("/a")
        self.world.make("/a/b")
        self.settle()
        self.assert_equal_to_server("/a")


class KeeperHistoryTests(MirrorTestCase):
    """At a server that accepts clients with a later last zxid than its own."""

    version = "keeper"

    def test_wiped(self) -> None:
        """M3: data older than the last zxid seen is a new data generation, at the first session."""
        self.world.make("/a", b"one")
        node = self.live("/a")
        values = watch_value(node)
        self.world.wipe()
        self.assertEqual(values, [None])
        self.assertIs(node.state.existence, Existence.ABSENT)
        self.world.make("/a", b"two")
        self.settle()
        self.assertEqual(values, [None, b"two"])
        self.assertEqual(self.world.mirror_client.session.data_generation, 1)

    def test_not_wiped(self) -> None:
        """M3: a new session is no new data generation, and is not suspected of it."""
        self.world.make("/a", b"one")
        self.live("/a")
        for number in range(1, 4):
            self.world.leave()
            self.world.come_back()
            session = self.world.mirror_client.session
            self.assertEqual((session.session_number, session.data_generation), (1 + number, 0))


class HistoryTests(MirrorTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.world.make("/a", b"one")
        self.world.make("/a/b")

    def test_restarted(self) -> None:
        """M7: a server that was killed and started again goes on where it was: no history begins."""
        node = self.live("/a")
        values = watch_value(node)
        self.world.stop_server()
        self.pass_time(30.0)
        self.assertEqual(self.successResultOf(node.value())[0], b"one")
        self.world.start_server()
        self.pass_time(10.0)
        self.world.change("/a", b"two")
        self.assertEqual(values, [b"two"])
        self.assertEqual(
            (self.world.mirror_client.session.session_number, self.world.mirror_client.session.data_generation), (1, 0)
        )

    def test_wiped(self) -> None:
        """M3: after the server's data was wiped a new data generation begins: the present data is shown, though it is
        older.
        """
        node, root = self.live("/a"), self.live("/")
        values, children = watch_value(node), watch_children(node)
        self.world.wipe()
        self.assertEqual(self.world.mirror_client.session.data_generation, 1)
        self.assertEqual((values, children), ([None], [None]))
        self.assertEqual(root.state.children, ("zookeeper",))
        self.assert_equal_to_server("/", "/a")

    def test_told_again(self) -> None:
        """M3: in a new data generation everything is reported again, even unchanged nodes."""
        missing, root = self.live("/missing"), self.live("/zookeeper")
        absent, values, children = watch_value(missing), watch_value(root), watch_children(root)
        self.world.wipe()
        self.assertEqual((absent, values, children), ([None], [b""], [["config", "quota"]]))

    def test_unknown(self) -> None:
        """M3: when a new data generation begins all state is unknown, until it is read."""
        node = self.live("/a")
        seen: list[tuple[MirrorState, Existence]] = []
        self.mirror.addStateWatcher("key", lambda state: seen.append((state, node.state.existence)))
        self.world.wipe()
        self.assertEqual(
            seen,
            [
                (MirrorState.DISCONNECTED, Existence.PRESENT),
                (MirrorState.CONNECTED, Existence.UNKNOWN),
                (MirrorState.SETTLED, Existence.ABSENT),
            ],
        )

    def test_followed(self) -> None:
        """M3: in a new data generation everything is followed as before."""
        node = self.live("/a")
        self.world.wipe()
        values = watch_value(node)
        self.world.make("/a", b"anew")
        self.world.change("/a", b"again")
        self.assertEqual(values, [b"anew", b"again"])
        self.done(node.set(b"mine"))
        self.assertEqual(node.state.value, b"mine")
        self.world.leave()
        self.world.remove("/a")
        self.world.come_back()
        self.assertIs(node.state.existence, Existence.ABSENT)

    def test_wiped_twice(self) -> None:
        """M3: every loss of the data begins a data generation."""
        node = self.live("/a")
        for number in (1, 2):
            self.world.wipe()
            self.assertEqual(self.world.mirror_client.session.data_generation, number)
            self.world.make("/a", b"%d" % number)
            self.assertEqual(node.state.value, b"%d" % number)


class FloorTests(ScriptedTestCase):
    """Every handshake has the last zxid of the mirror, so that no lagging server accepts it."""

    def test_floor(self) -> None:
        """M3: a handshake names the highest zxid seen, in the same session and in a new one."""
        mirror, peer = self.make_mirror()
        peer.answer(SetWatchesRequest, zxid=500)
        self.assertEqual(peer.hello.lastZxidSeen, 0)
        peer = self.reconnect(peer, accept=False)
        self.assertEqual((peer.hello.lastZxidSeen, peer.hello.sessionId), (500, SESSION))
        peer.expire()
        self.pass_time(1.0)
        self.assertEqual((self.server.peer.hello.lastZxidSeen, self.server.peer.hello.sessionId), (500, 0))
        self.server.peer.accept(SESSION + 1)
        self.assertTrue(mirror.is_connected())

    def test_relative_zxid(self) -> None:
        """M7: a new session sets watches as they stood at the last reply that was seen, not at an event."""
        mirror, peer = self.make_mirror()
        peer.answer(SetWatchesRequest, zxid=90)
        follow_children(mirror.get("/a"))
        follow_children(mirror.get("/b"))
        peer.answer(GetDataRequest, GetDataResponse(b"one", STAT), zxid=100)
        peer.answer(GetChildren2Request, GetChildren2Response([], STAT), zxid=100)
        peer.answer(GetDataRequest, err=-101, zxid=101)
        peer.answer(GetChildren2Request, err=-101, zxid=101)
        peer.answer(ExistsRequest, err=-101, zxid=102)
        peer.event(EventType.CHANGED, "/elsewhere", zxid=999)
        peer = self.reconnect(peer, accept=False)
        peer.expire()
        self.pass_time(1.0)
        peer = self.server.peer
        peer.accept(SESSION + 1)
        request = peer.answer(SetWatchesRequest, zxid=103)
        self.assertEqual(request.relativeZxid, 102)
        self.assertEqual((request.dataWatches, request.existWatches, request.childWatches), (("/a",), ("/b",), ("/a",)))
        self.assertEqual(peer.packets, [])

    def test_relative_zxid_kept(self) -> None:
        """M7: through sessions that end before they have set them, watches stay relative to where they stood."""
        mirror, peer = self.make_mirror()
        peer.answer(SetWatchesRequest, zxid=90)
        node = follow_children(mirror.get("/a"))
        peer.answer(GetDataRequest, GetDataResponse(b"one", STAT), zxid=100)
        peer.answer(GetChildren2Request, GetChildren2Response([], STAT), zxid=100)
        for session in (SESSION + 1, SESSION + 2, SESSION + 3):
            peer = self.reconnect(peer, accept=False)
            peer.expire()
            # What waits for the session is sent, and answered, before the watches are set.
            ignore(node.set(b"two", 7))
            self.pass_time(1.0)
            peer = self.server.peer
            peer.accept(session)
            peer.answer(SetDataRequest, err=-103, zxid=session)
            _, request = peer.take(SetWatchesRequest)
            self.assertEqual((request.relativeZxid, request.dataWatches), (100, ("/a",)))

    def test_unimplemented(self) -> None:
        """M7: a server that has no setWatches has everything read again (C13)."""
        mirror, peer = self.make_mirror()
        peer.answer(SetWatchesRequest, zxid=90)
        node, missing = follow_children(mirror.get("/a")), follow_children(mirror.get("/b"))
        values, absent = watch_value(node), watch_value(missing)
        peer.answer(GetDataRequest, GetDataResponse(b"one", STAT), zxid=100)
        peer.answer(GetChildren2Request, GetChildren2Response([], STAT), zxid=100)
        peer.answer(GetDataRequest, err=-101, zxid=100)
        peer.answer(GetChildren2Request, err=-101, zxid=100)
        peer.answer(ExistsRequest, err=-101, zxid=100)
        told: list[MirrorState] = []
        mirror.addStateWatcher("key", told.append)
        peer = self.reconnect(peer, accept=False)
        peer.expire()
        self.pass_time(1.0)
        peer = self.server.peer
        peer.accept(SESSION + 1)
        peer.answer(SetWatchesRequest, err=-6, zxid=103)
        self.assertEqual(told, [MirrorState.DISCONNECTED, MirrorState.CONNECTED])
        peer.answer(GetDataRequest, GetDataResponse(b"two", STAT._replace(mzxid=102)), zxid=103)
        peer.answer(GetChildren2Request, GetChildren2Response([], STAT), zxid=103)
        while peer.packets:
            if peer.operations[0] == ExistsRequest.operation:
                peer.answer(ExistsRequest, err=-101, zxid=103)
            elif peer.operations[0] == GetDataRequest.operation:
                peer.answer(GetDataRequest, err=-101, zxid=103)
            else:
                peer.answer(GetChildren2Request, err=-101, zxid=103)
        self.assertEqual((values, absent), ([b"one", b"two"], [None]))
        self.assertEqual(told[-1], MirrorState.SETTLED)

    def test_unimplemented_same_session(self) -> None:
        """M7: with a server without setWatches everything is read again, in the same session too (C13)."""
        mirror, peer = self.make_mirror()
        peer.answer(SetWatchesRequest, zxid=90)
        node = follow_children(mirror.get("/a"))
        peer.answer(GetDataRequest, GetDataResponse(b"one", STAT), zxid=100)
        peer.answer(GetChildren2Request, GetChildren2Response([], STAT), zxid=100)
        peer = self.reconnect(peer)
        while peer.operations == [SetWatchesRequest.operation] * len(peer.operations) and peer.packets:
            peer.answer(SetWatchesRequest, err=-6, zxid=101)
        peer.answer(GetDataRequest, GetDataResponse(b"two", STAT._replace(mzxid=101)), zxid=101)
        peer.answer(GetChildren2Request, GetChildren2Response([], STAT), zxid=101)
        self.assertEqual(node.state.value, b"two")
        self.assertEqual(mirror.state, MirrorState.SETTLED)

    def test_throttled_same_session(self) -> None:
        """M7: if a server refuses to set the client's own watches again, everything is read again, though it sets
        others.
        """
        mirror, peer = self.make_mirror()
        peer.answer(SetWatchesRequest, zxid=90)
        node = follow_children(mirror.get("/a"))
        peer.answer(GetDataRequest, GetDataResponse(b"one", STAT), zxid=100)
        peer.answer(GetChildren2Request, GetChildren2Response([], STAT), zxid=100)
        peer = self.reconnect(peer)
        peer.answer(SetWatchesRequest, err=-127, zxid=101)
        peer.answer(SetWatchesRequest, zxid=101)
        self.assertNotEqual(mirror.state, MirrorState.SETTLED)
        peer.answer(GetDataRequest, GetDataResponse(b"two", STAT._replace(mzxid=101)), zxid=101)
        peer.answer(GetChildren2Request, GetChildren2Response([], STAT), zxid=101)
        self.assertEqual(node.state.value, b"two")
        self.assertEqual(mirror.state, MirrorState.SETTLED)

    def test_created_before_the_watches(self) -> None:
        """M5: a node that we create in a new session before its watches are set is read again: if another client has
        deleted it before they were, no event would report that.
        """
        mirror, peer = self.make_mirror()
        peer.answer(SetWatchesRequest, zxid=90)
        node = follow_children(mirror.get("/a"))
        peer.answer(GetDataRequest, err=-101, zxid=100)
        peer.answer(GetChildren2Request, err=-101, zxid=100)
        peer.answer(ExistsRequest, err=-101, zxid=100)
        peer = self.reconnect(peer, accept=False)
        peer.expire()
        write = node.create(b"mine")
        self.pass_time(1.0)
        peer = self.server.peer
        peer.accept(SESSION + 1)
        stat = STAT._replace(czxid=102, mzxid=102, pzxid=102)
        peer.answer(Create2Request, Create2Response("/a", stat), zxid=102)
        peer.answer(SetWatchesRequest, zxid=103)
        self.successResultOf(write)
        while peer.packets:
            if peer.operations[0] == ExistsRequest.operation:
                peer.answer(ExistsRequest, err=-101, zxid=103)
            elif peer.operations[0] == GetDataRequest.operation:
                peer.answer(GetDataRequest, err=-101, zxid=103)
            else:
                peer.answer(GetChildren2Request, err=-101, zxid=103)
        self.assertIs(node.state.existence, Existence.ABSENT)


class RefusedRecoveryTests(MirrorTestCase):
    def test_refused_after_the_session(self) -> None:
        """M5: a node that is unreadable in the new session, because an identity was refused, does not hold up the
        others.
        """
        self.done(self.other.add_auth("digest", b"joe:secret"))
        self.done(self.other.create("/secret", b"one", CREATOR_ALL_ACL))
        self.world.make("/a", b"one")
        secret = self.mirror.get("/secret")
        self.assert_fails(secret.value(), NoAuthException)
        node = self.live("/a")
        self.world.expire_away()
        self.world.change("/a", b"two")
        self.world.come_back()
        self.assertEqual((node.state.value, self.mirror.state), (b"two", MirrorState.SETTLED))
        self.assert_fails(secret.value(), NoAuthException)

    def test_identity_kept(self) -> None:
        """M7: an identity that was added holds in the next session too."""
        self.done(self.other.add_auth("digest", b"joe:secret"))
        self.done(self.other.create("/secret", b"one", CREATOR_ALL_ACL))
        ignore(self.mirror.connect())
        self.done(self.mirror.add_auth("digest", b"joe:secret"))
        node = self.live("/secret")
        self.world.expire_away()
        self.done(self.other.set("/secret", b"two"))
        self.world.come_back()
        self.assertEqual(node.state.value, b"two")

    def test_away_for_longer_than_the_timeout(self) -> None:
        """M7: a session that runs out while away, by itself, is followed by another."""
        self.world.make("/a", b"one")
        node = self.live("/a")
        self.done(self.live("/mine").create(ephemeral=True))
        self.world.leave()
        self.pass_time(2 * S)
        self.world.change("/a", b"two")
        self.world.reactor.undo_black_hole(MIRROR_HOST, PORT)
        self.pass_time(10.0)
        self.assertEqual(node.state.value, b"two")
        self.assertIs(self.mirror.get("/mine").state.existence, Existence.ABSENT)


class UnauthorisedTests(ScriptedTestCase):
    """Servers that do not let us in any more."""

    def test_told(self) -> None:
        """A read of an unknown node fails with the reason; known values stay readable; and nothing is tried any more."""
        mirror, peer = self.make_mirror()
        peer.answer(SetWatchesRequest, zxid=90)
        known = follow_children(mirror.get("/a"))
        peer.answer(GetDataRequest, GetDataResponse(b"one", STAT), zxid=100)
        peer.answer(GetChildren2Request, GetChildren2Response([], STAT), zxid=100)
        unknown = mirror.get("/b")
        reading = unknown.value()
        writing = known.set(b"two")
        peer.answer(GetDataRequest, err=-124)
        self.failureResultOf(reading, ZooServerProblem)
        self.failureResultOf(writing, ZooServerProblem)
        self.assertFalse(mirror.is_connected())
        self.assertEqual(self.successResultOf(known.value())[0], b"one")
        self.failureResultOf(unknown.value(), ZooServerProblem)
        self.failureResultOf(known.set(b"two"), AuthFailedException)
        count = self.server.count
        self.pass_time(60)
        self.assertEqual(self.server.count, count)
        self.successResultOf(mirror.close())
        self.assertEqual(self.reactor.getDelayedCalls(), [])
