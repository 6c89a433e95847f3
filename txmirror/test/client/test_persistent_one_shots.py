"""Watches that fire once, on paths with a watch that lasts: that one serves them."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from txmirror.client import ZooKeeperClient
from txmirror.errors import (
    NoNodeException,
    UnimplementedException,
)
from txmirror.test.client.peer import STAT, Peer, ignore
from txmirror.test.client.test_persistent_watches import PersistentWatchTestCase
from txmirror.types import EventType, WatchedEvent, WatchKind
from txmirror.wire import (
    AddWatchRequest,
    AddWatchResponse,
    ExistsRequest,
    GetChildren2Request,
    GetChildren2Response,
    GetDataRequest,
    GetDataResponse,
    RemoveWatchesRequest,
    SetWatches2Request,
    SetWatchesRequest,
    StatResponse,
)

DATA = GetDataResponse(b"", STAT)
NAMES = GetChildren2Response(["x"], STAT)

CREATED, DELETED, CHANGED, CHILD = EventType.CREATED, EventType.DELETED, EventType.CHANGED, EventType.CHILD


class OneShotTests(PersistentWatchTestCase):
    """One-shot reads of a path with a persistent watch: served by it, because older servers keep one kind for each path."""

    def read(self, kind: str, client: ZooKeeperClient, peer: Peer, path: str, *, watch: bool) -> Deferred[WatchedEvent]:
        """Read with a watch, and look at the flag."""
        if kind == "data":
            _, watching = client.get_and_watch(path)
            self.assertIs(peer.answer(GetDataRequest, DATA).watch, watch)
        elif kind == "child":
            _, watching = client.get_children_and_watch(path)
            self.assertIs(peer.answer(GetChildren2Request, NAMES).watch, watch)
        elif kind == "exist":
            answer, watching = client.exists_and_watch(path)
            self.assertIs(peer.answer(ExistsRequest, StatResponse(STAT)).watch, watch)
            self.successResultOf(answer)
        else:
            answer, watching = client.exists_and_watch(path)
            self.assertIs(peer.answer(ExistsRequest, err=-101).watch, watch)
            self.assertIsNone(self.successResultOf(answer))
        return watching

    def test_exact(self) -> None:
        """On a path with an exact watch the reads are sent without the flag, and fire with the events of that watch."""
        for kind, happened in (("data", CHANGED), ("child", CHILD), ("exist", DELETED), ("missing", CREATED)):
            client, peer = self.make_connected()
            self.add(client, peer, "/a")
            watch = self.read(kind, client, peer, "/a", watch=False)
            self.assertNoResult(watch)
            peer.event(happened, "/a")
            self.assertEqual(self.successResultOf(watch), WatchedEvent(happened, "/a"))
            # It was for once: the next is not told without another read.
            second = self.read(kind, client, peer, "/a", watch=False)
            peer.event(happened, "/a")
            self.successResultOf(second)
            self.close_fast(client, peer)

    def test_recursive(self) -> None:
        """Under a recursive watch on the path itself the reads are sent without the flag, and fire with its events."""
        for kind, happened in (("data", CHANGED), ("exist", DELETED), ("missing", CREATED)):
            client, peer = self.make_connected()
            self.add(client, peer, "/a", recursive=True)
            watch = self.read(kind, client, peer, "/a", watch=False)
            peer.event(happened, "/a")
            self.assertEqual(self.successResultOf(watch), WatchedEvent(happened, "/a"))
            self.close_fast(client, peer)

    def test_children_under_a_recursive_watch(self) -> None:
        """A child watch below a recursive watch fires when a child is created or deleted (C8)."""
        for happened in (CREATED, DELETED):
            client, peer = self.make_connected()
            listener = self.add(client, peer, "/a", recursive=True)
            watch = self.read("child", client, peer, "/a", watch=False)
            peer.event(CHANGED, "/a/b")
            peer.event(CREATED, "/a/b/c")
            peer.event(CHANGED, "/a")
            self.assertNoResult(watch)
            peer.event(happened, "/a/b")
            self.assertEqual(self.successResultOf(watch), WatchedEvent(CHILD, "/a"))
            self.assertEqual(listener.events[-1], (happened, "/a/b"))
            self.assertNotIn((CHILD, "/a"), listener.events)
            self.close_fast(client, peer)

    def test_children_of_the_root(self) -> None:
        """At the root, too, a child watch fires when a child is created."""
        client, peer = self.make_connected()
        self.add(client, peer, "/", recursive=True)
        watch = self.read("child", client, peer, "/", watch=False)
        peer.event(CREATED, "/a/b")
        self.assertNoResult(watch)
        peer.event(CREATED, "/a")
        self.assertEqual(self.successResultOf(watch), WatchedEvent(CHILD, "/"))

    def test_children_deleted_with_the_node(self) -> None:
        """The node's own deletion fires its child watches too."""
        client, peer = self.make_connected()
        self.add(client, peer, "/a", recursive=True)
        watch = self.read("child", client, peer, "/a", watch=False)
        peer.event(DELETED, "/a")
        self.assertEqual(self.successResultOf(watch), WatchedEvent(DELETED, "/a"))

    def test_read_below_a_recursive_watch(self) -> None:
        """Below a recursive watch, on other paths than its own, each event fires them once."""
        client, peer = self.make_connected()
        listener = self.add(client, peer, "/a", recursive=True)
        _, data = client.get_and_watch("/a/b")
        peer.answer(GetDataRequest, DATA)
        _, child = client.get_children_and_watch("/a/b")
        peer.answer(GetChildren2Request, NAMES)
        peer.event(CHANGED, "/a/b")
        self.assertEqual(self.successResultOf(data), WatchedEvent(CHANGED, "/a/b"))
        self.assertNoResult(child)
        peer.event(CHILD, "/a/b")
        self.assertEqual(self.successResultOf(child), WatchedEvent(CHILD, "/a/b"))
        self.assertEqual(listener.events, [(CHANGED, "/a/b")])

    def test_no_watch_on_a_missing_node(self) -> None:
        """A read of a missing node leaves no watch there either."""
        client, peer = self.make_connected()
        self.add(client, peer, "/a")
        answer, watch = client.get_and_watch("/a")
        peer.answer(GetDataRequest, err=-101)
        self.failureResultOf(answer, NoNodeException)
        peer.event(CREATED, "/a")
        self.assertNoResult(watch)
        again = self.reconnect(peer)
        self.assertEqual(again.take(SetWatches2Request)[1].dataWatches, ())
        ignore(watch)

    def test_while_being_set(self) -> None:
        """A read behind an add_watch that is not answered yet is sent without the flag, and fires all the same."""
        client, peer = self.make_connected()
        added = client.add_watch("/a")
        _, watch = client.get_and_watch("/a")
        peer.answer(AddWatchRequest, AddWatchResponse())
        self.assertIs(peer.answer(GetDataRequest, DATA).watch, False)
        self.successResultOf(added)
        peer.event(CHANGED, "/a")
        self.assertEqual(self.successResultOf(watch), WatchedEvent(CHANGED, "/a"))

    def test_event_between_the_answers(self) -> None:
        """Changes between the two replies precede the read, and do not fire its watch."""
        client, peer = self.make_connected()
        ignore(client.add_watch("/a"))
        _, watch = client.get_and_watch("/a")
        peer.answer(AddWatchRequest, AddWatchResponse())
        peer.event(CHANGED, "/a")
        peer.answer(GetDataRequest, DATA)
        self.assertNoResult(watch)
        peer.event(CHANGED, "/a")
        self.assertEqual(self.successResultOf(watch), WatchedEvent(CHANGED, "/a"))

    def test_refused(self) -> None:
        """When the persistent watch that was to serve is refused, the read's watch is set as of its own zxid (C7)."""
        client, peer = self.make_connected()
        added = client.add_watch("/a")
        answer, watch = client.get_and_watch("/a")
        peer.answer(AddWatchRequest, err=-6, zxid=59)
        self.failureResultOf(added, UnimplementedException)
        peer.answer(GetDataRequest, DATA, zxid=60)
        self.successResultOf(answer)
        self.assertEqual(peer.answer(SetWatchesRequest, zxid=61), SetWatchesRequest(60, ("/a",), (), ()))
        self.assertNoResult(watch)
        peer.event(CHANGED, "/a")
        self.assertEqual(self.successResultOf(watch), WatchedEvent(CHANGED, "/a"))

    def test_refused_others(self) -> None:
        """When the persistent watch is refused, the other kinds of watches are set as of the reads' own zxid, too."""
        client, peer = self.make_connected()
        ignore(client.add_watch("/a"))
        _, child = client.get_children_and_watch("/a")
        _, exist = client.exists_and_watch("/a")
        peer.answer(AddWatchRequest, err=-6, zxid=59)
        peer.answer(GetChildren2Request, NAMES, zxid=60)
        peer.answer(ExistsRequest, err=-101, zxid=61)
        found: list[SetWatchesRequest] = []
        while peer.packets:
            found.append(peer.answer(SetWatchesRequest, zxid=62))
        self.assertEqual([path for each in found for path in each.childWatches], ["/a"])
        self.assertEqual([path for each in found for path in each.existWatches], ["/a"])
        self.assertEqual([path for each in found for path in each.dataWatches], [])
        self.assertEqual([each.relativeZxid for each in found if each.childWatches], [60])
        peer.event(CREATED, "/a")
        self.assertEqual(self.successResultOf(exist), WatchedEvent(CREATED, "/a"))
        peer.event(CHILD, "/a")
        self.assertEqual(self.successResultOf(child), WatchedEvent(CHILD, "/a"))

    def test_refused_and_set_again(self) -> None:
        """On the next connection it is an ordinary watch."""
        client, peer = self.make_connected()
        ignore(client.add_watch("/a"))
        ignore(client.get_and_watch("/a")[1])
        peer.answer(AddWatchRequest, err=-6)
        peer.answer(GetDataRequest, DATA, zxid=60)
        peer.answer(SetWatchesRequest, zxid=61)
        again = self.reconnect(peer)
        self.assertEqual(again.take(SetWatchesRequest)[1].dataWatches, ("/a",))
        self.assertEqual(again.packets, [])

    def test_removed_before_the_read_is_answered(self) -> None:
        """A persistent watch that is taken away between the read and its answer: the read's watch is not lost."""
        client, peer = self.make_connected()
        self.add(client, peer, "/a")
        removed = client.remove_watches("/a", WatchKind.ANY)
        _, watch = client.get_and_watch("/a")
        peer.answer(RemoveWatchesRequest)
        self.successResultOf(removed)
        flagged = peer.answer(GetDataRequest, DATA, zxid=60).watch
        if not flagged:
            self.assertEqual(peer.answer(SetWatchesRequest).dataWatches, ("/a",))
        peer.event(CHANGED, "/a")
        self.assertEqual(self.successResultOf(watch), WatchedEvent(CHANGED, "/a"))

    def test_feed_reads(self) -> None:
        """The feed's own reads are treated likewise, and the feed has each event once."""
        client, peer = self.make_connected()
        self.add(client, peer, "/a")
        ignore(client.read_data("/a"))
        self.assertIs(peer.answer(GetDataRequest, DATA).watch, False)
        peer.event(CHANGED, "/a")
        self.assertEqual(self.watch_events(), [WatchedEvent(CHANGED, "/a")])

    def test_survives_the_connection(self) -> None:
        """Such a watch fires with the events that the server sends after a reconnection."""
        client, peer = self.make_connected()
        self.add(client, peer, "/a")
        watch = self.read("data", client, peer, "/a", watch=False)
        again = self.reconnect(peer)
        request = again.answer(SetWatches2Request)
        self.assertEqual((request.dataWatches, request.persistentWatches), (("/a",), ("/a",)))
        again.event(CHANGED, "/a")
        self.assertEqual(self.successResultOf(watch), WatchedEvent(CHANGED, "/a"))
        # The path's kind at the server is the persistent one again: the next read goes without the flag.
        ignore(self.read("data", client, again, "/a", watch=False))
