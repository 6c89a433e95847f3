"""Persistent watches, and the requests that remove or check watches, as in ZooKeeper 3.8.0."""

from __future__ import annotations

from txmirror.errors import MarshallingErrorException, NoWatcherException
from txmirror.test.embedded.peer import Event, Peer, ServerTestCase
from txmirror.types import ACL, OPEN_ACL, EventType, WatchKind
from txmirror.wire import (
    AddWatchRequest,
    AddWatchResponse,
    CheckWatchesRequest,
    RemoveWatchesRequest,
    SetACLRequest,
    SetWatches2Request,
)

CREATED, DELETED, CHANGED, CHILD = EventType.CREATED, EventType.DELETED, EventType.CHANGED, EventType.CHILD
PERSISTENT, RECURSIVE = 0, 1


class PersistentWatchTestCase(ServerTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.writer = self.peer()
        self.watcher = self.peer()
        self.writer.create("/a")

    def watch(self, path: str, mode: int, peer: Peer | None = None) -> None:
        reply = (peer or self.watcher).ask(AddWatchRequest(path, mode))
        self.assertEqual((reply.err, reply.read(AddWatchResponse).err), (0, 0))

    def remove(self, path: str, kind: int) -> int:
        return self.watcher.ask(RemoveWatchesRequest(path, kind)).err

    def change(self) -> list[Event]:
        """Change the node, its children and the nodes below, and return the events."""
        self.writer.set("/a")
        self.writer.create("/a/b")
        self.writer.set("/a/b")
        self.writer.delete("/a/b")
        return self.watcher.events()


class PersistentTests(PersistentWatchTestCase):
    def test_all(self) -> None:
        """It gets an event of every change of the node, and of every child created or deleted, and none of nodes below."""
        self.watch("/a", PERSISTENT)
        for _ in range(2):
            self.assertEqual(self.change(), [Event(CHANGED, "/a"), Event(CHILD, "/a"), Event(CHILD, "/a")])

    def test_coming_and_going(self) -> None:
        """It outlives the node, and gets one event of the deletion."""
        self.watch("/a", PERSISTENT)
        self.writer.delete("/a")
        self.writer.create("/a")
        self.assertEqual(self.watcher.events(), [Event(DELETED, "/a"), Event(CREATED, "/a")])

    def test_missing(self) -> None:
        """It needs no node to be set."""
        self.watch("/b", PERSISTENT)
        self.writer.create("/b")
        self.assertEqual(self.watcher.events(), [Event(CREATED, "/b")])

    def test_unreadable(self) -> None:
        """It gets no events of nodes that its client may not read, and gets them again once the client may."""
        self.watch("/a", PERSISTENT)
        self.writer.ask(SetACLRequest("/a", (ACL(30, "world", "anyone"),), -1))
        self.assertEqual(self.change(), [])
        self.writer.ask(SetACLRequest("/a", OPEN_ACL, -1))
        self.assertEqual(self.change(), [Event(CHANGED, "/a"), Event(CHILD, "/a"), Event(CHILD, "/a")])

    def test_connection_gone(self) -> None:
        """It goes with its connection."""
        self.watch("/a", PERSISTENT)
        self.watcher = self.peer(resume=self.watcher)
        self.assertEqual(self.change(), [])

    def test_unknown_mode(self) -> None:
        """A mode that there is not cannot be read."""
        for mode in (-1, 2):
            self.assertEqual(self.watcher.ask(AddWatchRequest("/a", mode)).err, MarshallingErrorException.code)


class RecursiveTests(PersistentWatchTestCase):
    def test_all(self) -> None:
        """It gets the events of every node at and below the path, and none of changed children."""
        self.watch("/a", RECURSIVE)
        for _ in range(2):
            self.assertEqual(
                self.change(),
                [Event(CHANGED, "/a"), Event(CREATED, "/a/b"), Event(CHANGED, "/a/b"), Event(DELETED, "/a/b")],
            )

    def test_not_beside(self) -> None:
        """A path that merely begins alike is not below."""
        self.watch("/a", RECURSIVE)
        self.writer.create("/ab")
        self.assertEqual(self.watcher.events(), [])

    def test_root(self) -> None:
        """At the root it gets all events."""
        self.watch("/", RECURSIVE)
        self.writer.create("/a/b")
        self.writer.set("/")
        self.assertEqual(self.watcher.events(), [Event(CREATED, "/a/b"), Event(CHANGED, "/")])

    def test_unreadable(self) -> None:
        """The server sends no events of nodes that the client may not read, even if it may read the watch's own node."""
        self.watch("/a", RECURSIVE)
        self.writer.create("/a/b", acl=(ACL(30, "world", "anyone"),))
        self.writer.set("/a/b")
        self.assertEqual(self.watcher.events(), [])

    def test_one_event(self) -> None:
        """A client that watches a path, the paths above it and its children gets one event of each change."""
        self.writer.create("/a/b")
        self.watch("/", RECURSIVE)
        self.watch("/a", PERSISTENT)
        self.watcher.get("/a/b", watch=True)
        self.watcher.children("/a/b", watch=True)
        self.writer.delete("/a/b")
        self.assertEqual(self.watcher.events(), [Event(DELETED, "/a/b"), Event(CHILD, "/a")])


class OneModeTests(PersistentWatchTestCase):
    """A connection has one watch in each table on a path; the last that was set is the one."""

    def test_one_shot_replaces(self) -> None:
        """A read with a watch turns a persistent watch on data into a one-shot watch, and keeps the one on children."""
        self.watch("/a", PERSISTENT)
        self.watcher.get("/a", watch=True)
        self.assertEqual(self.change(), [Event(CHANGED, "/a"), Event(CHILD, "/a"), Event(CHILD, "/a")])
        self.assertEqual(self.change(), [Event(CHILD, "/a"), Event(CHILD, "/a")])

    def test_recursive_is_cut_short(self) -> None:
        """A read with a watch leaves of a recursive watch only the deletions, for which both tables send events."""
        self.watch("/a", RECURSIVE)
        self.watcher.get("/a", watch=True)
        self.assertEqual(self.change(), [Event(CHANGED, "/a"), Event(DELETED, "/a/b")])
        self.assertEqual(self.change(), [Event(DELETED, "/a/b")])

    def test_persistent_replaces(self) -> None:
        """A persistent watch replaces a one-shot watch, and a persistent watch of the other mode."""
        self.watcher.get("/a", watch=True)
        self.watch("/a", RECURSIVE)
        self.watch("/a", PERSISTENT)
        for _ in range(2):
            self.assertEqual(self.change(), [Event(CHANGED, "/a"), Event(CHILD, "/a"), Event(CHILD, "/a")])

    def test_connections(self) -> None:
        """The watches of another connection change nothing."""
        self.watch("/a", PERSISTENT)
        other = self.peer()
        other.get("/a", watch=True)
        self.change()
        self.assertEqual(self.change(), [Event(CHANGED, "/a"), Event(CHILD, "/a"), Event(CHILD, "/a")])


class RemoveTests(PersistentWatchTestCase):
    def test_any(self) -> None:
        """Both kinds of persistent watches are removed as a whole."""
        for mode in (PERSISTENT, RECURSIVE):
            self.watch("/a", mode)
            self.assertEqual(self.remove("/a", WatchKind.ANY), 0)
            self.assertEqual(self.change(), [])
            self.assertEqual(self.remove("/a", WatchKind.ANY), NoWatcherException.code)

    def test_half(self) -> None:
        """One half of a persistent watch can be removed, and the other continues."""
        self.watch("/a", PERSISTENT)
        self.assertEqual(self.remove("/a", WatchKind.DATA), 0)
        self.assertEqual(self.change(), [Event(CHILD, "/a"), Event(CHILD, "/a")])
        self.assertEqual(self.remove("/a", WatchKind.CHILDREN), 0)
        self.assertEqual(self.change(), [])

    def test_below(self) -> None:
        """A recursive watch is not taken away from below."""
        self.watch("/a", RECURSIVE)
        self.assertEqual(self.remove("/a/b", WatchKind.ANY), NoWatcherException.code)

    def test_later_kinds(self) -> None:
        """The kinds of 3.9, by which it would go whole, cannot be read."""
        self.watch("/a", PERSISTENT)
        for kind in (4, 5):
            self.assertEqual(self.remove("/a", kind), MarshallingErrorException.code)
        self.assertEqual(len(self.change()), 3)


class CheckTests(PersistentWatchTestCase):
    def check(self, path: str, kind: int, peer: Peer | None = None) -> int:
        return (peer or self.watcher).ask(CheckWatchesRequest(path, kind)).err

    def test_by_kind(self) -> None:
        """A watch is found by its kind, or by any."""
        self.watcher.get("/a", watch=True)
        codes = [self.check("/a", kind) for kind in (WatchKind.DATA, WatchKind.CHILDREN, WatchKind.ANY)]
        self.assertEqual(codes, [0, NoWatcherException.code, 0])

    def test_others(self) -> None:
        """The check finds the watches of any connection."""
        self.watch("/a", PERSISTENT)
        self.assertEqual([self.check("/a", kind, self.writer) for kind in WatchKind], [0, 0, 0])

    def test_below(self) -> None:
        """The check finds no watch on a node below a recursive watch."""
        self.watch("/a", RECURSIVE)
        self.assertEqual(self.check("/a/b", WatchKind.ANY), NoWatcherException.code)

    def test_nonsense(self) -> None:
        """A string that is no path has no watch, or is an error; so is an unknown kind of watch."""
        self.assertEqual(self.check("", WatchKind.ANY), NoWatcherException.code)
        self.assertEqual(self.check("a", WatchKind.ANY), MarshallingErrorException.code)
        self.assertEqual(self.check("/a", 4), MarshallingErrorException.code)


class SetWatchesTests(PersistentWatchTestCase):
    def test_persistent(self) -> None:
        """Persistent watches are set again and send no missed events; the others send them."""
        request = SetWatches2Request(0, ("/a",), ("/a",), ("/none",), ("/a",), ("/",))
        self.watcher.send(request)
        *events, reply = self.watcher.take()
        self.assertEqual(events, [Event(CHANGED, "/a"), Event(CREATED, "/a"), Event(DELETED, "/none")])
        assert not isinstance(reply, Event)
        self.assertEqual((reply.err, reply.body), (0, b""))
        for _ in range(2):
            self.assertEqual(
                self.change(),
                [
                    Event(CHANGED, "/a"),
                    Event(CREATED, "/a/b"),
                    Event(CHILD, "/a"),
                    Event(CHANGED, "/a/b"),
                    Event(DELETED, "/a/b"),
                    Event(CHILD, "/a"),
                ],
            )
