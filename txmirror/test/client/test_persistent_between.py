"""Persistent watches between two requests: one is removed, refused or cancelled while another is added."""

from __future__ import annotations

from twisted.internet.defer import CancelledError

from txmirror.client import Limits, ZooKeeperClient
from txmirror.test.client.peer import STAT, Peer, ignore
from txmirror.test.client.test_persistent_watches import Listener, PersistentWatchTestCase
from txmirror.types import EventType, SessionState, WatchedEvent, WatchKind
from txmirror.wire import (
    AddWatchRequest,
    AddWatchResponse,
    GetDataRequest,
    GetDataResponse,
    Operation,
    RemoveWatchesRequest,
    SetWatches2Request,
    SetWatchesRequest,
)

DATA = GetDataResponse(b"", STAT)
CHANGED, REMOVED = EventType.CHANGED, EventType.PERSISTENT_WATCH_REMOVED


class CancelledTests(PersistentWatchTestCase):
    def test_after_it_was_sent(self) -> None:
        """Rule 12: after the request was sent the watch stays, and is set again; the listener is not called."""
        client, peer = self.make_connected()
        listener = Listener()
        added = client.add_watch("/a", listener)
        xid, _ = peer.take(AddWatchRequest)
        added.cancel()
        self.failureResultOf(added, CancelledError)
        # The server will have it: one of the other kind would destroy it.
        self.assertRaises(ValueError, client.add_watch, "/a", recursive=True)
        peer.reply(xid, AddWatchResponse())
        peer.event(CHANGED, "/a")
        self.assertEqual(self.watch_events(), [WatchedEvent(CHANGED, "/a")])
        again = self.reconnect(peer)
        self.assertEqual(again.take(SetWatches2Request)[1].persistentWatches, ("/a",))
        self.assertEqual(listener.told, [])

    def test_after_it_was_sent_and_cut(self) -> None:
        """Rule 12: where the connection goes before its answer, nothing of it is left: a read sets its own watch again."""
        client, peer = self.make_connected()
        added = client.add_watch("/a")
        peer.take(AddWatchRequest)
        added.cancel()
        self.failureResultOf(added, CancelledError)
        again = self.reconnect(peer)
        self.assertEqual(again.packets, [])
        ignore(client.get_and_watch("/a")[1])
        self.assertIs(again.answer(GetDataRequest, DATA).watch, True)

    def test_before_it_was_sent(self) -> None:
        """Rule 12: before it was sent it leaves nothing at all."""
        client, peer = self.make_connected(limits=Limits(in_flight_requests=1))
        ignore(client.get("/b"))
        added = client.add_watch("/a")
        added.cancel()
        self.failureResultOf(added, CancelledError)
        peer.answer(GetDataRequest, DATA)
        self.assertEqual(peer.packets, [])
        ignore(client.get_and_watch("/a")[1])
        self.assertIs(peer.answer(GetDataRequest, DATA).watch, True)


class ServedTests(PersistentWatchTestCase):
    """One-shot watches that a persistent one was to serve which the server then refused."""

    def ask(self, client: ZooKeeperClient) -> None:
        ignore(client.add_watch("/a"))
        self.watch = client.get_and_watch("/a")[1]

    def test_cut_before_it_is_set(self) -> None:
        """When the connection goes before one is set, it is set on the next as of the same reply: nothing is missed (C2)."""
        client, peer = self.make_connected()
        self.ask(client)
        peer.answer(AddWatchRequest, err=-6, zxid=59)
        peer.answer(GetDataRequest, DATA, zxid=60)
        self.show_later(client, peer)
        again = self.reconnect(peer)
        _, request = again.take(SetWatchesRequest)
        self.assertEqual(request, SetWatchesRequest(60, ("/a",), (), ()))
        again.event(CHANGED, "/a")
        self.assertEqual(self.successResultOf(self.watch), WatchedEvent(CHANGED, "/a"))

    def show_later(self, client: ZooKeeperClient, peer: Peer) -> None:
        """Leave the setWatches unanswered."""
        peer.take(SetWatchesRequest)

    def test_of_the_feed(self) -> None:
        """The watch of a read of the feed is set as of the same reply: no Deferred would report its loss."""
        client, peer = self.make_connected()
        ignore(client.add_watch("/a"))
        ignore(client.read_data("/a"))
        peer.answer(AddWatchRequest, err=-6, zxid=59)
        peer.answer(GetDataRequest, DATA, zxid=60)
        peer.take(SetWatchesRequest)
        again = self.reconnect(peer)
        self.assertEqual(again.answer(SetWatchesRequest).dataWatches, ("/a",))
        third = self.reconnect(again)
        self.assertEqual(third.take(SetWatchesRequest)[1].dataWatches, ("/a",))

    def test_queue_is_full(self) -> None:
        """The watch is set even if the queue is full."""
        client, peer = self.make_connected(limits=Limits(in_flight_requests=2, queued_requests=1))
        self.ask(client)
        ignore(client.get("/b"))
        peer.answer(AddWatchRequest, err=-6)
        peer.answer(GetDataRequest, DATA, zxid=60)
        self.assertNoResult(self.watch)
        while peer.packets[0].operation != Operation.SET_WATCHES:
            peer.answer(GetDataRequest, DATA, zxid=60)
        peer.answer(SetWatchesRequest)
        peer.event(CHANGED, "/a")
        self.successResultOf(self.watch)

    def test_cancelled_meanwhile(self) -> None:
        """Rule 12: a watch that is cancelled while it is being set does no harm."""
        client, peer = self.make_connected()
        self.ask(client)
        peer.answer(AddWatchRequest, err=-6)
        peer.answer(GetDataRequest, DATA, zxid=60)
        self.watch.cancel()
        self.failureResultOf(self.watch, CancelledError)
        peer.event(CHANGED, "/a")
        peer.answer(SetWatchesRequest)
        self.assertFalse(peer.lost)


class RemovedTests(PersistentWatchTestCase):
    def test_added_again_at_once(self) -> None:
        """A watch that is removed and added again at once is set, for the later listener."""
        client, peer = self.make_connected()
        first = self.add(client, peer, "/a")
        removed = client.remove_watches("/a", WatchKind.ANY)
        second = Listener()
        added = client.add_watch("/a", second)
        peer.answer(RemoveWatchesRequest)
        self.successResultOf(removed)
        peer.answer(AddWatchRequest, AddWatchResponse())
        self.successResultOf(added)
        peer.event(CHANGED, "/a")
        self.assertEqual(second.told, [(CHANGED, "/a")])
        self.assertEqual(first.told, [])
        again = self.reconnect(peer)
        self.assertEqual(again.take(SetWatches2Request)[1].persistentWatches, ("/a",))

    def test_read_behind_the_removal(self) -> None:
        """A read that is sent behind the removal sets its own watch: the server has removed the persistent one by then."""
        client, peer = self.make_connected()
        self.add(client, peer, "/a")
        removed = client.remove_watches("/a", WatchKind.ANY)
        watch = client.get_and_watch("/a")[1]
        peer.answer(RemoveWatchesRequest)
        self.successResultOf(removed)
        self.assertIs(peer.answer(GetDataRequest, DATA).watch, True)
        self.assertEqual(peer.packets, [])
        peer.event(CHANGED, "/a")
        self.assertEqual(self.successResultOf(watch), WatchedEvent(CHANGED, "/a"))

    def test_read_behind_the_next(self) -> None:
        """A read behind one that is added again sets no watch, which would destroy that one."""
        client, peer = self.make_connected()
        self.add(client, peer, "/a")
        ignore(client.remove_watches("/a", WatchKind.ANY))
        ignore(client.add_watch("/a"))
        ignore(client.get_and_watch("/a")[1])
        peer.answer(RemoveWatchesRequest)
        peer.answer(AddWatchRequest, AddWatchResponse())
        self.assertIs(peer.answer(GetDataRequest, DATA).watch, False)

    def test_read_after_the_loss(self) -> None:
        """A read that the loss of the connection causes sets no watch: the persistent one is set again before it."""
        client, peer = self.make_connected()
        self.add(client, peer, "/a")
        ignore(client.get("/b").addErrback(lambda _: ignore(client.get_and_watch("/a")[1])))
        ignore(client.remove_watches("/a", WatchKind.ANY))
        again = self.reconnect(peer)
        self.assertEqual(again.answer(SetWatches2Request).persistentWatches, ("/a",))
        self.assertIs(again.answer(GetDataRequest, DATA).watch, False)


class EndedTests(PersistentWatchTestCase):
    """Servers that do not set them again."""

    def hang_up(self, peer: Peer) -> Peer:
        """Close the connection twice on setWatches2."""
        for _ in range(2):
            peer = self.reconnect(peer)
            while peer.operations[0] != Operation.SET_WATCHES2:
                peer.answer(SetWatchesRequest)
            peer.packets.clear()
            peer.close()
        return self.reconnect(peer)

    def test_innocent_server(self) -> None:
        """A server that has answered setWatches2 between two cuts is not one that does not know it."""
        client, peer = self.make_connected()
        listener = self.add(client, peer, "/a")
        for _ in range(2):
            cut = self.reconnect(peer)
            cut.take(SetWatches2Request)
            peer = self.reconnect(cut)
            peer.answer(SetWatches2Request)
        self.assertEqual(listener.events, [])

    def test_feed_is_told_of_a_refusal(self) -> None:
        """The feed, too, has the end of a watch that the server refuses to set again."""
        client, peer = self.make_connected()
        self.add(client, peer, "/a", recursive=True)
        self.reconnect(peer).answer(SetWatches2Request, err=-6)
        self.assertEqual(self.watch_events(), [WatchedEvent(REMOVED, "/a")])

    def test_feed_is_told_of_hanging_up(self) -> None:
        """If the server closes the connection at setWatches2, the feed has the end of the watch."""
        client, peer = self.make_connected()
        self.add(client, peer, "/a", recursive=True)
        self.hang_up(peer)
        self.assertEqual(self.watch_events(), [WatchedEvent(REMOVED, "/a")])

    def test_told_when_all_is_consistent(self) -> None:
        """Rule 1: the listeners are called once the client is connected; their requests are sent behind the watches
        that are set again.
        """
        client, peer = self.make_connected()
        ignore(client.get_and_watch("/other")[1])
        peer.answer(GetDataRequest, DATA)
        states: list[SessionState] = []

        def listener(step: object) -> None:
            if isinstance(step, WatchedEvent):
                states.append(client.session.state)
                ignore(client.delete("/x"))

        ignore(client.add_watch("/a", listener))
        peer.answer(AddWatchRequest, AddWatchResponse())
        last = self.hang_up(peer)
        self.assertEqual(states, [SessionState.CONNECTED])
        self.assertEqual(last.operations, [Operation.SET_WATCHES, Operation.DELETE])
