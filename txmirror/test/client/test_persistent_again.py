"""Persistent watches are set again on each connection, wherever the one before was cut."""

from __future__ import annotations

from txmirror.client import ZooKeeperClient
from txmirror.errors import (
    ConnectionLossException,
    UnimplementedException,
)
from txmirror.test.client.peer import STAT, Peer, ignore, reply
from txmirror.test.client.test_persistent_watches import Listener, PersistentWatchTestCase
from txmirror.types import EventType, SessionEvent, SessionState, WatchedEvent, WatchKind
from txmirror.wire import (
    AddWatchRequest,
    AddWatchResponse,
    ExistsRequest,
    GetChildren2Request,
    GetChildren2Response,
    GetDataRequest,
    GetDataResponse,
    Operation,
    RemoveWatchesRequest,
    SetWatches2Request,
    SetWatchesRequest,
)

DATA = GetDataResponse(b"", STAT)
NAMES = GetChildren2Response(["x"], STAT)
PACKET_LIMIT = 128 * 1024

CHANGED = EventType.CHANGED
CONNECTED, SUSPENDED = SessionState.CONNECTED, SessionState.SUSPENDED


class AgainTests(PersistentWatchTestCase):
    """Persistent watches, set again on a new connection."""

    def test_packet(self) -> None:
        """Persistent watches are set again by setWatches2, relative to the last reply (C4)."""
        client, peer = self.make_connected()
        self.add(client, peer, "/a")
        self.add(client, peer, "/b", recursive=True)
        self.show_zxid(client, peer, 120)
        again = self.reconnect(peer)
        self.assertEqual(again.take(SetWatches2Request)[1], SetWatches2Request(120, (), (), (), ("/a",), ("/b",)))
        self.assertEqual(again.packets, [])

    def test_again_and_again(self) -> None:
        """Persistent watches are set again on every connection, once."""
        client, peer = self.make_connected()
        listener = self.add(client, peer, "/a")
        for _ in range(5):
            peer = self.reconnect(peer)
            self.assertEqual(peer.answer(SetWatches2Request).persistentWatches, ("/a",))
            self.assertEqual(peer.packets, [])
            peer.event(CHANGED, "/a")
        self.assertEqual(listener.told, [SUSPENDED, CONNECTED, (CHANGED, "/a")] * 5)

    def test_before_the_answer(self) -> None:
        """Persistent watches are set again when the connection is lost before setWatches2 is answered, too."""
        client, peer = self.make_connected()
        self.add(client, peer, "/a")
        again = self.reconnect(peer)
        _, first = again.take(SetWatches2Request)
        third = self.reconnect(again)
        self.assertEqual(third.take(SetWatches2Request)[1], first)

    def test_one_shots(self) -> None:
        """The one-shot watches of a path with a persistent one travel with it; all others earlier, by setWatches (C10)."""
        client, peer = self.make_connected()
        ignore(client.get_and_watch("/one")[1])
        peer.answer(GetDataRequest, DATA)
        ignore(client.exists_and_watch("/two")[1])
        peer.answer(ExistsRequest, err=-101)
        ignore(client.get_children_and_watch("/three")[1])
        peer.answer(GetChildren2Request, NAMES)
        self.add(client, peer, "/a")
        self.add(client, peer, "/b", recursive=True)
        ignore(client.get_and_watch("/a")[1])
        peer.answer(GetDataRequest, DATA)
        ignore(client.get_children_and_watch("/a")[1])
        peer.answer(GetChildren2Request, NAMES)
        ignore(client.get_and_watch("/b")[1])
        peer.answer(GetDataRequest, DATA)
        again = self.reconnect(peer)
        self.assertEqual(again.take(SetWatchesRequest)[1], SetWatchesRequest(100, ("/one",), ("/two",), ("/three",)))
        _, request = again.take(SetWatches2Request)
        self.assertEqual(sorted(request.dataWatches), ["/a", "/b"])
        self.assertEqual(request.childWatches, ("/a",))
        self.assertEqual((request.persistentWatches, request.persistentRecursiveWatches), (("/a",), ("/b",)))
        self.assertEqual(again.packets, [])

    def test_set_before_the_persistent_one(self) -> None:
        """A one-shot watch that was set before the persistent one is set again with it."""
        client, peer = self.make_connected()
        _, watch = client.get_and_watch("/a")
        peer.answer(GetDataRequest, DATA)
        self.add(client, peer, "/a")
        again = self.reconnect(peer)
        _, request = again.take(SetWatches2Request)
        self.assertEqual((request.dataWatches, request.persistentWatches), (("/a",), ("/a",)))
        again.event(CHANGED, "/a")
        self.assertEqual(self.successResultOf(watch), WatchedEvent(CHANGED, "/a"))

    def add_many(self, client: ZooKeeperClient, peer: Peer, count: int) -> tuple[set[str], set[str]]:
        exact = {f"/e{number:04d}{'x' * 1000}" for number in range(count)}
        recursive = {f"/r{number:04d}{'x' * 1000}" for number in range(count)}
        for path in sorted(exact):
            ignore(client.add_watch(path))
        for path in sorted(recursive):
            ignore(client.add_watch(path, recursive=True))
        while peer.packets:
            peer.send(*(reply(packet.xid, AddWatchResponse()) for packet in peer.packets))
            peer.packets.clear()
        return exact, recursive

    def test_many(self) -> None:
        """Many are set again in packets under 128 KiB, each path in one of them, with the one-shots of its own (C6)."""
        client, peer = self.make_connected()
        exact, recursive = self.add_many(client, peer, 200)
        both = sorted(exact | recursive)
        for path in both:
            ignore(client.get_and_watch(path)[1])
        ignore(client.get_and_watch("/other")[1])
        while peer.packets:
            peer.send(*(reply(packet.xid, DATA) for packet in peer.packets))
            peer.packets.clear()
        again = self.reconnect(peer)
        self.assertLess(max(packet.length for packet in again.packets), PACKET_LIMIT)
        self.assertEqual(again.take(SetWatchesRequest)[1].dataWatches, ("/other",))
        seen: list[str] = []
        while again.packets:
            _, request = again.take(SetWatches2Request)
            persistent = set(request.persistentWatches + request.persistentRecursiveWatches)
            self.assertEqual(set(request.dataWatches), persistent)
            self.assertLessEqual(set(request.persistentWatches), exact)
            self.assertLessEqual(set(request.persistentRecursiveWatches), recursive)
            seen.extend(persistent)
        self.assertEqual(sorted(seen), both)

    def test_cut_between_packets(self) -> None:
        """When the connection goes between two packets, all are set again on the next."""
        client, peer = self.make_connected()
        exact, recursive = self.add_many(client, peer, 100)
        again = self.reconnect(peer)
        self.assertGreater(len(again.packets), 1)
        again.answer(SetWatches2Request, zxid=90)
        third = self.reconnect(again)
        seen: set[str] = set()
        while third.packets:
            _, request = third.take(SetWatches2Request)
            seen.update(request.persistentWatches, request.persistentRecursiveWatches)
        self.assertEqual(seen, exact | recursive)

    def test_before_what_was_queued(self) -> None:
        """Queued requests are sent behind it, and executed after the watch was set (C4)."""
        client, peer = self.make_connected()
        self.add(client, peer, "/a", recursive=True)
        peer.drop()
        ignore(client.get("/a"))
        again = self.reconnect(peer)
        self.assertEqual(again.operations, [Operation.SET_WATCHES2, Operation.GET_DATA])

    def test_asked_when_told(self) -> None:
        """Reads of a listener that is notified of the connected session are sent behind it too."""
        client, peer = self.make_connected()

        def listener(step: SessionEvent | WatchedEvent) -> None:
            if isinstance(step, SessionEvent) and step.state is CONNECTED:
                ignore(client.get("/a"))

        ignore(client.add_watch("/a", listener))
        peer.answer(AddWatchRequest, AddWatchResponse())
        again = self.reconnect(peer)
        self.assertEqual(again.operations, [Operation.SET_WATCHES2, Operation.GET_DATA])

    def test_cut_while_being_set(self) -> None:
        """When the connection goes before a watch is answered, it fails, and is not set again: nobody has it."""
        client, peer = self.make_connected()
        listener = Listener()
        added = client.add_watch("/a", listener)
        peer.take(AddWatchRequest)
        peer.drop()
        self.failureResultOf(added, ConnectionLossException)
        again = self.reconnect(peer)
        self.assertEqual(again.packets, [])
        again.event(CHANGED, "/a")
        self.assertEqual(listener.told, [])
        self.add(client, again, "/a", recursive=True)

    def test_cut_while_being_removed(self) -> None:
        """When the connection is lost while a watch is being removed, the Deferred fails, and the result is consistent:
        the watch is set again and reports events, or neither.
        """
        client, peer = self.make_connected()
        listener = self.add(client, peer, "/a")
        removed = client.remove_watches("/a", WatchKind.ANY)
        peer.take(RemoveWatchesRequest)
        peer.drop()
        self.failureResultOf(removed, ConnectionLossException)
        again = self.reconnect(peer)
        is_set = Operation.SET_WATCHES2 in again.operations
        again.event(CHANGED, "/a")
        self.assertEqual((CHANGED, "/a") in listener.told, is_set)

    def test_refused(self) -> None:
        """With a server that does not know setWatches2 the listener is notified that the watch is removed, and it is
        not tried on every connection.
        """
        client, peer = self.make_connected()
        listener = self.add(client, peer, "/a")
        above = self.add(client, peer, "/b", recursive=True)
        again = self.reconnect(peer)
        again.answer(SetWatches2Request, err=-6)
        removed = EventType.PERSISTENT_WATCH_REMOVED
        self.assertEqual(listener.told, [SUSPENDED, CONNECTED, (removed, "/a")])
        self.assertEqual(above.told, [SUSPENDED, CONNECTED, (removed, "/b")])
        self.assertFalse(again.lost)
        again.event(CHANGED, "/a")
        third = self.reconnect(again)
        self.assertNotIn(Operation.SET_WATCHES2, third.operations)
        self.assertEqual(listener.events, [(removed, "/a")])

    def test_refused_one_shots(self) -> None:
        """The one-shot watches of a refused setWatches2 do not wait for ever: they fail, or are set by other requests."""
        client, peer = self.make_connected()
        self.add(client, peer, "/a")
        _, watch = client.get_and_watch("/a")
        peer.answer(GetDataRequest, DATA)
        again = self.reconnect(peer)
        again.answer(SetWatches2Request, err=-6)
        if again.packets:
            self.assertEqual(again.answer(SetWatchesRequest).dataWatches, ("/a",))
            again.event(CHANGED, "/a")
            self.assertEqual(self.successResultOf(watch), WatchedEvent(CHANGED, "/a"))
        else:
            self.failureResultOf(watch, UnimplementedException)

    def hang_up_on_set_watches(self, peer: Peer) -> bool:
        """Play a server that closes the connection on setWatches2, with a client that has come.

        :returns: whether it had to.
        """
        peer.accept()
        if Operation.SET_WATCHES2 not in peer.operations:
            return False
        peer.close()
        return True

    def test_hangs_up(self) -> None:
        """A server that closes the connection at setWatches2 does not make the client reconnect for ever: the client
        removes the watches, and notifies their listeners.
        """
        client, peer = self.make_connected()
        listener = self.add(client, peer, "/a")
        peer.drop()
        for _ in range(10):
            if not self.hang_up_on_set_watches(self.next_peer(self.server)):
                break
        else:
            self.fail("the client goes on trying")
        self.assertEqual(listener.events, [(EventType.PERSISTENT_WATCH_REMOVED, "/a")])
        count = self.server.count
        read = client.get("/a")
        self.server.peer.answer(GetDataRequest, DATA)
        self.successResultOf(read)
        self.pass_time(60)
        self.assertEqual(self.server.count, count)


class CutTests(PersistentWatchTestCase):
    def test_everywhere(self) -> None:
        """Wherever the connection is cut while a watch is set again, the next connection has it, and each event is
        reported in order.
        """
        for allowed in range(47):  # the length of the one packet
            client, peer = self.make_connected()
            listener = self.add(client, peer, "/a", recursive=True)
            self.reconnect(peer, accept=False)
            cut = self.server.peer
            self.assertTrue(cut.greeted)
            self.reactor.links[-1].cut_after(to_server=allowed)
            cut.accept()
            self.assertTrue(cut.lost)
            again = self.next_peer(self.server)
            again.accept()
            self.assertEqual(again.answer(SetWatches2Request).persistentRecursiveWatches, ("/a",))
            again.event(CHANGED, "/a/b")
            steps = [SUSPENDED, CONNECTED, SUSPENDED, CONNECTED]
            self.assertEqual(listener.told, [*steps, (CHANGED, "/a/b")])
            self.close_fast(client, again)
