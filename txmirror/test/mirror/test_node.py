"""A node: one for each path, read from memory once it is known, kept equal to the server's, and honest where it is not."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure

from txmirror.client import Limits
from txmirror.embedded import EmbeddedEnsemble
from txmirror.errors import (
    ClosingException,
    NoAuthException,
    NoNodeException,
    OperationTimeoutException,
    PathError,
    ReplyTooLargeException,
)
from txmirror.mirror import Existence, Mirror
from txmirror.test.client.peer import STAT
from txmirror.test.mirror.world import MirrorTestCase, ScriptedTestCase, follow_children, watch_children, watch_value
from txmirror.types import CREATOR_ALL_ACL, READ_ACL, EventType, ZnodeStat
from txmirror.wire import (
    DeleteRequest,
    ExistsRequest,
    GetChildren2Request,
    GetChildren2Response,
    GetDataRequest,
    GetDataResponse,
    SetWatchesRequest,
    StatResponse,
)

#: Everybody may read, and the creator may do all that they may do with their identity.
READABLE = (*CREATOR_ALL_ACL, *READ_ACL)


class IdentityTests(MirrorTestCase):
    def test_same_node(self) -> None:
        """M1: there is one node for each path."""
        self.assertIs(self.mirror.get("/a"), self.mirror.get("/a"))
        self.assertIsNot(self.mirror.get("/a"), self.mirror.get("/b"))

    def test_normalised(self) -> None:
        """M1: however its path is written, within reason, it is the same node."""
        node = self.mirror.get("/a/b")
        for path in ("a/b", "/a/b/", "//a//b", "a/b//"):
            self.assertIs(self.mirror.get(path), node)
        self.assertEqual(node.path, "/a/b")

    def test_root(self) -> None:
        """M1: the root has as many spellings."""
        root = self.mirror.get("/")
        for path in ("", "//"):
            self.assertIs(self.mirror.get(path), root)

    def test_no_path(self) -> None:
        """An invalid path is refused at once, and quoted."""
        for path in ("/a/../b", "/a/./b", "/a\0b"):
            self.assertIn(repr(path), str(self.assertRaises(PathError, self.mirror.get, path)))
        self.assertTrue(issubclass(PathError, ValueError))

    def test_asked_for_once(self) -> None:
        """M1: a second get() of a node sends no request."""
        self.world.make("/a")
        self.live("/a")
        before = self.world.requests()
        self.mirror.get("/a")
        self.assertEqual(self.world.requests(), before)

    def test_repr(self) -> None:
        """The repr has the path, and whether the node exists."""
        self.assertEqual(repr(self.mirror.get("/a")), "<Node '/a' unknown>")
        self.assertEqual(repr(self.live("/a")), "<Node '/a' absent>")


class ReadingTests(MirrorTestCase):
    def test_value(self) -> None:
        """M2: a read waits until the value is known."""
        self.world.make("/a", b"one")
        read = self.mirror.get("/a").value()
        self.assertNoResult(read)
        data, stat = self.done(read)
        self.assertEqual((data, stat.version), (b"one", 0))
        self.assertIsInstance(stat, ZnodeStat)

    def test_children(self) -> None:
        """M2: children come sorted."""
        for path in ("/a", "/a/c", "/a/d", "/a/b"):
            self.world.make(path)
        read = self.mirror.get("/a").children()
        self.assertNoResult(read)
        self.assertEqual(self.done(read), ["b", "c", "d"])

    def test_missing(self) -> None:
        """M2: a read of a missing node fails, and the error has its path."""
        node = self.mirror.get("/a")
        for reading in (node.value(), node.children()):
            error = self.assert_fails(reading, NoNodeException)
            self.assertIn("'/a'", str(error))

    def test_from_memory(self) -> None:
        """M2: a known value is read without a request, and without a turn of the reactor."""
        self.world.make("/a", b"one")
        node, missing = self.live("/a"), self.live("/missing")
        before = self.world.requests()
        for _ in range(10):
            self.assertEqual(self.successResultOf(node.value())[0], b"one")
            self.assertEqual(self.successResultOf(node.children()), [])
            self.failureResultOf(missing.value(), NoNodeException)
            self.failureResultOf(missing.children(), NoNodeException)
        self.assertEqual(self.world.requests(), before)

    def test_answer_is_a_copy(self) -> None:
        """A reader may change its list of children; no other reader sees that."""
        self.world.make("/a")
        node = self.live("/")
        self.successResultOf(node.children()).clear()
        self.assertIn("a", self.successResultOf(node.children()))

    def test_watchers_list_is_a_copy(self) -> None:
        """A watcher may change its list of children; no other watcher sees that."""
        node = self.live("/")
        node.addChildWatcher("bad", lambda names: names.clear() if names is not None else None)
        told = watch_children(node)
        self.world.make("/a")
        self.assertIn("a", told[-1] or [])
        self.assertIn("a", self.successResultOf(node.children()))

    def test_changed(self) -> None:
        """M2: a read of a node that is known to have changed waits for the new read."""
        self.world.make("/a", b"one")
        node = self.live("/a")
        self.world.change("/a", b"two")
        self.world.hear_only()
        self.world.change("/a", b"three")
        read = node.value(timeout=None)
        self.assertNoResult(read)
        self.world.link.resume()
        self.assertEqual(self.done(read)[0], b"three")

    def test_changed_away(self) -> None:
        """M2: without a connection, the last known value is the answer, changed or not."""
        self.world.make("/a", b"one")
        node = self.live("/a")
        self.world.link.stall(to_client=False)
        self.world.change("/a", b"two")
        read = node.value()
        self.settle()
        self.assertNoResult(read)
        self.world.leave()
        self.assertEqual(self.successResultOf(read)[0], b"one")
        self.assertEqual(self.successResultOf(node.value())[0], b"one")
        self.assertEqual(self.successResultOf(node.children()), [])

    def test_unknown_away(self) -> None:
        """M2: a read of an unknown node waits without a connection, too."""
        self.world.make("/a", b"one")
        self.live("/")
        self.world.leave()
        read = self.mirror.get("/a").value()
        self.settle()
        self.assertNoResult(read)
        self.world.come_back()
        self.assertEqual(self.successResultOf(read)[0], b"one")

    def test_cancelled(self) -> None:
        """Cancelling a read ends that wait, with no timer left, and no other."""
        self.world.make("/a", b"one")
        node = self.mirror.get("/a")
        first, second = node.value(), node.value()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertEqual(self.done(second)[0], b"one")

    def test_many_readers(self) -> None:
        """M2: all readers of a node share one request."""
        self.live("/")
        before = self.world.requests()
        node = self.mirror.get("/zookeeper")
        reads = [node.value() for _ in range(100)]
        self.settle()
        for read in reads:
            self.successResultOf(read)
        self.assertEqual(self.world.requests() - before, 1)


class ExistsTests(MirrorTestCase):
    def test_exists(self) -> None:
        """exists() returns the stat of an existing node, and None for a missing one."""
        self.world.make("/a", b"one")
        stat = self.done(self.mirror.get("/a").exists())
        assert stat is not None
        self.assertEqual((stat.dataLength, stat.version), (3, 0))
        self.assertIsNone(self.done(self.mirror.get("/missing").exists()))
        node = self.mirror.get("/missing")
        self.world.make("/missing")
        self.assertIsNotNone(self.done(node.exists()))

    def test_in_vain(self) -> None:
        """exists() waits as other reads do."""
        self.world.stop_server()
        read = self.mirror.get("/a").exists(timeout=1.0)
        self.pass_time(1.0)
        self.assert_fails(read, OperationTimeoutException)


class FreshTests(MirrorTestCase):
    """``fresh=True``: the servers' data at the time of the call, behind a ``sync``."""

    def test_each(self) -> None:
        """Each kind of read may be fresh."""
        self.world.make("/a", b"one")
        node = self.live("/a")
        names, absent = self.live("/"), self.live("/b")
        self.done(self.other.set("/a", b"two"))
        self.world.make("/b")
        self.assertEqual(self.done(node.value(fresh=True))[0], b"two")
        self.assertEqual(self.done(names.children(fresh=True)), ["a", "b", "zookeeper"])
        self.assertIsNotNone(self.done(absent.exists(fresh=True)))

    def test_asks(self) -> None:
        """Each fresh read sends a sync, and reads both parts of the node."""
        self.world.make("/a", b"one")
        node = self.live("/a")
        before = self.world.requests()
        self.done(node.value())
        self.assertEqual(self.world.requests(), before)
        self.done(node.value(fresh=True))
        self.assertEqual(self.world.requests(), before + 3)

    def test_lagging(self) -> None:
        """At a server that lags it waits until that has caught up; a plain read does not."""
        ensemble = EmbeddedEnsemble(self.world.reactor, 2)
        for number, server in enumerate(ensemble.servers):
            server.listen(2181, f"10.9.0.{number}")
        writer = self.world.client("10.9.0.0:2181")
        client = self.world.client("10.9.0.1:2181")
        mirror = Mirror(client=client, reactor=self.world.reactor)
        self.done(writer.create("/a", b"one"))
        node = mirror.get("/a")
        self.done(node.value())
        ensemble.servers[1].lag()
        self.done(writer.set("/a", b"two"))
        self.assertEqual(self.done(node.value())[0], b"one")
        read = node.value(fresh=True)
        late = node.value(1.0, fresh=True)
        self.pass_time(1.5)
        self.assertNoResult(read)
        self.assert_fails(late, OperationTimeoutException)
        ensemble.servers[1].catch_up()
        self.assertEqual(self.done(read)[0], b"two")
        self.done(mirror.close())
        self.done(client.close())
        self.done(writer.close())
        self.done(ensemble.stop())

    def test_away(self) -> None:
        """Without a connection it waits, up to its timeout; a plain read returns the known value."""
        self.world.make("/a", b"one")
        node = self.live("/a")
        self.world.leave()
        self.assertEqual(self.done(node.value())[0], b"one")
        read, late = node.value(fresh=True), node.value(0.5, fresh=True)
        self.world.change("/a", b"two")
        self.pass_time(0.5)
        self.assert_fails(late, OperationTimeoutException)
        self.world.come_back()
        self.assertEqual(self.done(read)[0], b"two")

    def test_cancelled(self) -> None:
        """Cancelling ends the wait."""
        node = self.live("/")
        read = node.value(fresh=True)
        read.cancel()
        self.failureResultOf(read, CancelledError)
        self.assertEqual(self.done(node.value(fresh=True))[0], b"")

    def test_mirror_closed(self) -> None:
        """A mirror that is closed meanwhile never answers with an old value, however far the read has come."""
        self.world.make("/a", b"old")
        for turns in range(12):
            mirror = Mirror(client=self.world.mirror_client, reactor=self.world.reactor)
            node = mirror.get("/a")
            before = self.done(node.value())[1].mzxid
            self.world.link.stall(to_client=True, to_server=False)
            self.world.change("/a", b"new %d" % turns)
            read = node.value(fresh=True)
            self.world.link.resume()
            self.world.step(turns)
            self.done(mirror.close())
            outcome: list[Any] = []
            read.addBoth(outcome.append)
            if isinstance(outcome[0], Failure):
                outcome[0].trap(ClosingException)
            else:
                self.assertGreater(outcome[0][1].mzxid, before, turns)

    def test_missing(self) -> None:
        """A missing node is absent."""
        self.assert_fails(self.mirror.get("/missing").value(fresh=True), NoNodeException)


class TimeoutTests(MirrorTestCase):
    def test_no_server(self) -> None:
        """M2: with no server a read fails after its timeout, and leaves no timer of its own."""
        self.world.stop_server()
        node = self.mirror.get("/a")
        read = node.value(timeout=1.0)
        self.pass_time(0.999)
        self.assertNoResult(read)
        self.pass_time(0.001)
        error = self.assert_fails(read, OperationTimeoutException)
        self.assertEqual(
            str(error),
            f"'/a' could not be read within 1 s: there is no connection to ZooKeeper at {self.mirror.connstr()}",
        )

    def test_slow_server(self) -> None:
        """M2: the error says nothing about the connection if that stands."""
        self.world.make("/a", b"one")
        node = self.live("/a")
        self.world.link.stall(to_client=False)
        self.world.change("/a", b"two")
        self.settle()
        read = node.value(timeout=0.5)
        self.pass_time(0.5)
        error = self.assert_fails(read, OperationTimeoutException)
        self.assertEqual(str(error), "'/a' could not be read within 0.5 s")

    def test_children(self) -> None:
        """M2: children likewise, by default after 5 s."""
        self.world.stop_server()
        read = self.mirror.get("/a").children()
        self.pass_time(4.999)
        self.assertNoResult(read)
        self.pass_time(0.001)
        self.assert_fails(read, OperationTimeoutException)

    def test_without_limit(self) -> None:
        """M2: with None for a timeout a read waits for as long as it takes."""
        self.world.stop_server()
        read = self.mirror.get("/").value(timeout=None)
        self.pass_time(3600.0)
        self.assertNoResult(read)
        self.world.start_server()
        self.pass_time(10.0)
        self.successResultOf(read)

    def test_in_time(self) -> None:
        """M2: a read that is answered leaves no timer."""
        self.done(self.mirror.get("/").value(timeout=100.0))
        self.assertEqual([call for call in self.world.reactor.getDelayedCalls() if call.getTime() > 1050.0], [])

    def test_only_the_wait(self) -> None:
        """M2: a timeout ends a wait and no more: the node is known as soon as it can be."""
        self.world.stop_server()
        node = self.mirror.get("/")
        read = node.value(timeout=1.0)
        self.pass_time(1.0)
        self.assert_fails(read, OperationTimeoutException)
        self.world.start_server()
        self.pass_time(10.0)
        self.assertIs(node.state.existence, Existence.PRESENT)

    def test_earlier_and_later(self) -> None:
        """M2: each reader has a timeout of its own."""
        self.world.stop_server()
        node = self.mirror.get("/")
        first, second = node.value(timeout=1.0), node.value(timeout=2.0)
        self.pass_time(1.0)
        self.assert_fails(first, OperationTimeoutException)
        self.assertNoResult(second)
        self.pass_time(1.0)
        self.assert_fails(second, OperationTimeoutException)


class StateTests(MirrorTestCase):
    def test_unknown(self) -> None:
        """M2: before anything is known, the state is unknown."""
        state = self.mirror.get("/a").state
        self.assertIs(state.existence, Existence.UNKNOWN)
        self.assertEqual((state.value, state.stat, state.children), (None, None, None))
        self.assertEqual(state.stale_since, 1000.0)

    def test_absent(self) -> None:
        """M2: absence is a state."""
        state = self.live("/a").state
        self.assertIs(state.existence, Existence.ABSENT)
        self.assertEqual((state.value, state.stat, state.children, state.stale_since), (None, None, None, None))

    def test_present(self) -> None:
        """M2: the state of an existing node has all its known parts."""
        self.world.make("/a", b"one")
        self.world.make("/a/b")
        state = self.live("/a").state
        self.assertIs(state.existence, Existence.PRESENT)
        self.assertEqual((state.value, state.children, state.stale_since), (b"one", ("b",), None))
        assert state.stat is not None
        self.assertEqual(state.stat, self.done(self.other.exists("/a")))

    def test_stale(self) -> None:
        """M7: without a connection the state has the time since when; afterwards it is not stale."""
        self.world.make("/a", b"one")
        node = self.live("/a")
        self.pass_time(1.5)
        self.world.leave()
        self.assertEqual(node.state.stale_since, 1001.5)
        self.assertEqual(node.state.value, b"one")
        self.pass_time(1.0)
        self.assertEqual(node.state.stale_since, 1001.5)
        self.world.come_back()
        self.assertIsNone(node.state.stale_since)

    def test_snapshot(self) -> None:
        """A state that was taken does not change."""
        self.world.make("/a", b"one")
        state = self.live("/a").state
        self.world.change("/a", b"two")
        self.assertEqual(state.value, b"one")


class FollowingTests(MirrorTestCase):
    """M5: changes by another client are shown as soon as possible, which here is at the same instant."""

    def test_set(self) -> None:
        """M5: a node shows the writes of others, each time."""
        self.world.make("/a", b"0")
        node = self.live("/a")
        for number in range(1, 4):
            self.world.change("/a", b"%d" % number)
            self.assertEqual(node.state.value, b"%d" % number)
            self.assert_equal_to_server("/a")

    def test_create(self) -> None:
        """M5: a node that others create is there."""
        node = self.live("/a")
        self.world.make("/a", b"one")
        self.assertEqual(node.state.value, b"one")
        self.assert_equal_to_server("/a", "/")

    def test_delete(self) -> None:
        """M5: a node that others delete is absent."""
        self.world.make("/a", b"one")
        node = self.live("/a")
        self.world.remove("/a")
        self.assertIs(node.state.existence, Existence.ABSENT)
        self.assert_equal_to_server("/a", "/")

    def test_again_and_again(self) -> None:
        """M5: a node may come and go as often as it likes."""
        self.live("/a")
        for _ in range(5):
            self.world.make("/a")
            self.assert_equal_to_server("/a", "/")
            self.world.change("/a", b"x")
            self.world.make("/a/b")
            self.assert_equal_to_server("/a", "/a/b")
            self.world.remove("/a/b")
            self.world.remove("/a")
            self.assert_equal_to_server("/a", "/a/b", "/")

    def test_in_one_breath(self) -> None:
        """M5: many changes between two turns of the mirror's are one change to it, and nothing is missed."""
        self.live("/a")
        self.live("/a/b")
        for _ in range(20):
            for deferred in (
                self.other.create("/a", b"1"),
                self.other.set("/a", b"2"),
                self.other.create("/a/b"),
                self.other.delete("/a/b"),
                self.other.delete("/a"),
            ):
                self.assertNoResult(deferred)
        self.other.create("/a", b"3")
        self.settle()
        self.assert_equal_to_server("/", "/a", "/a/b")

    def test_children(self) -> None:
        """M5: children come and go."""
        self.world.make("/a")
        node = self.live("/a")
        self.world.make("/a/c")
        self.world.make("/a/b")
        self.assertEqual(node.state.children, ("b", "c"))
        self.world.remove("/a/c")
        self.assertEqual(node.state.children, ("b",))

    def test_ephemeral(self) -> None:
        """M5: the owner of an ephemeral node is shown, and the node is gone with its owner's session."""
        self.world.make("/a", ephemeral=True)
        node = self.live("/a")
        assert node.state.stat is not None
        self.assertEqual(node.state.stat.ephemeralOwner, self.other.session_id)
        self.world.server.expire_session(self.other.session_id)
        self.settle()
        self.assertIs(node.state.existence, Existence.ABSENT)

    def test_quiet(self) -> None:
        """M5: an unchanged node causes no requests."""
        self.world.make("/a", b"one")
        self.live("/a")
        self.live("/missing")
        before = self.world.requests()
        self.world.make("/elsewhere")
        self.assertEqual(self.world.requests() - before, 1)

    def test_recreated(self) -> None:
        """M3: a node that was created anew is newer than any before it, though its version is lower (D7)."""
        self.world.make("/a", b"one")
        for _ in range(5):
            self.world.change("/a", b"one")
        node = self.live("/a")
        self.done(self.other.delete("/a"))
        self.world.make("/a", b"two")
        assert node.state.stat is not None
        self.assertEqual((node.state.value, node.state.stat.version), (b"two", 0))


class RefusedTests(MirrorTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.done(self.other.add_auth("digest", b"joe:secret"))
        self.done(self.other.create("/secret", b"one", CREATOR_ALL_ACL))

    def test_refused(self) -> None:
        """M5: an unreadable node fails its readers, at once when that is known, and it is logged."""
        node = self.mirror.get("/secret")
        for read in (node.value(), node.children()):
            self.assertIn("'/secret'", str(self.assert_fails(read, NoAuthException)))
        self.failureResultOf(node.value(), NoAuthException)
        self.failureResultOf(node.children(), NoAuthException)
        self.assertIs(node.state.existence, Existence.UNKNOWN)
        self.assertIn("/secret cannot be read: not permitted by the ACL: '/secret'. Retrying.", self.log_lines())

    def test_others(self) -> None:
        """M5: an unreadable node does not affect others, nor that the mirror is settled."""
        told = self.states()
        self.mirror.get("/secret")
        self.settle()
        self.assertEqual(told[-1].value, "settled")
        self.world.make("/a", b"one")
        self.assertEqual(self.live("/a").state.value, b"one")

    def test_add_auth(self) -> None:
        """M5: an unreadable node is tried again as soon as an identity was added."""
        node = self.mirror.get("/secret")
        self.assert_fails(node.value(), NoAuthException)
        self.done(self.mirror.add_auth("digest", b"joe:secret"))
        self.assertEqual(self.done(node.value())[0], b"one")
        self.assertEqual(self.done(node.children()), [])

    def test_revoked_and_changed(self) -> None:
        """M2: a node that has changed, and has become unreadable, fails its readers; offline they get the known value."""
        self.world.make("/a", b"one")
        node = self.live("/a")
        self.world.leave()
        self.done(self.other.set_acl("/a", CREATOR_ALL_ACL))
        self.done(self.other.set("/a", b"two"))
        self.world.come_back()
        self.assert_fails(node.value(), NoAuthException)
        self.assertEqual(node.state.value, b"one")
        self.world.leave()
        self.assertEqual(self.successResultOf(node.value())[0], b"one")

    def test_wrong_auth(self) -> None:
        """M5: an identity that does not help changes nothing."""
        node = self.mirror.get("/secret")
        self.assert_fails(node.value(), NoAuthException)
        self.done(self.mirror.add_auth("digest", b"jane:secret"))
        self.assert_fails(node.value(), NoAuthException)

    def test_reconnected(self) -> None:
        """M5: an unreadable node is tried again after a reconnection."""
        node = self.mirror.get("/secret")
        self.assert_fails(node.value(), NoAuthException)
        self.world.leave()
        self.done(self.other.set_acl("/secret", READABLE))
        self.world.come_back()
        self.assertEqual(node.state.value, b"one")

    def test_new_session(self) -> None:
        """M5: an unreadable node is tried again in a new session."""
        node = self.mirror.get("/secret")
        self.assert_fails(node.value(), NoAuthException)
        self.world.expire_away()
        self.done(self.other.set_acl("/secret", READABLE))
        self.world.come_back()
        self.assertEqual(node.state.value, b"one")

    def test_retried(self) -> None:
        """M5: an unreadable node is tried again by a timer, after a second at first."""
        node = self.mirror.get("/secret")
        self.assert_fails(node.value(), NoAuthException)
        self.done(self.other.set_acl("/secret", READABLE))
        self.pass_time(0.999)
        self.assertIs(node.state.existence, Existence.UNKNOWN)
        self.pass_time(0.001)
        self.assertEqual(node.state.value, b"one")

    def test_away(self) -> None:
        """M5: without a connection, an unreadable node fails its readers at once, however long that takes."""
        node = self.mirror.get("/secret")
        self.assert_fails(node.value(), NoAuthException)
        self.world.leave()
        self.failureResultOf(node.value(), NoAuthException)
        self.pass_time(10.0)
        self.failureResultOf(node.value(), NoAuthException)

    def test_pauses_grow(self) -> None:
        """M5: the pauses between tries double, up to a minute."""
        node = self.mirror.get("/secret")
        self.settle()
        pauses: list[float] = []
        latest = 1000.0
        while sum(pauses) < 250.0:
            count = len(self.log_lines())
            while not any("Retrying" in line for line in self.log_lines()[count:]):
                self.pass_time(0.5)
            now = self.world.reactor.seconds()
            pauses.append(now - latest)
            latest = now
        self.assertEqual(pauses, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0, 60.0][: len(pauses)])
        self.assert_fails(node.value(), NoAuthException)

    def test_revoked(self) -> None:
        """M5: after the right to read was revoked, the last known value is shown: the server sends no more events
        (C12).
        """
        self.done(self.other.set_acl("/secret", READABLE))
        node = self.live("/secret")
        self.done(self.other.set_acl("/secret", CREATOR_ALL_ACL))
        self.done(self.other.set("/secret", b"two"))
        self.assertEqual(node.state.value, b"one")

    def test_revoked_and_reread(self) -> None:
        """M5: a node that has become unreadable, and is known to have changed, keeps its former value (C12)."""
        self.done(self.other.set_acl("/secret", READABLE))
        node = self.live("/secret")
        self.world.leave()
        self.done(self.other.set_acl("/secret", CREATOR_ALL_ACL))
        self.done(self.other.set("/secret", b"two"))
        self.world.come_back()
        self.assertEqual(node.state.value, b"one")


class TooLargeTests(MirrorTestCase):
    limits = Limits(max_reply=1000)

    def test_too_large(self) -> None:
        """M5: a value that is too large for a reply fails the readers of that value, and nobody else."""
        self.world.make("/large", b"x" * 1000)
        self.world.make("/small", b"x" * 100)
        large, small = self.mirror.get("/large"), self.mirror.get("/small")
        self.assert_fails(large.value(), ReplyTooLargeException)
        self.assertEqual(self.done(large.children()), [])
        self.assertEqual(len(self.done(small.value())[0]), 100)
        self.assertTrue(self.mirror.is_connected())

    def test_smaller_again(self) -> None:
        """M5: once it is small enough it is shown, without a pause: its watch was set all the same."""
        self.world.make("/a", b"x" * 1000)
        node = self.mirror.get("/a")
        self.assert_fails(node.value(), ReplyTooLargeException)
        self.world.change("/a", b"one")
        self.assertEqual(node.state.value, b"one")
        self.assert_equal_to_server("/a")

    def test_grown(self) -> None:
        """M5: a value that grows too large stays to be seen as it was, until it is smaller again."""
        self.world.make("/a", b"one")
        node = self.live("/a")
        self.world.change("/a", b"x" * 1000)
        self.assertEqual(node.state.value, b"one")
        self.world.change("/a", b"two")
        self.assertEqual(self.done(node.value())[0], b"two")

    def test_pauses_begin_anew(self) -> None:
        """M5: once it could be read, the pauses begin anew."""
        self.world.make("/a", b"x" * 1000)
        node = self.mirror.get("/a")
        self.assert_fails(node.value(), ReplyTooLargeException)
        self.pass_time(20.0)
        self.world.change("/a", b"one")
        self.pass_time(20.0)
        self.world.change("/a", b"x" * 1000)
        count = len(self.log_lines())
        self.pass_time(1.0)
        self.assertEqual(sum("Retrying" in line for line in self.log_lines()[count:]), 1)

    def test_too_many_children(self) -> None:
        """M5: too many children to list fail the readers of the list, and not those of the value."""
        self.world.make("/a", b"one")
        for number in range(20):
            self.world.make(f"/a/{'x' * 50}{number}")
        node = self.mirror.get("/a")
        self.assert_fails(node.children(), ReplyTooLargeException)
        self.assertEqual(self.done(node.value())[0], b"one")

    def test_pauses_grow(self) -> None:
        """M5: a node that is too large is tried again with growing pauses."""
        self.world.make("/a", b"x" * 1000)
        self.live("/")
        node = self.mirror.get("/a")
        self.settle()
        self.pass_time(600.0)
        self.assertIs(self.mirror.get("/a"), node)
        tries = [line for line in self.log_lines() if line.startswith("/a cannot be read")]
        self.assertLessEqual(len(tries), 16)
        self.assertGreaterEqual(len(tries), 10)


class OrderTests(ScriptedTestCase):
    """Behaviour of servers that the embedded one does not show."""

    def test_event_while_reading(self) -> None:
        """M5: an event for a node whose read is still on its way makes for another read."""
        mirror, peer = self.make_mirror()
        peer.answer(SetWatchesRequest)
        node = follow_children(mirror.get("/a"))
        peer.answer(GetDataRequest, GetDataResponse(b"one", STAT))
        peer.answer(GetChildren2Request, GetChildren2Response([], STAT))
        peer.event(EventType.CHANGED, "/a")
        # As when two watches were used up by one change: after a reconnection, say.
        peer.event(EventType.CHANGED, "/a")
        peer.answer(GetDataRequest, GetDataResponse(b"two", STAT._replace(mzxid=101)), zxid=101)
        self.assertEqual(peer.operations, [GetDataRequest.operation])
        peer.answer(GetDataRequest, GetDataResponse(b"three", STAT._replace(mzxid=102)), zxid=102)
        self.assertEqual(self.result_of(node.value())[0], b"three")

    def test_deleted_twice(self) -> None:
        """M5: two events of one deletion leave the node absent, and readable as such (C3)."""
        mirror, peer = self.make_mirror()
        peer.answer(SetWatchesRequest)
        node = follow_children(mirror.get("/a"))
        peer.answer(GetDataRequest, GetDataResponse(b"one", STAT))
        peer.answer(GetChildren2Request, GetChildren2Response([], STAT))
        peer.event(EventType.DELETED, "/a")
        peer.event(EventType.DELETED, "/a")
        while peer.packets:
            peer.answer(ExistsRequest, err=-101, zxid=101)
        self.failureResultOf(node.value(), NoNodeException)
        self.failureResultOf(node.children(), NoNodeException)

    def test_lagging_absence(self) -> None:
        """M3: the answer of a lagging server that the node is missing is ignored, and the node is read again."""
        mirror, peer = self.make_mirror()
        peer.answer(SetWatchesRequest)
        node = follow_children(mirror.get("/a"))
        values = watch_value(node)
        peer.answer(GetDataRequest, GetDataResponse(b"one", STAT), zxid=100)
        peer.answer(GetChildren2Request, GetChildren2Response(["b"], STAT), zxid=100)
        peer.event(EventType.CHANGED, "/a")
        peer.answer(GetDataRequest, err=-101, zxid=90)
        peer.answer(ExistsRequest, err=-101, zxid=90)
        self.assertEqual((node.state.value, node.state.children), (b"one", ("b",)))
        self.assertEqual(peer.packets, [])
        self.pass_time(1.0)
        peer.answer(ExistsRequest, StatResponse(STAT), zxid=101)
        peer.answer(GetDataRequest, GetDataResponse(b"two", STAT._replace(mzxid=101)), zxid=101)
        peer.answer(GetChildren2Request, GetChildren2Response(["b"], STAT), zxid=101)
        self.assertEqual((node.state.value, values), (b"two", [b"one", b"two"]))
        self.successResultOf(node.value())

    def test_lagging_absence_after_a_value(self) -> None:
        """M3: absence is older than a value that was read as of a later transaction, though that was written earlier."""
        mirror, peer = self.make_mirror()
        peer.answer(SetWatchesRequest)
        node = follow_children(mirror.get("/a"))
        peer.answer(GetDataRequest, GetDataResponse(b"one", STAT), zxid=100)
        peer.answer(GetChildren2Request, GetChildren2Response([], STAT), zxid=100)
        peer.event(EventType.CHANGED, "/a")
        peer.answer(GetDataRequest, GetDataResponse(b"two", STAT._replace(mzxid=105)), zxid=110)
        peer.event(EventType.CHANGED, "/a")
        peer.answer(GetDataRequest, err=-101, zxid=107)
        peer.answer(ExistsRequest, err=-101, zxid=107)
        self.assertEqual(node.state.value, b"two")

    def test_lagging_children(self) -> None:
        """M3: an older list of children is not shown over a newer one, though it was the last to change (D7)."""
        mirror, peer = self.make_mirror()
        peer.answer(SetWatchesRequest)
        node = follow_children(mirror.get("/a"))
        children = watch_children(node)
        peer.answer(GetDataRequest, GetDataResponse(b"one", STAT), zxid=100)
        peer.answer(GetChildren2Request, GetChildren2Response(["b"], STAT._replace(pzxid=50)), zxid=100)
        peer.event(EventType.CHILD, "/a")
        peer.answer(GetChildren2Request, GetChildren2Response([], STAT._replace(pzxid=60)), zxid=90)
        self.assertEqual(node.state.children, ("b",))
        self.pass_time(1.0)
        peer.answer(GetChildren2Request, GetChildren2Response(["b", "c"], STAT._replace(pzxid=101)), zxid=101)
        self.assertEqual(children, [["b"], ["b", "c"]])

    def test_lagging_value(self) -> None:
        """M3: an older value is not shown over a newer one; it is asked for again a second later (D7)."""
        mirror, peer = self.make_mirror()
        peer.answer(SetWatchesRequest)
        node = follow_children(mirror.get("/a"))
        values = watch_value(node)
        peer.answer(GetDataRequest, GetDataResponse(b"new", STAT._replace(mzxid=100)), zxid=100)
        peer.answer(GetChildren2Request, GetChildren2Response([], STAT), zxid=100)
        peer.event(EventType.CHANGED, "/a")
        peer.answer(GetDataRequest, GetDataResponse(b"old", STAT._replace(mzxid=50)), zxid=99)
        self.assertEqual(node.state.value, b"new")
        read = node.value()
        self.pass_time(1.0)
        peer.answer(GetDataRequest, GetDataResponse(b"newer", STAT._replace(mzxid=101)), zxid=101)
        self.assertEqual(self.result_of(read)[0], b"newer")
        self.assertEqual(values, [b"new", b"newer"])

    def test_absent_for_the_children_only(self) -> None:
        """M5: a read of the children that finds no node has the value looked at again."""
        mirror, peer = self.make_mirror()
        peer.answer(SetWatchesRequest)
        node = follow_children(mirror.get("/a"))
        peer.answer(GetDataRequest, GetDataResponse(b"one", STAT), zxid=100)
        peer.answer(GetChildren2Request, err=-101, zxid=101)
        peer.answer(ExistsRequest, err=-101, zxid=101)
        self.failureResultOf(node.value(), NoNodeException)
        self.failureResultOf(node.children(), NoNodeException)
        self.assertEqual(peer.packets, [])

    def test_recreated_between_two_reads(self) -> None:
        """M5: where the node is gone for the read of the children, and there again for that of the value, both end equal."""
        mirror, peer = self.make_mirror()
        peer.answer(SetWatchesRequest)
        node = follow_children(mirror.get("/a"))
        peer.answer(GetDataRequest, GetDataResponse(b"one", STAT), zxid=100)
        peer.answer(GetChildren2Request, GetChildren2Response(["b"], STAT), zxid=100)
        peer.event(EventType.CHILD, "/a")
        peer.event(EventType.CHANGED, "/a")
        peer.answer(GetChildren2Request, err=-101, zxid=102)
        anew = STAT._replace(czxid=103, mzxid=103, pzxid=103)
        peer.answer(GetDataRequest, GetDataResponse(b"two", anew), zxid=103)
        peer.answer(GetChildren2Request, GetChildren2Response([], anew), zxid=103)
        self.assertEqual((node.state.value, node.state.children), (b"two", ()))
        self.assertEqual(self.successResultOf(node.children()), [])
        self.assertEqual(peer.packets, [])

    def test_recreated_after_our_delete(self) -> None:
        """M5: if another client recreates a node between our delete and our first read, its children are followed."""
        mirror, peer = self.make_mirror()
        peer.answer(SetWatchesRequest)
        peer.drop()
        node = follow_children(mirror.get("/a"))
        write = node.delete()
        peer = self.reconnect(peer)
        peer.answer(DeleteRequest, zxid=102)
        peer.answer(SetWatchesRequest, zxid=103)
        self.successResultOf(write)
        anew = STAT._replace(czxid=103, mzxid=103, pzxid=103)
        peer.answer(GetDataRequest, GetDataResponse(b"two", anew), zxid=103)
        peer.answer(GetChildren2Request, GetChildren2Response([], anew), zxid=103)
        self.assertEqual((node.state.value, node.state.children), (b"two", ()))
        peer.event(EventType.CHILD, "/a")
        peer.answer(GetChildren2Request, GetChildren2Response(["b"], anew), zxid=104)
        self.assertEqual(self.successResultOf(node.children()), ["b"])

    def test_existence_refused(self) -> None:
        """M5: if the server refuses even to return whether a node exists, its readers fail."""
        mirror, peer = self.make_mirror()
        peer.answer(SetWatchesRequest)
        node = follow_children(mirror.get("/a"))
        peer.answer(GetDataRequest, err=-101, zxid=100)
        peer.answer(GetChildren2Request, err=-101, zxid=100)
        # Servers from 3.10 on check the ACL for this, too; and any server may be too busy.
        peer.answer(ExistsRequest, err=-102, zxid=101)
        while peer.packets:
            peer.answer(GetChildren2Request, err=-102, zxid=101)
        self.failureResultOf(node.value(), NoAuthException)
        self.failureResultOf(node.children(), NoAuthException)
        self.assertEqual(mirror.state.value, "settled")
