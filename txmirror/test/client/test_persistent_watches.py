"""Persistent watches: their events, how they are set again, and how they end."""

from __future__ import annotations

from twisted.internet.defer import CancelledError

from txmirror.client import ZooKeeperClient
from txmirror.errors import (
    ClosingException,
    NoWatcherException,
    PathError,
    SessionExpiredException,
    UnimplementedException,
)
from txmirror.test.client.peer import STAT, ClientTestCase, Peer, S, event, hang_up, ignore, reply
from txmirror.types import EventType, SessionEvent, SessionState, WatchedEvent, WatchKind
from txmirror.wire import (
    AddWatchRequest,
    AddWatchResponse,
    CheckWatchesRequest,
    CloseSessionRequest,
    GetDataRequest,
    GetDataResponse,
    RemoveWatchesRequest,
    SetWatches2Request,
)

DATA = GetDataResponse(b"", STAT)

CREATED, DELETED, CHANGED, CHILD = EventType.CREATED, EventType.DELETED, EventType.CHANGED, EventType.CHILD
CONNECTED, SUSPENDED, LOST = SessionState.CONNECTED, SessionState.SUSPENDED, SessionState.LOST
ENDED, CLOSED = SessionState.EXPIRED, SessionState.CLOSED


class Listener:
    """Records its events as (type, path), and session events as their states."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def __call__(self, step: SessionEvent | WatchedEvent) -> None:
        self.told.append(step.state if isinstance(step, SessionEvent) else (step.type, step.path))

    @property
    def events(self) -> list[object]:
        return [step for step in self.told if isinstance(step, tuple)]


class PersistentWatchTestCase(ClientTestCase):
    def add(self, client: ZooKeeperClient, peer: Peer, path: str, *, recursive: bool = False) -> Listener:
        """Set a persistent watch."""
        listener = Listener()
        added = client.add_watch(path, listener, recursive=recursive)
        request = peer.answer(AddWatchRequest, AddWatchResponse())
        self.assertEqual(request.mode, int(recursive))
        self.successResultOf(added)
        return listener


class SettingTests(PersistentWatchTestCase):
    def test_request(self) -> None:
        """The watch is set when the server has answered."""
        client, peer = self.make_connected()
        for path, recursive, mode in (("/a", False, 0), ("/b", True, 1)):
            added = client.add_watch(path, recursive=recursive)
            xid, request = peer.take(AddWatchRequest)
            self.assertEqual(request, AddWatchRequest(path, mode))
            self.assertNoResult(added)
            peer.reply(xid, AddWatchResponse())
            self.assertIsNone(self.successResultOf(added))

    def test_path(self) -> None:
        """A path is checked at the call."""
        client, peer = self.make_connected()
        self.assertRaises(PathError, client.add_watch, "a")
        self.assertRaises(PathError, client.check_watches, "/a/", WatchKind.ANY)
        self.assertEqual(peer.packets, [])

    def test_refused(self) -> None:
        """A server without persistent watches refuses; the listener is not called then or later."""
        client, peer = self.make_connected()
        listener = Listener()
        added = client.add_watch("/a", listener)
        peer.answer(AddWatchRequest, err=-6)
        self.assertIs(self.failureResultOf(added, UnimplementedException).value.applied, False)
        peer.event(CHANGED, "/a")
        again = self.reconnect(peer)
        self.assertEqual(listener.told, [])
        self.assertEqual(again.packets, [])

    def test_refused_and_tried_again(self) -> None:
        """Once refused, a watch of the other kind may be tried."""
        client, peer = self.make_connected()
        added = client.add_watch("/a")
        peer.answer(AddWatchRequest, err=-4)
        self.failureResultOf(added)
        listener = self.add(client, peer, "/a", recursive=True)
        peer.event(CHANGED, "/a/b")
        self.assertEqual(listener.events, [(CHANGED, "/a/b")])

    def test_other_kind(self) -> None:
        """A path has persistent watches of one kind: the other is refused at the call, and nothing is sent (C10)."""
        client, peer = self.make_connected()
        exact = self.add(client, peer, "/a")
        recursive = self.add(client, peer, "/b", recursive=True)
        self.assertIn("/a", str(self.assertRaises(ValueError, client.add_watch, "/a", recursive=True)))
        self.assertRaises(ValueError, client.add_watch, "/b")
        self.assertEqual(peer.packets, [])
        peer.event(CHANGED, "/a")
        peer.event(CHANGED, "/b/c")
        self.assertEqual((exact.events, recursive.events), ([(CHANGED, "/a")], [(CHANGED, "/b/c")]))

    def test_other_kind_while_under_way(self) -> None:
        """The other kind is refused while the first watch is still being set."""
        client, peer = self.make_connected()
        added = client.add_watch("/a")
        self.assertRaises(ValueError, client.add_watch, "/a", recursive=True)
        self.assertEqual(peer.answer(AddWatchRequest, AddWatchResponse()), AddWatchRequest("/a", 0))
        self.successResultOf(added)
        self.assertEqual(peer.packets, [])

    def test_other_kind_while_disconnected(self) -> None:
        """The other kind is refused while there is no connection."""
        client = self.make_client()
        ignore(client.add_watch("/a", recursive=True))
        self.assertRaises(ValueError, client.add_watch, "/a")

    def test_check(self) -> None:
        """``check_watches`` sends a request to the server."""
        client, peer = self.make_connected()
        for err, expected in ((0, True), (-121, False)):
            checked = client.check_watches("/a", WatchKind.DATA)
            self.assertEqual(peer.answer(CheckWatchesRequest, err=err), CheckWatchesRequest("/a", 2))
            self.assertIs(self.successResultOf(checked), expected)
        failed = client.check_watches("/a", WatchKind.ANY)
        peer.answer(CheckWatchesRequest, err=-6)
        self.failureResultOf(failed, UnimplementedException)


class ToldTests(PersistentWatchTestCase):
    """The events that each listener gets."""

    def test_exact(self) -> None:
        """An exact watch reports all changes of its node, again and again, and nothing else."""
        client, peer = self.make_connected()
        listener = self.add(client, peer, "/a")
        kinds = [CREATED, CHANGED, CHANGED, CHILD, CHILD, DELETED, CREATED]
        for kind in kinds:
            peer.event(kind, "/a")
        for path in ("/a/b", "/", "/ab", "/b"):
            peer.event(CHANGED, path)
        self.assertEqual(listener.told, [(kind, "/a") for kind in kinds])

    def test_recursive(self) -> None:
        """A recursive watch reports changes of its node and all nodes below, and of none beside it."""
        client, peer = self.make_connected()
        listener = self.add(client, peer, "/a", recursive=True)
        paths = ["/a", "/a/b", "/a/b/c/d"]
        for path in paths:
            for kind in (CREATED, CHANGED, DELETED):
                peer.event(kind, path)
        for path in ("/", "/ab", "/ab/c", "/b/a"):
            peer.event(CHANGED, path)
        self.assertEqual(listener.told, [(kind, path) for path in paths for kind in (CREATED, CHANGED, DELETED)])

    def test_no_child_events_for_the_recursive(self) -> None:
        """A recursive watch does not get another watch's CHILD event, at its own node or below (C8)."""
        client, peer = self.make_connected()
        above = self.add(client, peer, "/a", recursive=True)
        exact = self.add(client, peer, "/a/b")
        peer.event(CHILD, "/a/b")
        peer.event(CHILD, "/a")
        self.assertEqual(above.events, [])
        self.assertEqual(exact.events, [(CHILD, "/a/b")])

    def test_root(self) -> None:
        """A recursive watch on the root gets all events."""
        client, peer = self.make_connected()
        listener = self.add(client, peer, "/", recursive=True)
        peer.event(CHANGED, "/")
        peer.event(CREATED, "/a/b")
        self.assertEqual(listener.events, [(CHANGED, "/"), (CREATED, "/a/b")])

    def test_all_who_match(self) -> None:
        """The server sends one event; the exact watch and every recursive one above get it (C9)."""
        client, peer = self.make_connected()
        root = self.add(client, peer, "/", recursive=True)
        above = self.add(client, peer, "/a", recursive=True)
        exact = self.add(client, peer, "/a/b/c")
        beside = self.add(client, peer, "/a/x", recursive=True)
        _, one_shot = client.get_and_watch("/a/b/c")
        xid, _ = peer.take(GetDataRequest)
        peer.reply(xid, DATA)
        peer.event(CHANGED, "/a/b/c")
        for listener in (root, above, exact):
            self.assertEqual(listener.told, [(CHANGED, "/a/b/c")])
        self.assertEqual(beside.told, [])
        self.assertEqual(self.successResultOf(one_shot), WatchedEvent(CHANGED, "/a/b/c"))

    def test_several_listeners(self) -> None:
        """All listeners on one path are called, each once."""
        client, peer = self.make_connected()
        first, second = Listener(), Listener()
        added = [client.add_watch("/a", first), client.add_watch("/a", second)]
        self.settle()
        while peer.packets:
            peer.answer(AddWatchRequest, AddWatchResponse())
        for deferred in added:
            self.successResultOf(deferred)
        peer.event(CHANGED, "/a")
        self.assertEqual(first.told, [(CHANGED, "/a")])
        self.assertEqual(second.told, [(CHANGED, "/a")])

    def test_another_listener_later(self) -> None:
        """A listener that is added to an established watch gets the later events."""
        client, peer = self.make_connected()
        first = self.add(client, peer, "/a")
        peer.event(CHANGED, "/a")
        second = Listener()
        added = client.add_watch("/a", second)
        self.settle()
        while peer.packets:
            peer.answer(AddWatchRequest, AddWatchResponse())
        self.successResultOf(added)
        peer.event(CHILD, "/a")
        self.assertEqual(first.told, [(CHANGED, "/a"), (CHILD, "/a")])
        self.assertEqual(second.told, [(CHILD, "/a")])

    def test_second_listener_refused(self) -> None:
        """When a second listener's watch is refused, the first goes on."""
        client, peer = self.make_connected()
        first = self.add(client, peer, "/a")
        second = Listener()
        added = client.add_watch("/a", second)
        peer.answer(AddWatchRequest, err=-102)
        self.failureResultOf(added)
        peer.event(CHANGED, "/a")
        self.assertEqual(first.told, [(CHANGED, "/a")])
        self.assertEqual(second.told, [])
        self.assertEqual(self.reconnect(peer).take(SetWatches2Request)[1].persistentWatches, ("/a",))

    def test_in_the_feed(self) -> None:
        """The feed carries every event of persistent watches once, with a listener or without one."""
        client, peer = self.make_connected()
        added = client.add_watch("/a")
        peer.answer(AddWatchRequest, AddWatchResponse())
        self.successResultOf(added)
        self.add(client, peer, "/b", recursive=True)
        peer.event(CHANGED, "/a")
        peer.event(CREATED, "/b/c")
        self.assertEqual(self.watch_events(), [WatchedEvent(CHANGED, "/a"), WatchedEvent(CREATED, "/b/c")])

    def test_chroot(self) -> None:
        """With a chroot the watch is set below it, and the events have paths without it."""
        client, peer = self.make_connected(chroot="/app")
        top, exact = Listener(), Listener()
        for path, listener, recursive, sent in (("/", top, True, "/app"), ("/a", exact, False, "/app/a")):
            added = client.add_watch(path, listener, recursive=recursive)
            self.assertEqual(peer.answer(AddWatchRequest, AddWatchResponse()).path, sent)
            self.successResultOf(added)
        peer.event(CHANGED, "/app/a")
        peer.event(CREATED, "/app/a/b")
        peer.event(CHANGED, "/app")
        self.assertEqual(top.told, [(CHANGED, "/a"), (CREATED, "/a/b"), (CHANGED, "/")])
        self.assertEqual(exact.told, [(CHANGED, "/a")])
        _, request = self.reconnect(peer).take(SetWatches2Request)
        self.assertEqual((request.persistentWatches, request.persistentRecursiveWatches), (("/app/a",), ("/app",)))

    def test_chroot_boundary(self) -> None:
        """Nodes beside the chroot cause no events, even if their names begin in the same way."""
        client, peer = self.make_connected(chroot="/app")
        listener = Listener()
        ignore(client.add_watch("/", listener, recursive=True))
        peer.answer(AddWatchRequest, AddWatchResponse())
        peer.event(CHANGED, "/apple")
        peer.event(CHANGED, "/app/a")
        self.assertEqual(listener.told, [(CHANGED, "/a")])

    def test_event_for_nobody(self) -> None:
        """An event that nobody waits for hurts nobody (C11)."""
        client, peer = self.make_connected()
        listener = self.add(client, peer, "/a")
        for kind in EventType:
            peer.event(kind, "/nobody")
        self.assertFalse(peer.lost)
        peer.event(CHANGED, "/a")
        self.assertEqual(listener.told, [(CHANGED, "/a")])
        self.assertEqual(self.log_lines_of_failures(), [])

    def log_lines_of_failures(self) -> list[object]:
        return list(self.flushLoggedErrors())

    def test_from_when_it_was_set(self) -> None:
        """The listener gets no event from before the server's answer, and the first one after it."""
        client, peer = self.make_connected()
        listener = Listener()
        added = client.add_watch("/a", listener)
        xid, _ = peer.take(AddWatchRequest)
        peer.send(
            event(CHANGED, "/a"),
            reply(xid, AddWatchResponse()),
            event(CHILD, "/a"),
        )
        self.successResultOf(added)
        self.assertEqual(listener.told, [(CHILD, "/a")])

    def test_raises(self) -> None:
        """A listener that raises is logged, and goes on being called, as do the others."""
        client, peer = self.make_connected()
        told: list[object] = []

        def listener(step: SessionEvent | WatchedEvent) -> None:
            told.append(step)
            raise ZeroDivisionError

        ignore(client.add_watch("/a", listener))
        peer.answer(AddWatchRequest, AddWatchResponse())
        other = self.add(client, peer, "/a/b")
        above = self.add(client, peer, "/", recursive=True)
        peer.event(CHANGED, "/a")
        peer.event(CHANGED, "/a")
        peer.event(CHANGED, "/a/b")
        self.assertEqual(len(told), 2)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        self.assertEqual(other.told, [(CHANGED, "/a/b")])
        self.assertEqual(len(above.told), 3)
        self.reconnect(peer)
        self.assertEqual(len(told), 4)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        self.assertEqual(other.told[1:], [SUSPENDED, CONNECTED])
        self.server.peer.answer(SetWatches2Request)
        closed = client.close()
        self.server.peer.answer(CloseSessionRequest)
        self.successResultOf(closed)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_may_call_anything(self) -> None:
        """A listener may take its own watch away, and add another, from within."""
        client, peer = self.make_connected()
        second = Listener()

        def listener(step: SessionEvent | WatchedEvent) -> None:
            ignore(client.remove_watches("/a", WatchKind.ANY))
            ignore(client.add_watch("/b", second))

        ignore(client.add_watch("/a", listener))
        peer.answer(AddWatchRequest, AddWatchResponse())
        peer.event(CHANGED, "/a")
        self.assertEqual(peer.answer(RemoveWatchesRequest), RemoveWatchesRequest("/a", 3))
        self.assertEqual(peer.answer(AddWatchRequest, AddWatchResponse()).path, "/b")
        peer.event(CHANGED, "/b")
        self.assertEqual(second.told, [(CHANGED, "/b")])

    def test_before_the_reply(self) -> None:
        """Rule 3: the listener is called before the reply that would show the change is delivered, and after earlier
        replies.
        """
        client, peer = self.make_connected()
        order: list[object] = []
        ignore(client.add_watch("/a", order.append))
        peer.answer(AddWatchRequest, AddWatchResponse())
        client.get("/a").addCallback(lambda _: order.append("first"))
        client.get("/a").addCallback(lambda _: order.append("second"))
        first, _ = peer.take(GetDataRequest)
        second, _ = peer.take(GetDataRequest)
        peer.send(reply(first, DATA), event(CHANGED, "/a"), reply(second, DATA))
        self.assertEqual(order, ["first", WatchedEvent(CHANGED, "/a"), "second"])


class SessionTests(PersistentWatchTestCase):
    """A listener gets each session event, up to the end of its watch."""

    def test_suspended_and_back(self) -> None:
        """A listener is notified of a lost connection and of the next one."""
        client, peer = self.make_connected()
        listener = self.add(client, peer, "/a")
        again = self.reconnect(peer)
        again.answer(SetWatches2Request)
        again.event(CHANGED, "/a")
        self.assertEqual(listener.told, [SUSPENDED, CONNECTED, (CHANGED, "/a")])

    def test_lost(self) -> None:
        """A listener is notified that the session has probably expired, and that it had not."""
        client, peer = self.make_connected()
        listener = self.add(client, peer, "/a", recursive=True)
        self.server.on_connection = hang_up
        peer.drop()
        self.pass_time(2 * S)
        self.server.on_connection = lambda peer: None
        again = self.next_peer(self.server)
        again.accept()
        _, request = again.take(SetWatches2Request)
        self.assertEqual(request.persistentRecursiveWatches, ("/a",))
        self.assertEqual(listener.told, [SUSPENDED, LOST, CONNECTED])

    def test_ended(self) -> None:
        """The session's expiry is its last event; the new session has no such watch (F5, E4)."""
        client, peer = self.make_connected()
        exact = self.add(client, peer, "/a")
        recursive = self.add(client, peer, "/b", recursive=True)
        self.reconnect(peer, accept=False).expire()
        self.pass_time(0.5)
        new = self.server.peer
        new.accept(session_id=2)
        self.assertEqual(new.packets, [])
        new.event(CHANGED, "/a")
        new.event(CHANGED, "/b")
        again = self.reconnect(new, accept=False)
        again.accept(session_id=2)
        self.assertEqual(again.packets, [])
        self.assertEqual(client.session.session_number, 2)
        self.assertEqual(exact.told, [SUSPENDED, ENDED])
        self.assertEqual(recursive.told, [SUSPENDED, ENDED])

    def test_other_kind_in_the_next_session(self) -> None:
        """In the new session a path may have a watch of the other kind, set from within the listener too."""
        client, peer = self.make_connected()
        second = Listener()

        def listener(step: SessionEvent | WatchedEvent) -> None:
            if isinstance(step, SessionEvent) and step.state is ENDED:
                ignore(client.add_watch("/a", second, recursive=True))

        ignore(client.add_watch("/a", listener))
        peer.answer(AddWatchRequest, AddWatchResponse())
        self.reconnect(peer, accept=False).expire()
        self.pass_time(0.5)
        new = self.server.peer
        new.accept(session_id=2)
        self.assertEqual(new.answer(AddWatchRequest, AddWatchResponse()), AddWatchRequest("/a", 1))
        new.event(CHANGED, "/a/b")
        self.assertEqual(second.told, [(CHANGED, "/a/b")])

    def test_another_session_id(self) -> None:
        """When a server answers with another session than the requested one, the watch ends, too (A5)."""
        client, peer = self.make_connected()
        listener = self.add(client, peer, "/a")
        again = self.reconnect(peer, accept=False)
        again.accept(session_id=2)
        self.assertEqual(again.packets, [])
        again.event(CHANGED, "/a")
        self.assertEqual(listener.told, [SUSPENDED, ENDED])

    def test_closed(self) -> None:
        """At ``close`` its last event is CLOSED; once."""
        client, peer = self.make_connected()
        listener = self.add(client, peer, "/a")
        self.close_fast(client, peer)
        self.successResultOf(client.close())
        self.assertEqual(listener.told, [CLOSED])

    def test_closed_after_the_end(self) -> None:
        """A watch that ended with its session is not notified of a later close."""
        client, peer = self.make_connected()
        listener = self.add(client, peer, "/a")
        self.reconnect(peer, accept=False).expire()
        self.pass_time(0.5)
        self.server.peer.accept(session_id=2)
        self.close_fast(client, self.server.peer)
        self.assertEqual(listener.told, [SUSPENDED, ENDED])

    def test_closed_while_being_set(self) -> None:
        """A watch that is being set when the client closes, and whose answer never comes, fails."""
        client, peer = self.make_connected()
        listener = Listener()
        added = client.add_watch("/a", listener)
        closed = client.close()
        peer.take(AddWatchRequest)
        self.pass_time(5.0)
        self.successResultOf(closed)
        self.failureResultOf(added, ClosingException)
        self.assertEqual([step for step in listener.told if step is not CLOSED], [])

    def test_queued_when_the_session_ends(self) -> None:
        """A watch that was asked for in a session is never set in the next (E4)."""
        client, peer = self.make_connected()
        peer.drop()
        listener = Listener()
        added = client.add_watch("/a", listener)
        self.reconnect(peer, accept=False).expire()
        self.failureResultOf(added, SessionExpiredException)
        self.pass_time(0.5)
        self.server.peer.accept(session_id=2)
        self.assertEqual(self.server.peer.packets, [])
        self.server.peer.event(CHANGED, "/a")
        self.assertEqual(listener.events, [])

    def test_before_any_session(self) -> None:
        """A watch that was asked for before there was a connection is set in the first session."""
        client = self.make_client()
        listener = Listener()
        added = client.add_watch("/a", listener)
        ignore(client.connect())
        peer = self.server.peer
        peer.accept()
        peer.answer(AddWatchRequest, AddWatchResponse())
        self.successResultOf(added)
        peer.event(CHANGED, "/a")
        self.assertEqual(listener.events, [(CHANGED, "/a")])


class RemovingTests(PersistentWatchTestCase):
    def test_removed(self) -> None:
        """A removed watch reports nothing more, nor is it set again."""
        client, peer = self.make_connected()
        exact = self.add(client, peer, "/a")
        recursive = self.add(client, peer, "/b", recursive=True)
        for path in ("/a", "/b"):
            removed = client.remove_watches(path, WatchKind.ANY)
            self.assertEqual(peer.answer(RemoveWatchesRequest), RemoveWatchesRequest(path, 3))
            self.successResultOf(removed)
        peer.event(CHANGED, "/a")
        peer.event(CHANGED, "/b/c")
        self.assertEqual(self.reconnect(peer).packets, [])
        self.assertEqual((exact.told, recursive.told), ([], []))

    def test_takes_one_shots_along(self) -> None:
        """One-shot watches of the path are removed too; none fires, and none is set again."""
        client, peer = self.make_connected()
        self.add(client, peer, "/a")
        _, watch = client.get_and_watch("/a")
        peer.answer(GetDataRequest, DATA)
        ignore(client.remove_watches("/a", WatchKind.ANY))
        peer.answer(RemoveWatchesRequest)
        self.assertNoResult(watch)
        ignore(watch)
        self.assertEqual(self.reconnect(peer).packets, [])

    def test_other_paths_stay(self) -> None:
        """Other paths keep their watches."""
        client, peer = self.make_connected()
        self.add(client, peer, "/a", recursive=True)
        below = self.add(client, peer, "/a/b")
        ignore(client.remove_watches("/a", WatchKind.ANY))
        peer.answer(RemoveWatchesRequest)
        peer.event(CHANGED, "/a/b")
        self.assertEqual(below.told, [(CHANGED, "/a/b")])
        _, request = self.reconnect(peer).take(SetWatches2Request)
        self.assertEqual(request.persistentWatches, ("/a/b",))
        self.assertEqual(request.persistentRecursiveWatches, ())

    def test_other_kind_afterwards(self) -> None:
        """Once it is taken away, the path may have a watch of the other kind."""
        client, peer = self.make_connected()
        self.add(client, peer, "/a")
        ignore(client.remove_watches("/a", WatchKind.ANY))
        peer.answer(RemoveWatchesRequest)
        listener = self.add(client, peer, "/a", recursive=True)
        peer.event(CHANGED, "/a/b")
        self.assertEqual(listener.told, [(CHANGED, "/a/b")])

    def test_one_kind_leaves_it(self) -> None:
        """Taking away the watches of one kind leaves a persistent watch in place; a server would tear it apart, and so is not
        asked (C10)."""
        client, peer = self.make_connected()
        listener = self.add(client, peer, "/a")
        for kind in (WatchKind.DATA, WatchKind.CHILDREN):
            self.failureResultOf(client.remove_watches("/a", kind), NoWatcherException)
        _, watch = client.get_and_watch("/a")
        peer.answer(GetDataRequest, DATA)
        self.successResultOf(client.remove_watches("/a", WatchKind.DATA))
        self.assertEqual(peer.packets, [])
        peer.event(CHANGED, "/a")
        peer.event(CHILD, "/a")
        self.assertNoResult(watch)
        self.assertEqual(listener.told, [(CHANGED, "/a"), (CHILD, "/a")])
        self.assertEqual(self.reconnect(peer).take(SetWatches2Request)[1].persistentWatches, ("/a",))

    def test_refused(self) -> None:
        """If the server refuses, the watch stays."""
        client, peer = self.make_connected()
        listener = self.add(client, peer, "/a")
        removed = client.remove_watches("/a", WatchKind.ANY)
        peer.answer(RemoveWatchesRequest, err=-102)
        self.failureResultOf(removed)
        peer.event(CHANGED, "/a")
        self.assertEqual(listener.told, [(CHANGED, "/a")])

    def test_server_takes_it(self) -> None:
        """If the server removes a watch by itself, the listener is notified."""
        client, peer = self.make_connected()
        listener = self.add(client, peer, "/a")
        peer.event(EventType.PERSISTENT_WATCH_REMOVED, "/a")
        self.assertEqual(listener.events, [(EventType.PERSISTENT_WATCH_REMOVED, "/a")])


class CancellingTests(PersistentWatchTestCase):
    def test_before_it_was_sent(self) -> None:
        """A watch that is cancelled before it was sent is never set."""
        client, peer = self.make_connected()
        peer.drop()
        listener = Listener()
        added = client.add_watch("/a", listener)
        added.cancel()
        self.failureResultOf(added, CancelledError)
        again = self.reconnect(peer)
        self.assertEqual(again.packets, [])
        again.event(CHANGED, "/a")
        self.assertEqual(listener.told, [])

    def test_other_kind_afterwards(self) -> None:
        """Such a one stands in nobody's way."""
        client, peer = self.make_connected()
        peer.drop()
        added = client.add_watch("/a")
        added.cancel()
        self.failureResultOf(added, CancelledError)
        other = client.add_watch("/a", recursive=True)
        again = self.reconnect(peer)
        self.assertEqual(again.answer(AddWatchRequest, AddWatchResponse()), AddWatchRequest("/a", 1))
        self.successResultOf(other)

    def test_among_others(self) -> None:
        """Another listener of the same watch is called all the same."""
        client, peer = self.make_connected()
        listeners = [Listener(), Listener()]
        added = [client.add_watch("/a", listener) for listener in listeners]
        self.settle()
        added[0].cancel()
        self.failureResultOf(added[0], CancelledError)
        while peer.packets:
            peer.answer(AddWatchRequest, AddWatchResponse())
        self.successResultOf(added[1])
        peer.event(CHANGED, "/a")
        self.assertEqual([listener.told for listener in listeners], [[], [(CHANGED, "/a")]])
