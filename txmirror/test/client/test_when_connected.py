"""Waiting for a session that serves, without beginning anything."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred

from txmirror.errors import ClosingException, ConnectionLossException
from txmirror.test.client.peer import ClientTestCase, S, hang_up
from txmirror.types import SessionEvent, SessionState, WatchedEvent


class WhenConnectedTests(ClientTestCase):
    def test_begins_nothing(self) -> None:
        """when_connected() does not connect; it fires once another call has connected, and a session is established."""
        client = self.make_client()
        waiting = client.when_connected()
        self.pass_time(60)
        self.assertEqual(self.server.count, 0)
        self.assertNoResult(waiting)
        connected = client.connect()
        self.settle()
        self.assertNoResult(waiting)
        self.server.peer.accept()
        self.assertIsNone(self.successResultOf(waiting))
        self.successResultOf(connected)

    def test_at_once(self) -> None:
        """While a session stands and is served, it fires at once."""
        client, _ = self.make_connected()
        self.assertIsNone(self.successResultOf(client.when_connected()))

    def test_suspended(self) -> None:
        """While there is no connection it waits for the next; each time anew."""
        client, peer = self.make_connected()
        for _ in range(3):
            peer.drop()
            waiting = [client.when_connected(), client.when_connected()]
            self.settle()
            for each in waiting:
                self.assertNoResult(each)
            peer = self.reconnect(peer, accept=False)
            for each in waiting:
                self.assertNoResult(each)
            peer.accept()
            for each in waiting:
                self.successResultOf(each)

    def test_lost_and_ended(self) -> None:
        """when_connected() continues to wait when the session has probably expired, and when it has expired: the next
        one counts.
        """
        client, peer = self.make_connected()
        self.server.on_connection = hang_up
        peer.drop()
        waiting = client.when_connected()
        self.pass_time(2 * S)
        self.assertIs(client.session.state, SessionState.LOST)
        self.assertNoResult(waiting)
        self.server.on_connection = lambda peer: None
        self.next_peer(self.server).expire()
        self.assertIs(client.session.state, SessionState.EXPIRED)
        self.assertNoResult(waiting)
        self.next_peer(self.server) if self.server.peer.lost else None
        self.server.peer.accept(session_id=2)
        self.successResultOf(waiting)

    def test_cancelled(self) -> None:
        """Cancelling ends the wait, and nobody else's."""
        client = self.make_client()
        first, second = client.when_connected(), client.when_connected()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        connected = client.connect()
        self.server.peer.accept()
        self.successResultOf(second)
        self.successResultOf(connected)

    def test_closed(self) -> None:
        """With the client's end it fails, and so it does afterwards."""
        for begun in (False, True):
            client = self.make_client()
            waiting = client.when_connected()
            if begun:
                client.connect().addErrback(lambda failure: failure.trap(ClosingException))
                self.settle()
            closed = client.close()
            self.pass_time(5)
            self.successResultOf(closed)
            self.failureResultOf(waiting, ClosingException)
            self.failureResultOf(client.when_connected(), ClosingException)

    def test_in_the_listener(self) -> None:
        """In a listener of the connected state, it fires at once; in one of the suspended state, it waits."""
        client, peer = self.make_connected()
        waiting: list[tuple[SessionState, Deferred[None]]] = []

        def listener(step: SessionEvent | WatchedEvent) -> None:
            if isinstance(step, SessionEvent):
                waiting.append((step.state, client.when_connected()))

        client.add_listener(listener)
        peer.drop()
        ((state, suspended),) = waiting
        self.assertIs(state, SessionState.SUSPENDED)
        self.assertNoResult(suspended)
        self.reconnect(peer)
        self.successResultOf(suspended)
        self.successResultOf(waiting[1][1])
        client.remove_listener(listener)

    def test_asked_when_it_fires(self) -> None:
        """Requests from its callback are sent on that connection."""
        client = self.make_client()
        asked: list[Deferred[None]] = []
        client.when_connected().addCallback(lambda _: asked.append(client.delete("/a")))
        client.connect()
        self.server.peer.accept()
        self.assertEqual(len(self.server.peer.packets), 1)
        for each in asked:
            each.addErrback(lambda failure: failure.trap(ClosingException))

    def test_unresolved_names(self) -> None:
        """Names that cannot be resolved fail the calls of connect; those that wait for the next session continue to
        wait.
        """
        client = self.make_client("nowhere.example:2181")
        waiting = client.when_connected()
        self.keep(waiting)
        connecting = client.connect()
        self.pass_time(1)
        self.failureResultOf(connecting, ConnectionLossException)
        self.assertNoResult(waiting)
