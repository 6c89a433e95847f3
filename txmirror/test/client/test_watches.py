"""Watches: when one is set, which watches an event removes, and how they are set again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import LogLevel
from twisted.trial.unittest import SynchronousTestCase

from txmirror.client import Limits
from txmirror.client.connection.calls import Call
from txmirror.client.session.persistent_watches import PersistentWatches
from txmirror.client.session.watch_tables import SetWatchesPacket, WatchSet, packets
from txmirror.client.session.watches import SessionWatches
from txmirror.errors import (
    ConnectionLossException,
    NoAuthException,
    NoNodeException,
    NoWatcherException,
    ProtocolError,
    SessionExpiredException,
    ThrottledOpException,
    UnimplementedException,
    ZooKeeperException,
)
from txmirror.test.client.peer import STAT, ClientTestCase, Peer, event, ignore, reply
from txmirror.types import EventType, SessionEvent, SessionState, WatchedEvent, WatchKind
from txmirror.wire import (
    AUTH_XID,
    LAST_XID,
    Cursor,
    ExistsRequest,
    GetChildren2Request,
    GetChildren2Response,
    GetDataRequest,
    GetDataResponse,
    Operation,
    RemoveWatchesRequest,
    SetWatchesRequest,
    StatResponse,
)

DATA = GetDataResponse(b"", STAT)
NAMES = GetChildren2Response(["x"], STAT)
PACKET_LIMIT = 128 * 1024

names = st.text("abcdefghij/é", min_size=1, max_size=40)
watch_tables = st.lists(names, max_size=30, unique=True)


def make_watches(data: list[str], exist: list[str], child: list[str]) -> WatchSet:
    watches = WatchSet()
    watches.data = {path: [] for path in data}
    watches.exist = {path: [] for path in exist}
    watches.child = {path: [] for path in child}
    return watches


def tables(watches: WatchSet) -> tuple[list[str], list[str], list[str]]:
    return list(watches.data), list(watches.exist), list(watches.child)


class UsedUpTests(SynchronousTestCase):
    """Which watches an event uses up: by the Java client's ``ZKWatchManager.materialize``."""

    def left_by(self, kind: EventType) -> tuple[bool, bool, bool]:
        """Which of data, exist and child watches are left on a node with all three."""
        watches = make_watches(["/a", "/b"], ["/a", "/b"], ["/a", "/b"])
        watches.fire(WatchedEvent(kind, "/a"))
        for table in tables(watches):
            self.assertIn("/b", table)
        data, exist, child = tables(watches)
        return "/a" in data, "/a" in exist, "/a" in child

    def test_created(self) -> None:
        """A creation uses up data and existence watches (C8)."""
        self.assertEqual(self.left_by(EventType.CREATED), (False, False, True))

    def test_changed(self) -> None:
        """A change of data uses up data and existence watches (C8)."""
        self.assertEqual(self.left_by(EventType.CHANGED), (False, False, True))

    def test_deleted(self) -> None:
        """A deletion uses up all watches (C8)."""
        self.assertEqual(self.left_by(EventType.DELETED), (False, False, False))

    def test_child(self) -> None:
        """A change of children uses up the child watch alone (C8)."""
        self.assertEqual(self.left_by(EventType.CHILD), (True, True, False))

    def test_removed(self) -> None:
        """The removal of a watch is no change of the node, and removes no other watch (C8)."""
        self.assertEqual(self.left_by(EventType.DATA_WATCH_REMOVED), (True, True, True))
        self.assertEqual(self.left_by(EventType.CHILD_WATCH_REMOVED), (True, True, True))

    def test_waiters(self) -> None:
        """The Deferreds of the removed watches are returned, each once."""
        watches = WatchSet()
        waiters: list[Deferred[WatchedEvent]] = [Deferred() for _ in range(4)]
        watches.data["/a"] = waiters[:2]
        watches.exist["/a"] = waiters[2:3]
        watches.child["/a"] = waiters[3:]
        self.assertEqual(watches.fire(WatchedEvent(EventType.DELETED, "/a")), waiters)
        self.assertEqual(watches.fire(WatchedEvent(EventType.DELETED, "/a")), [])

    def test_no_watch(self) -> None:
        """An event without a watch uses nothing up."""
        for kind in EventType:
            self.assertEqual(WatchSet().fire(WatchedEvent(kind, "/a")), [])


class PacketTests(SynchronousTestCase):
    def assert_packets(self, watches: WatchSet) -> list[SetWatchesPacket]:
        """All the watches are in packets, once each and in order, and every packet is in bounds."""
        said_in = list(packets(77, watches, PersistentWatches()))
        said: tuple[list[str], list[str], list[str]] = ([], [], [])
        for packet in said_in:
            self.assertIsInstance(packet, SetWatchesRequest)
            self.assertEqual(packet.relativeZxid, 77)
            self.assertLess(4 + 8 + len(packet.encode()), PACKET_LIMIT)
            groups = (packet.dataWatches, packet.existWatches, packet.childWatches)
            self.assertTrue(any(groups), "an empty packet")
            for whole, group in zip(said, groups, strict=True):
                whole.extend(group)
        self.assertEqual(said, tables(watches))
        return said_in

    def test_none(self) -> None:
        """Nothing to set is no packet at all."""
        self.assertEqual(self.assert_packets(WatchSet()), [])

    def test_few(self) -> None:
        """Few watches are one packet."""
        self.assertEqual(
            self.assert_packets(make_watches(["/a"], ["/b"], ["/a", "/c"])),
            [SetWatchesRequest(77, ("/a",), ("/b",), ("/a", "/c"))],
        )

    def test_many(self) -> None:
        """Rule 5: many watches are packets under 128 KiB, as full as they can be, complete, and none empty (C6)."""
        paths = [f"/some/where/{number:06d}" for number in range(20_000)]
        said_in = self.assert_packets(make_watches(paths, paths[:7000], paths[3000:]))
        self.assertEqual(len(said_in), -(-44_000 * 22 // (PACKET_LIMIT - 64)))

    def test_long_paths(self) -> None:
        """Rule 5: the limit is one of bytes, not of characters."""
        paths = [f"/{'é' * 10_000}{number}" for number in range(50)]
        self.assert_packets(make_watches(paths, [], paths))

    def test_longest_path(self) -> None:
        """A path that is over the limit by itself has a packet of its own."""
        long = "/" + "x" * PACKET_LIMIT
        said_in = list(packets(1, make_watches(["/a", long, "/b"], [], []), PersistentWatches()))
        self.assertEqual([packet.dataWatches for packet in said_in], [("/a",), (long,), ("/b",)])
        said_in = list(packets(1, make_watches([long], [long], []), PersistentWatches()))
        self.assertEqual(said_in, [SetWatchesRequest(1, (long,), (), ()), SetWatchesRequest(1, (), (long,), ())])

    @given(watch_tables, watch_tables, watch_tables, st.integers(1, 200))
    def test_any(self, data: list[str], exist: list[str], child: list[str], copies: int) -> None:
        """Rule 5: for any watches, all are sent, once each, in packets within the limit."""
        longer = [path * copies * 5 for path in data]
        self.assert_packets(make_watches(longer, exist, child))

    @given(watch_tables, watch_tables, watch_tables)
    def test_round_trip(self, data: list[str], exist: list[str], child: list[str]) -> None:
        """A packet contains the watches from which it was made."""
        watches = make_watches(data, exist, child)
        for packet in packets(1, watches, PersistentWatches()):
            self.assertEqual(tables(watches.part(packet)), (data, exist, child))


class TableTests(SynchronousTestCase):
    def test_merge(self) -> None:
        """Watches that are taken over keep their Deferreds."""
        mine, theirs = WatchSet(), WatchSet()
        first: Deferred[WatchedEvent] = Deferred()
        second: Deferred[WatchedEvent] = Deferred()
        mine.data["/a"] = [first]
        theirs.data["/a"] = [second]
        theirs.child["/b"] = []
        mine.merge(theirs)
        self.assertEqual(tables(mine), (["/a"], [], ["/b"]))
        self.assertEqual(mine.data["/a"], [first, second])

    def test_remove(self) -> None:
        """A kind of watches is removed from one path alone; existence goes with data, as at the server."""
        expected = {
            WatchKind.DATA: (["/b"], ["/b"], ["/a", "/b"]),
            WatchKind.CHILDREN: (["/a", "/b"], ["/a", "/b"], ["/b"]),
            WatchKind.ANY: (["/b"], ["/b"], ["/b"]),
        }
        for kind, left in expected.items():
            watches = make_watches(["/a", "/b"], ["/a", "/b"], ["/a", "/b"])
            watches.remove("/a", kind)
            self.assertEqual(tables(watches), left)

    def test_length(self) -> None:
        """The length is that of all kinds together."""
        self.assertEqual(len(make_watches(["/a"], ["/b"], ["/a", "/c"])), 4)


class BringingOverTests(SynchronousTestCase):
    """Watches of a former session, on their way into this one."""

    def setUp(self) -> None:
        self.watches = SessionWatches(lambda ended: None)
        calls: list[Call[None]] = []
        self.done = self.watches.bring_over(5, make_watches(["/d", "/e"], ["/x"], ["/c"]), calls.append)
        [self.call] = calls
        self.call.xid = 1

    def answer(self, err: int = 0) -> None:
        assert self.call.on_reply is not None
        self.call.on_reply(err, 1)
        if err:
            self.call.refuse(err, 1)
        else:
            self.call.succeed(None)

    def test_before_the_reply(self) -> None:
        """Rule 4: before the reply they do not stand yet."""
        self.assertEqual(len(self.watches.established), 0)

    def test_after_the_reply(self) -> None:
        """Rule 4: with the reply they stand."""
        self.answer()
        self.successResultOf(self.done)
        self.assertEqual(tables(self.watches.established), (["/d", "/e"], ["/x"], ["/c"]))

    def test_refused(self) -> None:
        """Rule 4: when the server refuses, they never stand."""
        self.answer(-6)
        self.failureResultOf(self.done, UnimplementedException)
        self.assertEqual(len(self.watches.established), 0)

    def test_cut_off(self) -> None:
        """Rule 4: when the connection goes, they never stand, and an event that follows finds nothing."""
        self.call.fail(ConnectionLossException())
        self.failureResultOf(self.done, ConnectionLossException)
        self.watches.fire(WatchedEvent(EventType.DELETED, "/d"))
        self.assertEqual(len(self.watches.established), 0)

    def test_event_before_the_reply(self) -> None:
        """A watch that fires before the reply is removed, and does not exist afterwards."""
        self.watches.fire(WatchedEvent(EventType.CHANGED, "/d"))
        self.watches.fire(WatchedEvent(EventType.CREATED, "/x"))
        self.watches.fire(WatchedEvent(EventType.CHILD, "/c"))
        self.answer()
        self.successResultOf(self.done)
        self.assertEqual(tables(self.watches.established), (["/e"], [], []))

    def bring_over(self, xid: int) -> tuple[Call[None], Deferred[WatchedEvent]]:
        """Request one more watch on ``/d`` in a packet of its own, and return its Deferred."""
        waiter: Deferred[WatchedEvent] = Deferred()
        watches = WatchSet()
        watches.data["/d"] = [waiter]
        calls: list[Call[None]] = []
        ignore(self.watches.bring_over(9, watches, calls.append))
        [call] = calls
        call.xid = xid
        return call, waiter

    def fire(self) -> list[Deferred[WatchedEvent]]:
        return self.watches.fire(WatchedEvent(EventType.CHANGED, "/d"))

    def test_event_for_the_one_before(self) -> None:
        """The events of one packet do not fire watches that were requested later, as of a later transaction."""
        call, waiter = self.bring_over(2)
        self.assertEqual(self.fire(), [])
        self.assertNoResult(waiter)
        self.answer()
        self.assertEqual(self.fire(), [waiter])
        assert call.on_reply is not None
        call.on_reply(0, 9)
        self.assertEqual(tables(self.watches.established), (["/e"], ["/x"], ["/c"]))

    def test_event_for_the_one_cancelled(self) -> None:
        """The watch fires after the cancelling of the earlier packet, too."""
        self.done.cancel()
        self.failureResultOf(self.done, CancelledError)
        _, waiter = self.bring_over(2)
        self.assertEqual(self.fire(), [])
        assert self.call.on_reply is not None
        self.call.on_reply(0, 1)
        self.assertEqual(self.fire(), [waiter])

    def test_not_sent(self) -> None:
        """A packet that waits to be sent is no matter of an event; one that overtakes it is."""
        _, queued = self.bring_over(0)
        self.answer()
        self.fire()
        _, waiter = self.bring_over(3)
        self.assertEqual(self.fire(), [waiter])
        self.assertNoResult(queued)

    def test_cancelled_before_it_was_sent(self) -> None:
        """Then the next event is for the packet behind it."""
        self.call.xid = 0
        self.done.cancel()
        self.failureResultOf(self.done, CancelledError)
        _, waiter = self.bring_over(4)
        self.assertEqual(self.fire(), [waiter])

    def test_numbers_that_wrap(self) -> None:
        """The packet that was sent first is known by its number, where the numbers have begun anew too."""
        _, later = self.bring_over(1)
        self.call.xid = LAST_XID
        self.assertEqual(self.fire(), [])
        self.answer()
        self.assertEqual(self.fire(), [later])

    def test_while_others_are_set_again(self) -> None:
        """Behind those that are set again on a connection: events are theirs until they are answered."""
        again: list[Call[None]] = []
        waiter: Deferred[WatchedEvent] = Deferred()
        self.answer()
        self.watches.established.data["/d"] = [waiter]
        self.watches.rearm(again.append, 7, True)
        [first] = again
        _, later = self.bring_over(3)
        self.assertEqual(self.fire(), [waiter])
        assert first.on_reply is not None
        first.on_reply(0, 9)
        self.assertEqual(self.fire(), [later])

    def test_cut_off_and_cancelled(self) -> None:
        """Requests that were cancelled in flight when the connection was lost are forgotten on the next connection."""
        self.done.cancel()
        self.failureResultOf(self.done, CancelledError)
        self.watches.rearm(self.fail, 7, True)
        _, waiter = self.bring_over(2)
        self.assertEqual(self.fire(), [waiter])


class RecordingTests(ClientTestCase):
    """The established watches are those that are set again after a reconnection."""

    def assert_set_again(
        self, peer: Peer, data: tuple[str, ...] = (), exist: tuple[str, ...] = (), child: tuple[str, ...] = ()
    ) -> None:
        again = self.reconnect(peer)
        if data or exist or child:
            _, request = again.take(SetWatchesRequest)
            self.assertEqual((request.dataWatches, request.existWatches, request.childWatches), (data, exist, child))
        self.assertEqual(again.packets, [])

    def test_data(self) -> None:
        """Rule 4: a ``get`` leaves a data watch."""
        client, peer = self.make_connected()
        ignore(client.get_and_watch("/a")[1])
        ignore(client.read_data("/b"))
        for _ in range(2):
            self.assertTrue(peer.answer(GetDataRequest, DATA).watch)
        self.assert_set_again(peer, data=("/a", "/b"))

    def test_data_of_a_missing_node(self) -> None:
        """Rule 4: a ``get`` on a missing node leaves none (C2, C15)."""
        client, peer = self.make_connected()
        for deferred in (*client.get_and_watch("/a"), client.read_data("/b")):
            ignore(deferred)
        peer.answer(GetDataRequest, err=-101)
        peer.answer(GetDataRequest, err=-101)
        self.assert_set_again(peer)

    def test_children(self) -> None:
        """Rule 4: ``get_children`` leaves a child watch."""
        client, peer = self.make_connected()
        ignore(client.get_children_and_watch("/a")[1])
        ignore(client.read_children("/b"))
        for _ in range(2):
            self.assertTrue(peer.answer(GetChildren2Request, NAMES).watch)
        self.assert_set_again(peer, child=("/a", "/b"))

    def test_children_of_a_missing_node(self) -> None:
        """Rule 4: ``get_children`` on a missing node leaves none (C2)."""
        client, peer = self.make_connected()
        for deferred in client.get_children_and_watch("/a"):
            ignore(deferred)
        peer.answer(GetChildren2Request, err=-101)
        self.assert_set_again(peer)

    def test_existence(self) -> None:
        """Rule 4: an ``exists`` leaves a data watch on a node that is there, and an existence watch on one that is
        not (C2)."""
        client, peer = self.make_connected()
        for path in ("/there", "/missing"):
            ignore(client.exists_and_watch(path)[1])
        ignore(client.read_existence("/there2"))
        ignore(client.read_existence("/missing2"))
        for err in (0, -101, 0, -101):
            self.assertTrue(peer.answer(ExistsRequest, b"" if err else StatResponse(STAT), err=err).watch)
        self.assert_set_again(peer, data=("/there", "/there2"), exist=("/missing", "/missing2"))

    def test_refused(self) -> None:
        """Rule 4: a refused read leaves no watch (C2)."""
        client, peer = self.make_connected()
        for deferred in (*client.get_and_watch("/a"), *client.exists_and_watch("/b")):
            ignore(deferred)
        peer.answer(GetDataRequest, err=-102)
        peer.answer(ExistsRequest, err=-102)
        self.assert_set_again(peer)

    def test_cut_off(self) -> None:
        """Rule 4: a read whose reply is lost leaves no watch."""
        client, peer = self.make_connected()
        ignore(client.read_data("/a"))
        self.assertEqual(len(peer.packets), 1)
        self.assert_set_again(peer)

    def test_no_watch_asked_for(self) -> None:
        """Reads without a watch ask for none, and leave none."""
        client, peer = self.make_connected()
        ignore(client.get("/a"))
        ignore(client.exists("/a"))
        ignore(client.get_children("/a"))
        self.assertFalse(peer.answer(GetDataRequest, DATA).watch)
        self.assertFalse(peer.answer(ExistsRequest, StatResponse(STAT)).watch)
        self.assertFalse(peer.answer(GetChildren2Request, NAMES).watch)
        self.assert_set_again(peer)

    def test_release_before_the_reply(self) -> None:
        """A release while reads with a watch are on their way leaves the watches; later it removes them, if none is needed."""
        client, peer = self.make_connected()
        first, second = client.exists_and_watch("/a"), client.get_and_watch("/a")
        self.successResultOf(client.release("/a"))
        peer.answer(ExistsRequest, StatResponse(STAT))
        second[1].cancel()
        ignore(second[1])
        first[1].addErrback(lambda _: None).cancel()
        self.successResultOf(client.release("/a"))
        peer.answer(GetDataRequest, err=-102)
        self.failureResultOf(second[0], NoAuthException)
        released = client.release("/a")
        self.assertNoResult(released)
        peer.answer(RemoveWatchesRequest)
        self.successResultOf(released)
        third = client.get_and_watch("/a")
        self.successResultOf(client.release("/a"))
        peer.answer(GetDataRequest, DATA)
        peer.event(EventType.DELETED, "/a")
        self.assertEqual(self.successResultOf(third[1]).type, EventType.DELETED)

    def test_release_after_a_lost_read(self) -> None:
        """A read that has failed with its connection is not on its way any more."""
        client, peer = self.make_connected()
        read, watch = client.get_and_watch("/a")
        ignore(watch)
        self.settle()
        again = self.reconnect(peer)
        self.failureResultOf(read, ConnectionLossException)
        released = client.release("/a")
        again.answer(RemoveWatchesRequest, err=-121)
        self.assertIsNotNone(self.failureResultOf(released, NoWatcherException))

    def test_cancelled(self) -> None:
        """Rule 12: the watch of a read that was cancelled on the wire stands, because the server has it (E7)."""
        client, peer = self.make_connected()
        read = client.read_data("/a")
        self.settle()
        read.cancel()
        self.failureResultOf(read, CancelledError)
        peer.answer(GetDataRequest, DATA)
        self.assert_set_again(peer, data=("/a",))

    def test_used_up(self) -> None:
        """A watch that has fired is not set again."""
        client, peer = self.make_connected()
        ignore(client.read_data("/a"))
        peer.answer(GetDataRequest, DATA)
        peer.event(EventType.CHANGED, "/a")
        self.assert_set_again(peer)

    def test_fires_once(self) -> None:
        """One event fires all watches on the same node, each once."""
        client, peer = self.make_connected()
        watches = [
            client.get_and_watch("/a")[1],
            client.exists_and_watch("/a")[1],
            client.get_children_and_watch("/a")[1],
        ]
        peer.answer(GetDataRequest, DATA)
        peer.answer(ExistsRequest, StatResponse(STAT))
        peer.answer(GetChildren2Request, NAMES)
        changed = WatchedEvent(EventType.CHANGED, "/a")
        peer.event(*changed[:2])
        self.assertEqual([self.successResultOf(watch) for watch in watches[:2]], [changed, changed])
        self.assertNoResult(watches[2])
        peer.event(EventType.CHILD, "/a")
        self.assertEqual(self.successResultOf(watches[2]), WatchedEvent(EventType.CHILD, "/a"))
        self.assertEqual(len(self.watch_events()), 2)

    def test_several_events_of_one_transaction(self) -> None:
        """Events with the same zxid, and even the same path and type, are each reported, and remove their watches; no
        Deferred fires twice (C3, C14).
        """
        client, peer = self.make_connected()
        _, data = client.get_and_watch("/a")
        _, children = client.get_children_and_watch("/a")
        _, other = client.get_and_watch("/b")
        peer.answer(GetDataRequest, DATA)
        peer.answer(GetChildren2Request, NAMES)
        peer.answer(GetDataRequest, DATA)
        events = [
            WatchedEvent(EventType.DELETED, "/a", 90),
            WatchedEvent(EventType.DELETED, "/a", 90),
            WatchedEvent(EventType.CREATED, "/a", 90),
            WatchedEvent(EventType.CHANGED, "/b", 90),
        ]
        peer.send(*(event(kind, path, zxid=zxid or 0) for kind, path, zxid in events))
        self.assertEqual(self.watch_events(), events)
        for watch in (data, children):
            self.assertEqual(self.successResultOf(watch), events[0])
        self.assertEqual(self.successResultOf(other), events[3])
        self.assertFalse(peer.lost)

    def test_watch_of_a_failed_read(self) -> None:
        """The watch of a read that failed never fires."""
        client, peer = self.make_connected()
        read, watch = client.get_and_watch("/a")
        peer.answer(GetDataRequest, err=-101)
        self.failureResultOf(read, NoNodeException)
        peer.event(EventType.CREATED, "/a")
        self.assertNoResult(watch)

    def test_cancelled_watch(self) -> None:
        """A cancelled watch does not fire, and its event does no harm."""
        client, peer = self.make_connected()
        _, cancelled = client.get_and_watch("/a")
        _, other = client.get_and_watch("/a")
        peer.answer(GetDataRequest, DATA)
        peer.answer(GetDataRequest, DATA)
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        peer.event(EventType.CHANGED, "/a")
        self.successResultOf(other)

    def test_watch_again_from_a_watcher(self) -> None:
        """A callback that reads again with a watch, when its watch fires, keeps the new watch."""
        client, peer = self.make_connected()
        _, watch = client.get_and_watch("/a")
        peer.answer(GetDataRequest, DATA)
        watch.addCallback(lambda _: ignore(client.read_data("/a")))
        peer.event(EventType.CHANGED, "/a")
        peer.answer(GetDataRequest, DATA)
        self.assert_set_again(peer, data=("/a",))

    def test_survives_the_connection(self) -> None:
        """Rule 5: a watch that was set again on a new connection fires the Deferred from the old one (C1, C5)."""
        client, peer = self.make_connected()
        _, watch = client.get_and_watch("/a")
        peer.answer(GetDataRequest, DATA)
        again = self.reconnect(peer)
        again.answer(SetWatchesRequest)
        self.assertNoResult(watch)
        again.event(EventType.DELETED, "/a")
        self.assertEqual(self.successResultOf(watch).type, EventType.DELETED)

    def test_ends_with_the_session(self) -> None:
        """With the session its watches fail, and the next session sets none again (C16)."""
        client, peer = self.make_connected()
        _, watch = client.get_and_watch("/a")
        peer.answer(GetDataRequest, DATA)
        self.reconnect(peer, accept=False).expire()
        self.failureResultOf(watch, SessionExpiredException)
        self.pass_time(0.5)
        self.server.peer.accept(session_id=5)
        self.assertEqual(self.server.peer.packets, [])


class RelativeZxidTests(ClientTestCase):
    """Rule 5: the zxid of setWatches."""

    def setUp(self) -> None:
        super().setUp()
        self.client, self.peer = self.make_connected()
        ignore(self.client.read_data("/watched"))
        self.peer.answer(GetDataRequest, DATA, zxid=50)

    def relative_zxid(self) -> int:
        self.peer = self.reconnect(self.peer)
        _, request = self.peer.take(SetWatchesRequest)
        return request.relativeZxid

    def test_last_reply(self) -> None:
        """Rule 5: the zxid of setWatches is that of the last reply (C5, C6)."""
        self.show_zxid(self.client, self.peer, 60)
        self.assertEqual(self.relative_zxid(), 60)

    def test_failed_reply(self) -> None:
        """Rule 5: a reply with an error has a zxid too."""
        ignore(self.client.get("/a"))
        self.peer.answer(GetDataRequest, err=-101, zxid=61)
        self.assertEqual(self.relative_zxid(), 61)

    def test_no_event(self) -> None:
        """Rule 5: the zxid of setWatches is never an event's: others of the same transaction may still be unsent (D5)."""
        self.peer.event(EventType.CHANGED, "/other", zxid=90)
        self.assertEqual(self.relative_zxid(), 50)

    def test_asked_for_too(self) -> None:
        """A watch that is being set again is not sent twice if a listener requests it as of the feed's zxid."""

        def listen(news: SessionEvent | WatchedEvent) -> None:
            if isinstance(news, SessionEvent) and news.state is SessionState.CONNECTED:
                ignore(self.client.set_watches(news.zxid, ["/watched", "/another"]))

        self.client.add_listener(listen)
        again = self.reconnect(self.peer)
        sent = [again.take(SetWatchesRequest)[1] for _ in range(2)]
        self.assertEqual([request.dataWatches for request in sent], [("/watched",), ("/another",)])
        self.assertEqual(again.packets, [])

    def test_no_ping(self) -> None:
        """Rule 5: the zxid of setWatches is never a ping's (D5)."""
        self.peer.answers_pings = False
        self.pass_time(4)
        self.peer.pong(zxid=90)
        self.assertEqual(self.relative_zxid(), 50)

    def test_no_auth(self) -> None:
        """Rule 5: the zxid of setWatches is never that of the answer to an identity (D5)."""
        ignore(self.client.add_auth("digest", b"u:p"))
        self.peer.send(reply(AUTH_XID, zxid=90))
        again = self.reconnect(self.peer)
        again.answer_auth()
        self.assertEqual(again.take(SetWatchesRequest)[1].relativeZxid, 50)

    def test_positive(self) -> None:
        """Rule 5: a reply without a positive zxid changes nothing (D5)."""
        for zxid in (0, -1):
            ignore(self.client.get("/a"))
            self.peer.answer(GetDataRequest, DATA, zxid=zxid)
        self.assertEqual(self.relative_zxid(), 50)

    def test_handshake_floor_without_events(self) -> None:
        """Rule 5: an event's zxid is not claimed to have been seen in a handshake either (D5)."""
        self.peer.event(EventType.CHANGED, "/other", zxid=90)
        self.assertEqual(self.reconnect(self.peer, accept=False).hello.lastZxidSeen, 50)

    def test_in_the_feed(self) -> None:
        """Session events have the zxid up to which the client has seen everything."""
        self.show_zxid(self.client, self.peer, 60)
        self.peer.drop()
        self.assertEqual(self.feed[-1], SessionEvent(SessionState.SUSPENDED, 1, 0, 60))


class RearmingTests(ClientTestCase):
    def watch_many(self, count: int, zxid: int = 50) -> tuple[Peer, list[str]]:
        """Watch so many nodes that setting them again takes several packets."""
        client, peer = self.make_connected()
        self.client = client
        paths = [f"/{number:04d}{'x' * 1000}" for number in range(count)]
        for path in paths:
            ignore(client.read_data(path))
        while peer.packets:
            peer.send(*(reply(packet.xid, DATA, zxid=zxid) for packet in peer.packets))
            peer.packets.clear()
        return peer, paths

    def test_all_in_packets(self) -> None:
        """Rule 5: all watches are set again, in several packets under 128 KiB where one would be too long (C1, C6)."""
        peer, paths = self.watch_many(300)
        again = self.reconnect(peer)
        said: list[str] = []
        lengths = [packet.length for packet in again.packets]
        while again.packets:
            said.extend(again.take(SetWatchesRequest)[1].dataWatches)
        self.assertEqual(said, paths)
        self.assertEqual(len(lengths), 3)
        self.assertLess(max(lengths), PACKET_LIMIT)

    def test_cut_between_packets(self) -> None:
        """Rule 5: when the connection is lost between two packets, the zxid has not moved, and the missed events come
        again.
        """
        peer, _ = self.watch_many(300, zxid=50)
        again = self.reconnect(peer)
        again.answer(SetWatchesRequest, zxid=90)
        third = self.reconnect(again)
        zxids = {third.take(SetWatchesRequest)[1].relativeZxid for _ in range(3)}
        self.assertEqual(zxids, {50})

    def test_cut_before_any_answer(self) -> None:
        """Rule 5: when the connection goes before any answer, everything is set again as before."""
        peer, _ = self.watch_many(10)
        again = self.reconnect(peer)
        _, first = again.take(SetWatchesRequest)
        _, second = self.reconnect(again).take(SetWatchesRequest)
        self.assertEqual(first, second)

    def test_events_between_packets(self) -> None:
        """Rule 5: a watch that an event has removed between two packets is not set again after a cut; the others are."""
        peer, paths = self.watch_many(300)
        again = self.reconnect(peer)
        again.event(EventType.CHANGED, paths[0])
        again.answer(SetWatchesRequest, zxid=90)
        third = self.reconnect(again)
        said = [path for _ in range(3) for path in third.take(SetWatchesRequest)[1].dataWatches]
        self.assertEqual(said, paths[1:])

    def test_moves_on_afterwards(self) -> None:
        """Rule 5: once every packet is answered, the zxid moves on with the replies that follow."""
        peer, _ = self.watch_many(300)
        again = self.reconnect(peer)
        for _ in range(3):
            again.answer(SetWatchesRequest, zxid=90)
        self.show_zxid(self.client, again, 95)
        self.assertEqual(self.reconnect(again).take(SetWatchesRequest)[1].relativeZxid, 95)

    def test_moves_on_after_a_cut(self) -> None:
        """Rule 5: the zxid moves on after an earlier attempt to set the watches again was cut off, too."""
        peer, _ = self.watch_many(300)
        again = self.reconnect(peer)
        again.answer(SetWatchesRequest, zxid=90)
        third = self.reconnect(again)
        for _ in range(3):
            third.answer(SetWatchesRequest, zxid=91)
        self.show_zxid(self.client, third, 95)
        self.assertEqual(self.reconnect(third).take(SetWatchesRequest)[1].relativeZxid, 95)

    def test_queued_behind_the_packets(self) -> None:
        """Rule 5: a reply to a queued request, which comes behind all packets, moves the zxid."""
        peer, _ = self.watch_many(3)
        peer.drop()
        read = self.client.get("/a")
        again = self.reconnect(peer)
        again.answer(SetWatchesRequest, zxid=90)
        again.answer(GetDataRequest, DATA, zxid=91)
        self.successResultOf(read)
        self.assertEqual(self.reconnect(again).take(SetWatchesRequest)[1].relativeZxid, 91)

    def test_floor_while_rearming(self) -> None:
        """Rule 5: while watches are being set again, the handshake's zxid still moves with every reply."""
        peer, _ = self.watch_many(300)
        again = self.reconnect(peer)
        again.answer(SetWatchesRequest, zxid=90)
        self.assertEqual(self.reconnect(again, accept=False).hello.lastZxidSeen, 90)

    def test_refused(self) -> None:
        """If a server refuses to set watches again, their Deferreds fail, and the log has a warning (C13)."""
        client, peer = self.make_connected()
        _, watch = client.get_and_watch("/a")
        peer.answer(GetDataRequest, DATA)
        again = self.reconnect(peer)
        again.answer(SetWatchesRequest, err=-6)
        self.failureResultOf(watch, UnimplementedException)
        self.assertIn("set again", "\n".join(self.log_lines(LogLevel.warn)))
        self.assertEqual(self.reconnect(again).packets, [])

    def test_feed_order(self) -> None:
        """Rule 5: the missed events come on the feed after the session event of the reconnection."""
        client, peer = self.make_connected()
        ignore(client.read_data("/a"))
        peer.answer(GetDataRequest, DATA)
        again = self.reconnect(peer)
        again.event(EventType.CHANGED, "/a")
        self.assertIsInstance(self.feed[-2], SessionEvent)
        self.assertEqual(self.feed[-1], WatchedEvent(EventType.CHANGED, "/a"))


class SetWatchesTests(ClientTestCase):
    """``set_watches``: watches of a former session."""

    def test_request(self) -> None:
        """set_watches() sends the given paths, relative to the given zxid."""
        client, peer = self.make_connected()
        done = client.set_watches(33, data=["/d"], exist=["/x"], children=["/c", "/d"])
        request = peer.answer(SetWatchesRequest)
        self.assertEqual(request, SetWatchesRequest(33, ("/d",), ("/x",), ("/c", "/d")))
        self.successResultOf(done)

    def test_set_again(self) -> None:
        """The watches of set_watches() belong to the session, and are set again on the next connection."""
        client, peer = self.make_connected()
        ignore(client.set_watches(33, data=["/d"], exist=["/x"], children=["/c"]))
        peer.answer(SetWatchesRequest, zxid=70)
        _, request = self.reconnect(peer).take(SetWatchesRequest)
        self.assertEqual(request, SetWatchesRequest(70, ("/d",), ("/x",), ("/c",)))

    def test_owed_events_first(self) -> None:
        """set_watches() fires when all missed events were delivered, and have removed their watches."""
        client, peer = self.make_connected()
        order: list[object] = []
        client.add_listener(order.append)
        client.set_watches(33, data=["/d"], children=["/c"]).addCallback(lambda _: order.append("done"))
        xid, _ = peer.take(SetWatchesRequest)
        peer.event(EventType.CHANGED, "/d")
        peer.reply(xid)
        self.assertEqual(order, [WatchedEvent(EventType.CHANGED, "/d"), "done"])
        _, request = self.reconnect(peer).take(SetWatchesRequest)
        self.assertEqual((request.dataWatches, request.childWatches), ((), ("/c",)))

    def test_barrier(self) -> None:
        """Without paths it still waits for the server, behind the watches that the client sets again by itself."""
        client, peer = self.make_connected()
        ignore(client.read_data("/a"))
        peer.answer(GetDataRequest, DATA)
        again = self.reconnect(peer)
        done = client.set_watches(33)
        again.answer(SetWatchesRequest)
        self.assertNoResult(done)
        self.assertEqual(again.answer(SetWatchesRequest), SetWatchesRequest(33, (), (), ()))
        self.successResultOf(done)

    def test_many(self) -> None:
        """With several packets it fires with the reply to the last."""
        client, peer = self.make_connected()
        done = client.set_watches(33, data=[f"/{number:04d}{'x' * 1000}" for number in range(300)])
        self.assertEqual(peer.operations, [Operation.SET_WATCHES] * 3)
        for _ in range(3):
            self.assertNoResult(done)
            peer.answer(SetWatchesRequest)
        self.successResultOf(done)

    def test_refused(self) -> None:
        """If the server lacks the operation it fails, and nothing is set again later (C13)."""
        client, peer = self.make_connected()
        done = client.set_watches(33, data=["/d"])
        peer.answer(SetWatchesRequest, err=-6)
        self.failureResultOf(done, UnimplementedException)
        self.assertEqual(self.reconnect(peer).packets, [])

    def test_one_of_many_refused(self) -> None:
        """If one packet is refused it fails, once, when the last is answered."""
        client, peer = self.make_connected()
        done = client.set_watches(33, data=[f"/{number:04d}{'x' * 1000}" for number in range(300)])
        peer.answer(SetWatchesRequest, err=-5)
        peer.answer(SetWatchesRequest)
        self.assertNoResult(done)
        peer.answer(SetWatchesRequest)
        self.failureResultOf(done, ZooKeeperException)

    def test_cut_off(self) -> None:
        """When the connection goes before its answer it fails, and its watches are not taken for set."""
        client, peer = self.make_connected()
        done = client.set_watches(33, data=["/d"])
        peer.take(SetWatchesRequest)
        again = self.reconnect(peer)
        self.failureResultOf(done, ConnectionLossException)
        self.assertEqual(again.packets, [])

    def test_queued_for_a_session_that_ends(self) -> None:
        """Asked for without a connection, in a session that then ends, it fails, and the next session gets nothing."""
        client, peer = self.make_connected()
        peer.drop()
        done = client.set_watches(33, data=["/d"])
        self.reconnect(peer, accept=False).expire()
        self.failureResultOf(done, SessionExpiredException)
        self.pass_time(0.5)
        self.server.peer.accept(session_id=9)
        self.assertEqual(self.server.peer.packets, [])


class RemoveWatchesTests(ClientTestCase):
    def watch(self) -> Peer:
        self.client, peer = self.make_connected()
        ignore(self.client.read_data("/a"))
        peer.answer(GetDataRequest, DATA)
        ignore(self.client.read_children("/a"))
        peer.answer(GetChildren2Request, NAMES)
        return peer

    def test_removed(self) -> None:
        """Watches that were removed at the server are not set again; the other kind is."""
        peer = self.watch()
        done = self.client.remove_watches("/a", WatchKind.DATA)
        self.assertEqual(peer.answer(RemoveWatchesRequest), RemoveWatchesRequest("/a", 2))
        self.successResultOf(done)
        _, request = self.reconnect(peer).take(SetWatchesRequest)
        self.assertEqual((request.dataWatches, request.childWatches), ((), ("/a",)))

    def test_refused(self) -> None:
        """When the server knows of no such watch it fails."""
        peer = self.watch()
        done = self.client.remove_watches("/a", WatchKind.ANY)
        peer.answer(RemoveWatchesRequest, err=-121)
        self.failureResultOf(done, NoWatcherException)

    def test_nobody_is_told(self) -> None:
        """The server's own event for a removed watch is reported to no watcher."""
        client, peer = self.make_connected()
        _, watch = client.get_and_watch("/a")
        peer.answer(GetDataRequest, DATA)
        done = client.remove_watches("/a", WatchKind.DATA)
        xid, _ = peer.take(RemoveWatchesRequest)
        peer.event(EventType.DATA_WATCH_REMOVED, "/a")
        peer.reply(xid)
        self.successResultOf(done)
        self.assertNoResult(watch)


class RefusedTests(ClientTestCase):
    """Watches that a server does not set again, and such as nobody waits for any more."""

    def test_refused_for_a_while(self) -> None:
        """If a server refuses to set watches again, the next ``set_watches`` of a listener fails, and only that one: no watch is
        lost unnoticed."""
        client, peer = self.make_connected()
        ignore(client.read_data("/a"))
        peer.answer(GetDataRequest, GetDataResponse(b"", STAT))
        again = self.reconnect(peer)
        barrier, next_barrier = client.set_watches(100), client.set_watches(100)
        again.answer(SetWatchesRequest, err=-127)
        again.answer(SetWatchesRequest)
        self.failureResultOf(barrier, ThrottledOpException)
        again.answer(SetWatchesRequest)
        self.successResultOf(next_barrier)
        # What was refused does not stand, and is not set again.
        self.assertEqual(self.reconnect(again).packets, [])

    def test_refused_on_a_former_connection(self) -> None:
        """A refusal on one connection has no effect on the next."""
        client, peer = self.make_connected()
        ignore(client.read_data("/a"))
        peer.answer(GetDataRequest, GetDataResponse(b"", STAT))
        again = self.reconnect(peer)
        again.answer(SetWatchesRequest, err=-127)
        third = self.reconnect(again)
        barrier = client.set_watches(100)
        third.answer(SetWatchesRequest)
        self.successResultOf(barrier)

    def test_cancelled_on_its_way(self) -> None:
        """Rule 12: a watch of a cancelled request that fires before its reply is not entered (E7)."""
        client, peer = self.make_connected()
        done = client.set_watches(33, data=["/used", "/kept"])
        self.settle()
        done.cancel()
        self.failureResultOf(done, CancelledError)
        peer.event(EventType.CHANGED, "/used")
        peer.answer(SetWatchesRequest)
        _, request = self.reconnect(peer).take(SetWatchesRequest)
        self.assertEqual(request.dataWatches, ("/kept",))

    def test_within_the_limit(self) -> None:
        """Rule 11: packets that set watches are no longer than a request may be (C6)."""
        client, peer = self.make_connected(limits=Limits(max_request=1000))
        paths = [f"/{number:050d}" for number in range(100)]
        for path in paths:
            ignore(client.read_data(path))
            peer.answer(GetDataRequest, GetDataResponse(b"", STAT))
        again = self.reconnect(peer)
        self.assertLessEqual(max(packet.length for packet in again.packets), 1000)
        said: list[str] = []
        while again.packets:
            said.extend(again.answer(SetWatchesRequest).dataWatches)
        self.assertEqual(said, paths)
        done = client.set_watches(33, data=[f"{path}x" for path in paths])
        self.assertGreater(len(again.packets), 5)
        while again.packets:
            again.answer(SetWatchesRequest)
        self.successResultOf(done)

    def test_unreadable_reply(self) -> None:
        """Rule 4: a reply that cannot be read sets no watch."""
        client, peer = self.make_connected()
        read, watch = client.get_and_watch("/a")
        xid, _ = peer.take(GetDataRequest)
        peer.reply(xid, b"!")
        self.failureResultOf(read, ProtocolError)
        self.assertEqual(self.reconnect(peer).packets, [])
        self.assertNoResult(watch)


class SetAgainOnceTests(SynchronousTestCase):
    """Watches that are being set again on a connection, and are requested once more: they are not sent twice."""

    def setUp(self) -> None:
        self.watches = SessionWatches(lambda ended: None)
        self.watches.established = make_watches(["/d"], ["/x"], ["/c"])
        self.again: list[Call[None]] = []
        self.watches.rearm(self.again.append, 7, True)

    def bring_over(self, zxid: int, watches: WatchSet) -> tuple[SetWatchesRequest, Deferred[None]]:
        """Request watches as of a transaction; return the sent record."""
        calls: list[Call[None]] = []
        done = self.watches.bring_over(zxid, watches, calls.append)
        [call] = calls
        return SetWatchesRequest.decode(Cursor(call.body)), done

    def answer(self, err: int) -> None:
        [call] = self.again
        assert call.on_reply is not None
        call.on_reply(err, 9)

    def test_only_others(self) -> None:
        """Watches that are not being set again are sent, each kind by itself."""
        sent, _ = self.bring_over(7, make_watches(["/d", "/c"], ["/x", "/d"], ["/c", "/x"]))
        self.assertEqual(sent, SetWatchesRequest(7, ("/c",), ("/d",), ("/x",)))

    def test_as_of_another_transaction(self) -> None:
        """Watches as of another transaction are different ones: the changes in between fire them."""
        for zxid in (6, 8):
            sent, _ = self.bring_over(zxid, make_watches(["/d"], [], []))
            self.assertEqual(sent.dataWatches, ("/d",))

    def test_used_up(self) -> None:
        """A watch that has fired meanwhile is sent, because it is not set any more."""
        self.watches.fire(WatchedEvent(EventType.CHANGED, "/d"))
        sent, _ = self.bring_over(7, make_watches(["/d"], [], []))
        self.assertEqual(sent.dataWatches, ("/d",))

    def test_somebody_waits(self) -> None:
        """A watch with a Deferred is sent, so that its event fires it."""
        watches = WatchSet()
        watches.data["/d"] = [Deferred()]
        sent, _ = self.bring_over(7, watches)
        self.assertEqual(sent.dataWatches, ("/d",))

    def test_after_a_reply(self) -> None:
        """After the server's answer, established watches may be as of a later transaction, and are sent."""
        self.answer(0)
        sent, _ = self.bring_over(7, make_watches(["/d"], [], []))
        self.assertEqual(sent.dataWatches, ("/d",))

    def test_nothing_was_set_again(self) -> None:
        """Watches of a connection that had nothing to set again are sent."""
        self.watches.established = WatchSet()
        self.watches.rearm(self.fail, 7, True)
        self.watches.established = make_watches(["/d"], [], [])
        sent, _ = self.bring_over(7, make_watches(["/d"], [], []))
        self.assertEqual(sent.dataWatches, ("/d",))

    def test_refused(self) -> None:
        """If the server refuses to set them again, the request for them fails too."""
        calls: list[Call[None]] = []
        done = self.watches.bring_over(7, make_watches(["/d"], ["/x"], ["/c"]), calls.append)
        [call] = calls
        self.assertEqual(call.body, SetWatchesRequest(7, (), (), ()).encode())
        self.answer(-6)
        call.succeed(None)
        self.failureResultOf(done, UnimplementedException)
        self.assertEqual(len(self.watches.established), 0)
