"""``close()`` in every state of the table of states, and from within every kind of callback."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from txmirror.client import Limits, ZooKeeperClient
from txmirror.errors import (
    AuthFailedException,
    ClosingException,
    ProtocolError,
    ReplyTooLargeException,
    SessionClosedRequireSaslAuthException,
)
from txmirror.test.client.peer import (
    PASSWORD,
    SESSION,
    STAT,
    Peer,
    S,
    event,
    hang_up,
    ignore,
    reply,
    write,
)
from txmirror.test.client.test_closing import ClosingTestCase
from txmirror.types import EventType, SessionEvent, SessionState, WatchedEvent
from txmirror.wire import (
    AUTH_XID,
    ConnectResponse,
    GetDataRequest,
    GetDataResponse,
    Operation,
    SetWatchesRequest,
    encode_frame,
)

DATA = GetDataResponse(b"", STAT)
GRANTED = encode_frame(ConnectResponse(round(S * 1000), SESSION, PASSWORD, False).encode())
CLOSE_TIME = Limits().close_time


class StateTests(ClosingTestCase):
    """Each test goes through every state."""

    # Longer than the longest pause between two attempts.
    close_time = 6.0

    def reach(self, state: SessionState) -> ZooKeeperClient:
        """Make a client, and bring it into a state in which it stays."""
        self.server.on_connection = lambda peer: None
        client = self.make_client(limits=Limits(close_time=self.close_time))
        connected = client.connect()
        ignore(connected)
        if state is SessionState.CONNECTING:
            self.server.on_connection = hang_up
            self.pass_time(1)
            return client
        peer = self.server.peer
        peer.accept()
        watch = client.get_and_watch("/watched")[1]
        ignore(watch)
        peer.answer(GetDataRequest, DATA)
        if state is SessionState.CONNECTED:
            return client
        if state is SessionState.AUTH_FAILED:
            self.refuse(client, peer)
            return client
        if state is SessionState.CLOSED:
            self.close_fast(client, peer)
            return client
        if state is SessionState.EXPIRED:
            self.reconnect(peer, accept=False).expire()
        self.server.on_connection = hang_up
        for each in self.server.peers:
            if not each.lost:
                each.drop()
        if state is SessionState.LOST:
            self.pass_time(2 * S)
        return client

    def refuse(self, client: ZooKeeperClient, peer: Peer) -> None:
        """Let the server answer that it requires SASL."""
        ignore(client.get("/a"))
        peer.answer(GetDataRequest, err=SessionClosedRequireSaslAuthException.code)

    def each_state(self) -> list[tuple[SessionState, Callable[[], ZooKeeperClient]]]:
        def reach(state: SessionState) -> Callable[[], ZooKeeperClient]:
            def make() -> ZooKeeperClient:
                client = self.reach(state)
                self.assertIs(client.session.state, state)
                return client

            return make

        return [(state, reach(state)) for state in SessionState]

    def pend(self, client: ZooKeeperClient) -> list[Deferred[Any]]:
        """Have something of each kind wait."""
        return [
            client.connect(),
            client.get("/a"),
            *client.exists_and_watch("/a"),
            client.set_watches(1, ["/a"]),
            client.add_auth("digest", b"u:p"),
            client.when_lease_expires(),
        ]

    def assert_all_told_once(self, client: ZooKeeperClient, told: list[Any], count: int) -> None:
        self.assertEqual(len(told), count)
        for result in told:
            if isinstance(result, Failure):
                result.trap(ClosingException, AuthFailedException)

    def test_nobody_there(self) -> None:
        """Rule 13: with a server that does not answer it ends within its time, and each Deferred fires once, in every
        state (I2, I3).
        """
        for state, reach in self.each_state():
            client = reach()
            for peer in self.server.peers:
                peer.answers_pings = False
            pending = self.pend(client)
            # A watch whose request has failed never fires.
            told: list[Any] = []
            for number, deferred in enumerate(pending):
                if number != 3:
                    deferred.addBoth(told.append)
            closed = client.close()
            self.pass_time(self.close_time)
            self.assert_gone(client, closed)
            self.assert_all_told_once(client, told, 6)
            count = self.server.count
            self.pass_time(60)
            self.assertEqual(self.server.count, count, state)

    def test_server_there(self) -> None:
        """Rule 13: with a server that answers it is over as soon as the session is ended there, in every state (I1, I2)."""
        for state, reach in self.each_state():
            client = reach()
            self.server.on_connection = lambda peer: None
            self.server.on_handshake = lambda peer: write(peer, GRANTED)
            ended: list[Peer] = []
            closed = client.close()
            for _ in range(59):
                peer = self.server.peers[-1] if self.server.peers else None
                if peer is not None and Operation.CLOSE_SESSION in peer.operations:
                    ended.append(peer)
                    peer.send(*(reply(packet.xid) for packet in peer.packets))
                    break
                self.pass_time(0.1)
            self.settle()
            self.assert_gone(client, closed)
            to_be_ended = state in (SessionState.CONNECTED, SessionState.SUSPENDED, SessionState.LOST)
            self.assertEqual(len(ended), to_be_ended, state)
            self.server.on_handshake = lambda peer: None

    def test_twice(self) -> None:
        """Rule 13: it may be called twice in every state, and both Deferreds fire (I2)."""
        for _, reach in self.each_state():
            client = reach()
            first, second = client.close(), client.close()
            self.pass_time(self.close_time)
            self.assert_gone(client, first)
            self.assert_gone(client, second)

    def test_from_a_request_that_fails(self) -> None:
        """Rule 13: an errback may call it again, and send a request, in every state (I2, I3)."""
        for _, reach in self.each_state():
            client = reach()
            again: list[Deferred[Any]] = []

            def ask_again(_: object, client: ZooKeeperClient = client, again: list[Deferred[Any]] = again) -> None:
                again.extend([client.close(), client.get("/again")])

            for peer in self.server.peers:
                peer.answers_pings = False
            client.get("/a").addBoth(ask_again)
            closed = client.close()
            self.pass_time(self.close_time)
            self.assert_gone(client, closed)
            self.successResultOf(again[0])
            self.failureResultOf(again[1], ClosingException)


class CallbackTests(ClosingTestCase):
    """The callbacks from which ``test_closing`` does not close the client."""

    def setUp(self) -> None:
        super().setUp()
        self.closed: list[Deferred[None]] = []

    def connect(self, limits: Limits | None = None) -> Peer:
        self.client, peer = self.make_connected(limits=limits)
        return peer

    def close(self, _: object = None) -> None:
        self.closed.append(self.client.close())

    def assert_closed(self) -> None:
        """It was called once, and has done all that it promises."""
        self.assertEqual(len(self.closed), 1)
        self.pass_time(CLOSE_TIME)
        self.assert_gone(self.client, self.closed[0])

    def test_listener_of_an_event(self) -> None:
        """Rule 13: a listener may call it at a watch event; the data that arrived with the event is delivered (I2)."""
        peer = self.connect()
        self.client.add_listener(lambda step: self.close() if isinstance(step, WatchedEvent) else None)
        read = self.client.get("/a")
        peer.send(event(EventType.CHANGED, "/a"), reply(1, DATA))
        self.successResultOf(read)
        self.assert_closed()

    def test_listener_of_each_state(self) -> None:
        """Rule 13: a listener may call it at a session event of each state (I2)."""
        for state in set(SessionState) - {SessionState.CONNECTING}:
            self.closed = []
            self.server.on_connection = lambda peer: None
            client = self.client = self.make_client()

            def told(step: SessionEvent | WatchedEvent, state: SessionState = state) -> None:
                if isinstance(step, SessionEvent) and step.state is state and not self.closed:
                    self.close()

            client.add_listener(told)
            ignore(client.connect())
            self.server.peer.accept()
            if state is SessionState.CLOSED:
                ignore(client.close())
            elif state is SessionState.EXPIRED:
                self.reconnect(self.server.peer, accept=False).expire()
            elif state is SessionState.AUTH_FAILED:
                ignore(client.get("/a"))
                self.server.peer.answer(GetDataRequest, err=SessionClosedRequireSaslAuthException.code)
            elif state is not SessionState.CONNECTED:
                self.server.on_connection = hang_up
                self.server.peer.drop()
            self.pass_time(2 * S)
            self.assert_closed()

    def test_identity_taken(self) -> None:
        """Rule 13: it may be called when an identity is accepted, while others are being sent (I2)."""
        peer = self.connect()
        self.client.add_auth("digest", b"first:1").addCallback(self.close)
        second = self.client.add_auth("digest", b"second:2")
        peer.send(reply(AUTH_XID, zxid=0), reply(AUTH_XID, zxid=0))
        self.successResultOf(second)
        self.assert_closed()

    def test_identity_refused(self) -> None:
        """Rule 13: it may be called when an identity is refused, and its server closes the connection (I2)."""
        peer = self.connect()
        self.client.add_auth("digest", b"u:p").addErrback(self.close)
        write(peer, reply(AUTH_XID, zxid=0, err=-115))
        peer.close()
        self.assert_closed()

    def test_watches_set(self) -> None:
        """Rule 13: it may be called when watches of a former session are set (I2)."""
        peer = self.connect()
        self.client.set_watches(1, ["/a"]).addCallback(self.close)
        peer.answer(SetWatchesRequest)
        self.assert_closed()

    def test_watches_not_set_again(self) -> None:
        """Rule 13: it may be called by a watch that could not be set again (I2)."""
        peer = self.connect()
        self.client.get_and_watch("/a")[1].addErrback(self.close)
        peer.answer(GetDataRequest, DATA)
        self.reconnect(peer).answer(SetWatchesRequest, err=-6)
        self.assert_closed()

    def test_unsafe_in_time(self) -> None:
        """Rule 13: a callback of the lease's end may call it while the server is silent, and while there is no
        connection (I2).
        """
        for drop in (False, True):
            self.closed = []
            self.server.on_connection = lambda peer: None
            peer = self.connect()
            peer.answers_pings = False
            self.client.when_lease_expires().addCallback(self.close)
            if drop:
                self.server.on_connection = hang_up
                peer.drop()
            self.pass_time(S * 2 / 3)
            self.assert_closed()

    def test_request_too_old(self) -> None:
        """Rule 13: the errback of a request that has waited too long may call it; others of the same age fail too (I2)."""
        self.client = self.make_client(limits=Limits(queued_time=1.0))
        self.client.get("/a").addErrback(self.close)
        others = [self.client.get("/b"), self.client.get("/c")]
        self.pass_time(1.0)
        self.assert_closed()
        for other in others:
            self.failureResultOf(other)

    def test_request_too_many(self) -> None:
        """Rule 13: the errback of a request that the full queue refuses may call it, within the call of the request
        (I2).
        """
        self.client = self.make_client(limits=Limits(queued_requests=1))
        ignore(self.client.connect())
        first = self.client.get("/a")
        self.client.get("/b").addErrback(self.close)
        self.assert_closed()
        self.failureResultOf(first, ClosingException)

    def test_reply_too_large(self) -> None:
        """Rule 13: it may be called while a reply over the limit is still being received; later replies are delivered
        (I2).
        """
        peer = self.connect(Limits(max_reply=100))
        self.client.get("/a").addErrback(lambda failure: self.close(failure.trap(ReplyTooLargeException)))
        behind = self.client.get("/b")
        frame = reply(1, GetDataResponse(bytes(2000), STAT))
        peer.send(frame[:30])
        self.assertEqual(len(self.closed), 1)
        peer.send(frame[30:], reply(2, DATA), reply(3))
        self.successResultOf(behind)
        self.assert_closed()

    def test_violation(self) -> None:
        """Rule 13: it may be called by a request whose reply has broken the protocol (I2)."""
        peer = self.connect()
        self.client.get("/a").addErrback(lambda failure: self.close(failure.trap(ProtocolError)))
        peer.send(reply(1, b"!"))
        self.assert_closed()

    def test_cancelled(self) -> None:
        """Rule 13: the errback of a cancelled request may call it, whether it was queued or sent (I2)."""
        self.client = self.make_client()
        waiting = self.client.get("/a")
        waiting.addErrback(lambda failure: self.close(failure.trap(CancelledError)))
        waiting.cancel()
        self.assert_closed()
        self.closed = []
        self.connect()
        sent = self.client.get("/a")
        sent.addErrback(lambda failure: self.close(failure.trap(CancelledError)))
        self.settle()
        sent.cancel()
        self.assert_closed()

    def test_its_own(self) -> None:
        """Rule 13: a callback of its own Deferred may call it (I2)."""
        self.connect()
        ignore(self.client.close().addCallback(self.close))
        self.pass_time(CLOSE_TIME)
        self.assert_closed()

    def test_request_that_fails_at_the_end(self) -> None:
        """Rule 13: the errback of a request that fails by the closing, or a listener, may call it again: it waits until
        everything pending has failed, and so does ``leave()`` (I2, I3).
        """
        self.assert_waits(ZooKeeperClient.close)
        self.assert_waits(ZooKeeperClient.leave)

    def assert_waits(self, end: Callable[[ZooKeeperClient], Deferred[Any]]) -> None:
        """It waits for the end if it is called again before that."""
        peer = self.connect()
        peer.answers_pings = False
        client = self.client
        told: list[str] = []
        results: list[object] = []

        def end_again(_: object) -> None:
            end(client).addCallback(results.append).addBoth(lambda _: told.append("over"))

        def failed(_: Failure) -> None:
            told.append("failed")

        client.get_and_watch("/watched")[1].addErrback(failed)
        peer.answer(GetDataRequest, DATA)
        client.get("/a").addErrback(end_again)
        client.get("/b").addErrback(failed)
        client.add_listener(end_again)
        first = end(client)
        self.pass_time(CLOSE_TIME)
        self.assertEqual(told, ["failed", "failed", "over", "over"])
        self.assertEqual(results, [self.successResultOf(first)] * 2)

    def test_probably_expired(self) -> None:
        """Rule 13: it may be called by a request that fails when the session has probably expired (I2)."""
        peer = self.connect()
        self.server.on_connection = hang_up
        peer.drop()
        self.client.get("/a").addErrback(self.close)
        other = self.client.get("/b")
        self.pass_time(2 * S)
        self.assert_closed()
        self.failureResultOf(other)
