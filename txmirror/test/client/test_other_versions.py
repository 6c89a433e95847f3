"""The client at servers of other versions than 3.8, and on its way between them, in memory.

The rules are those of ``docs/explanation/rules.rst``.
"""

from __future__ import annotations

from typing import Any, TypeVar, cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from txmirror.client import ZooKeeperClient
from txmirror.embedded import EmbeddedEnsemble, EmbeddedServer
from txmirror.errors import (
    ConnectionLossException,
    SessionExpiredException,
    SystemErrorException,
    UnimplementedException,
)
from txmirror.mirror import Mirror
from txmirror.test.client.contract import Recorder
from txmirror.test.client.peer import LongestPauses
from txmirror.testing import MemoryReactor
from txmirror.types import EventType, SessionState, WatchedEvent, WatchKind

_T = TypeVar("_T")
PORT = 2181
S = 6.0

CREATED, CHANGED, DELETED, CHILD = EventType.CREATED, EventType.CHANGED, EventType.DELETED, EventType.CHILD
REMOVED = EventType.PERSISTENT_WATCH_REMOVED


class VersionTestCase(SynchronousTestCase):
    """Clients of embedded servers that listen at 10.0.0.1 and on."""

    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.reactor.advance(1000.0)
        self._clients: list[ZooKeeperClient] = []
        self.addCleanup(self._close)

    def start(self, version: str, host: str = "10.0.0.1") -> EmbeddedServer:
        """Start a server."""
        server = EmbeddedServer(self.reactor, version=version)
        server.listen(PORT, interface=host)
        self.addCleanup(server.stop)
        return server

    def connect(self, *hosts: str) -> tuple[ZooKeeperClient, Recorder]:
        """Make a client that tries servers in this order, and record its feed."""
        client = ZooKeeperClient(
            [(host, PORT) for host in hosts or ("10.0.0.1",)],
            session_timeout=S,
            random=LongestPauses(),
            reactor=self.reactor,
        )
        self._clients.append(client)
        feed = Recorder()
        client.add_listener(feed)
        self.done(client.connect())
        return client, feed

    def done(self, deferred: Deferred[_T]) -> _T:
        """Run all calls that are due, and return the result of a Deferred."""
        self.reactor.settle()
        return self.successResultOf(deferred)

    def fails(self, exception: type[Exception], deferred: Deferred[Any], seconds: float = 0.0) -> Any:
        """Let time pass, and return the exception that a Deferred has failed with."""
        self.reactor.pass_time(seconds)
        return self.failureResultOf(deferred, exception).value

    def log(self) -> list[LogEvent]:
        """Return a list to which everything is added that is logged from now on."""
        events: list[LogEvent] = []
        observer = cast(ILogObserver, events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        return events

    def _close(self) -> None:
        closed = [client.close() for client in self._clients]
        self.reactor.pass_time(5.0)
        for deferred in closed:
            self.successResultOf(deferred)


class OldServerTests(VersionTestCase):
    """A 3.4, which closes connections at unknown operations."""

    def setUp(self) -> None:
        super().setUp()
        self.server = self.start("3.4")
        self.client, self.feed = self.connect()

    def test_persistent_watch(self) -> None:
        """A persistent watch is refused, at the cost of two connections at most and never of the session (E6)."""
        self.done(self.client.create("/e", ephemeral=True))
        session, news = self.client.session_id, Recorder()
        error = self.fails(UnimplementedException, self.client.add_watch("/a", news), S / 2)
        self.assertIs(error.applied, False)
        self.assertLessEqual(self.feed.states.count(SessionState.SUSPENDED), 2)
        self.assertIs(self.client.server_can("add_watch"), False)
        self.assertEqual((self.client.session_id, self.client.session.session_number), (session, 1))
        self.assertEqual(self.client.session.state, SessionState.CONNECTED)
        stat = self.done(self.client.exists("/e"))
        assert stat is not None
        self.assertEqual(stat.ephemeralOwner, session)
        self.assertEqual(news.told, [])

    def test_one_shot_beside_it(self) -> None:
        """Watches that the server has go on, and so do those that were asked for beside the one that it refuses."""
        self.done(self.client.create("/a"))
        answer, before = self.client.get_and_watch("/a")
        self.done(answer)
        refused = self.client.add_watch("/a", recursive=True)
        beside, watch = self.client.get_children_and_watch("/a")
        self.fails(UnimplementedException, refused, S / 2)
        # It was behind the one that ended the connection.
        self.failureResultOf(beside, ConnectionLossException)
        self.assertNoResult(watch)
        beside, watch = self.client.get_children_and_watch("/a")
        self.done(beside)
        self.done(self.client.set("/a", b"x"))
        self.done(self.client.create("/a/b"))
        self.assertEqual((self.done(before)[:2], self.done(watch)[:2]), ((CHANGED, "/a"), (EventType.CHILD, "/a")))

    def test_everything_newer(self) -> None:
        """Each method that needs a newer server raises UnimplementedException, and the session continues."""
        self.done(self.client.create("/a"))
        session = self.client.session_id
        for method, ask in (
            ("create_container", lambda: self.client.create_container("/b")),
            ("create_with_ttl", lambda: self.client.create_with_ttl("/b", ttl=1.0)),
            ("get_many", lambda: self.client.get_many(["/a"])),
            ("get_children_many", lambda: self.client.get_children_many(["/a"])),
            ("get_ephemerals", self.client.get_ephemerals),
            ("count_below", lambda: self.client.count_below("/a")),
            ("who_am_i", self.client.who_am_i),
            ("check_watches", lambda: self.client.check_watches("/a", WatchKind.ANY)),
            ("remove_watches", lambda: self.client.remove_watches("/a", WatchKind.ANY)),
            ("reconfig", lambda: self.client.reconfig(leaving=[1])),
        ):
            asked: Deferred[Any] = ask()
            self.fails(UnimplementedException, asked, S / 2)
            self.assertIs(self.client.server_can(method), False, method)
            self.assertEqual((self.client.session_id, self.client.session.session_number), (session, 1), method)
            self.done(self.client.set("/a", method.encode()))

    def test_create_with_stat(self) -> None:
        """A create with a stat works too, at the cost of one connection, and the log has the missing operation once."""
        events = self.log()
        session = self.client.session_id
        for number in range(3):
            for mode in range(4):
                asked = self.client.create_and_stat(
                    f"/n{number}-{mode}", b"data", sequence=mode == 1, ephemeral=mode == 2, protect=mode == 3
                )
                self.reactor.pass_time(S / 2)
                path, stat = self.successResultOf(asked)
                self.assertEqual(stat, self.done(self.client.exists(path)))
        self.assertEqual(self.client.session_id, session)
        self.assertEqual(self.feed.states.count(SessionState.SUSPENDED), 1)
        (line,) = [formatEvent(each) for each in events if "does not support" in str(each.get("log_format"))]
        self.assertIn("10.0.0.1:2181 does not support CREATE2, which ZooKeeper has had since 3.5", line)

    def test_mirror(self) -> None:
        """A mirror creates nodes, and shows them with the stat that the server has."""
        mirror = Mirror(client=self.client, reactor=self.reactor)
        node = mirror.get("/a")
        made = node.create(b"data", ephemeral=True)
        self.reactor.pass_time(S / 2)
        self.successResultOf(made)
        value, stat = self.done(node.value())
        self.assertEqual((value, stat), (b"data", self.done(self.client.exists("/a"))))
        self.done(self.client.set("/a", b"new"))
        self.assertEqual(self.done(node.value())[0], b"new")
        self.assertEqual(self.feed.states.count(SessionState.SUSPENDED), 1)

    def test_protected(self) -> None:
        """Operations of older servers work: a protected create, a transaction, the children with the stat."""
        path = self.done(self.client.create("/a", protect=True))
        transaction = self.client.transaction()
        transaction.set(path, b"x", 0)
        self.done(transaction.commit())
        names, stat = self.done(self.client.get_children_and_stat("/"))
        self.assertIn(path[1:], names)
        self.assertEqual(stat.numChildren, len(names))
        self.assertEqual(self.feed.states, [SessionState.CONNECTED])


class DowngradeTests(VersionTestCase):
    """A session with a persistent watch comes from a 3.8 to a 3.4, which serves the same data."""

    def setUp(self) -> None:
        super().setUp()
        ensemble = EmbeddedEnsemble(self.reactor, 2, version=["3.8", "3.4"])
        self.addCleanup(ensemble.stop)
        for number, server in enumerate(ensemble.servers, 1):
            server.listen(PORT, interface=f"10.0.0.{number}")
        self.client, self.feed = self.connect("10.0.0.1", "10.0.0.2")
        self.other, _ = self.connect("10.0.0.2")
        self.done(self.client.create("/a"))
        self.done(self.client.create("/b"))
        self.exact, self.recursive = Recorder(), Recorder()
        self.done(self.client.add_watch("/a", self.exact))
        self.done(self.client.add_watch("/b", self.recursive, recursive=True))

    def lose(self, host: str) -> None:
        """Cut a server off, and give the client the time to try the other."""
        self.reactor.black_hole(host, PORT)
        for link in list(self.reactor.links):
            if link.server_address.host == host:
                link.cut()
        self.reactor.pass_time(S / 2)

    def test_persistent_watches_end(self) -> None:
        """Persistent watches end at an older server, and are reported once; the session continues, with the one-shot
        watches that the server supports (C4).
        """
        session = self.client.session_id
        answer, watch = self.client.get_and_watch("/")
        self.done(answer)
        self.lose("10.0.0.1")
        self.reactor.pass_time(S / 2)
        self.assertEqual((self.client.session_id, self.client.session.session_number), (session, 1))
        self.assertEqual(self.client.session.state, SessionState.CONNECTED)
        self.assertEqual(self.exact.events, [WatchedEvent(REMOVED, "/a")])
        self.assertEqual(self.recursive.events, [WatchedEvent(REMOVED, "/b")])
        # One that is not for persistent ones stands.
        self.done(self.client.set("/", b"x"))
        self.assertEqual(self.done(watch)[:2], (CHANGED, "/"))
        self.done(self.other.set("/a", b"x"))
        self.done(self.other.create("/b/c"))
        self.done(self.client.sync())
        self.assertEqual((len(self.exact.events), len(self.recursive.events)), (1, 1))

    def test_who_waited_once(self) -> None:
        """A one-shot watch on the path of a persistent watch that ends still fires at a change, or fails."""
        answer, watch = self.client.get_and_watch("/a")
        self.done(answer)
        self.lose("10.0.0.1")
        self.reactor.pass_time(S / 2)
        self.done(self.other.set("/a", b"x"))
        self.done(self.client.sync())
        result: list[Any] = []
        watch.addBoth(result.append)
        self.assertEqual(len(result), 1, "nobody ever tells")

    def test_and_back(self) -> None:
        """Back at the newer server it can be asked for again, in the same session."""
        session = self.client.session_id
        self.lose("10.0.0.1")
        self.reactor.pass_time(S / 2)
        self.assertIs(self.client.session.state, SessionState.CONNECTED)
        self.reactor.undo_black_hole("10.0.0.1", PORT)
        self.lose("10.0.0.2")
        self.assertEqual(self.client.session_id, session)
        again = Recorder()
        self.done(self.client.add_watch("/a", again, recursive=True))
        self.done(self.client.set("/a", b"x"))
        self.assertEqual(again.events, [WatchedEvent(CHANGED, "/a")])
        self.assertIs(self.client.server_can("add_watch"), True)


class NewServerTests(VersionTestCase):
    """A 3.9, whose events say which transaction they are about."""

    def test_zxids(self) -> None:
        """Events have the zxid of their transaction, for each listener; missed ones have none (D5)."""
        self.start("3.9")
        client, feed = self.connect()
        other, _ = self.connect()
        news = Recorder()
        self.done(client.add_watch("/", news, recursive=True))
        self.done(other.create("/a"))
        first = self.done(other.exists("/a"))
        answer, watch = client.get_and_watch("/a")
        self.done(answer)
        second = self.done(other.set("/a", b"x"))
        assert first is not None
        expected = [WatchedEvent(CREATED, "/a", first.czxid), WatchedEvent(CHANGED, "/a", second.mzxid)]
        self.assertEqual(news.told, expected)
        self.assertEqual([event for event in feed.told if isinstance(event, WatchedEvent)], expected)
        self.assertEqual(self.done(watch), expected[1])
        # An event says nothing of how far all has been seen.
        self.assertLess(client.session_ticket.zxid if client.session_ticket else 0, second.mzxid)
        answer, watch = client.get_and_watch("/a")
        self.done(answer)
        self.reactor.black_hole("10.0.0.1", PORT)
        self.reactor.links[0].cut()
        self.done(other.set("/a", b"y"))
        self.assertNoResult(watch)
        self.reactor.undo_black_hole("10.0.0.1", PORT)
        self.reactor.pass_time(S / 2)
        self.assertEqual(self.done(watch), WatchedEvent(CHANGED, "/a", None))
        self.done(other.set("/a", b"z"))
        self.assertEqual(news.events[-1], WatchedEvent(CHANGED, "/a"))
        self.assertEqual(client.session.session_number, 1)


class KeeperTests(VersionTestCase):
    """ClickHouse Keeper. The rest is in the contract, which is tried on it too."""

    def begin_behind_a_refused_watch(
        self,
    ) -> tuple[ZooKeeperClient, ZooKeeperClient, Deferred[list[str]], Deferred[WatchedEvent]]:
        """Begin to read the children of /a with a watch, while the server refuses a persistent watch on /a.

        :returns: the client, another client, the answer, and the watch.
        """
        server = self.start("keeper")
        client, _ = self.connect()
        other, _ = self.connect()
        self.done(other.create("/a"))
        server.fail_next("add_watch", SystemErrorException())
        for kind in ("get_children", "get_children", "set_watches"):
            server.delay_next(kind, 1.0, session_id=client.session_id)
        added = client.add_watch("/a")
        names, watch = client.get_children_and_watch("/a")
        self.fails(SystemErrorException, added)
        return client, other, names, watch

    def read_behind_a_refused_watch(self) -> tuple[ZooKeeperClient, ZooKeeperClient, Deferred[WatchedEvent]]:
        """Read likewise. The server has answered, and does not have the watch yet."""
        client, other, names, watch = self.begin_behind_a_refused_watch()
        self.reactor.pass_time(1.5)
        self.assertEqual(self.done(names), [])
        self.assertNoResult(watch)
        return client, other, watch

    def test_children_behind_a_refused_watch(self) -> None:
        """A change between a read behind a refused persistent watch and its own watch is reported, as one of the children."""
        _, other, watch = self.read_behind_a_refused_watch()
        self.done(other.create("/a/b"))
        self.reactor.pass_time(1.0)
        self.assertEqual(self.done(watch), WatchedEvent(CHILD, "/a"))

    def test_data_behind_a_refused_watch(self) -> None:
        """Changed data is not reported as changed children."""
        _, other, watch = self.read_behind_a_refused_watch()
        self.done(other.set("/a", b"x"))
        self.reactor.pass_time(1.0)
        self.done(other.set("/a", b"y"))
        self.assertNoResult(watch)
        self.done(other.create("/a/b"))
        self.assertEqual(self.done(watch), WatchedEvent(CHILD, "/a"))

    def test_later_watch_behind_a_refused_watch(self) -> None:
        """A watch that was set after the change does not fire for it."""
        client, other, first, watch = self.begin_behind_a_refused_watch()
        names, later = client.get_children_and_watch("/a")
        self.reactor.pass_time(1.5)
        self.assertEqual(self.done(first), [])
        self.assertNoResult(names)
        self.done(other.create("/a/b"))
        self.reactor.pass_time(2.0)
        self.assertEqual(self.done(watch), WatchedEvent(CHILD, "/a"))
        self.assertEqual(self.done(names), ["b"])
        self.assertNoResult(later)
        self.done(other.create("/a/c"))
        self.assertEqual(self.done(later), WatchedEvent(CHILD, "/a"))

    def test_deleted_behind_a_refused_watch(self) -> None:
        """So is the end of the node."""
        _, other, watch = self.read_behind_a_refused_watch()
        self.done(other.delete("/a"))
        self.reactor.pass_time(1.0)
        self.assertEqual(self.done(watch), WatchedEvent(DELETED, "/a"))

    def test_feed_behind_a_refused_watch(self) -> None:
        """The feed has the event too, before any reply that shows the change."""
        client, other, _ = self.read_behind_a_refused_watch()
        feed = Recorder()
        client.add_listener(feed)
        self.done(other.create("/a/b"))
        self.reactor.pass_time(1.0)
        self.assertEqual(feed.events, [WatchedEvent(CHILD, "/a")])

    def test_expired_behind_a_refused_watch(self) -> None:
        """If the session expires before the watch is set, it fails."""
        client, _, watch = self.read_behind_a_refused_watch()
        self.reactor.links[0].cut()
        self.fails(SessionExpiredException, watch, 3 * S)
        self.assertEqual(client.session.session_number, 2)

    def test_cancelled_behind_a_refused_watch(self) -> None:
        """A watch that is cancelled before it is set does no harm."""
        client, other, watch = self.read_behind_a_refused_watch()
        watch.cancel()
        self.fails(CancelledError, watch)
        self.done(other.create("/a/b"))
        self.reactor.pass_time(1.0)
        self.assertEqual(self.done(client.get_children("/a")), ["b"])

    def test_without_a_leader(self) -> None:
        """Rule 8: where it has no leader it refuses, and the client is at the next server at once; where none has, it waits."""
        first, second = self.start("keeper"), self.start("keeper", "10.0.0.2")
        first.lose_quorum()
        client, feed = self.connect("10.0.0.1", "10.0.0.2")
        self.assertIn(client.session_id, second.sessions)
        second.lose_quorum()
        self.reactor.pass_time(10 * S)
        self.assertEqual(feed.states, [SessionState.CONNECTED, SessionState.SUSPENDED, SessionState.LOST])
        self.assertEqual(first.sessions, frozenset())
        first.regain_quorum()
        self.reactor.pass_time(12.0)
        self.assertIn(client.session_id, first.sessions)
        self.assertEqual((client.session.session_number, len(first.sessions)), (2, 1))
