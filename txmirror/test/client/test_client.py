"""The requests and results of the client's methods, chroots, listeners, and secrets in messages."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import LogLevel
from zope.interface import providedBy
from zope.interface.verify import verifyObject

from txmirror.client import ZooKeeperClient
from txmirror.errors import NoNodeException, PathError, ProtocolError, ZooKeeperException
from txmirror.interfaces import (
    IBackpressure,
    IBatchedReads,
    IChroot,
    ICreateModes,
    IEnsemble,
    IMetricsHolder,
    IPersistentWatches,
    IProgress,
    IQueries,
    IServerAbilities,
    ISessionHolder,
    ISessionLease,
    ISideSessions,
    ITransactions,
    IWatchCount,
    IWatchFeed,
    IZooKeeperClient,
)
from txmirror.test.client.peer import PASSWORD, SESSION, STAT, ClientTestCase, S, event, ignore, reply
from txmirror.testing.reactor import MemoryResolver
from txmirror.types import (
    ACL,
    OPEN_ACL,
    ChildrenReply,
    CreateReply,
    DataReply,
    EventType,
    Permission,
    SessionEvent,
    SessionState,
    StatReply,
    WatchedEvent,
    WatchKind,
)
from txmirror.wire import (
    ConnectResponse,
    Create2Request,
    Create2Response,
    CreateFlag,
    CreateRequest,
    DeleteRequest,
    ExistsRequest,
    GetACLRequest,
    GetACLResponse,
    GetChildren2Request,
    GetChildren2Response,
    GetDataRequest,
    GetDataResponse,
    PathResponse,
    RemoveWatchesRequest,
    SetACLRequest,
    SetDataRequest,
    SetWatchesRequest,
    StatResponse,
    SyncRequest,
    encode_frame,
)

DATA = GetDataResponse(b"data", STAT)
READERS = (ACL(Permission.READ, "digest", "u:hash"),)


class OperationTests(ClientTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.client, self.peer = self.make_connected()

    def test_interfaces(self) -> None:
        """The client provides all its interfaces, with the signatures of each."""
        provided = set(providedBy(self.client))
        self.assertEqual(
            provided,
            {
                IBackpressure,
                IBatchedReads,
                IChroot,
                ICreateModes,
                IEnsemble,
                IMetricsHolder,
                ISessionLease,
                ISideSessions,
                IPersistentWatches,
                IProgress,
                IQueries,
                IServerAbilities,
                ISessionHolder,
                ITransactions,
                IWatchCount,
                IWatchFeed,
                IZooKeeperClient,
            },
        )
        for interface in provided:
            verifyObject(interface, self.client)

    def test_create(self) -> None:
        """``create`` returns the created path."""
        made = self.client.create("/a", b"x")
        request = self.peer.answer(CreateRequest, PathResponse("/a"))
        self.assertEqual(request, CreateRequest("/a", b"x", OPEN_ACL, 0))
        self.assertEqual(self.successResultOf(made), "/a")

    def test_create_flags(self) -> None:
        """Ephemeral and sequence nodes have their flags, and a sequence node may end in a slash."""
        made = self.client.create("/a/", b"", READERS, ephemeral=True, sequence=True)
        request = self.peer.answer(CreateRequest, PathResponse("/a/0000000007"))
        self.assertEqual((request.path, request.acl, request.flags), ("/a/", READERS, 3))
        self.assertEqual(self.successResultOf(made), "/a/0000000007")
        ignore(self.client.create("/e", ephemeral=True))
        ignore(self.client.create("/s", sequence=True))
        self.assertEqual([self.peer.take(CreateRequest)[1].flags for _ in range(2)], [1, 2])

    def test_delete(self) -> None:
        """``delete`` names the version, any by default."""
        ignore(self.client.delete("/a", 7))
        done = self.client.delete("/a")
        self.assertEqual(self.peer.answer(DeleteRequest), DeleteRequest("/a", 7))
        self.assertEqual(self.peer.answer(DeleteRequest), DeleteRequest("/a", -1))
        self.assertIsNone(self.successResultOf(done))

    def test_exists(self) -> None:
        """``exists`` returns the stat."""
        answer = self.client.exists("/a")
        self.assertEqual(self.peer.answer(ExistsRequest, StatResponse(STAT)), ExistsRequest("/a", False))
        self.assertEqual(self.successResultOf(answer), STAT)

    def test_get(self) -> None:
        """``get`` returns data and stat."""
        answer = self.client.get("/a")
        self.assertEqual(self.peer.answer(GetDataRequest, DATA), GetDataRequest("/a", False))
        self.assertEqual(self.successResultOf(answer), (b"data", STAT))

    def test_get_children(self) -> None:
        """``get_children`` returns the names."""
        answer = self.client.get_children("/a")
        self.peer.answer(GetChildren2Request, GetChildren2Response(["b", "a"], STAT))
        names = self.successResultOf(answer)
        self.assertEqual(sorted(names), ["a", "b"])

    def test_set(self) -> None:
        """``set`` sends the version, any by default, and returns the new stat."""
        ignore(self.client.set("/a", b"x", 7))
        answer = self.client.set("/a", b"y")
        self.assertEqual(self.peer.answer(SetDataRequest, StatResponse(STAT)), SetDataRequest("/a", b"x", 7))
        self.assertEqual(self.peer.answer(SetDataRequest, StatResponse(STAT)), SetDataRequest("/a", b"y", -1))
        self.assertEqual(self.successResultOf(answer), STAT)

    def test_get_acl(self) -> None:
        """``get_acl`` returns the list and the stat."""
        answer = self.client.get_acl("/a")
        self.peer.answer(GetACLRequest, GetACLResponse(list(READERS), STAT))
        self.assertEqual(self.successResultOf(answer), (list(READERS), STAT))

    def test_set_acl(self) -> None:
        """``set_acl`` sends the ACL's version, any by default, and returns the new stat."""
        answer = self.client.set_acl("/a", READERS)
        self.assertEqual(self.peer.answer(SetACLRequest, StatResponse(STAT)), SetACLRequest("/a", READERS, -1))
        self.assertEqual(self.successResultOf(answer), STAT)

    def test_sync(self) -> None:
        """``sync`` returns the path, the root by default."""
        answer = self.client.sync()
        self.assertEqual(self.peer.answer(SyncRequest, PathResponse("/")), SyncRequest("/"))
        self.assertEqual(self.successResultOf(answer), "/")

    def test_numbers_that_wrap(self) -> None:
        """Versions travel as they are, negative ones too, and so does the number of a sequence node (H5)."""
        for version in (-(2**31), -2, -1, 0, 2**31 - 1):
            written = self.client.set("/a", b"", version)
            stat = STAT._replace(version=version)
            self.assertEqual(self.peer.answer(SetDataRequest, StatResponse(stat)).version, version)
            self.assertEqual(self.successResultOf(written).version, version)
            deleted = self.client.delete("/a", version)
            self.assertEqual(self.peer.answer(DeleteRequest).version, version)
            self.successResultOf(deleted)
        for number in ("2147483647", "-2147483648", "-000000001"):
            made = self.client.create("/a-", sequence=True)
            self.peer.answer(CreateRequest, PathResponse(f"/a-{number}"))
            self.assertEqual(self.successResultOf(made), f"/a-{number}")

    def test_feed_reads(self) -> None:
        """The feed's reads ask for a watch, and carry the zxid in their reply's header."""
        answers = (self.client.read_data("/a"), self.client.read_children("/a"), self.client.read_existence("/a"))
        self.assertTrue(self.peer.answer(GetDataRequest, DATA, zxid=41).watch)
        self.assertTrue(self.peer.answer(GetChildren2Request, GetChildren2Response(["b"], STAT), zxid=42).watch)
        self.assertTrue(self.peer.answer(ExistsRequest, StatResponse(STAT), zxid=43).watch)
        self.assertEqual(self.successResultOf(answers[0]), DataReply(41, b"data", STAT))
        self.assertEqual(self.successResultOf(answers[1]), ChildrenReply(42, ["b"], STAT))
        self.assertEqual(self.successResultOf(answers[2]), StatReply(43, STAT))

    def test_feed_reads_of_a_missing_node(self) -> None:
        """Absence carries the zxid in its reply's header too."""
        existence, data = self.client.read_existence("/a"), self.client.read_data("/a")
        self.peer.answer(ExistsRequest, err=-101, zxid=44)
        self.peer.answer(GetDataRequest, err=-101, zxid=45)
        self.assertEqual(self.successResultOf(existence), StatReply(44, None))
        self.assertEqual(self.failureResultOf(data, NoNodeException).value.zxid, 45)

    def test_feed_writes(self) -> None:
        """The feed's writes carry the zxid in their reply's header."""
        made = self.client.write_create("/a", b"x", OPEN_ACL, CreateFlag.SEQUENCE)
        written, deleted = self.client.write_data("/a", b"y", 3), self.client.write_delete("/a", 4)
        request = self.peer.answer(Create2Request, Create2Response("/a1", STAT), zxid=51)
        self.assertEqual(request, Create2Request("/a", b"x", OPEN_ACL, 2))
        self.assertEqual(self.peer.answer(SetDataRequest, StatResponse(STAT), zxid=52).version, 3)
        self.assertEqual(self.peer.answer(DeleteRequest, zxid=53).version, 4)
        self.assertEqual(self.successResultOf(made), CreateReply(51, "/a1", STAT))
        self.assertEqual(self.successResultOf(written), StatReply(52, STAT))
        self.assertEqual(self.successResultOf(deleted), 53)

    def test_bad_paths(self) -> None:
        """An invalid path is a PathError at the call, and nothing is sent."""
        client = self.client
        asked: list[Callable[[], object]] = [
            lambda: client.create("a"),
            lambda: client.create("/a/"),
            lambda: client.delete("/a//b"),
            lambda: client.exists(""),
            lambda: client.exists_and_watch("/a/"),
            lambda: client.get("/.."),
            lambda: client.get_and_watch("a"),
            lambda: client.get_children("/a/."),
            lambda: client.get_children_and_watch("/\0"),
            lambda: client.set("a", b""),
            lambda: client.get_acl("a"),
            lambda: client.set_acl("a", OPEN_ACL),
            lambda: client.sync("a"),
            lambda: client.read_data("a"),
            lambda: client.read_children("a"),
            lambda: client.read_existence("a"),
            lambda: client.write_create("a", b"", OPEN_ACL, 0),
            lambda: client.write_data("a", b"", -1),
            lambda: client.write_delete("a", -1),
            lambda: client.set_watches(1, ["/a"], ["b"]),
            lambda: client.remove_watches("a", WatchKind.ANY),
        ]
        for ask in asked:
            self.assertRaises(PathError, ask)
        self.assertEqual(self.peer.packets, [])

    def test_data_is_bytes(self) -> None:
        """Data that is no bytes is a TypeError at the call."""
        wrong: list[Callable[[], object]] = [
            lambda: self.client.create("/a", "text"),  # type: ignore[arg-type]
            lambda: self.client.set("/a", "text"),  # type: ignore[arg-type]
            lambda: self.client.write_data("/a", None, -1),  # type: ignore[arg-type]
            lambda: self.client.add_auth("digest", "user:secret"),  # type: ignore[arg-type]
        ]
        for ask in wrong:
            self.assertRaises(TypeError, ask)
        self.assertEqual(self.peer.packets, [])


class ChrootTests(ClientTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.client, self.peer = self.make_connected(chroot="/app")

    def test_requests(self) -> None:
        """All paths are below the chroot, and the root is the chroot itself."""
        for path, whole in (("/", "/app"), ("/a", "/app/a")):
            ignore(self.client.get(path))
            self.assertEqual(self.peer.answer(GetDataRequest, DATA).path, whole)
            ignore(self.client.sync(path))
            self.assertEqual(self.peer.answer(SyncRequest, PathResponse(whole)).path, whole)

    def test_created(self) -> None:
        """Paths in the server's replies are returned without the chroot."""
        made = self.client.create("/s-", sequence=True)
        self.peer.answer(CreateRequest, PathResponse("/app/s-0000000001"))
        self.assertEqual(self.successResultOf(made), "/s-0000000001")
        written = self.client.write_create("/", b"", OPEN_ACL, CreateFlag.SEQUENCE)
        self.assertEqual(self.peer.answer(Create2Request, Create2Response("/app/0000000002", STAT)).path, "/app/")
        self.assertEqual(self.successResultOf(written).path, "/0000000002")
        synced = self.client.sync("/")
        self.peer.answer(SyncRequest, PathResponse("/app"))
        self.assertEqual(self.successResultOf(synced), "/")

    def test_errors(self) -> None:
        """Errors name the path as it was asked for."""
        read = self.client.get("/a")
        self.peer.answer(GetDataRequest, err=-101)
        error = self.failureResultOf(read, NoNodeException).value
        self.assertEqual(error.path, "/a")
        self.assertNotIn("/app", str(error))

    def test_feed(self) -> None:
        """Events on the feed have paths without the chroot."""
        self.peer.event(EventType.CHILD, "/app")
        self.peer.event(EventType.CHANGED, "/app/a", zxid=7)
        self.assertEqual(
            self.watch_events(), [WatchedEvent(EventType.CHILD, "/"), WatchedEvent(EventType.CHANGED, "/a", 7)]
        )

    def test_watches(self) -> None:
        """The event of a watch has the path of its request."""
        _, data = self.client.get_and_watch("/a")
        self.peer.answer(GetDataRequest, DATA)
        _, exist = self.client.exists_and_watch("/b")
        self.peer.answer(ExistsRequest, err=-101)
        _, child = self.client.get_children_and_watch("/")
        self.peer.answer(GetChildren2Request, GetChildren2Response([], STAT))
        self.peer.event(EventType.CHANGED, "/app/a")
        self.peer.event(EventType.CREATED, "/app/b")
        self.peer.event(EventType.CHILD, "/app")
        self.assertEqual(
            [self.successResultOf(watch).path for watch in (data, exist, child)],
            ["/a", "/b", "/"],
        )

    def test_set_again(self) -> None:
        """Watches are set again with the whole paths."""
        ignore(self.client.read_data("/a"))
        self.peer.answer(GetDataRequest, DATA)
        again = self.reconnect(self.peer)
        self.assertEqual(again.answer(SetWatchesRequest).dataWatches, ("/app/a",))

    def test_set_watches(self) -> None:
        """``set_watches`` and ``remove_watches`` take paths below the chroot."""
        ignore(self.client.set_watches(1, data=["/"], exist=["/x"]))
        request = self.peer.answer(SetWatchesRequest)
        self.assertEqual((request.dataWatches, request.existWatches), (("/app",), ("/app/x",)))
        ignore(self.client.remove_watches("/x", WatchKind.ANY))
        self.assertEqual(self.peer.answer(RemoveWatchesRequest).path, "/app/x")

    def test_remove_listener(self) -> None:
        """A listener can be removed here too."""
        told: list[object] = []
        self.client.add_listener(told.append)
        self.client.remove_listener(told.append)
        self.peer.event(EventType.CHILD, "/app")
        self.assertEqual(told, [])

    def test_listener_added_twice(self) -> None:
        """A listener that was added twice can be removed twice, as without a chroot."""
        told: list[object] = []
        listener = told.append
        for _ in range(2):
            self.client.add_listener(listener)
        for _ in range(2):
            self.client.remove_listener(listener)
        self.peer.event(EventType.CHILD, "/app")
        self.assertEqual(told, [])


class ListenerTests(ClientTestCase):
    def test_in_order(self) -> None:
        """Listeners are called in the order in which they were added, with every step and event."""
        client, peer = self.make_connected()
        told: list[tuple[int, object]] = []
        client.add_listener(lambda step: told.append((1, step)))
        client.add_listener(lambda step: told.append((2, step)))
        peer.event(EventType.CHILD, "/a")
        child = WatchedEvent(EventType.CHILD, "/a")
        self.assertEqual(told, [(1, child), (2, child)])

    def test_consistent(self) -> None:
        """When a listener is called, the client is in the state of the event."""
        client = self.make_client()
        seen: list[bool] = []
        client.add_listener(lambda step: seen.append(not isinstance(step, SessionEvent) or client.session == step))
        ignore(client.connect())
        self.server.peer.accept()
        self.reconnect(self.server.peer, accept=False).expire()
        self.pass_time(0.5)
        self.server.peer.accept(session_id=2)
        self.close_fast(client, self.server.peer)
        self.assertEqual(seen, [True] * 5)

    def test_raising(self) -> None:
        """Rule 12: an exception in a listener is logged with the event; the other listeners are called all the same."""
        client, peer = self.make_connected()
        told: list[object] = []

        def broken(step: object) -> None:
            raise RuntimeError("broken listener")

        client.add_listener(broken)
        client.add_listener(told.append)
        answer = client.get("/a")
        peer.send(event(EventType.CHILD, "/b"), reply(1, DATA))
        self.successResultOf(answer)
        self.assertEqual(told, [WatchedEvent(EventType.CHILD, "/b")])
        (failure,) = self.flushLoggedErrors(RuntimeError)
        self.assertEqual(str(failure.value), "broken listener")
        self.assertIn("/b", "\n".join(self.log_lines(LogLevel.critical)))
        peer.event(EventType.CHILD, "/c")
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertFalse(peer.lost)
        client.remove_listener(broken)

    def test_raising_on_a_session_step(self) -> None:
        """Rule 12: a listener that raises when the session stands keeps nobody else from it."""
        client = self.make_client()

        def broken(step: object) -> None:
            raise RuntimeError("broken listener")

        client.add_listener(broken)
        connected = client.connect()
        self.server.peer.accept()
        self.successResultOf(connected)
        client.remove_listener(broken)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_removed(self) -> None:
        """A listener that was removed is called no more; removing it again is silent."""
        client, peer = self.make_connected()
        told: list[object] = []
        client.add_listener(told.append)
        client.remove_listener(told.append)
        client.remove_listener(told.append)
        peer.event(EventType.CHILD, "/a")
        self.assertEqual(told, [])

    def test_removed_by_another(self) -> None:
        """A listener that another listener removes is not called any more, not even with the same event."""
        client, peer = self.make_connected()
        told: list[object] = []
        second = told.append
        client.add_listener(lambda step: client.remove_listener(second))
        client.add_listener(second)
        peer.event(EventType.CHILD, "/a")
        self.assertEqual(told, [])

    def test_added_by_another(self) -> None:
        """A listener that another listener adds is called from the next event on."""
        client, peer = self.make_connected()
        told: list[object] = []
        client.add_listener(lambda step: None if told else client.add_listener(told.append))
        peer.event(EventType.CHILD, "/a")
        self.assertEqual(told, [])
        peer.event(EventType.CHILD, "/b")
        self.assertEqual(told, [WatchedEvent(EventType.CHILD, "/b")])

    def test_step_within_a_step(self) -> None:
        """Every listener gets the events in the order in which they happened, also where one of them causes the next
        (F6).
        """
        client = self.make_client()
        orders: list[list[SessionState]] = [[], []]

        def closing(step: SessionEvent | WatchedEvent) -> None:
            assert isinstance(step, SessionEvent)
            orders[0].append(step.state)
            if step.state is SessionState.EXPIRED:
                ignore(client.close())

        def following(step: SessionEvent | WatchedEvent) -> None:
            assert isinstance(step, SessionEvent)
            orders[1].append(step.state)

        client.add_listener(closing)
        client.add_listener(following)
        ignore(client.connect())
        self.server.peer.accept()
        self.reconnect(self.server.peer, accept=False).expire()
        self.pass_time(1)
        self.assertEqual(orders[1], orders[0])


class CallbackTests(ClientTestCase):
    def test_raising(self) -> None:
        """Rule 12: an exception in a callback stays in its Deferred, and touches nobody else."""
        client, peer = self.make_connected()

        def broken(_: object) -> None:
            raise RuntimeError("broken callback")

        failing = client.get("/a").addCallback(broken)
        other = client.get("/b")
        peer.send(reply(1, DATA), reply(2, DATA))
        self.successResultOf(other)
        self.failureResultOf(failing, RuntimeError)
        self.assertFalse(peer.lost)

    def test_unhandled(self) -> None:
        """Rule 12: a failure that no errback handles is logged."""
        client, peer = self.make_connected()

        def broken(_: object) -> None:
            raise RuntimeError("broken callback")

        client.get("/a").addCallback(broken)
        peer.answer(GetDataRequest, DATA)
        gc.collect()
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertFalse(peer.lost)

    def test_raising_watch(self) -> None:
        """Rule 12: an exception in a watch's callback touches neither the next watch nor the feed."""
        client, peer = self.make_connected()

        def broken(_: object) -> None:
            raise RuntimeError("broken watcher")

        first, second = client.get_and_watch("/a")[1], client.get_and_watch("/a")[1]
        first.addCallback(broken)
        peer.answer(GetDataRequest, DATA)
        peer.answer(GetDataRequest, DATA)
        peer.event(EventType.CHANGED, "/a")
        self.successResultOf(second)
        self.failureResultOf(first, RuntimeError)
        self.assertEqual(len(self.watch_events()), 1)

    def test_raising_errback(self) -> None:
        """Rule 12: an exception in an errback does not keep others from failing when the connection is lost."""
        client, peer = self.make_connected()

        def broken(_: object) -> None:
            raise RuntimeError("broken errback")

        first, second = client.get("/a").addErrback(broken), client.get("/b")
        self.reconnect(peer)
        self.failureResultOf(first, RuntimeError)
        self.failureResultOf(second, ZooKeeperException)
        self.assertIs(client.session.state, SessionState.CONNECTED)


class CancelledWatchTests(ClientTestCase):
    def test_after_the_reply(self) -> None:
        """Rule 12: a watch that is cancelled leaves nothing behind at the client, and its event disturbs nobody."""
        client, peer = self.make_connected()
        _, cancelled = client.get_and_watch("/a")
        _, other = client.get_and_watch("/a")
        for _ in range(2):
            peer.answer(GetDataRequest, DATA)
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        self.assertEqual(client._session.watches.established.data, {"/a": [other]})
        peer.event(EventType.CHANGED, "/a")
        self.assertEqual(self.successResultOf(other), WatchedEvent(EventType.CHANGED, "/a"))

    def test_before_the_reply(self) -> None:
        """Rule 12: a watch that is cancelled before the reply that sets it leaves nothing behind."""
        client, peer = self.make_connected()
        answer, cancelled = client.exists_and_watch("/a")
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        peer.answer(ExistsRequest, err=-101)
        self.assertIsNone(self.successResultOf(answer))
        self.assertEqual(client._session.watches.established.exist, {"/a": None})
        peer.event(EventType.CREATED, "/a")
        self.assertEqual(len(client._session.watches.established), 0)


class SecretTests(ClientTestCase):
    """Passwords and credentials are in no log line, repr or exception."""

    SECRETS = (PASSWORD, b"user:s3cr3t")

    def assert_not_in(self, text: str) -> None:
        for secret in self.SECRETS:
            for spelling in (repr(secret)[2:-1], secret.hex(), "s3cr3t"):
                self.assertNotIn(spelling, text)

    def assert_nothing_logged(self) -> None:
        self.assertNotEqual(self._log_events, [])
        for logged in self._log_events:
            self.assert_not_in(repr(logged))
        self.assert_not_in("\n".join(self.log_lines()))

    def test_through_a_life(self) -> None:
        """A session's whole life, with identities taken and refused, resumed and ended, logs none."""
        client, peer = self.make_connected()
        taken = client.add_auth("digest", b"user:s3cr3t")
        peer.answer_auth()
        self.successResultOf(taken)
        refused = client.add_auth("other", b"user:s3cr3t")
        peer.answer_auth(err=-115)
        self.assert_not_in(repr(self.failureResultOf(refused).value))
        peer = self.reconnect(peer)
        self.pass_time(2 * S)
        self.reconnect(peer, accept=False).expire()
        self.pass_time(0.5)
        self.server.peer.accept(session_id=2)
        self.server.peer.answer_auth()
        self.close_fast(client, self.server.peer)
        self.assert_nothing_logged()

    def test_repr(self) -> None:
        """The client's repr has its servers and its state, and the reprs here have no secrets."""
        client, peer = self.make_connected(chroot="/app")
        ignore(client.add_auth("digest", b"user:s3cr3t"))
        self.assertEqual(repr(client), "<ZooKeeperClient 10.0.0.1:2181/app connected>")
        self.assert_not_in(repr(client))
        self.assert_not_in(repr(peer.hello))

    def test_broken_stream(self) -> None:
        """The log message of a violation does not contain the bytes of a password that arrived with it."""
        client = self.make_client()
        ignore(client.connect())
        peer = self.server.peer
        frame = encode_frame(ConnectResponse(round(S * 1000), SESSION, PASSWORD, False).encode())
        cut = frame.index(PASSWORD)
        peer.send(frame[:cut])
        peer.send(frame[cut:], b"\xff\xff\xff\xff")
        self.assertTrue(peer.lost)
        self.assert_nothing_logged()

    def test_data(self) -> None:
        """The log message of a violation does not contain the data of a node."""
        client, peer = self.make_connected()
        answer = client.get("/a")
        frame = reply(1, GetDataResponse(b"user:s3cr3t", STAT))
        cut = frame.index(b"user:")
        peer.send(frame[:cut])
        peer.send(frame[cut:], b"\xff\xff\xff\xff")
        self.successResultOf(answer)
        self.assert_nothing_logged()


class ReactorTests(ClientTestCase):
    def test_no_other_reactor(self) -> None:
        """Rule 14: a client's whole life runs on the reactor that it was given, and touches no other (B7)."""
        from twisted.internet import reactor

        def refuse(*_: object, **__: object) -> None:
            raise AssertionError("the global reactor, or a clock, was used")

        for name in ("callLater", "connectTCP", "callInThread", "callFromThread", "seconds"):
            self.patch(reactor, name, refuse)
        for name in ("time", "monotonic", "perf_counter"):
            self.patch(time, name, refuse)
        resolver = self.reactor.nameResolver
        assert isinstance(resolver, MemoryResolver)
        resolver.names["zoo"] = ["10.0.0.1"]
        client = self.make_client("zoo:2181")
        ignore(client.connect())
        peer = self.server.peer
        peer.accept()
        self.show_zxid(client, peer, 5)
        unsafe = client.when_lease_expires()
        self.pass_time(S)
        peer.answers_pings = False
        self.pass_time(S)
        self.successResultOf(unsafe)
        queued = client.get("/queued")
        self.next_peer(self.server).expire()
        ignore(queued)
        self.pass_time(0.5)
        self.server.peer.accept(session_id=2)
        self.close_fast(client, self.server.peer)

    def test_global_reactor_by_default(self) -> None:
        """Rule 14: without one it takes the global reactor, and does nothing with it before ``connect``."""
        from twisted.internet import reactor

        before = len(IReactorTime(reactor).getDelayedCalls())
        client = ZooKeeperClient("10.0.0.1")
        self.assertEqual(len(IReactorTime(reactor).getDelayedCalls()), before)
        self.successResultOf(client.close())


class OutsideTests(ClientTestCase):
    """A server that speaks of nodes outside the chroot."""

    def test_event(self) -> None:
        """An event for a node whose path merely begins like the chroot is nobody's."""
        _, peer = self.make_connected(chroot="/app")
        peer.event(EventType.CHANGED, "/apple")
        peer.event(EventType.CHANGED, "/app/le")
        peer.event(EventType.CHANGED, "/app")
        self.assertEqual([event.path for event in self.watch_events()], ["/le", "/"])

    def test_path(self) -> None:
        """A path in a reply that is outside the chroot is a protocol error."""
        client, peer = self.make_connected(chroot="/app")
        created = client.create("/le")
        peer.answer(CreateRequest, PathResponse("/apple"))
        self.failureResultOf(created, ProtocolError)
        self.assertTrue(peer.lost)
