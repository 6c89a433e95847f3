"""The controls for tests: expire sessions, break connections, inject faults, roll data back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock

from txmirror.embedded import EmbeddedEnsemble, EmbeddedServer
from txmirror.embedded.faults import KINDS
from txmirror.errors import (
    ConnectionLossException,
    NoAuthException,
    UnknownServerException,
    ZooKeeperException,
)
from txmirror.test.embedded.peer import Event, Reply, ServerTestCase
from txmirror.testing import MemoryReactor
from txmirror.types import OPEN_ACL, EventType
from txmirror.wire import (
    PING_XID,
    CloseSessionRequest,
    CreateRequest,
    DeleteRequest,
    ExistsRequest,
    GetChildrenRequest,
    GetDataRequest,
    MultiRequest,
    Operation,
    PingRequest,
    SetDataRequest,
)


class KnobTestCase(ServerTestCase):
    def assert_refused(
        self, kind: type[Exception], offender: object, knob: Callable[..., object], *args: Any, **keywords: Any
    ) -> None:
        """Check that a call is refused with a message that quotes the invalid value."""
        error = self.assertRaises(kind, knob, *args, **keywords)
        self.assertIn(repr(offender), str(error))


class MakingTests(KnobTestCase):
    def test_wrong_settings(self) -> None:
        """Settings that are none are refused when the server is made."""
        for name, seconds in (("tick_time", 0), ("tick_time", float("nan")), ("container_check_interval", -1.0)):
            self.assert_refused(ValueError, seconds, EmbeddedServer, self.reactor, **{name: seconds})
        for version in (3.8, ["3.8"], None, "3.7"):
            self.assert_refused(ValueError, version, EmbeddedServer, self.reactor, version=version)
            self.assert_refused(ValueError, version, EmbeddedEnsemble, self.reactor, 1, version=[version])
        self.assert_refused(ValueError, 5, EmbeddedEnsemble, self.reactor, version=5)
        wrong: list[tuple[str, Any]] = [("tick_time", "1"), ("tick_time", True), ("ttl_nodes", "no"), ("clock", Clock)]
        for name, value in wrong:
            self.assert_refused(TypeError, value, EmbeddedServer, self.reactor, **{name: value})

    def test_wrong_reactor(self) -> None:
        """A reactor can listen, and provides the time unless there is a clock."""
        for reactor in (None, Clock(), MemoryReactor):
            self.assert_refused(TypeError, reactor, EmbeddedServer, reactor, clock=Clock())

    def test_wrong_port(self) -> None:
        """A port is a number, and an interface a text."""
        server = EmbeddedServer(self.reactor)
        for port in (-1, 65536):
            self.assert_refused(ValueError, port, server.listen, port)
        for value in ("2181", None, 21.5, True):
            self.assert_refused(TypeError, value, server.listen, value)
            if not isinstance(value, str):
                self.assert_refused(TypeError, value, server.listen, 2182, value)
        self.assertFalse(server.listening)

    def test_repr(self) -> None:
        """The repr of a server shows its address, and that of a connection its session."""
        self.assertEqual(repr(self.server), "<EmbeddedServer 127.0.0.1:2181>")
        self.assertEqual(repr(EmbeddedServer(self.reactor)), "<EmbeddedServer that has not listened>")
        ensemble = EmbeddedEnsemble(self.reactor, 1)
        self.assertEqual(repr(ensemble), "<EmbeddedEnsemble of [<Server that has not listened>]>")
        peer = self.peer()
        connection = self.server.connection_of(peer.session)
        self.assertEqual(repr(connection), f"<Connection from {connection.peer}, session {peer.session:#x}>")
        connection.drop()
        self.assertEqual(repr(connection), f"<Connection from {connection.peer}, closed>")

    def test_before_it_listens(self) -> None:
        """A server can be prepared before it listens; calls that need a session raise an error that has its id."""
        server = EmbeddedServer(self.reactor)
        fault = server.fail_next("get", NoAuthException())
        server.drop_connections()
        server.wipe()
        server.roll_back(server.snapshot())
        server.lag()
        server.catch_up()
        self.assert_refused(ValueError, 5, server.expire_session, 5)
        self.assert_refused(ValueError, 5, server.connection_of, 5)
        self.settle(server.stop())
        server.listen(2181, "127.0.0.2")
        self.assertEqual(self.peer(host="127.0.0.2").ask(GetDataRequest("/", False)).err, -102)
        self.assertTrue(fault.happened)
        self.settle(server.stop())

    def test_after_stop(self) -> None:
        """A stopped server can be prepared, too; a second stop is harmless, and planned faults stay planned."""
        self.peer().create("/a")
        self.server.lose_request("get")
        for _ in range(2):
            self.settle(self.server.stop())
        self.assertEqual((self.server.sessions, self.server.connections), (frozenset(), ()))
        self.server.drop_connections()
        self.server.roll_back(self.server.snapshot())
        self.server.lag()
        self.server.catch_up()
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.server.listen(2181)
        peer = self.peer()
        self.assertTrue(peer.exists("/a"))
        peer.send(GetDataRequest("/a", False))
        self.assertIsNotNone(peer.lost)

    def test_two(self) -> None:
        """Two servers in one reactor have nothing to do with each other."""
        other = EmbeddedServer(self.reactor)
        other.listen(2181, "127.0.0.2")
        here, there = self.peer(), self.peer(host="127.0.0.2")
        self.assert_refused(ValueError, there.session, self.server.expire_session, there.session)
        self.assert_refused(ValueError, there.session, self.server.lose_reply, "get", session_id=there.session)
        fault = self.server.fail_next("create", NoAuthException())
        there.create("/there")
        self.assertFalse(fault.happened)
        self.assertEqual(here.ask(CreateRequest("/here", b"", OPEN_ACL, 0)).err, -102)
        self.server.lag()
        there.set("/there", b"x")
        self.server.catch_up()
        self.settle(self.server.stop())
        self.assertEqual(there.get("/there").data, b"x")
        self.assertEqual(other.sessions, {there.session})
        self.settle(other.stop())


class KnobTests(KnobTestCase):
    def test_expire_session(self) -> None:
        """A session can be made to expire at once."""
        victim, watcher = self.peer(), self.peer()
        victim.create("/e", flags=1)
        watcher.exists("/e", watch=True)
        self.server.expire_session(victim.session)
        self.assertEqual(watcher.events(), [Event(EventType.DELETED, "/e")])
        self.assertIsNotNone(victim.lost)
        self.assertEqual(self.server.sessions, {watcher.session})

    def test_expire_nobody(self) -> None:
        """A session that there is not cannot expire."""
        self.assert_refused(ValueError, 12345, self.server.expire_session, 12345)
        for value in ("12345", None, [1]):
            self.assert_refused(TypeError, value, self.server.expire_session, value)
            self.assert_refused(TypeError, value, self.server.connection_of, value)

    def test_expire_without_connection(self) -> None:
        """A test can expire the session of a disconnected client, once; the client is notified when it reconnects."""
        peer, watcher = self.peer(), self.peer()
        peer.create("/e", flags=1)
        watcher.exists("/e", watch=True)
        self.server.connection_of(peer.session).drop()
        self.server.expire_session(peer.session)
        self.assertEqual(watcher.events(), [Event(EventType.DELETED, "/e")])
        self.assert_refused(ValueError, peer.session, self.server.expire_session, peer.session)
        welcome = self.peer(resume=peer).welcome
        assert welcome is not None
        self.assertEqual(welcome.timeOut, 0)

    def test_drop_connections(self) -> None:
        """Connections can be dropped, and come back."""
        peer = self.peer()
        self.server.drop_connections()
        self.reactor.settle()
        assert peer.lost is not None
        peer.lost.trap(ConnectionLost)
        self.peer(resume=peer).ping()

    def test_wipe(self) -> None:
        """A wiped server has no data and begins at zxid 0; it rejects clients of before."""
        peer = self.peer()
        peer.create("/a")
        self.server.wipe()
        self.reactor.settle()
        self.assertIsNotNone(peer.lost)
        self.assertEqual((self.server.zxid, self.server.sessions), (0, frozenset()))
        self.assertIsNone(self.peer(resume=peer, zxid=2).welcome)
        other = self.peer()
        self.assertNotEqual(other.session, peer.session)
        self.assertFalse(other.exists("/a"))

    def test_zxid(self) -> None:
        """The last transaction is known."""
        peer = self.peer()
        self.assertEqual(peer.create("/a").stat.czxid, self.server.zxid)

    def test_connections(self) -> None:
        """The connections are known, the oldest first, and which serves a session."""
        self.assertEqual(self.server.connections, ())
        first, second = self.peer(), self.peer()
        self.assertEqual([each.session_id for each in self.server.connections], [first.session, second.session])
        connection = self.server.connection_of(second.session)
        self.assertIs(connection, self.server.connections[1])
        self.assertRegex(connection.peer, r"127\.0\.0\.1:\d+")

    def test_no_connection(self) -> None:
        """A session whose client has disconnected has no connection."""
        peer = self.peer()
        self.server.drop_connections()
        self.assertIn(str(peer.session), str(self.assertRaises(ValueError, self.server.connection_of, peer.session)))

    def test_drop_one(self) -> None:
        """A single connection can be dropped; its session lives, and other clients are not affected."""
        victim, witness = self.peer(), self.peer()
        self.server.connection_of(victim.session).drop()
        self.reactor.settle()
        assert victim.lost is not None
        victim.lost.trap(ConnectionLost)
        witness.ping()
        self.assertIn(victim.session, self.server.sessions)

    def test_clock(self) -> None:
        """Sessions and stats use the server's own clock."""
        clock = Clock()
        clock.advance(500.0)
        server = EmbeddedServer(self.reactor, clock=clock)
        server.listen(2181, "127.0.0.2")
        peer = self.peer(host="127.0.0.2")
        stat = peer.create("/a").stat
        self.assertEqual(stat.ctime, 500_000)
        self.reactor.pass_time(60.0)
        self.assertEqual(len(server.sessions), 1)
        clock.advance(60.0)
        self.assertEqual(server.sessions, frozenset())
        self.settle(server.stop())
        self.assertEqual(clock.getDelayedCalls(), [])


class StallTests(KnobTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.victim = self.peer()
        self.witness = self.peer()
        self.connection = self.server.connection_of(self.victim.session)

    def test_incoming(self) -> None:
        """The server does not see the client's bytes until the connection is resumed; then it sees all of them, in order."""
        self.connection.stall(outgoing=False)
        self.victim.send(CreateRequest("/a", b"", OPEN_ACL, 0))
        self.victim.send(CreateRequest("/a", b"", OPEN_ACL, 0))
        self.assertEqual(self.victim.take(), [])
        self.assertFalse(self.witness.exists("/a"))
        self.connection.resume()
        self.assertEqual([reply.err for reply in self.victim.take() if isinstance(reply, Reply)], [0, -110])

    def test_events_go_out(self) -> None:
        """A connection that is stalled in one direction carries the bytes of the other."""
        self.victim.exists("/a", watch=True)
        self.connection.stall(outgoing=False)
        self.witness.create("/a")
        self.assertEqual(self.victim.events(), [Event(EventType.CREATED, "/a")])

    def test_session_ends(self) -> None:
        """A client whose data does not arrive loses its session, and its connection ends when the stall is over."""
        self.connection.stall()
        for _ in range(6):
            self.reactor.pass_time(1.0)
            self.victim.send(PingRequest(), PING_XID)
            self.witness.ping()
        self.assertEqual(self.server.sessions, {self.witness.session})
        self.assertIsNone(self.victim.lost)
        self.connection.resume()
        self.reactor.settle()
        self.assertIsNotNone(self.victim.lost)

    def test_stopped(self) -> None:
        """A stop of the server closes a stalled connection, even one that the server was closing."""
        self.connection.stall()
        self.server.expire_session(self.victim.session)
        self.reactor.settle()
        self.assertIsNone(self.victim.lost)
        self.settle(self.server.stop())
        self.assertIsNotNone(self.victim.lost)

    def test_moved(self) -> None:
        """The client of a stalled connection may reconnect; the stalled connection ends when it is resumed, and does no
        harm.
        """
        self.connection.stall()
        self.victim.send(CreateRequest("/a", b"", OPEN_ACL, 0))
        again = self.peer(resume=self.victim)
        self.assertIsNone(self.victim.lost)
        self.connection.resume()
        self.reactor.settle()
        self.assertIsNotNone(self.victim.lost)
        self.assertFalse(again.exists("/a"))

    def test_with_lag_and_delay(self) -> None:
        """A request that is stalled, then delayed, then kept waiting by a server that lags is done when all that is over."""
        self.server.delay_next("create", 1.0)
        self.connection.stall()
        self.victim.send(CreateRequest("/a", b"", OPEN_ACL, 0))
        self.victim.send(ExistsRequest("/a", False))
        self.server.lag()
        self.reactor.pass_time(1.0)
        self.connection.resume()
        self.reactor.pass_time(1.0)
        self.connection.stall(incoming=False)
        self.server.catch_up()
        self.assertTrue(self.witness.exists("/a"))
        self.assertEqual(self.victim.take(), [])
        self.connection.resume()
        self.assertEqual([reply.err for reply in self.victim.take() if isinstance(reply, Reply)], [0, 0])

    def test_nothing(self) -> None:
        """A stall of neither direction is refused."""
        self.assert_refused(ValueError, False, self.connection.stall, incoming=False, outgoing=False)

    def test_outgoing(self) -> None:
        """The server executes the requests, and the client gets no reply until the connection is resumed."""
        self.victim.exists("/b", watch=True)
        self.connection.stall(incoming=False)
        self.victim.send(CreateRequest("/a", b"", OPEN_ACL, 0))
        self.witness.create("/b")
        self.assertTrue(self.witness.exists("/a"))
        self.assertEqual(self.victim.take(), [])
        self.connection.resume()
        reply, event = self.victim.take()
        self.assertEqual((reply[0], event), (2, Event(EventType.CREATED, "/b")))

    def test_session_lives(self) -> None:
        """A client whose data arrives keeps its session, even if it receives nothing."""
        self.connection.stall(incoming=False)
        for _ in range(8):
            self.reactor.pass_time(1.0)
            self.victim.send(PingRequest(), PING_XID)
            self.witness.ping()
        self.assertIn(self.victim.session, self.server.sessions)
        self.assertEqual(self.victim.take(), [])

    def test_end_is_held_too(self) -> None:
        """A close by the server waits behind the held bytes."""
        self.connection.stall(incoming=False)
        self.victim.send(CloseSessionRequest())
        self.assertIsNone(self.victim.lost)
        self.connection.resume()
        (reply,) = self.victim.take()
        assert isinstance(reply, Reply)
        self.assertEqual(reply.err, 0)
        assert self.victim.lost is not None
        self.victim.lost.trap(ConnectionDone)

    def test_in_pieces(self) -> None:
        """The held bytes may begin or end within a frame."""
        self.reactor.piece = 3
        self.connection.stall(outgoing=False)
        self.victim.send(CreateRequest("/a", b"", OPEN_ACL, 0))
        self.connection.resume()
        self.victim.send(GetDataRequest("/a", False))
        self.assertEqual(len(self.victim.take()), 2)

    def test_client_gone(self) -> None:
        """The client may disconnect meanwhile; to resume is harmless then, and its requests are not executed."""
        self.connection.stall()
        self.victim.send(CreateRequest("/a", b"", OPEN_ACL, 0))
        assert self.victim.transport is not None
        self.victim.transport.loseConnection()
        self.reactor.settle()
        self.connection.resume()
        self.reactor.settle()
        self.assertFalse(self.witness.exists("/a"))

    def test_dropped(self) -> None:
        """A stalled connection can be dropped."""
        self.connection.stall()
        self.connection.drop()
        self.reactor.settle()
        self.assertIsNotNone(self.victim.lost)
        self.connection.resume()

    def test_closed(self) -> None:
        """A connection that is closed cannot be stalled; to resume or to drop it is harmless."""
        assert self.victim.transport is not None
        self.victim.transport.loseConnection()
        self.reactor.settle()
        self.assert_refused(ValueError, self.connection, self.connection.stall)
        self.connection.resume()
        self.connection.drop()
        self.reactor.settle()
        self.witness.ping()

    def test_twice(self) -> None:
        """Stalling it twice loses nothing."""
        self.connection.stall()
        self.victim.send(CreateRequest("/a", b"", OPEN_ACL, 0))
        self.connection.stall()
        self.connection.resume()
        (reply,) = self.victim.take()
        assert isinstance(reply, Reply)
        self.assertEqual(reply.err, 0)


class FaultTests(KnobTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.one = self.peer()
        self.other = self.peer()

    def test_delayed(self) -> None:
        """A request is executed after the delay, and the client's later requests wait; other clients do not."""
        fault = self.server.delay_next("create", 1.5)
        self.one.send(CreateRequest("/a", b"", OPEN_ACL, 0))
        self.one.send(ExistsRequest("/a", False))
        self.assertTrue(fault.happened)
        self.assertEqual(self.one.take(), [])
        self.assertFalse(self.other.exists("/a"))
        self.reactor.pass_time(1.4)
        self.assertEqual(self.one.take(), [])
        self.reactor.pass_time(0.1)
        self.assertEqual([reply.err for reply in self.one.take() if isinstance(reply, Reply)], [0, 0])

    def test_several_delays(self) -> None:
        """Each fault happens once, to one request, in the order in which they were planned."""
        first, second = self.server.delay_next("create", 1.0), self.server.delay_next("create", 2.0)
        self.one.send(CreateRequest("/a", b"", OPEN_ACL, 0))
        self.one.send(CreateRequest("/b", b"", OPEN_ACL, 0))
        self.assertEqual((first.happened, second.happened), (True, False))
        self.reactor.pass_time(1.0)
        self.assertEqual(len(self.one.take()), 1)
        self.assertTrue(second.happened)
        self.reactor.pass_time(1.9)
        self.assertEqual(self.one.take(), [])
        self.reactor.pass_time(0.1)
        self.assertEqual(len(self.one.take()), 1)

    def test_delayed_and_heard(self) -> None:
        """A client that waits for a delayed reply, and sends pings, keeps its session."""
        self.server.delay_next("get", 9.0)
        self.one.send(GetDataRequest("/", False))
        for _ in range(9):
            self.reactor.pass_time(1.0)
            self.one.send(PingRequest(), PING_XID)
            self.other.ping()
        answers = self.one.take()
        self.assertEqual([answer[0] for answer in answers], [1] + [PING_XID] * 9)

    def test_delayed_and_gone(self) -> None:
        """A delayed request whose client disconnects is not executed."""
        self.server.delay_next("create", 1.0)
        self.one.send(CreateRequest("/a", b"", OPEN_ACL, 0))
        self.server.connection_of(self.one.session).drop()
        self.reactor.pass_time(1.0)
        self.assertFalse(self.other.exists("/a"))

    def test_refused(self) -> None:
        """A request is answered with an error, and not done; the next one is."""
        fault = self.server.fail_next("set", NoAuthException())
        reply = self.one.ask(SetDataRequest("/", b"x", -1))
        self.assertEqual((reply.err, reply.body, fault.happened), (-102, b"", True))
        self.assertEqual(self.one.get("/").data, b"")
        self.one.set("/", b"x")

    def test_request_lost(self) -> None:
        """The connection goes, and the request was not done."""
        fault = self.server.lose_request("create")
        self.one.send(CreateRequest("/a", b"", OPEN_ACL, 0))
        assert self.one.lost is not None
        self.assertEqual((self.one.take(), fault.happened), ([], True))
        self.assertFalse(self.other.exists("/a"))
        self.peer(resume=self.one).ping()

    def test_reply_lost(self) -> None:
        """The request was done, and the connection goes in place of the answer; the event that it caused has come."""
        self.one.exists("/a", watch=True)
        fault = self.server.lose_reply("create")
        self.one.send(CreateRequest("/a", b"", OPEN_ACL, 0))
        self.assertEqual(self.one.events(), [Event(EventType.CREATED, "/a")])
        self.assertIsNotNone(self.one.lost)
        self.assertTrue(self.other.exists("/a"))
        self.assertTrue(fault.happened)
        self.peer(resume=self.one).ping()

    def test_reply_to_close_lost(self) -> None:
        """The session has ended, and its client does not know."""
        self.server.lose_reply("close")
        self.one.send(CloseSessionRequest())
        self.assertEqual(self.one.take(), [])
        self.assertEqual(self.server.sessions, {self.other.session})

    def test_path(self) -> None:
        """A fault may be for one znode."""
        fault = self.server.fail_next("exists", NoAuthException(), path="/b")
        self.assertEqual(self.one.ask(ExistsRequest("/a", False)).err, -101)
        self.assertFalse(fault.happened)
        self.assertEqual(self.one.ask(ExistsRequest("/b", False)).err, -102)

    def test_sequence(self) -> None:
        """A node in a sequence has the path that it was asked for by."""
        self.server.fail_next("create", NoAuthException(), path="/a/")
        self.one.create("/a")
        self.assertEqual(self.one.ask(CreateRequest("/a/", b"", OPEN_ACL, 2)).err, -102)

    def test_unreadable(self) -> None:
        """A request whose path is invalid does not match."""
        fault = self.server.fail_next("get", NoAuthException(), path="/a")
        self.one.raw(b"\0\0\0\x09\0\0\0\x07\0\0\0\x04\0")
        (reply,) = self.one.take()
        assert isinstance(reply, Reply)
        self.assertEqual((reply.err, fault.happened), (-5, False))

    def test_session(self) -> None:
        """A fault may be for one session."""
        self.server.fail_next("get", NoAuthException(), session_id=self.other.session)
        self.one.get("/")
        self.assertEqual(self.other.ask(GetDataRequest("/", False)).err, -102)

    def test_cancelled(self) -> None:
        """A fault that was cancelled does not happen; cancelling it again, or later, is harmless."""
        fault = self.server.fail_next("get", NoAuthException())
        fault.cancel()
        fault.cancel()
        self.one.get("/")
        self.assertFalse(fault.happened)

    def test_kinds(self) -> None:
        """Each operation that a client asks for is of one kind, and nothing else is."""
        operations = [operation for kind in KINDS.values() for operation in kind]
        rest = {Operation.CHECK, Operation.AUTH, Operation.SASL}
        self.assertEqual(sorted(operations), sorted(set(Operation) - rest))

    def test_all_variants(self) -> None:
        """A kind stands for each way to ask for it."""
        fault = self.server.fail_next("get_children", NoAuthException())
        self.assertEqual(self.one.ask(GetChildrenRequest("/", False)).err, -102)
        self.assertTrue(fault.happened)
        self.server.fail_next("transaction", NoAuthException())
        self.assertEqual(self.one.ask(MultiRequest((DeleteRequest("/a", -1),))).err, -102)

    def test_unknown_kind(self) -> None:
        """A kind that there is not is refused at the call, with those that there are."""
        error = str(self.assertRaises(ValueError, self.server.delay_next, "sett", 1.0))
        self.assertIn("'sett'", error)
        self.assertIn("set_acl", error)
        for kind in (None, ["get"], b"get"):
            self.assert_refused(TypeError, kind, self.server.lose_request, kind)

    def test_no_session(self) -> None:
        """A fault is for a session that there is: any other would never happen. Nor is a client a session."""
        gone = self.peer()
        gone.close()
        for session_id in (0, -1, gone.session):
            self.assert_refused(ValueError, session_id, self.server.lose_reply, "get", session_id=session_id)
        for value in ("1", 2.5, self.one):
            self.assert_refused(TypeError, value, self.server.fail_next, "get", NoAuthException(), session_id=value)

    def test_refused_call(self) -> None:
        """A call that is refused has planned nothing."""
        self.assertRaises(ValueError, self.server.lose_request, "exists", path="a")
        self.assertRaises(ValueError, self.server.fail_next, "exists", ConnectionLossException())
        self.assertFalse(self.one.exists("/a"))

    def test_seen(self) -> None:
        """The repr of a fault shows its request, and whether it has happened."""
        fault = self.server.delay_next("set", 1.5, path="/a", session_id=self.one.session)
        for part in ("'set'", "'/a'", str(self.one.session), "1.5", "happened=False"):
            self.assertIn(part, repr(fault))

    def test_no_path(self) -> None:
        """A kind that is about no single znode takes no path, and a path must be one."""
        for kind, path in (("transaction", "/a"), ("ping", "/a"), ("get", "a"), ("get", "/a/")):
            self.assert_refused(ValueError, path, self.server.lose_reply, kind, path=path)
        for value in (b"/a", 5):
            self.assert_refused(TypeError, value, self.server.lose_reply, "get", path=value)

    def test_no_time(self) -> None:
        """A delay is a time to wait."""
        for seconds in (-1.0, float("inf"), float("nan")):
            self.assert_refused(ValueError, seconds, self.server.delay_next, "get", seconds)
        for value in ("1", None, True):
            self.assert_refused(TypeError, value, self.server.delay_next, "get", value)

    def test_no_error_of_a_server(self) -> None:
        """An error without a code, or the loss of a connection, is nothing that a server can answer."""
        for error in (ConnectionLossException(), ZooKeeperException(), UnknownServerException(0)):
            self.assert_refused(ValueError, error, self.server.fail_next, "get", error)
        for value in (ValueError("x"), NoAuthException, None, -102):
            self.assert_refused(TypeError, value, self.server.fail_next, "get", value)

    def test_unknown_error(self) -> None:
        """An error that no client knows can be answered too."""
        self.server.fail_next("get", UnknownServerException(-200))
        self.assertEqual(self.one.ask(GetDataRequest("/", False)).err, -200)


class RollBackTests(KnobTestCase):
    def test_data(self) -> None:
        """Data, stats, sequence numbers and the zxid are those of the snapshot."""
        peer = self.peer()
        peer.create("/a", b"1")
        before = peer.get("/a")
        snapshot = self.server.snapshot()
        peer.set("/a", b"2")
        peer.create("/a/n-", flags=2)
        peer.create("/b")
        self.server.roll_back(snapshot)
        self.reactor.settle()
        self.assertIsNotNone(peer.lost)
        self.assertEqual(self.server.zxid, snapshot.zxid)
        again = self.peer(resume=peer, zxid=snapshot.zxid)
        self.assertEqual(again.get("/a"), before)
        self.assertFalse(again.exists("/b"))
        self.assertEqual(again.create("/a/n-", flags=2).path, "/a/n-0000000000")

    def test_again(self) -> None:
        """A snapshot can be restored again, and later changes do not affect it."""
        peer = self.peer()
        snapshot = self.server.snapshot()
        for _ in range(2):
            self.server.roll_back(snapshot)
            peer = self.peer(resume=peer)
            self.assertFalse(peer.exists("/a"))
            peer.create("/a")

    def test_too_far_back(self) -> None:
        """The server rejects a client that has seen a transaction that is gone."""
        snapshot = self.server.snapshot()
        peer = self.peer()
        seen = peer.create("/a").stat.czxid
        self.server.roll_back(snapshot)
        self.assertIsNone(self.peer(resume=peer, zxid=seen).welcome)

    def test_sessions(self) -> None:
        """A session of the snapshot is alive again with its ephemerals, even if it had ended; a later session is gone."""
        early = self.peer()
        early.create("/e", flags=1)
        snapshot = self.server.snapshot()
        late = self.peer()
        late.create("/f", flags=1)
        early.close()
        self.server.roll_back(snapshot)
        again = self.peer(resume=early)
        self.assertTrue(again.exists("/e"))
        self.assertFalse(again.exists("/f"))
        welcome = self.peer(resume=late).welcome
        assert welcome is not None
        self.assertEqual(welcome.timeOut, 0)
        self.assertEqual(self.server.sessions, {early.session})

    def test_sessions_end_in_time(self) -> None:
        """Restored sessions have their full timeout, and then expire if no client resumes them."""
        peer = self.peer()
        peer.create("/e", flags=1)
        snapshot = self.server.snapshot()
        self.reactor.pass_time(3.0)
        self.server.roll_back(snapshot)
        self.reactor.pass_time(3.9)
        self.assertEqual(self.server.sessions, {peer.session})
        self.reactor.pass_time(1.0)
        self.assertEqual(self.server.sessions, frozenset())
        self.assertFalse(self.peer().exists("/e"))

    def test_no_events(self) -> None:
        """No events are sent; a watch that is set again fires, since the data is of another time."""
        peer = self.peer()
        snapshot = self.server.snapshot()
        peer.exists("/a", watch=True)
        self.server.roll_back(snapshot)
        self.assertEqual(peer.events(), [])

    def test_anothers(self) -> None:
        """A snapshot of another server is refused."""
        other = EmbeddedServer(MemoryReactor())
        error = str(self.assertRaises(ValueError, self.server.roll_back, other.snapshot()))
        self.assertIn("another", error)
        for value in (None, 5, self.server):
            self.assert_refused(TypeError, value, self.server.roll_back, value)

    def test_while_it_lags(self) -> None:
        """A lagging server is up to date after it is rolled back, and its pending requests are dropped."""
        peer, reader = self.peer(), self.peer()
        peer.create("/a", b"1")
        snapshot = self.server.snapshot()
        peer.set("/a", b"2")
        self.server.lag()
        peer.send(SetDataRequest("/a", b"3", -1))
        self.server.roll_back(snapshot)
        self.reactor.settle()
        self.assertEqual((peer.take(), self.server.lagging, self.server.zxid), ([], False, snapshot.zxid))
        self.assertIsNotNone(peer.lost)
        self.assertRaises(ValueError, self.server.catch_up)
        again = self.peer(resume=reader)
        self.assertEqual(again.get("/a").data, b"1")
        again.set("/a", b"4")

    def test_not_listening(self) -> None:
        """A server that is stopped can be rolled back, and goes on with that when it listens again."""
        peer = self.peer()
        snapshot = self.server.snapshot()
        peer.create("/a")
        self.settle(self.server.stop_listening())
        self.server.roll_back(snapshot)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.server.listen(2181)
        self.assertFalse(self.peer(resume=peer).exists("/a"))
