"""A mirror as a whole: its start, the state of its connection, and that nothing is left of it when it is closed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.application.service import IService
from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

from txmirror.client import Limits
from txmirror.errors import (
    ClosingException,
    ConnectionLossException,
    NoAuthException,
    NoChrootException,
    OperationTimeoutException,
)
from txmirror.mirror import Existence, Mirror, MirrorState
from txmirror.test.client.peer import STAT
from txmirror.test.mirror.world import (
    MIRROR_HOST,
    PORT,
    MirrorTestCase,
    S,
    ScriptedTestCase,
    follow_children,
    ignore,
    watch_children,
    watch_value,
)
from txmirror.types import CREATOR_ALL_ACL, EventType, SessionState
from txmirror.wire import (
    GetDataRequest,
    GetDataResponse,
    RemoveWatchesRequest,
    SetWatchesRequest,
)


class OwnerTestCase(MirrorTestCase):
    """A mirror with a client of its own, besides that of the world."""

    def setUp(self) -> None:
        super().setUp()
        self.own = self.make()

    def make(self, servers: str | Sequence[str | tuple[str, int]] = f"{MIRROR_HOST}:{PORT}") -> Mirror:
        """Make a mirror that makes its client itself, and is closed after the test."""
        mirror = Mirror(servers, session_timeout=S, reactor=self.world.reactor)
        self.addCleanup(self.close_at_last, mirror)
        return mirror

    def close_at_last(self, mirror: Mirror) -> None:
        self.world.heal()
        closed = mirror.close()
        self.pass_time(Limits().close_time)
        self.successResultOf(closed)

    def server_sessions(self) -> int:
        """Return the number of sessions besides that of the other client."""
        return len(self.world.server.sessions - {self.other.session_id})


class BeginningTests(OwnerTestCase):
    def test_nothing_at_first(self) -> None:
        """A mirror that is made does nothing by itself, and leaves nothing."""
        self.settle()
        self.assertFalse(self.own.is_connected())
        self.assertEqual(self.server_sessions(), 0)

    def test_get(self) -> None:
        """The first ``get`` connects."""
        self.own.get("/")
        self.settle()
        self.assertTrue(self.own.is_connected())

    def test_connect(self) -> None:
        """``connect`` connects, and fires once a session stands."""
        connected = self.own.connect()
        self.assertNoResult(connected)
        self.settle()
        self.assertIsNone(self.successResultOf(connected))
        self.assertTrue(self.own.is_connected())

    def test_connect_again(self) -> None:
        """``connect`` may be called at any time; all share one session."""
        first, second = self.own.connect(), self.own.connect()
        self.own.get("/")
        self.settle()
        third = self.own.connect()
        for connected in (first, second, third):
            self.successResultOf(connected)
        self.assertEqual(self.server_sessions(), 1)

    def test_connect_without_server(self) -> None:
        """``connect`` waits for a server as long as it takes."""
        self.world.stop_server()
        connected = self.own.connect()
        self.pass_time(600.0)
        self.assertNoResult(connected)
        self.world.start_server()
        self.pass_time(10.0)
        self.successResultOf(connected)

    def test_cancelled_connect(self) -> None:
        """Cancelling ``connect`` ends that wait; the mirror connects all the same."""
        connected = self.own.connect()
        ignore(connected)
        connected.cancel()
        self.settle()
        self.assertTrue(self.own.is_connected())

    def test_unknown_name(self) -> None:
        """``connect`` fails where no listed name can be resolved; nodes can be had all the same."""
        mirror = self.make("nowhere.invalid:2181")
        connected = mirror.connect()
        node = mirror.get("/a")
        self.settle()
        self.failureResultOf(connected, ConnectionLossException)
        self.assertIs(node.state.existence, Existence.UNKNOWN)
        # Nor does anything fail that nobody asked for.
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_name_that_comes(self) -> None:
        """A name that can be resolved later is resolved then."""
        mirror = self.make("zookeeper.example:2181")
        node = mirror.get("/")
        self.pass_time(10.0)
        resolver: Any = self.world.reactor.nameResolver
        resolver.names["zookeeper.example"] = [MIRROR_HOST]
        self.pass_time(10.0)
        self.assertIs(node.state.existence, Existence.PRESENT)

    def test_malformed(self) -> None:
        """Malformed servers are refused at once, and quoted."""
        for servers in ("", "host:port", "host:0", "host:2181/"[:-1] + "/../x"):
            error = self.assertRaises(ValueError, Mirror, servers, reactor=self.world.reactor)
            self.assertIn(repr(servers)[1:-1].split("/")[0], str(error))

    def test_service(self) -> None:
        """A mirror is a service: it connects when it is started, and is closed when it is stopped."""
        verifyObject(IService, self.own)
        self.own.startService()
        self.settle()
        self.assertTrue(self.own.is_connected())
        self.assertTrue(self.own.running)
        stopped = self.own.stopService()
        self.settle()
        self.successResultOf(stopped)
        self.assertFalse(self.own.is_connected())
        self.assertEqual(self.server_sessions(), 0)

    def test_service_without_server(self) -> None:
        """A service without a server starts, and stops."""
        self.world.stop_server()
        self.own.startService()
        self.settle()
        stopped = self.own.stopService()
        self.settle()
        self.successResultOf(stopped)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_connstr(self) -> None:
        """``connstr`` returns the servers, and the chroot."""
        self.assertEqual(self.own.connstr(), f"{MIRROR_HOST}:{PORT}")
        mirror = self.make([("10.0.0.7", 2182), "[::1]:2183"])
        self.assertEqual(mirror.connstr(), "10.0.0.7:2182,[::1]:2183")
        self.assertEqual(self.make("a,b:1/c/d").connstr(), "a:2181,b:1/c/d")

    def test_repr(self) -> None:
        """The repr has the servers and the state."""
        self.assertEqual(repr(self.own), f"<Mirror {MIRROR_HOST}:{PORT} disconnected>")

    def test_chroot(self) -> None:
        """With a chroot all paths are below it, those that events bring too."""
        self.world.make("/c")
        self.world.make("/c/a", b"one")
        mirror = self.make(f"{MIRROR_HOST}:{PORT}/c")
        node, root = mirror.get("/a"), follow_children(mirror.get("/"))
        values = watch_value(node)
        self.settle()
        self.world.change("/c/a", b"two")
        self.world.make("/c/b")
        self.assertEqual((values, root.state.children), ([b"one", b"two"], ("a", "b")))
        made = self.done(mirror.get("/s-").create(sequence=True))
        self.assertEqual(made.path, "/s-0000000002")
        self.done(mirror.get("/x/y").create(makepath=True))
        self.assertEqual(root.state.children, ("a", "b", "s-0000000002", "x"))
        self.done(root.create(makepath=True).addErrback(lambda failure: None))
        self.done(mirror.get("/x").delete(recursive=True))
        self.assertEqual(root.state.children, ("a", "b", "s-0000000002"))

    def test_missing_chroot(self) -> None:
        """A chroot that does not exist is named by the root, and by the creation of a node below it. It may come later."""
        mirror = self.make(f"{MIRROR_HOST}:{PORT}/late")
        root = mirror.get("/")
        for answer in (root.value(), root.children(), root.set(b""), mirror.get("/a").create()):
            self.assert_fails(answer, NoChrootException)
        self.assertIsNone(self.done(root.exists()))
        self.world.make("/late", b"here")
        self.assertEqual(self.done(root.value())[0], b"here")
        self.done(mirror.get("/a").create())

    def test_tour(self) -> None:
        """The tour of zkmirror's documentation goes as it is documented."""

        async def tour(mirror: Mirror) -> list[bytes]:
            root = mirror.get("/")
            await root.value()
            self.assertEqual(await root.children(), ["zookeeper"])
            missing = mirror.get("/missing")
            await missing.create(b"value")
            value, meta = await missing.value()
            self.assertEqual((value, await missing.children()), (b"value", []))
            new_meta = await missing.set(b"new_value", meta.version)
            await missing.delete(new_meta.version)
            x: list[bytes] = []
            root.addValueWatcher("a key", lambda v: x.append(v[0] if v else b""))
            await root.set(b"stuff", -1)
            return x

        self.assertEqual(self.done(Deferred.fromCoroutine(tour(self.own))), [b"stuff"])


class ConnectionTests(MirrorTestCase):
    def test_at_first(self) -> None:
        """A mirror is disconnected from its beginning to its first session."""
        self.pass_time(3.0)
        self.assertEqual((self.mirror.is_connected(), self.mirror.time_disconnected()), (False, 3.0))
        self.assertIs(self.mirror.state, MirrorState.DISCONNECTED)

    def test_connected(self) -> None:
        """M7: when connected, its state is so, and the time without a connection is 0."""
        self.live("/")
        self.pass_time(3.0)
        self.assertEqual((self.mirror.is_connected(), self.mirror.time_disconnected()), (True, 0.0))

    def test_disconnected(self) -> None:
        """M7: without a connection, it returns the time since then."""
        self.live("/")
        self.world.leave()
        self.pass_time(2.0)
        self.assertEqual((self.mirror.is_connected(), self.mirror.time_disconnected()), (False, 2.0))
        self.pass_time(20.0)
        self.assertEqual(self.mirror.time_disconnected(), 22.0)

    def test_told_once(self) -> None:
        """M7: a disconnection is reported to state watchers once, however it continues."""
        self.live("/")
        told = self.states()
        self.world.leave()
        self.pass_time(60.0)
        self.assertEqual(told, [MirrorState.DISCONNECTED])

    def test_silent_server(self) -> None:
        """M7: the mirror leaves a silent server, and its state is disconnected."""
        node = self.live("/")
        self.world.link.stall()
        self.world.reactor.black_hole(MIRROR_HOST, PORT)
        self.pass_time(S)
        self.assertFalse(self.mirror.is_connected())
        self.assertIsNotNone(node.state.stale_since)

    def test_watcher_sees_it(self) -> None:
        """M7: within a state watcher the mirror has the state that it reports."""
        seen: list[tuple[MirrorState, bool, MirrorState]] = []
        self.mirror.addStateWatcher(
            "key", lambda state: seen.append((state, self.mirror.is_connected(), self.mirror.state))
        )
        self.live("/")
        self.world.leave()
        states = MirrorState.CONNECTED, MirrorState.SETTLED, MirrorState.DISCONNECTED
        self.assertEqual(seen, list(zip(states, (True, True, False), states, strict=True)))

    def test_settled_after_nodes(self) -> None:
        """M7: "settled" comes after the last node is known."""
        known: list[set[Existence]] = []
        nodes = [self.mirror.get(f"/{number}") for number in range(20)]

        def look(state: MirrorState) -> None:
            if state is MirrorState.SETTLED:
                known.append({node.state.existence for node in nodes})

        self.mirror.addStateWatcher("key", look)
        self.settle()
        self.assertEqual(known, [{Existence.ABSENT}])

    def test_client_that_is_connected(self) -> None:
        """A mirror on a client that is connected already is connected too."""
        mirror = Mirror(client=self.other, reactor=self.world.reactor)
        self.addCleanup(mirror.close)
        self.assertTrue(mirror.is_connected())
        told: list[MirrorState] = []
        mirror.addStateWatcher("key", told.append)
        self.assertEqual(self.done(mirror.get("/").children()), ["zookeeper"])
        self.assertEqual(told, [MirrorState.SETTLED])

    def test_two_mirrors(self) -> None:
        """Two mirrors on one client both see everything."""
        mirror = Mirror(client=self.world.mirror_client, reactor=self.world.reactor)
        self.addCleanup(mirror.close)
        mine, theirs = self.live("/a"), mirror.get("/a")
        self.settle()
        for new_session in (False, True):
            for data in (b"one", b"two"):
                self.world.make("/a", data)
                self.world.change("/a", data * 2)
                self.assertEqual((mine.state.value, theirs.state.value), (data * 2, data * 2))
                self.world.remove("/a")
            if new_session:
                self.world.expire_away()
            else:
                self.world.leave()
            self.world.come_back()
        self.world.make("/a", b"last")
        self.assertEqual((mine.state.value, theirs.state.value), (b"last", b"last"))
        self.world.leave()
        self.world.remove("/a")
        self.world.come_back()
        self.assertEqual({mine.state.existence, theirs.state.existence}, {Existence.ABSENT})


class ClosingTests(OwnerTestCase):
    """Each test ends with the world's own check: no timer, no connection and no session is left."""

    def close_now(self, mirror: Mirror) -> None:
        closed = mirror.close()
        self.settle()
        self.successResultOf(closed)

    def test_connected(self) -> None:
        """``close`` ends the session at the server, and fires when all is gone."""
        self.own.get("/")
        self.settle()
        self.assertEqual(self.server_sessions(), 1)
        told: list[MirrorState] = []
        self.own.addStateWatcher("key", told.append)
        self.close_now(self.own)
        self.assertEqual(self.server_sessions(), 0)
        self.assertEqual(told, [MirrorState.DISCONNECTED, MirrorState.CLOSED])
        self.assertIs(self.own.state, MirrorState.CLOSED)

    def test_ephemerals(self) -> None:
        """Ephemeral nodes are gone when ``close`` fires."""
        self.done(self.own.get("/a").create(ephemeral=True))
        self.close_now(self.own)
        self.assertIsNone(self.done(self.other.exists("/a")))

    def test_never_connected(self) -> None:
        """A mirror that never did anything is closed at once."""
        self.successResultOf(self.own.close())

    def test_connecting(self) -> None:
        """``close`` may be called at any step of the first connection."""
        for steps in range(30):
            mirror = self.make()
            node = mirror.get("/")
            read = node.value()
            self.world.step(steps)
            self.close_now(mirror)
            ignore(read)
            self.pass_time(2 * S)
            self.assertEqual(self.server_sessions(), 0, steps)

    def test_twice(self) -> None:
        """``close`` may be called twice, and both fire."""
        self.own.get("/")
        self.settle()
        first, second = self.own.close(), self.own.close()
        self.settle()
        self.successResultOf(first)
        self.successResultOf(second)
        self.successResultOf(self.own.close())

    def test_readers(self) -> None:
        """Pending reads fail when the mirror is closed."""
        self.world.stop_server()
        node = self.own.get("/a")
        reads: list[Deferred[Any]] = [node.value(), node.children(), node.value(timeout=None)]
        self.close_now(self.own)
        for read in reads:
            self.failureResultOf(read, ClosingException)

    def test_writers(self) -> None:
        """Pending writes fail too, and their errors are certain that nothing was written."""
        self.world.stop_server()
        node = self.own.get("/a")
        writes: list[Deferred[Any]] = [node.set(b"x"), node.create(), node.delete()]
        self.close_now(self.own)
        for write in writes:
            error = self.failureResultOf(write, ClosingException).value
            assert isinstance(error, ClosingException)
            self.assertIs(error.applied, False)

    def test_writers_who_wait_for_the_parent(self) -> None:
        """A write that was done, and waits for the parent to show it, is let go."""
        root, node = follow_children(self.own.get("/")), self.own.get("/a")
        self.settle()
        write = node.create(b"one")
        while node.state.value is None:
            self.world.step(1)
        self.close_now(self.own)
        self.assertTrue(write.called)
        ignore(write)
        self.assertIsNotNone(root.state.children)

    def test_readable_afterwards(self) -> None:
        """The last known state stays readable, and is marked as stale."""
        self.world.make("/a", b"one")
        node = follow_children(self.own.get("/a"))
        self.settle()
        self.close_now(self.own)
        self.assertEqual(self.successResultOf(node.value())[0], b"one")
        self.assertEqual(self.successResultOf(node.children()), [])
        self.assertEqual(node.state.stale_since, 1000.0)

    def test_unknown_afterwards(self) -> None:
        """After the close, reads of nodes that were never read fail at once."""
        self.close_now(self.own)
        for node in (self.own.get("/a"), self.own.get("/b")):
            self.failureResultOf(node.value(), ClosingException)
            self.failureResultOf(node.children(), ClosingException)
            self.assertIs(node.state.existence, Existence.UNKNOWN)
        self.assertIs(self.own.get("/a"), self.own.get("/a"))

    def test_writes_afterwards(self) -> None:
        """A write after the close fails at once, and certainly has no effect."""
        node = self.own.get("/a")
        self.settle()
        self.close_now(self.own)
        writes: list[Deferred[Any]] = [
            node.set(b"x"),
            node.create(b"x"),
            node.create(b"x", makepath=True),
            node.delete(),
            node.delete(recursive=True),
        ]
        for write in writes:
            error = self.failureResultOf(write, ClosingException).value
            assert isinstance(error, ClosingException)
            self.assertIs(error.applied, False)

    def test_connect_afterwards(self) -> None:
        """``connect`` fails afterwards."""
        self.close_now(self.own)
        self.failureResultOf(self.own.connect(), ClosingException)

    def test_no_server(self) -> None:
        """Without a server ``close`` takes a bounded time."""
        self.own.get("/a")
        self.settle()
        self.world.stop_server()
        closed = self.own.close()
        self.pass_time(Limits().close_time)
        self.successResultOf(closed)

    def test_silent_server(self) -> None:
        """With a silent server ``close`` takes a bounded time."""
        self.own.get("/a")
        self.settle()
        self.world.link.stall()
        closed = self.own.close()
        self.pass_time(Limits().close_time)
        self.successResultOf(closed)

    def test_retrying(self) -> None:
        """A mirror with a node that is tried again and again is closed like any other."""
        self.done(self.other.add_auth("digest", b"joe:secret"))
        self.done(self.other.create("/secret", b"one", CREATOR_ALL_ACL))
        before = len(self.world.reactor.getDelayedCalls())
        self.assert_fails(self.own.get("/secret").value(), NoAuthException)
        self.close_now(self.own)
        self.assertEqual(len(self.world.reactor.getDelayedCalls()), before)

    def test_in_recovery(self) -> None:
        """``close`` may be called at any step of a recovery, in the same session or in a new one."""
        for expired in (False, True):
            for steps in range(40):
                self.close_in_recovery(expired, steps)

    def close_in_recovery(self, expired: bool, steps: int) -> None:
        mirror = self.make()
        nodes = [mirror.get(path) for path in ("/", "/a", "/b")]
        self.settle()
        before = self.world.server.sessions - {self.other.session_id}
        reactor = self.world.reactor
        reactor.black_hole(MIRROR_HOST, PORT)
        self.world.link.cut()
        self.settle()
        if expired:
            for session in before:
                self.world.server.expire_session(session)
        if self.done(self.other.exists("/a")) is None:
            self.world.make("/a")
        else:
            self.world.remove("/a")
        reactor.undo_black_hole(MIRROR_HOST, PORT)
        while not reactor.links or reactor.links[-1].server_address.host != MIRROR_HOST:
            reactor.advance(0.01)
        reads = [node.value() for node in nodes]
        self.world.step(steps)
        self.close_now(mirror)
        for read in reads:
            self.assertTrue(read.called, (expired, steps))
            ignore(read)
        self.pass_time(2 * S)
        self.assertEqual(self.server_sessions(), 0, (expired, steps))

    def test_from_a_value_watcher(self) -> None:
        """``close`` may be called from a watcher."""
        closed: list[Deferred[None]] = []
        node = self.own.get("/")
        node.addValueWatcher("key", lambda value: closed.append(self.own.close()))
        node.addChildWatcher("key", lambda names: closed.append(self.own.close()))
        self.settle()
        self.assertEqual([self.successResultOf(each) for each in closed], [None] * len(closed))
        self.assertEqual(self.server_sessions(), 0)

    def test_from_state_watchers(self) -> None:
        """``close`` may be called from a state watcher, in every state."""
        for state in (MirrorState.CONNECTED, MirrorState.SETTLED, MirrorState.DISCONNECTED, MirrorState.CLOSED):
            self.close_in(state)

    def close_in(self, state: MirrorState) -> None:
        mirror = self.make()
        closed: list[Deferred[None]] = []

        def close(now: MirrorState) -> None:
            if now is state:
                closed.append(mirror.close())

        mirror.addStateWatcher("key", close)
        node = mirror.get("/")
        self.settle()
        if state is MirrorState.DISCONNECTED:
            self.world.link.cut()
        elif state is MirrorState.CLOSED:
            ignore(mirror.close())
        self.pass_time(2.0)
        for each in closed:
            self.successResultOf(each)
        self.assertGreater(len(closed), 0)
        self.assertIs(mirror.state, MirrorState.CLOSED)
        self.assertTrue(node.value().addErrback(lambda _: None).called)

    def test_from_a_readers_callback(self) -> None:
        """A callback of a read may call ``close``."""
        closed: list[Deferred[None]] = []
        for read in (self.own.get("/").value(), self.own.get("/").children()):
            ignore(read.addCallback(lambda _: closed.append(self.own.close())))
        self.settle()
        for each in closed:
            self.successResultOf(each)
        self.assertEqual(len(closed), 2)

    def test_cancelled(self) -> None:
        """Cancelling ``close`` does not stop it, and does not affect others that wait for it."""
        self.own.get("/")
        self.settle()
        first, second = self.own.close(), self.own.close()
        ignore(first)
        first.cancel()
        self.settle()
        self.successResultOf(second)
        self.assertEqual(self.server_sessions(), 0)

    def test_nothing_follows(self) -> None:
        """Nothing is reported after "closed"."""
        self.world.make("/a", b"one")
        node = self.own.get("/a")
        self.settle()
        told: list[object] = []
        node.addValueWatcher("key", told.append)
        node.addChildWatcher("key", told.append)
        self.own.addStateWatcher("key", told.append)
        self.world.change("/a", b"two")
        self.world.make("/a/b")
        self.close_now(self.own)
        count = told.index(MirrorState.CLOSED) + 1
        self.world.change("/a", b"three")
        self.pass_time(60.0)
        self.assertEqual(len(told), count)


class GivenClientTests(MirrorTestCase):
    """A mirror whose client was given to it leaves that open."""

    def test_left_open(self) -> None:
        """``close`` leaves a client that was given connected, and its session alive."""
        self.live("/")
        self.successResultOf(self.mirror.close())
        self.assertFalse(self.mirror.is_connected())
        self.assertIs(self.mirror.state, MirrorState.CLOSED)
        self.assertIs(self.world.mirror_client.session.state, SessionState.CONNECTED)
        self.assertIn(self.world.mirror_client.session_id, self.world.server.sessions)
        self.assertEqual(self.done(self.world.mirror_client.get_children("/")), ["zookeeper"])

    def test_no_news(self) -> None:
        """A closed mirror gets no more events of its client."""
        self.world.make("/a", b"one")
        node = self.live("/a")
        values, children, told = watch_value(node), watch_children(node), self.states()
        self.successResultOf(self.mirror.close())
        self.world.change("/a", b"two")
        self.world.make("/a/b")
        self.world.link.cut()
        self.pass_time(1.0)
        self.assertEqual((values, children, node.state.value), ([], [], b"one"))
        self.assertEqual(told, [MirrorState.DISCONNECTED, MirrorState.CLOSED])

    def test_late_answers(self) -> None:
        """Nobody is notified of a reply that arrives after the close."""
        self.world.make("/a", b"one")
        self.live("/")
        node = self.mirror.get("/a")
        values, children = watch_value(node), watch_children(node)
        self.successResultOf(self.mirror.close())
        self.settle()
        self.assertEqual((values, children), ([], []))

    def test_late_refusal(self) -> None:
        """A refusal that arrives after the mirror was closed starts no timer."""
        self.done(self.other.add_auth("digest", b"joe:secret"))
        self.done(self.other.create("/secret", b"one", CREATOR_ALL_ACL))
        self.live("/")
        self.mirror.get("/secret")
        self.successResultOf(self.mirror.close())
        self.settle()
        self.done(self.world.mirror_client.close())
        self.done(self.other.close())
        self.world.server.stop()
        self.settle()
        self.assertEqual(self.world.reactor.getDelayedCalls(), [])

    def test_readers(self) -> None:
        """Pending reads fail when the mirror is closed, with the client open or not."""
        self.world.make("/a")
        self.live("/")
        read = self.mirror.get("/a").value()
        self.successResultOf(self.mirror.close())
        self.failureResultOf(read, ClosingException)

    def test_connect_afterwards(self) -> None:
        """``connect`` fails afterwards, though the client is connected."""
        self.live("/")
        self.successResultOf(self.mirror.close())
        self.failureResultOf(self.mirror.connect(), ClosingException)

    def test_get_afterwards(self) -> None:
        """Reading a node after the close sends nothing to the server."""
        self.live("/")
        self.successResultOf(self.mirror.close())
        before = self.world.requests()
        self.failureResultOf(self.mirror.get("/a").value(), ClosingException)
        self.settle()
        self.assertEqual(self.world.requests(), before)

    def test_closed_client(self) -> None:
        """If the program closes its client, the mirror is disconnected, and can be closed."""
        node = self.live("/")
        self.done(self.world.mirror_client.close())
        self.assertFalse(self.mirror.is_connected())
        self.assertEqual(self.successResultOf(node.children()), ["zookeeper"])
        read = self.mirror.get("/a").value(timeout=1.0)
        self.pass_time(1.0)
        self.failureResultOf(read, OperationTimeoutException, ClosingException)
        self.successResultOf(self.mirror.close())

    def test_another_mirror(self) -> None:
        """Another mirror may follow on the same client."""
        self.world.make("/a", b"one")
        self.live("/a")
        self.successResultOf(self.mirror.close())
        mirror = Mirror(client=self.world.mirror_client, reactor=self.world.reactor)
        self.addCleanup(mirror.close)
        node = mirror.get("/a")
        values = watch_value(node)
        self.settle()
        self.world.change("/a", b"two")
        self.assertEqual(values, [b"one", b"two"])


class LateLagTests(ScriptedTestCase):
    def test_late_lag(self) -> None:
        """An answer of a lagging server that arrives after the mirror was closed starts no timer."""
        mirror, peer = self.make_mirror()
        peer.answer(SetWatchesRequest)
        idle = len(self.reactor.getDelayedCalls())
        mirror.get("/a")
        peer.answer(GetDataRequest, GetDataResponse(b"one", STAT), zxid=100)
        peer.event(EventType.CHANGED, "/a")
        self.assertEqual(len(peer.packets), 1)
        self.successResultOf(mirror.close())
        peer.answer(GetDataRequest, GetDataResponse(b"old", STAT), zxid=90)
        peer.answer(RemoveWatchesRequest)
        self.assertEqual(len(self.reactor.getDelayedCalls()), idle)
