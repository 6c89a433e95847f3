"""``close()``: at any moment, within bounds, and leaving nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import LogLevel

from txmirror.client import Limits, ZooKeeperClient
from txmirror.errors import ClosingException, SessionExpiredException
from txmirror.test.client.peer import (
    PASSWORD,
    SESSION,
    STAT,
    ClientTestCase,
    Peer,
    S,
    hang_up,
    ignore,
    reply,
    write,
)
from txmirror.testing.reactor import MemoryResolver
from txmirror.types import EventType, SessionEvent, SessionState, WatchedEvent, WatchKind
from txmirror.wire import (
    CloseSessionRequest,
    ConnectResponse,
    DeleteRequest,
    GetDataRequest,
    GetDataResponse,
    Operation,
    SetDataRequest,
    StatResponse,
    encode_frame,
)

DATA = GetDataResponse(b"", STAT)


class ClosingTestCase(ClientTestCase):
    def assert_gone(self, client: ZooKeeperClient, closed: Deferred[None]) -> None:
        """It has fired, and all is gone at that moment."""
        self.successResultOf(closed)
        self.assert_nothing_left()
        self.assertIs(client.session.state, SessionState.CLOSED)
        self.assertEqual(client.session_id, 0)
        self.assertEqual(self.states().count(SessionState.CLOSED), 1)
        self.assertEqual(self.states()[-1], SessionState.CLOSED)

    def note_when_gone(self, closed: Deferred[None]) -> list[tuple[int, int]]:
        """Note the timers and the client's links that are left when a Deferred fires."""
        left: list[tuple[int, int]] = []

        def fired(_: None) -> None:
            links = [link for link in self.reactor.links if link.client.connected]
            left.append((len(self.reactor.getDelayedCalls()), len(links)))

        closed.addCallback(fired)
        return left


class ConnectedTests(ClosingTestCase):
    def test_ends_the_session(self) -> None:
        """Rule 13: the session is ended at the server, and only then the connection."""
        client, peer = self.make_connected()
        closed = client.close()
        self.assertEqual(peer.operations, [Operation.CLOSE_SESSION])
        self.assertNoResult(closed)
        self.assertFalse(peer.lost)
        peer.answer(CloseSessionRequest)
        self.assertTrue(peer.lost)
        self.assert_gone(client, closed)

    def test_nothing_left_when_it_fires(self) -> None:
        """Rule 13: at the moment when it fires neither a timer nor the connection is left (I3)."""
        client, peer = self.make_connected()
        left = self.note_when_gone(client.close())
        peer.answer(CloseSessionRequest)
        (at_once,) = left
        self.assertEqual(at_once[1], 0)

    def test_after_what_was_asked(self) -> None:
        """Rule 13: earlier requests are answered before (I1)."""
        client, peer = self.make_connected()
        written = client.set("/a", b"x")
        closed = client.close()
        self.assertEqual(peer.operations, [Operation.SET_DATA, Operation.CLOSE_SESSION])
        peer.answer(SetDataRequest, StatResponse(STAT))
        self.assertEqual(self.successResultOf(written), STAT)
        peer.answer(CloseSessionRequest)
        self.assert_gone(client, closed)

    def test_nothing_is_taken_after(self) -> None:
        """Rule 13: any request after ``close`` fails at once, without effect."""
        client, peer = self.make_connected()
        closed = client.close()
        asked: list[Callable[[], Deferred[Any]]] = [
            lambda: client.get("/a"),
            lambda: client.set("/a", b""),
            client.connect,
            lambda: client.add_auth("digest", b"u:p"),
            lambda: client.set_watches(1, ["/a"]),
        ]
        for ask in asked:
            self.assertIs(self.failureResultOf(ask(), ClosingException).value.applied, False)
        peer.answer(CloseSessionRequest)
        self.assert_gone(client, closed)
        for ask in asked:
            self.assertIs(self.failureResultOf(ask(), ClosingException).value.applied, False)
        self.assert_nothing_left()

    def test_silent_server(self) -> None:
        """Rule 13: with a server that does not answer it takes five seconds; sent requests may have been applied (I1)."""
        client, peer = self.make_connected()
        peer.answers_pings = False
        written = client.set("/a", b"x")
        closed = client.close()
        self.pass_time(4.9)
        self.assertNoResult(closed)
        self.pass_time(0.2)
        self.assert_gone(client, closed)
        self.assertIsNone(self.failureResultOf(written, ClosingException).value.applied)
        self.assertIn("could not be closed", "\n".join(self.log_lines(LogLevel.warn)))

    def test_half_open_link(self) -> None:
        """Rule 13: with a half-open connection it takes five seconds."""
        client, _ = self.make_connected()
        self.reactor.links[0].stall()
        closed = client.close()
        self.pass_time(5.0)
        self.assert_gone(client, closed)

    def test_own_limit(self) -> None:
        """Rule 13: the bound is the one that was given."""
        client, peer = self.make_connected(limits=Limits(close_time=1.0))
        peer.answers_pings = False
        closed = client.close()
        self.pass_time(1.0)
        self.assert_gone(client, closed)

    def test_server_closes_at_once(self) -> None:
        """Rule 13: a server that closes behind its answer changes nothing."""
        client, peer = self.make_connected()
        closed = client.close()
        xid, _ = peer.take(CloseSessionRequest)
        write(peer, reply(xid))
        peer.close()
        self.assert_gone(client, closed)

    def test_answer_cut_off(self) -> None:
        """Rule 13: when the connection goes before the answer, the client connects again and finds out."""
        client, peer = self.make_connected()
        closed = client.close()
        self.settle()
        again = self.reconnect(peer, accept=False)
        self.assertNoResult(closed)
        again.expire()
        self.assert_gone(client, closed)

    def test_answer_cut_off_and_session_alive(self) -> None:
        """Rule 13: where the session is still alive then, it is ended."""
        client, peer = self.make_connected()
        closed = client.close()
        self.settle()
        again = self.reconnect(peer)
        again.answer(CloseSessionRequest)
        self.assert_gone(client, closed)

    def test_cut_off_again_and_again(self) -> None:
        """Rule 13: however often the answer is cut off, it takes five seconds in all (C17)."""
        client, _ = self.make_connected()

        def grant(peer: Peer) -> None:
            write(peer, encode_frame(ConnectResponse(round(S * 1000), SESSION, PASSWORD, False).encode()))
            self.reactor.callLater(0.2, peer.drop)

        self.server.on_handshake = grant
        closed = client.close()
        self.settle()
        self.server.peer.drop()
        self.pass_time(4.9)
        self.assertGreater(self.server.count, 5)
        self.assertNoResult(closed)
        self.pass_time(0.2)
        self.assert_gone(client, closed)

    def test_refused(self) -> None:
        """Rule 13: a server that answers it with an error does not keep it from firing in time."""
        client, peer = self.make_connected()
        closed = client.close()
        peer.answer(CloseSessionRequest, err=-112)
        self.pass_time(5.0)
        self.assert_gone(client, closed)

    def test_violation_while_closing(self) -> None:
        """Rule 13: a server that violates the protocol does not keep it from firing in time."""
        client, peer = self.make_connected()
        closed = client.close()
        peer.send(b"\xff\xff\xff\xff")
        self.pass_time(5.0)
        self.assert_gone(client, closed)

    def test_watches_fail(self) -> None:
        """Rule 13: the Deferreds of pending watches fail (C16)."""
        client, peer = self.make_connected()
        _, watch = client.get_and_watch("/a")
        peer.answer(GetDataRequest, DATA)
        self.close_fast(client, peer)
        self.failureResultOf(watch, ClosingException)

    def test_everything_fails(self) -> None:
        """Rule 13: no Deferred is left unfired when it fires (I3)."""
        client, peer = self.make_connected()
        peer.answers_pings = False
        _, watch = client.get_and_watch("/a")
        peer.answer(GetDataRequest, DATA)
        pending: list[Deferred[Any]] = [
            watch,
            client.get("/b"),
            client.add_auth("digest", b"u:p"),
            client.set_watches(1, ["/c"]),
            client.remove_watches("/a", WatchKind.DATA),
        ]
        unsafe = client.when_lease_expires()
        closed = client.close()
        self.pass_time(5.0)
        self.assert_gone(client, closed)
        for deferred in pending:
            self.failureResultOf(deferred, ClosingException)
        self.successResultOf(unsafe)

    def test_told_last(self) -> None:
        """Rule 13: the last event of the feed is CLOSED, and the client is consistent then (I3)."""
        client, peer = self.make_connected()
        seen: list[tuple[SessionState, int]] = []
        client.add_listener(lambda step: seen.append((client.session.state, client.session_id)))
        closed = client.close()
        peer.event(EventType.CHILD, "/late")
        peer.answer(CloseSessionRequest)
        self.assert_gone(client, closed)
        self.assertEqual(seen[-1], (SessionState.CLOSED, 0))
        self.assertIsInstance(self.feed[-2], WatchedEvent)


class UnconnectedTests(ClosingTestCase):
    def test_before_connect(self) -> None:
        """Rule 13: a client that was never connected is closed at once (I2)."""
        client = self.make_client()
        queued = client.get("/a")
        taken = client.add_auth("digest", b"u:p")
        closed = client.close()
        self.assert_gone(client, closed)
        for deferred in (queued, taken):
            self.failureResultOf(deferred, ClosingException)
        self.assertEqual(self.server.count, 0)

    def test_while_resolving(self) -> None:
        """Rule 13: it may be called while a name is being resolved."""
        client = self.make_client("localhost:2181")
        connected = client.connect()
        closed = client.close()
        self.settle()
        self.assert_gone(client, closed)
        self.failureResultOf(connected, ClosingException)

    def test_while_a_resolver_hangs(self) -> None:
        """Rule 13: it may be called while a name server does not answer (G5)."""
        resolver = self.reactor.nameResolver
        assert isinstance(resolver, MemoryResolver)
        self.patch(resolver, "resolveHostName", lambda receiver, *_, **__: receiver.resolutionBegan(None))
        client = self.make_client("zoo:2181")
        connected = client.connect()
        self.pass_time(1)
        self.assertNoResult(connected)
        closed = client.close()
        self.settle()
        self.assert_gone(client, closed)
        self.failureResultOf(connected, ClosingException)

    def test_while_connecting(self) -> None:
        """Rule 13: it may be called while a host does not answer."""
        self.reactor.black_hole(self.server.host, 2181)
        client = self.make_client()
        connected = client.connect()
        self.pass_time(1)
        closed = client.close()
        self.settle()
        self.assert_gone(client, closed)
        self.failureResultOf(connected, ClosingException)

    def test_in_the_handshake(self) -> None:
        """Rule 13: it may be called while the handshake is unanswered."""
        client = self.make_client()
        connected = client.connect()
        peer = self.server.peer
        closed = client.close()
        self.settle()
        self.assert_gone(client, closed)
        self.failureResultOf(connected, ClosingException)
        self.assertTrue(peer.lost)

    def test_between_attempts(self) -> None:
        """Rule 13: it may be called in the pause between two attempts."""
        self.server.on_connection = hang_up
        client = self.make_client()
        connected = client.connect()
        self.pass_time(4.0)
        closed = client.close()
        self.assert_gone(client, closed)
        self.failureResultOf(connected, ClosingException)
        count = self.server.count
        self.pass_time(30)
        self.assertEqual(self.server.count, count)

    def test_when_unresolvable(self) -> None:
        """Rule 13: it may be called when no name could be resolved."""
        client = self.make_client("nowhere:1")
        ignore(client.connect())
        self.pass_time(3)
        closed = client.close()
        self.settle()
        self.assert_gone(client, closed)


class SuspendedTests(ClosingTestCase):
    def come_back(self, *, accept: bool = True) -> Peer:
        """Let the closing client connect, which it does at once."""
        peer = self.server.peer
        if accept:
            peer.accept()
        return peer

    def test_ends_the_session_on_return(self) -> None:
        """Rule 13: without a connection the client connects once more to end the session, and does nothing else of it."""
        client, peer = self.make_connected()
        peer.drop()
        closed = client.close()
        again = self.come_back()
        self.assertEqual(again.operations, [Operation.CLOSE_SESSION])
        again.answer(CloseSessionRequest)
        self.assert_gone(client, closed)

    def test_queue_goes_first(self) -> None:
        """Rule 13: queued requests are still sent, before the session is closed (I1)."""
        client, peer = self.make_connected()
        peer.drop()
        queued = client.delete("/a")
        closed = client.close()
        again = self.come_back()
        again.answer(DeleteRequest)
        again.answer(CloseSessionRequest)
        self.successResultOf(queued)
        self.assert_gone(client, closed)

    def test_short_connections(self) -> None:
        """Rule 13: a server that drops each connection soon is tried again quickly while the client closes."""
        client, peer = self.make_connected()
        for _ in range(8):
            peer.drop()
            peer = self.next_peer(self.server)
            peer.accept()
        closed = client.close()
        for _ in range(3):
            peer.drop()
            peer = self.next_peer(self.server, within=0.6)
            peer.accept()
        peer.answer(CloseSessionRequest)
        self.assert_gone(client, closed)

    def test_no_server(self) -> None:
        """Rule 13: without a reachable server it takes five seconds, and queued requests fail."""
        client, _ = self.make_connected()
        self.server.stop()
        queued = client.delete("/a")
        closed = client.close()
        self.pass_time(4.9)
        self.assertNoResult(closed)
        self.pass_time(0.2)
        self.assert_gone(client, closed)
        self.assertIs(self.failureResultOf(queued, ClosingException).value.applied, False)

    def test_black_hole(self) -> None:
        """Rule 13: with an attempt to connect that hangs it takes five seconds."""
        client, peer = self.make_connected()
        self.reactor.black_hole(self.server.host, 2181)
        peer.drop()
        closed = client.close()
        self.pass_time(5.0)
        self.assert_gone(client, closed)

    def test_silent_handshake(self) -> None:
        """Rule 13: with a handshake that hangs it takes five seconds."""
        client, peer = self.make_connected()
        closed_by_server = self.reconnect(peer, accept=False)
        closed = client.close()
        self.pass_time(5.1)
        self.assert_gone(client, closed)
        self.assertTrue(closed_by_server.lost)

    def test_ended_meanwhile(self) -> None:
        """Rule 13: when the session turns out to have ended, nothing new is opened."""
        client, peer = self.make_connected()
        peer.drop()
        queued = client.delete("/a")
        closed = client.close()
        self.come_back(accept=False).expire()
        self.assert_gone(client, closed)
        self.failureResultOf(queued, SessionExpiredException)
        count = self.server.count
        self.pass_time(30)
        self.assertEqual(self.server.count, count)

    def test_another_session_meanwhile(self) -> None:
        """Rule 13: a session that a server has opened in the old one's place is not used."""
        client, peer = self.make_connected()
        peer.drop()
        closed = client.close()
        self.come_back(accept=False).accept(session_id=2)
        self.pass_time(5.0)
        self.assert_gone(client, closed)

    def test_lost(self) -> None:
        """Rule 13: a session that has probably expired is given five seconds too."""
        client, _ = self.make_connected()
        self.server.stop()
        self.pass_time(3 * S)
        closed = client.close()
        self.pass_time(5.0)
        self.assert_gone(client, closed)

    def test_ended(self) -> None:
        """Rule 13: between two sessions there is nothing to end."""
        client, peer = self.make_connected()
        self.reconnect(peer, accept=False).expire()
        closed = client.close()
        self.settle()
        self.assert_gone(client, closed)

    def test_while_probing(self) -> None:
        """Rule 13: it may be called during a blank attempt."""
        client, peer = self.make_connected()
        self.show_zxid(client, peer, 500)

        def answer(peer: Peer) -> None:
            if peer.hello_now().sessionId:
                hang_up(peer)
            else:
                peer.answers_pings = False
                write(peer, encode_frame(ConnectResponse(12_000, 9, PASSWORD, False).encode()))

        self.server.on_handshake = answer
        peer.drop()
        self.pass_time(S)
        while not self.server.peer.pings:
            self.pass_time(0.1)
        closed = client.close()
        self.pass_time(5.0)
        self.assert_gone(client, closed)


class AnyMomentTests(ClosingTestCase):
    def test_twice(self) -> None:
        """Rule 13: a second call waits for the same end (I2)."""
        client, peer = self.make_connected()
        first, second = client.close(), client.close()
        self.assertEqual(peer.operations, [Operation.CLOSE_SESSION])
        peer.answer(CloseSessionRequest)
        self.assert_gone(client, first)
        self.assert_gone(client, second)

    def test_again_afterwards(self) -> None:
        """Rule 13: a call when all is gone fires at once (I2)."""
        client, peer = self.make_connected()
        self.close_fast(client, peer)
        self.assert_gone(client, client.close())

    def test_again_when_it_is_almost_over(self) -> None:
        """Rule 13: a call when the session has ended but the socket is still there waits for the socket."""
        client, peer = self.make_connected()
        first = client.close()
        xid, _ = peer.take(CloseSessionRequest)
        second: list[Deferred[None]] = []
        left: list[list[tuple[int, int]]] = []

        def call_again() -> None:
            second.append(client.close())
            left.append(self.note_when_gone(second[0]))

        # The client gets the answer on the next turn, and closes its socket on one after that.
        write(peer, reply(xid))
        self.reactor.callLater(0, call_again)
        self.settle()
        self.successResultOf(first)
        self.assertEqual([links for _, links in left[0]], [0])

    def test_from_a_callback(self) -> None:
        """Rule 13: it may be called from a callback of a reply; replies that came with it are delivered."""
        client, peer = self.make_connected()
        closed: list[Deferred[None]] = []
        client.get("/a").addCallback(lambda _: closed.append(client.close()))
        second = client.get("/b")
        peer.send(reply(1, DATA), reply(2, DATA))
        self.successResultOf(second)
        peer.packets.clear()
        peer.reply(3)
        self.assert_gone(client, closed[0])

    def test_from_a_watch(self) -> None:
        """Rule 13: it may be called from a watch."""
        client, peer = self.make_connected()
        closed: list[Deferred[None]] = []
        _, watch = client.get_and_watch("/a")
        peer.answer(GetDataRequest, DATA)
        watch.addCallback(lambda _: closed.append(client.close()))
        peer.event(EventType.CHANGED, "/a")
        peer.answer(CloseSessionRequest)
        self.assert_gone(client, closed[0])

    def test_from_connect(self) -> None:
        """Rule 13: it may be called when ``connect`` fires."""
        client = self.make_client()
        closed: list[Deferred[None]] = []
        client.connect().addCallback(lambda _: closed.append(client.close()))
        peer = self.server.peer
        peer.accept()
        peer.answer(CloseSessionRequest)
        self.assert_gone(client, closed[0])

    def close_when(self, client: ZooKeeperClient, state: SessionState) -> list[Deferred[None]]:
        """Let a listener close the client when the feed has this state."""
        closed: list[Deferred[None]] = []
        client.add_listener(
            lambda step: (
                closed.append(client.close()) if isinstance(step, SessionEvent) and step.state is state else None
            )
        )
        return closed

    def test_from_a_listener_when_connected(self) -> None:
        """Rule 13: a listener may call it when the session is connected."""
        client = self.make_client()
        closed = self.close_when(client, SessionState.CONNECTED)
        connected = client.connect()
        peer = self.server.peer
        peer.accept()
        peer.answer(CloseSessionRequest)
        self.assert_gone(client, closed[0])
        ignore(connected)

    def test_from_a_listener_when_suspended(self) -> None:
        """Rule 13: a listener may call it when the connection is lost."""
        client, peer = self.make_connected()
        closed = self.close_when(client, SessionState.SUSPENDED)
        self.reconnect(peer).answer(CloseSessionRequest)
        self.assert_gone(client, closed[0])

    def test_from_a_listener_when_lost(self) -> None:
        """Rule 13: a listener may call it when the session has probably expired."""
        client, _ = self.make_connected()
        closed = self.close_when(client, SessionState.LOST)
        self.server.stop()
        self.pass_time(S * 4 / 3 + 5.1)
        self.assert_gone(client, closed[0])

    def test_from_a_listener_when_ended(self) -> None:
        """Rule 13: a listener may call it when the session has expired."""
        client, peer = self.make_connected()
        closed = self.close_when(client, SessionState.EXPIRED)
        self.reconnect(peer, accept=False).expire()
        self.assert_gone(client, closed[0])

    def test_from_a_listener_when_replaced(self) -> None:
        """Rule 13: a listener may call it at the expiry, when a new session has come with it."""
        client, peer = self.make_connected()
        closed = self.close_when(client, SessionState.EXPIRED)
        self.reconnect(peer, accept=False).accept(session_id=2)
        self.settle()
        self.assert_gone(client, closed[0])

    def test_from_a_listener_when_closed(self) -> None:
        """Rule 13: a listener may call it when the client is closed."""
        client, peer = self.make_connected()
        closed = self.close_when(client, SessionState.CLOSED)
        self.close_fast(client, peer)
        self.assert_gone(client, closed[0])

    def test_from_a_failing_request(self) -> None:
        """Rule 13: the errback of a request in flight may call it when the connection is lost."""
        client, peer = self.make_connected()
        closed: list[Deferred[None]] = []
        client.get("/a").addErrback(lambda _: closed.append(client.close()))
        self.reconnect(peer).answer(CloseSessionRequest)
        self.assert_gone(client, closed[0])

    def test_from_a_queued_request(self) -> None:
        """Rule 13: the errback of a request that was queued for an expired session may call it."""
        client, peer = self.make_connected()
        peer.drop()
        closed: list[Deferred[None]] = []
        client.get("/a").addErrback(lambda _: closed.append(client.close()))
        self.reconnect(peer, accept=False).expire()
        self.assert_gone(client, closed[0])

    def test_from_a_watch_of_an_ended_session(self) -> None:
        """Rule 13: it may be called from the errback of a watch whose session has ended."""
        client, peer = self.make_connected()
        closed: list[Deferred[None]] = []
        _, watch = client.get_and_watch("/a")
        peer.answer(GetDataRequest, DATA)
        watch.addErrback(lambda _: closed.append(client.close()))
        self.reconnect(peer, accept=False).accept(session_id=2)
        self.settle()
        self.assert_gone(client, closed[0])

    def test_from_an_unresolvable_connect(self) -> None:
        """Rule 13: it may be called from the errback of ``connect``."""
        client = self.make_client("nowhere:1")
        closed: list[Deferred[None]] = []
        client.connect().addErrback(lambda _: closed.append(client.close()))
        self.settle()
        self.assert_gone(client, closed[0])

    def test_from_an_unsafe_holder(self) -> None:
        """Rule 13: a callback of the lease's end may call it."""
        client, peer = self.make_connected()
        closed: list[Deferred[None]] = []
        client.when_lease_expires().addCallback(lambda _: closed.append(client.close()))
        self.reconnect(peer, accept=False).accept(session_id=2)
        self.settle()
        self.assert_gone(client, closed[0])

    def test_cancelled(self) -> None:
        """Rule 13: cancelling its Deferred does not affect the closing."""
        client, peer = self.make_connected()
        cancelled, other = client.close(), client.close()
        cancelled.addErrback(lambda failure: failure.trap(CancelledError))
        cancelled.cancel()
        peer.answer(CloseSessionRequest)
        self.assert_gone(client, other)

    def test_asked_for_more_when_told(self) -> None:
        """Rule 13: a new request in the errback of one that fails by the closing fails as well, and nothing is left."""
        client, peer = self.make_connected()
        peer.answers_pings = False
        again: list[Deferred[Any]] = []
        client.get("/a").addErrback(lambda _: again.append(client.get("/b")))
        closed = client.close()
        self.pass_time(5.0)
        self.assert_gone(client, closed)
        self.failureResultOf(again[0], ClosingException)


class HurryTests(ClosingTestCase):
    def test_probably_expired(self) -> None:
        """Rule 13: ``close()`` does not wait for the pause between two attempts to be over."""
        client, peer = self.make_connected()
        self.server.on_connection = hang_up
        peer.drop()
        self.pass_time(2 * S)
        self.assertIs(client.session.state, SessionState.LOST)
        count = self.server.count
        self.server.on_connection = lambda peer: None
        closed = client.close()
        self.settle()
        self.assertEqual(self.server.count, count + 1)
        self.server.peer.accept()
        self.server.peer.answer(CloseSessionRequest)
        self.assert_gone(client, closed)
