"""Callbacks that cancel other Deferreds, or close the client, while those are being fired."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, race

from txmirror.client import ZooKeeperClient
from txmirror.errors import ClosingException, ConnectionLossException, SessionExpiredException
from txmirror.test.client.peer import STAT, ClientTestCase, Peer, ignore
from txmirror.types import EventType, SessionEvent, SessionState, WatchedEvent
from txmirror.wire import (
    CloseSessionRequest,
    Create2Request,
    CreateRequest,
    Cursor,
    GetChildren2Request,
    GetChildren2Response,
    GetDataRequest,
    GetDataResponse,
    Operation,
    PathResponse,
    SyncRequest,
)

DATA = GetDataResponse(b"", STAT)


class RaceTests(ClientTestCase):
    """Of several Deferreds that wait for one thing, the first cancels the next when it fires; the others fire all the
    same.
    """

    def waiting(self, three: list[Deferred[Any]]) -> list[object]:
        """Let the first cancel the second; return the results of the third."""
        told: list[object] = []
        three[0].addBoth(lambda _: three[1].cancel())
        ignore(three[1])
        three[2].addBoth(told.append)
        return told

    def test_watches(self) -> None:
        """Rule 12: two watches that one event fires may race."""
        client, peer = self.make_connected()
        data = client.get_and_watch("/a")[1]
        peer.answer(GetDataRequest, DATA)
        children = client.get_children_and_watch("/a")[1]
        peer.answer(GetChildren2Request, GetChildren2Response([], STAT))
        first = race([data, children])
        pending = client.get("/b")
        peer.event(EventType.DELETED, "/a")
        self.assertEqual(self.successResultOf(first), (0, WatchedEvent(EventType.DELETED, "/a")))
        self.assertEqual(self.watch_events(), [WatchedEvent(EventType.DELETED, "/a")])
        peer.answer(GetDataRequest, DATA)
        self.successResultOf(pending)

    def test_end_of_the_session(self) -> None:
        """Rule 12: the first of two watches that the session's end fails may cancel the second; the next session comes
        all the same.
        """
        client, peer = self.make_connected()
        watches = []
        for path in ("/a", "/b", "/c"):
            watches.append(client.get_and_watch(path)[1])
            peer.answer(GetDataRequest, DATA)
        told = self.waiting(watches)
        self.reconnect(peer, accept=False).expire()
        self.assertIsInstance(getattr(told[0], "value", None), SessionExpiredException)
        self.next_peer(self.server).accept(session_id=2)
        self.assertIs(client.session.state, SessionState.CONNECTED)

    def test_connecting(self) -> None:
        """Rule 12: the first of several waits for a session may cancel the next."""
        client = self.make_client()
        ignore(client.connect())
        told = self.waiting([client.when_connected() for _ in range(3)])
        self.server.peer.accept()
        self.assertEqual(told, [None])
        self.assertFalse(self.server.peer.lost)

    def test_holders(self) -> None:
        """Rule 9: the first callback of the lease's end may cancel the next; no holder remains without notice."""
        client, peer = self.make_connected()
        told = self.waiting([client.when_lease_expires() for _ in range(3)])
        closed = client.close()
        peer.answer(CloseSessionRequest)
        self.successResultOf(closed)
        self.assertEqual(told, [None])


class LeavingTests(ClientTestCase):
    """``leave()`` while the connection goes."""

    def assert_left(self, tickets: list[object], pending: list[object]) -> None:
        self.pass_time(10)
        self.assertEqual(len(tickets), 1)
        self.assertIsNotNone(tickets[0])
        self.assertEqual(len(pending), 1)

    def test_from_a_listener(self) -> None:
        """Rule 13: a listener may call it when the connection is lost."""
        client, peer = self.make_connected()
        tickets: list[object] = []
        pending: list[object] = []

        def listener(event: SessionEvent | WatchedEvent) -> None:
            if isinstance(event, SessionEvent) and event.state is SessionState.SUSPENDED:
                client.leave().addCallback(tickets.append)

        client.add_listener(listener)
        client.get("/x").addBoth(pending.append)
        self.settle()
        peer.drop()
        self.assert_left(tickets, pending)

    def leave(self, _: object, client: ZooKeeperClient, tickets: list[object]) -> None:
        client.leave().addCallback(tickets.append)

    def test_from_a_request_that_fails(self) -> None:
        """Rule 13: the errback of a lost request may call it, also where the server does not know the operation."""
        for answers in (1, 2):
            client, peer = self.make_connected()
            for _ in range(answers - 1):
                ignore(client.get_ephemerals())
                self.settle()
                peer.close()
                peer = self.next_peer(self.server)
                peer.accept()
            tickets: list[object] = []
            pending: list[object] = []
            asked = client.get_ephemerals()
            asked.addErrback(self.leave, client, tickets)
            client.get("/y").addBoth(pending.append)
            self.settle()
            peer.close()
            self.assert_left(tickets, pending)


class DoubtTests(ClientTestCase):
    """Two lost connections do not prove that the server lacks the operation."""

    def cut_twice(self, protect: bool) -> tuple[Deferred[Any], Peer]:
        client, peer = self.make_connected()
        ignore(client.create_and_stat("/a"))
        peer.take(Create2Request)
        peer.drop()
        peer = self.next_peer(self.server)
        peer.accept()
        made = client.create_and_stat("/a", protect=protect)
        peer.take(Create2Request)
        peer.drop()
        return made, peer

    def test_applied(self) -> None:
        """Rule 7: a write that was cut off twice may have been done (E1)."""
        made, _ = self.cut_twice(protect=False)
        self.assertIsNone(self.failureResultOf(made, ConnectionLossException).value.applied)

    def test_protected(self) -> None:
        """Rule 7: a protected one is looked for (H3)."""
        made, _ = self.cut_twice(protect=True)
        peer = self.next_peer(self.server)
        peer.accept()
        peer.answer(SyncRequest, PathResponse("/"))
        self.assertEqual(peer.operations, [Operation.GET_CHILDREN2])
        self.keep(made)

    def test_undone_in_spite_of_trouble(self) -> None:
        """A protected create that was cancelled is undone, though servers are in trouble for a while (H3)."""
        for err in (-127, -119):
            client, peer = self.make_connected()
            made = client.create("/a", protect=True)
            xid, request = peer.take(CreateRequest)
            ignore(made)
            made.cancel()
            peer.reply(xid, PathResponse(request.path))
            peer.answer(SyncRequest, err=err)
            peer.packets.clear()
            self.pass_time(2)
            self.assertEqual(peer.operations[0], Operation.SYNC)
            closed = client.close()
            self.pass_time(6)
            self.successResultOf(closed)

    def test_code_of_a_lost_connection(self) -> None:
        """A protected create that a server answers with the code of a lost connection, while the connection stands, is looked for
        and sent again, but not at the network's speed."""
        client, peer = self.make_connected()
        made = self.keep(client.create("/a", protect=True))
        asked = 0
        for _ in range(40):
            while peer.packets:
                packet = peer.packets.pop(0)
                asked += 1
                peer.reply(packet.xid, err=-4)
            self.pass_time(0.25)
        self.assertGreater(asked, 5)
        self.assertLess(asked, 25)
        self.assertNoResult(made)
        while not made.called:
            for packet in list(peer.packets):
                peer.packets.remove(packet)
                if packet.operation == Operation.SYNC:
                    peer.reply(packet.xid, PathResponse("/"))
                elif packet.operation == Operation.GET_CHILDREN2:
                    peer.reply(packet.xid, GetChildren2Response([], STAT))
                else:
                    peer.reply(packet.xid, PathResponse(CreateRequest.decode(Cursor(packet.body)).path))
            self.pass_time(0.25)
        self.assertTrue(self.successResultOf(made).endswith("-a"))

    def test_undone_at_a_bounded_rate(self) -> None:
        """A cancelled protected create is undone at a bounded rate, too."""
        client, peer = self.make_connected()
        made = client.create("/a", protect=True)
        ignore(made)
        made.cancel()
        xid, request = peer.take(CreateRequest)
        peer.reply(xid, PathResponse(request.path))
        asked = 0
        for _ in range(40):
            while peer.packets:
                peer.reply(peer.packets.pop(0).xid, err=-4)
                asked += 1
            self.pass_time(0.25)
        self.assertGreater(asked, 5)
        self.assertLess(asked, 15)
        peer.answer(SyncRequest, err=-101)
        self.close_fast(client, peer)

    def test_closed_meanwhile(self) -> None:
        """Rule 13: ``close()`` does not wait for that."""
        client, peer = self.make_connected()
        made = client.create("/a", protect=True)
        peer.take(CreateRequest)
        ignore(made)
        made.cancel()
        xid, _ = peer.take(SyncRequest)
        peer.reply(1, PathResponse("/a"))
        peer.reply(xid, err=-127)
        peer.packets.clear()
        closed = client.close()
        peer.answer(CloseSessionRequest)
        self.successResultOf(closed)
        self.assert_nothing_left()
        self.failureResultOf(client.get("/a"), ClosingException)
