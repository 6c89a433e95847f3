"""A write's Deferred fires when the node, its watchers and its parent show it; a failed one has all that is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred

from txmirror.errors import (
    BadVersionException,
    ConnectionLossException,
    InvalidACLException,
    NoAuthException,
    NoChildrenForEphemeralsException,
    NodeExistsException,
    NoNodeException,
    NotEmptyException,
    RequestTooLargeException,
    SessionExpiredException,
    SystemErrorException,
    ZooKeeperException,
)
from txmirror.mirror import Existence, Node
from txmirror.test.client.peer import STAT
from txmirror.test.mirror.world import (
    MirrorTestCase,
    S,
    ScriptedTestCase,
    follow_children,
    ignore,
    watch_children,
    watch_value,
)
from txmirror.types import CREATOR_ALL_ACL, READ_ACL, SessionEvent, SessionState, WatchedEvent, ZnodeStat
from txmirror.wire import (
    DeleteRequest,
    GetChildren2Request,
    GetChildren2Response,
    GetDataRequest,
    GetDataResponse,
    SetWatchesRequest,
)

_T = TypeVar("_T")


class WriteTestCase(MirrorTestCase):
    def at_once(self, write: Deferred[Any], look: Callable[[], _T]) -> _T:
        """Return the state that is visible at the moment in which a write's Deferred fires."""
        seen: list[_T] = []
        write.addCallback(lambda _: seen.append(look()))
        self.settle()
        self.successResultOf(write)
        return seen[0]


class CreateModeTests(MirrorTestCase):
    """Every kind of node that servers have."""

    def test_container(self) -> None:
        """A container goes away some time after its last child."""
        node = self.done(self.mirror.get("/c").create(b"x", container=True))
        self.assertEqual(node.state.value, b"x")
        child = self.done(self.mirror.get("/c/a").create())
        self.pass_time(70.0)
        self.assertIs(node.state.existence, Existence.PRESENT)
        self.done(child.delete())
        self.pass_time(70.0)
        self.assertIs(node.state.existence, Existence.ABSENT)

    def test_time_to_live(self) -> None:
        """A node with a time to live goes away when it was left alone for so long; one in a sequence too."""
        node = self.done(self.mirror.get("/t").create(b"x", ttl=90.0))
        other = self.done(self.mirror.get("/t-").create(b"y", ttl=1000.0, sequence=True))
        self.assertEqual((other.path[:3], other.state.value), ("/t-", b"y"))
        self.pass_time(60.0)
        self.assertIs(node.state.existence, Existence.PRESENT)
        self.pass_time(100.0)
        self.assertIs(node.state.existence, Existence.ABSENT)
        self.assertIs(other.state.existence, Existence.PRESENT)

    def test_protected(self) -> None:
        """M9: a protected node of a sequence is found after its answer was lost, and not made twice."""
        self.live("/")
        self.world.server.lose_reply("create")
        made = self.mirror.get("/n-").create(b"x", sequence=True, ephemeral=True, protect=True)
        self.pass_time(3.0)
        node = self.successResultOf(made)
        self.assertEqual(node.state.value, b"x")
        names = [name for name in self.done(self.other.get_children("/")) if name.startswith("_c_")]
        self.assertEqual([f"/{name}" for name in names], [node.path])

    def test_with_those_above(self) -> None:
        """All of them make those above them where that is wanted."""
        for number, mode in enumerate(({"container": True}, {"ttl": 5.0}, {"protect": True, "sequence": True})):
            node = self.done(self.mirror.get(f"/p{number}/a").create(b"x", makepath=True, **mode))  # type: ignore[arg-type]
            self.assertEqual(node.state.value, b"x")

    def test_that_do_not_go_together(self) -> None:
        """Kinds that exclude one another are refused at the call."""
        node = self.mirror.get("/a")
        for mode in (
            {"container": True, "ephemeral": True},
            {"container": True, "sequence": True},
            {"container": True, "ttl": 1.0},
            {"container": True, "protect": True},
            {"ttl": 1.0, "ephemeral": True},
            {"ttl": 1.0, "protect": True},
        ):
            self.assertRaises(ValueError, node.create, b"", **mode)
        self.assert_fails(node.create(ttl=-1.0), ValueError)
        self.assertIsNone(self.done(self.other.exists("/a")))


class SetTests(WriteTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.world.make("/a", b"one")

    def test_result(self) -> None:
        """M4: a set fires with the new stat."""
        node = self.live("/a")
        stat = self.done(node.set(b"two", 0))
        self.assertEqual(stat.version, 1)
        self.assertEqual(stat, self.done(self.other.exists("/a")))

    def test_shown(self) -> None:
        """M4: when a set fires, the node shows it."""
        node = self.live("/a")
        self.assertEqual(self.at_once(node.set(b"two"), lambda: node.state.value), b"two")

    def test_readable(self) -> None:
        """M4: a read that begins when a set has fired returns that value, or a later one."""
        node = self.live("/a")
        read = self.at_once(node.set(b"two"), node.value)
        self.assertEqual(self.successResultOf(read)[0], b"two")

    def test_watchers(self) -> None:
        """M4: when a set fires, the watchers have been called with it, once."""
        node = self.live("/a")
        values = watch_value(node)
        self.assertEqual(self.at_once(node.set(b"two"), lambda: list(values)), [b"two"])
        self.assertEqual(values, [b"two"])

    def test_unknown_node(self) -> None:
        """M4: a node that was never read shows a written value, too."""
        node = self.mirror.get("/a")
        values = watch_value(node)
        self.assertEqual(self.at_once(node.set(b"two"), lambda: (node.state.value, values[-1])), (b"two", b"two"))

    def test_in_order(self) -> None:
        """M4: writes are done in the order of the calls; each is reported unless a later one is already known."""
        node = self.live("/a")
        values = watch_value(node)
        seen: list[tuple[bytes, bytes | None]] = []

        def look(stat: ZnodeStat, data: bytes) -> None:
            seen.append((data, node.state.value))

        for number in range(10):
            node.set(b"%d" % number).addCallback(look, b"%d" % number)
        self.settle()
        self.assertEqual([data for data, _ in seen], [b"%d" % number for number in range(10)])
        self.assertTrue(all(shown is not None and shown >= data for data, shown in seen), seen)
        self.assertEqual(values, sorted(set(values), key=lambda value: value or b""))
        self.assertEqual(values[-1], b"9")

    def test_overwritten(self) -> None:
        """M4: if another client has written since, the write fires with its own stat, and the node shows the later
        value in the end.
        """
        node = self.live("/a")
        values = watch_value(node)
        write = node.set(b"mine")
        ignore(self.other.set("/a", b"theirs"))
        self.assertIn(self.at_once(write, lambda: node.state.value), (b"mine", b"theirs"))
        self.assertEqual((node.state.value, values[-1]), (b"theirs", b"theirs"))
        self.assertEqual(values, sorted(set(values), key=lambda value: value or b""))

    def test_bad_version(self) -> None:
        """M9: at another version nothing is written, and that is certain; the node shows its present value."""
        node = self.live("/a")
        error = self.assert_fails(node.set(b"two", 7), BadVersionException)
        assert isinstance(error, ZooKeeperException)
        self.assertIs(error.applied, False)
        self.assertEqual(node.state.value, b"one")

    def test_no_node(self) -> None:
        """M9: where there is no node nothing is written."""
        node = self.live("/missing")
        error = self.assert_fails(node.set(b"two"), NoNodeException)
        assert isinstance(error, ZooKeeperException)
        self.assertIs(error.applied, False)
        self.assertIs(node.state.existence, Existence.ABSENT)

    def test_no_auth(self) -> None:
        """M9: where it is not allowed nothing is written."""
        self.done(self.other.set_acl("/a", READ_ACL))
        node = self.live("/a")
        error = self.assert_fails(node.set(b"two"), NoAuthException)
        assert isinstance(error, ZooKeeperException)
        self.assertIs(error.applied, False)
        self.assertEqual(node.state.value, b"one")

    def test_too_large(self) -> None:
        """M9: a request over the limit is never sent, and the connection continues."""
        node = self.live("/a")
        before = self.world.requests()
        error = self.assert_fails(node.set(b"x" * 0xFFFFF), RequestTooLargeException)
        assert isinstance(error, ZooKeeperException)
        self.assertIs(error.applied, False)
        self.assertEqual(self.world.requests(), before)

    def test_no_bytes(self) -> None:
        """Data that is no bytes fails the Deferred, and quotes it."""
        node = self.live("/a")
        error = self.assert_fails(node.set("two"), TypeError)  # type: ignore[arg-type]
        self.assertIn("'two'", str(error))

    def test_connection_lost(self) -> None:
        """M9: a write that was sent and not answered may have happened; on return the node shows that it has."""
        node = self.live("/a")
        self.world.link.stall(to_server=False)
        write = node.set(b"two")
        self.settle()
        self.world.leave()
        error = self.assert_fails(write, ConnectionLossException)
        assert isinstance(error, ZooKeeperException)
        self.assertIsNone(error.applied)
        self.assertEqual(node.state.value, b"one")
        self.world.come_back()
        self.assertEqual(node.state.value, b"two")
        self.assert_equal_to_server("/a")

    def test_connection_lost_before(self) -> None:
        """M9: a write that never arrived fails in the same way; on return the node shows that it has not happened."""
        node = self.live("/a")
        self.world.link.stall(to_client=False)
        write = node.set(b"two")
        self.settle()
        self.world.leave()
        error = self.assert_fails(write, ConnectionLossException)
        assert isinstance(error, ZooKeeperException)
        self.assertIsNone(error.applied)
        self.world.come_back()
        self.assertEqual(node.state.value, b"one")

    def test_session_expired(self) -> None:
        """M9: a write that waited for a connection, and whose session has ended, certainly has not happened."""
        node = self.live("/a")
        self.world.expire_away()
        write = node.set(b"two")
        self.world.come_back()
        error = self.assert_fails(write, SessionExpiredException)
        assert isinstance(error, ZooKeeperException)
        self.assertIs(error.applied, False)
        self.assertEqual(node.state.value, b"one")

    def test_away(self) -> None:
        """M4: a write that is called while disconnected is done on return, within the same session."""
        node = self.live("/a")
        self.world.leave()
        write = node.set(b"two")
        self.settle()
        self.assertNoResult(write)
        self.assertEqual(node.state.value, b"one")
        self.world.come_back()
        self.successResultOf(write)
        self.assertEqual(node.state.value, b"two")

    def test_presumed_lost(self) -> None:
        """M9: a write that waited until the session was presumed lost was never sent."""
        node = self.live("/a")
        self.world.leave()
        write = node.set(b"two")
        self.pass_time(S * 4 / 3)
        error = self.assert_fails(write, ConnectionLossException)
        assert isinstance(error, ZooKeeperException)
        self.assertIs(error.applied, False)
        self.world.come_back()

    def test_cancelled(self) -> None:
        """M9: cancelling a write that was sent ends the wait; the write is applied, and the node shows it."""
        node = self.live("/a")
        values = watch_value(node)
        write = node.set(b"two")
        write.cancel()
        self.failureResultOf(write, CancelledError)
        self.settle()
        self.assertEqual((node.state.value, values), (b"two", [b"two"]))

    def test_cancelled_away(self) -> None:
        """M9: a write that is cancelled before it was sent never is."""
        node = self.live("/a")
        self.world.leave()
        write, second = node.set(b"two", 0), node.set(b"three", 0)
        write.cancel()
        self.failureResultOf(write, CancelledError)
        self.world.come_back()
        self.assertEqual(self.successResultOf(second).version, 1)
        self.assertEqual(node.state.value, b"three")

    def test_then_deleted(self) -> None:
        """M3: a value that was set before the node was deleted never shows afterwards."""
        node = self.live("/a")
        values = watch_value(node)
        ignore(node.set(b"two"))
        ignore(self.other.delete("/a"))
        self.settle()
        self.assertIs(node.state.existence, Existence.ABSENT)
        self.assertIsNone(values[-1])
        self.assertEqual(values.count(None), 1)


class CreateTests(WriteTestCase):
    def test_result(self) -> None:
        """M4: a create fires with the node."""
        node = self.live("/a")
        self.assertIs(self.done(node.create(b"one")), node)

    def test_shown(self) -> None:
        """M4: when a create fires, the node shows it, and so do its watchers, once."""
        node = self.live("/a")
        values, children = watch_value(node), watch_children(node)
        seen = self.at_once(node.create(b"one"), lambda: (node.state.value, node.state.children, *values, *children))
        self.assertEqual(seen, (b"one", (), b"one", []))
        self.assertEqual((values, children), ([b"one"], [[]]))
        self.assert_equal_to_server("/a")

    def test_unknown_node(self) -> None:
        """M4: a node that was never read shows its creation too."""
        node = self.mirror.get("/a")
        self.assertEqual(self.at_once(node.create(b"one"), lambda: node.state.value), b"one")

    def test_default(self) -> None:
        """A node is created empty, persistent, and open to everybody."""
        self.done(self.live("/a").create())
        data, stat = self.done(self.other.get("/a"))
        self.assertEqual((data, stat.ephemeralOwner), (b"", 0))
        self.done(self.other.set("/a", b"x"))

    def test_parent(self) -> None:
        """M4: when a create fires, the parent's children show it, and their watchers have been called."""
        parent, node = self.live("/"), self.live("/a")
        children = watch_children(parent)
        seen = self.at_once(node.create(), lambda: (parent.state.children, list(children)))
        self.assertEqual(seen, (("a", "zookeeper"), [["a", "zookeeper"]]))

    def test_parent_being_read(self) -> None:
        """M4: a parent that has not been read yet is waited for."""
        self.live("/zookeeper")
        parent, node = follow_children(self.mirror.get("/")), self.mirror.get("/a")
        self.assertEqual(self.at_once(node.create(), lambda: parent.state.children), ("a", "zookeeper"))

    def test_no_parent_in_the_mirror(self) -> None:
        """M4: a parent that nobody asked for is not waited for, and not asked for either."""
        node = self.live("/a")
        before = self.world.requests()
        self.done(node.create())
        # The create, and the node's value and children, which its event has read again.
        self.assertEqual(self.world.requests() - before, 3)

    def test_parent_that_may_not_be_read(self) -> None:
        """M4: a parent that may not be read holds no write up."""
        self.done(self.other.add_auth("digest", b"joe:secret"))
        acl = (*CREATOR_ALL_ACL, READ_ACL[0]._replace(permissions=4))
        self.done(self.other.create("/p", b"", acl))
        parent = self.mirror.get("/p")
        self.assert_fails(parent.children(), NoAuthException)
        self.done(self.live("/p/a").create())

    def test_exists(self) -> None:
        """M9: a node that is there already is not created; it is shown as it is."""
        self.world.make("/a", b"theirs")
        node = self.mirror.get("/a")
        error = self.assert_fails(node.create(b"mine"), NodeExistsException)
        assert isinstance(error, ZooKeeperException)
        self.assertIs(error.applied, False)
        self.assertEqual(node.state.value, b"theirs")

    def test_no_parent(self) -> None:
        """M9: without its parent a node is not created."""
        node = self.live("/a/b/c")
        error = self.assert_fails(node.create(), NoNodeException)
        assert isinstance(error, ZooKeeperException)
        self.assertIs(error.applied, False)
        self.assertEqual((str(error), error.path), ("the parent of '/a/b/c' does not exist", "/a/b/c"))

    def test_makepath(self) -> None:
        """M4: with ``makepath`` the nodes above are made, and all of them show."""
        nodes = [self.live(path) for path in ("/", "/a", "/a/b", "/a/b/c")]
        seen = self.at_once(nodes[-1].create(b"one", makepath=True), lambda: [node.state.children for node in nodes])
        self.assertEqual(seen, [("a", "zookeeper"), ("b",), ("c",), ()])
        self.assert_equal_to_server("/", "/a", "/a/b", "/a/b/c")

    def test_makepath_partly_there(self) -> None:
        """M4: nodes above that are there already are left as they are."""
        self.world.make("/a", b"theirs")
        self.done(self.live("/a/b/c").create(b"one", makepath=True))
        self.assertEqual(self.live("/a").state.value, b"theirs")
        self.assert_equal_to_server("/a/b", "/a/b/c")

    def test_makepath_not_allowed_above(self) -> None:
        """M4: with ``makepath`` nothing is asked of nodes further up than need be."""
        self.world.make("/a")
        self.world.make("/a/b")
        self.done(self.other.set_acl("/", READ_ACL))
        self.done(self.other.set_acl("/a", READ_ACL))
        self.done(self.live("/a/b/c/d").create(makepath=True))
        self.assert_equal_to_server("/a/b/c", "/a/b/c/d")

    def test_makepath_deep(self) -> None:
        """A path may have more levels than Python can nest calls: it is made, followed and deleted."""
        path = "/d" * 1_100
        self.assertEqual(self.done(self.live(path).create(b"one", makepath=True)).path, path)
        self.assertEqual(self.done(self.mirror.ensure_exists(path + "/below")).path, path + "/below")
        tree = self.mirror.tree("/d")
        self.settle()
        self.assertTrue(tree.settled)
        self.assertEqual((len(tree), tree[path][0]), (1_101, b"one"))
        self.done(self.live("/d").delete(recursive=True))
        self.settle()
        self.assertEqual((len(tree), self.done(self.other.exists("/d"))), (0, None))

    def test_makepath_exists(self) -> None:
        """M9: ``makepath`` is no excuse for a node that is there already."""
        self.world.make("/a")
        self.assert_fails(self.live("/a").create(makepath=True), NodeExistsException)

    def test_two_paths_at_once(self) -> None:
        """M4: two creates that make the same path do not get into each other's way."""
        nodes = [self.live("/a/b/c"), self.live("/a/b/d")]
        first, second = (node.create(makepath=True) for node in nodes)
        self.settle()
        self.successResultOf(first)
        self.successResultOf(second)
        self.assertEqual(self.live("/a/b").state.children, ("c", "d"))

    def test_ephemeral(self) -> None:
        """M4: an ephemeral node is the session's, and goes with it."""
        node = self.live("/a")
        self.done(node.create(b"one", ephemeral=True))
        assert node.state.stat is not None
        self.assertEqual(node.state.stat.ephemeralOwner, self.world.mirror_client.session_id)
        self.world.expire()
        self.pass_time(1.0)
        self.assertIs(node.state.existence, Existence.ABSENT)
        self.assert_equal_to_server("/", "/a")

    def test_below_an_ephemeral(self) -> None:
        """M9: an ephemeral node has no children."""
        self.world.make("/a", ephemeral=True)
        error = self.assert_fails(self.live("/a/b").create(), NoChildrenForEphemeralsException)
        assert isinstance(error, ZooKeeperException)
        self.assertIs(error.applied, False)

    def test_sequence(self) -> None:
        """M4: a sequence create fires with the created node, under the name that the server has made."""
        parent = self.live("/")
        prefix = self.live("/a-")
        nodes = [self.done(prefix.create(b"%d" % number, sequence=True)) for number in range(2)]
        self.assertEqual([node.path for node in nodes], ["/a-0000000000", "/a-0000000001"])
        self.assertEqual([node.state.value for node in nodes], [b"0", b"1"])
        self.assertIs(nodes[0], self.mirror.get("/a-0000000000"))
        self.assertIs(prefix.state.existence, Existence.ABSENT)
        self.assertEqual(parent.state.children, ("a-0000000000", "a-0000000001", "zookeeper"))
        self.assert_equal_to_server("/", *(node.path for node in nodes))

    def test_sequence_shown(self) -> None:
        """M4: when a sequence create fires, the node and its parent show it."""
        parent = self.live("/")

        def look(made: Node) -> tuple[bytes | None, bool]:
            return made.state.value, made.path[1:] in (parent.state.children or ())

        write = self.live("/a-").create(b"one", sequence=True).addCallback(look)
        self.assertEqual(self.done(write), (b"one", True))

    def test_sequence_below(self) -> None:
        """M4: a sequence node of a parent that is missing is made with ``makepath``."""
        node = self.done(self.live("/p/a-").create(b"one", sequence=True, ephemeral=True, makepath=True))
        self.assertEqual((node.path, node.state.value), ("/p/a-0000000000", b"one"))

    def test_acl(self) -> None:
        """A node gets the ACL that it was given."""
        self.done(self.live("/a").create(b"one", acl=READ_ACL))
        self.assertEqual(tuple(self.done(self.other.get_acl("/a"))[0]), READ_ACL)

    def test_bad_acl(self) -> None:
        """M9: an ACL that the server refuses makes no node."""
        error = self.assert_fails(self.live("/a").create(acl=()), InvalidACLException)
        assert isinstance(error, ZooKeeperException)
        self.assertIs(error.applied, False)

    def test_connection_lost(self) -> None:
        """M9: a create that was sent and not answered may have happened; on return the node and its parent show it."""
        parent, node = self.live("/"), self.live("/a")
        self.world.link.stall(to_server=False)
        write = node.create(b"one")
        self.settle()
        self.world.leave()
        error = self.assert_fails(write, ConnectionLossException)
        assert isinstance(error, ZooKeeperException)
        self.assertIsNone(error.applied)
        self.world.come_back()
        self.assertEqual((node.state.value, parent.state.children), (b"one", ("a", "zookeeper")))

    def test_cancelled(self) -> None:
        """M9: cancelling a create that was sent ends the wait; the node and its parent show it."""
        parent, node = self.live("/"), self.live("/a")
        write = node.create(b"one")
        write.cancel()
        self.failureResultOf(write, CancelledError)
        self.settle()
        self.assertEqual((node.state.value, parent.state.children), (b"one", ("a", "zookeeper")))

    def test_cancelled_while_the_parent_is_read(self) -> None:
        """M9: cancelling the wait for the parent does no harm."""
        parent, node = self.live("/"), self.live("/a")
        write = node.create(b"one")
        while node.state.value is None:
            self.world.step(1)
        self.assertNoResult(write)
        write.cancel()
        self.failureResultOf(write, CancelledError)
        self.settle()
        self.assertEqual(parent.state.children, ("a", "zookeeper"))

    def test_disconnected_while_the_parent_is_read(self) -> None:
        """M4: a create whose parent could not be read again before the connection went fires when it has been."""
        parent, node = self.live("/"), self.live("/a")
        write = node.create(b"one")
        while node.state.value is None:
            self.world.step(1)
        self.world.leave()
        self.assertNoResult(write)
        self.world.come_back()
        self.successResultOf(write)
        self.assertEqual(parent.state.children, ("a", "zookeeper"))

    def test_in_a_new_session(self) -> None:
        """M4: a create that is called between two sessions is shown by the parent when it fires, though the parent has
        no watch yet.
        """
        parent, node = self.live("/"), self.live("/a")
        writes: list[Deferred[tuple[bytes | None, tuple[str, ...] | None]]] = []

        def look(made: Node) -> tuple[bytes | None, tuple[str, ...] | None]:
            return made.state.value, parent.state.children

        def between(event: SessionEvent | WatchedEvent) -> None:
            if isinstance(event, SessionEvent) and event.state is SessionState.EXPIRED:
                writes.append(node.create(b"one").addCallback(look))

        self.world.mirror_client.add_listener(between)
        self.world.expire()
        self.pass_time(2.5)
        self.assertEqual(self.successResultOf(writes[0]), (b"one", ("a", "zookeeper")))


class DeleteTests(WriteTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.world.make("/a", b"one")

    def test_shown(self) -> None:
        """M4: when a delete fires, the node shows it, and so do its watchers, once."""
        node = self.live("/a")
        values, children = watch_value(node), watch_children(node)
        seen = self.at_once(node.delete(), lambda: (node.state.existence, *values, *children))
        self.assertEqual(seen, (Existence.ABSENT, None, None))
        self.assertEqual((values, children), ([None], [None]))

    def test_result(self) -> None:
        """M4: a delete fires with None."""
        self.assertIsNone(self.done(self.live("/a").delete(0)))

    def test_read(self) -> None:
        """M4: a read that begins when a delete has fired finds nothing."""
        node = self.live("/a")
        read = self.at_once(node.delete(), node.value)
        self.failureResultOf(read, NoNodeException)

    def test_unknown_node(self) -> None:
        """M4: a node that was never read shows its deletion too."""
        node = self.mirror.get("/a")
        self.assertIs(self.at_once(node.delete(), lambda: node.state.existence), Existence.ABSENT)
        self.assert_equal_to_server("/a")

    def test_parent(self) -> None:
        """M4: when a delete fires, the parent's children show it, and their watchers have been called."""
        parent, node = self.live("/"), self.live("/a")
        children = watch_children(parent)
        seen = self.at_once(node.delete(), lambda: (parent.state.children, list(children)))
        self.assertEqual(seen, (("zookeeper",), [["zookeeper"]]))

    def test_created_again(self) -> None:
        """M4: a node that was deleted can be created, again and again, and shows each."""
        node = self.live("/a")
        for number in range(5):
            self.assertIs(self.at_once(node.delete(), lambda: node.state.existence), Existence.ABSENT)
            data = b"%d" % number
            self.assertEqual(self.at_once(node.create(data), lambda: node.state.value), data)
        self.assert_equal_to_server("/", "/a")

    def test_created_again_by_somebody_else(self) -> None:
        """M4: a node that another client creates at once after its deletion is shown in the end."""
        node = self.live("/a")
        write = node.delete()
        ignore(self.other.create("/a", b"theirs"))
        self.settle()
        self.successResultOf(write)
        self.assertEqual(node.state.value, b"theirs")
        self.assert_equal_to_server("/", "/a")

    def test_then_changes_are_seen(self) -> None:
        """M5: a node that was never read, and was deleted, is followed all the same."""
        node = self.mirror.get("/a")
        self.done(node.delete())
        self.world.make("/a", b"two")
        self.assertEqual(node.state.value, b"two")
        self.assert_equal_to_server("/a")

    def test_bad_version(self) -> None:
        """M9: at another version nothing is deleted."""
        node = self.live("/a")
        error = self.assert_fails(node.delete(7), BadVersionException)
        assert isinstance(error, ZooKeeperException)
        self.assertIs(error.applied, False)
        self.assertEqual(node.state.value, b"one")

    def test_missing(self) -> None:
        """M9: a missing node cannot be deleted."""
        self.assert_fails(self.live("/missing").delete(), NoNodeException)

    def test_not_empty(self) -> None:
        """M9: a node with children is not deleted."""
        self.world.make("/a/b")
        node = self.live("/a")
        error = self.assert_fails(node.delete(), NotEmptyException)
        assert isinstance(error, ZooKeeperException)
        self.assertIs(error.applied, False)
        self.assertEqual(node.state.children, ("b",))

    def test_recursive(self) -> None:
        """M4: a recursive delete takes everything below, and all of it shows."""
        paths = ("/a/b", "/a/b/c", "/a/b/d", "/a/e", "/a/e/f")
        for path in paths:
            self.world.make(path)
        nodes = [self.live(path) for path in ("/a", *paths)]
        seen = self.at_once(nodes[0].delete(recursive=True), lambda: nodes[0].state.existence)
        self.assertIs(seen, Existence.ABSENT)
        self.assertEqual({node.state.existence for node in nodes}, {Existence.ABSENT})
        self.assert_equal_to_server("/", "/a", *paths)

    def test_recursive_without_children(self) -> None:
        """M4: a node without children is deleted like any other."""
        self.done(self.live("/a").delete(recursive=True))
        self.assert_equal_to_server("/", "/a")

    def test_recursive_missing(self) -> None:
        """M9: a recursive delete of a missing node fails with NoNodeException."""
        self.assert_fails(self.live("/missing").delete(recursive=True), NoNodeException)

    def test_recursive_version(self) -> None:
        """M9: at another version nothing is deleted, recursively neither, and nothing below."""
        self.world.make("/a/b")
        node = self.live("/a")
        self.assert_fails(node.delete(7, recursive=True), BadVersionException)
        self.assertEqual(node.state.children, ("b",))

    def test_recursive_in_part(self) -> None:
        """M9: a recursive delete that is refused after it has deleted something had an effect; before that it had none."""
        self.world.make("/a/b")
        for others, applied in (((), False), (("/a/c",), None)):
            for path in others:
                self.world.make(path)
            self.world.server.fail_next("delete", NoAuthException(), path="/a/b")
            error = self.assert_fails(self.live("/a").delete(recursive=True), NoAuthException)
            assert isinstance(error, ZooKeeperException)
            self.assertIs(error.applied, applied)
            self.assert_equal_to_server("/", "/a")

    def test_recursive_while_others_create(self) -> None:
        """M4: nodes that are created below while a recursive delete runs are deleted too."""
        self.world.make("/a/b")
        node = self.live("/a")
        write = node.delete(recursive=True)
        for number in range(10):
            ignore(self.other.create(f"/a/{number}"))
            ignore(self.other.create(f"/a/b/{number}"))
            self.world.step(3)
        self.settle()
        self.successResultOf(write)
        self.assert_equal_to_server("/", "/a", "/a/b")

    def test_recursive_while_others_delete(self) -> None:
        """M4: nodes that are deleted below while a recursive delete runs are no failure."""
        for steps in range(0, 40, 2):
            for path in ("/r", "/r/b", "/r/b/c", "/r/d"):
                self.world.make(path)
            node = self.live("/r")
            write = node.delete(recursive=True)
            self.world.step(steps)
            for path in ("/r/b/c", "/r/b", "/r/d"):
                ignore(self.other.delete(path))
            self.settle()
            self.successResultOf(write)
            self.assert_equal_to_server("/", "/r")

    def test_connection_lost(self) -> None:
        """M9: a delete that was sent and not answered may have happened; on return the node and its parent show it."""
        parent, node = self.live("/"), self.live("/a")
        self.world.link.stall(to_server=False)
        write = node.delete()
        self.settle()
        self.world.leave()
        error = self.assert_fails(write, ConnectionLossException)
        assert isinstance(error, ZooKeeperException)
        self.assertIsNone(error.applied)
        self.world.come_back()
        self.assertIs(node.state.existence, Existence.ABSENT)
        self.assertEqual(parent.state.children, ("zookeeper",))

    def test_cancelled(self) -> None:
        """M9: cancelling a delete that was sent ends the wait; the node shows it."""
        node = self.live("/a")
        write = node.delete()
        write.cancel()
        self.failureResultOf(write, CancelledError)
        self.settle()
        self.assertIs(node.state.existence, Existence.ABSENT)


class StatTests(WriteTestCase):
    def test_stat_of_a_set(self) -> None:
        """M4: the stat that a set fires with, that which the node shows and that of the server are one."""
        self.world.make("/a", b"one")
        node = self.live("/a")
        both = self.done(node.set(b"two").addCallback(lambda stat: (stat, node.state.stat)))
        there = self.done(self.other.exists("/a"))
        self.assertEqual(both, (there, there))


class RecursiveDeleteTests(WriteTestCase):
    def test_wide(self) -> None:
        """A tree that is wide, each of whose branches has a leaf, is deleted whole."""
        self.world.make("/t", b"")
        for number in range(400):
            self.world.make(f"/t/n{number}", b"")
            self.world.make(f"/t/n{number}/leaf", b"")
        self.done(self.live("/t").delete(recursive=True))
        self.assert_equal_to_server("/t")
        self.assertIs(self.mirror.get("/t").state.existence, Existence.ABSENT)

    def test_not_permitted(self) -> None:
        """A node that may not be deleted is reported, and the other deletions are done."""
        for path in ("/t", "/t/a", "/t/b", "/t/b/c", "/t/d"):
            self.world.make(path, b"")
        self.done(self.other.set_acl("/t/b", READ_ACL))
        error = self.assert_fails(self.live("/t").delete(recursive=True), NoAuthException)
        self.assertIn("'/t/b/c'", str(error))
        self.assertEqual(self.done(self.other.get_children("/t")), ["b"])


class VanishingChildTests(ScriptedTestCase):
    def test_many_at_a_time(self) -> None:
        """The deletions of a node's children do not wait for one another."""
        mirror, peer = self.make_mirror()
        peer.answer(SetWatchesRequest)
        node = mirror.get("/t")
        names = [str(number) for number in range(100)]
        peer.answer(GetDataRequest, GetDataResponse(b"", STAT), zxid=100)
        deleted = node.delete(recursive=True)
        self.assertEqual(peer.answer(DeleteRequest, err=-111, zxid=100).path, "/t")
        peer.answer(GetChildren2Request, GetChildren2Response(names, STAT), zxid=100)
        taken = [peer.take(DeleteRequest) for _ in names]
        self.assertEqual(len(taken), 100)
        ignore(deleted)

    def test_child_vanishes(self) -> None:
        """A child that another client deletes after it was listed is no failure."""
        mirror, peer = self.make_mirror()
        peer.answer(SetWatchesRequest)
        node = mirror.get("/t")
        peer.answer(GetDataRequest, GetDataResponse(b"", STAT), zxid=100)
        deleted = node.delete(recursive=True)
        self.assertEqual(peer.answer(DeleteRequest, err=-111, zxid=100).path, "/t")
        peer.answer(GetChildren2Request, GetChildren2Response(["a"], STAT), zxid=100)
        self.assertEqual(peer.answer(DeleteRequest, err=-111, zxid=100).path, "/t/a")
        self.assertEqual(peer.answer(GetChildren2Request, err=-101, zxid=101).path, "/t/a")
        self.assertEqual(peer.answer(DeleteRequest, err=-101, zxid=101).path, "/t/a")
        self.assertEqual(peer.answer(DeleteRequest, zxid=102).path, "/t")
        self.successResultOf(deleted)
        self.assertIs(node.state.existence, Existence.ABSENT)


class OldServerTests(MirrorTestCase):
    """At a server that does not report the stat of a new node."""

    version = "3.4"

    def test_stat_unknown(self) -> None:
        """A created node whose stat cannot be read at once shows when it was read, and only once."""
        self.done(self.mirror.connect())
        # The server closes the connection once, at a request that it does not know.
        ignore(self.mirror.get("/first").create())
        self.pass_time(3.0)
        self.world.server.fail_next("get", SystemErrorException(), path="/a")
        node = follow_children(self.mirror.get("/a"))
        self.settle()
        self.assertIs(node.state.existence, Existence.UNKNOWN)
        values: list[tuple[bytes, ZnodeStat] | None] = []
        node.addValueWatcher("value", values.append)
        children = watch_children(node)
        fault = self.world.server.fail_next("exists", NoAuthException(), path="/a")
        self.done(node.create(b"x"))
        self.assertTrue(fault.happened)
        stat = self.done(self.other.exists("/a"))
        self.assertEqual((values, node.state.stat), ([(b"x", stat)], stat))
        self.assertEqual(children, [[]])
