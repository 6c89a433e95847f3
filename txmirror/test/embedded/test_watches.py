"""Watches fire as in ZooKeeper 3.8.0: once, and before any reply that shows the change."""

from __future__ import annotations

from txmirror.errors import MarshallingErrorException, NoNodeException, NoWatcherException
from txmirror.test.embedded.peer import Event, Peer, Reply, ServerTestCase
from txmirror.types import ACL, CREATOR_ALL_ACL, OPEN_ACL, EventType, WatchKind
from txmirror.wire import (
    CloseSessionRequest,
    GetChildrenRequest,
    GetDataRequest,
    RemoveWatchesRequest,
    SetACLRequest,
    SetDataRequest,
    SetWatchesRequest,
)

CREATED, DELETED, CHANGED, CHILD = EventType.CREATED, EventType.DELETED, EventType.CHANGED, EventType.CHILD


class WatchTestCase(ServerTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.writer = self.peer()
        self.watcher = self.peer()
        self.writer.create("/a")


class OneShotTests(WatchTestCase):
    def test_changed(self) -> None:
        """A watch on data gets an event of the next change, and of no other."""
        self.watcher.get("/a", watch=True)
        self.writer.set("/a")
        self.writer.set("/a")
        self.assertEqual(self.watcher.events(), [Event(CHANGED, "/a")])

    def test_created(self) -> None:
        """Asking whether a missing node exists leaves a watch for its creation."""
        self.assertFalse(self.watcher.exists("/b", watch=True))
        self.writer.create("/b")
        self.assertEqual(self.watcher.events(), [Event(CREATED, "/b")])

    def test_nothing_on_a_missing_node(self) -> None:
        """Reading a missing node leaves no watch."""
        for request in (GetDataRequest("/b", True), GetChildrenRequest("/b", True)):
            self.assertEqual(self.watcher.ask(request).err, NoNodeException.code)
        self.writer.create("/b")
        self.writer.create("/b/c")
        self.assertEqual(self.watcher.events(), [])

    def test_nothing_without_asking(self) -> None:
        """Reads that ask for no watch leave none."""
        self.watcher.get("/a")
        self.watcher.children("/a")
        self.watcher.exists("/a")
        self.writer.set("/a")
        self.writer.create("/a/b")
        self.assertEqual(self.watcher.events(), [])

    def test_children(self) -> None:
        """A watch on children gets an event of a created or deleted child, and none of data."""
        self.writer.create("/a/b")
        self.watcher.children("/a", watch=True)
        self.writer.set("/a")
        self.writer.set("/a/b")
        self.assertEqual(self.watcher.events(), [])
        self.writer.delete("/a/b")
        self.assertEqual(self.watcher.events(), [Event(CHILD, "/a")])
        self.watcher.children("/a", watch=True)
        self.writer.create("/a/c")
        self.assertEqual(self.watcher.events(), [Event(CHILD, "/a")])

    def test_root(self) -> None:
        """The root's children can be watched."""
        self.watcher.children("/", watch=True)
        self.writer.create("/b")
        self.assertEqual(self.watcher.events(), [Event(CHILD, "/")])

    def test_deleted(self) -> None:
        """A deletion sends one event for both kinds of watch; then one for the parent's children."""
        self.watcher.get("/a", watch=True)
        self.watcher.children("/a", watch=True)
        self.watcher.children("/", watch=True)
        self.writer.delete("/a")
        self.assertEqual(self.watcher.events(), [Event(DELETED, "/a"), Event(CHILD, "/")])
        self.writer.create("/a")
        self.assertEqual(self.watcher.events(), [])

    def test_deleted_with_a_child_watch(self) -> None:
        """A watch on children alone gets an event of a deletion too."""
        self.watcher.children("/a", watch=True)
        self.writer.delete("/a")
        self.assertEqual(self.watcher.events(), [Event(DELETED, "/a")])

    def test_several_in_one(self) -> None:
        """Two watches of a kind on one connection and path are one."""
        self.watcher.get("/a", watch=True)
        self.watcher.exists("/a", watch=True)
        self.writer.set("/a")
        self.assertEqual(self.watcher.events(), [Event(CHANGED, "/a")])

    def test_every_connection(self) -> None:
        """Each connection that watches gets an event."""
        other = self.peer()
        self.watcher.get("/a", watch=True)
        other.get("/a", watch=True)
        self.writer.set("/a")
        self.assertEqual(self.watcher.events(), other.events())

    def test_before_the_reply(self) -> None:
        """A client that changes a node that it watches gets the event before the reply."""
        self.writer.get("/a", watch=True)
        xid = self.writer.send(SetDataRequest("/a", b"", -1))
        event, reply = self.writer.take()
        self.assertEqual(event, Event(CHANGED, "/a"))
        assert isinstance(reply, Reply)
        self.assertEqual((reply.xid, reply.err), (xid, 0))

    def test_acl_changes_are_silent(self) -> None:
        """No watch gets an event of a changed ACL."""
        self.watcher.get("/a", watch=True)
        self.writer.ask(SetACLRequest("/a", OPEN_ACL, -1))
        self.assertEqual(self.watcher.events(), [])

    def test_connection_gone(self) -> None:
        """Watches go with their connection; the session that goes on has none."""
        self.watcher.get("/a", watch=True)
        again = self.peer(resume=self.watcher)
        self.writer.set("/a")
        self.assertEqual(again.events(), [])

    def test_own_ephemerals(self) -> None:
        """The end of a session sends the events of its ephemerals before the reply, all of one transaction."""
        self.watcher.create("/a/1", flags=1)
        self.watcher.create("/a/2", flags=1)
        self.watcher.get("/a/1", watch=True)
        self.writer.children("/a", watch=True)
        before = self.server.zxid
        reply = self.watcher.send(CloseSessionRequest())
        event, last = self.watcher.take()
        self.assertEqual(event, Event(DELETED, "/a/1"))
        assert isinstance(last, Reply)
        self.assertEqual((last.xid, last.zxid), (reply, before + 1))
        self.assertEqual(self.writer.events(), [Event(CHILD, "/a")])
        self.assertEqual(self.writer.get("/a").stat.pzxid, before + 1)


class AccessTests(WatchTestCase):
    def test_not_readable(self) -> None:
        """A client that may no longer read a node gets no event, and its watch is removed all the same."""
        self.watcher.get("/a", watch=True)
        self.writer.ask(SetACLRequest("/a", (ACL(30, "world", "anyone"),), -1))
        self.writer.set("/a")
        self.writer.ask(SetACLRequest("/a", OPEN_ACL, -1))
        self.writer.set("/a")
        self.assertEqual(self.watcher.events(), [])

    def test_created_unreadable(self) -> None:
        """Clients that may read the new node get the event of its creation."""
        self.writer.auth(b"user:secret")
        self.watcher.exists("/b", watch=True)
        self.watcher.children("/", watch=True)
        self.writer.create("/b", acl=CREATOR_ALL_ACL)
        self.assertEqual(self.watcher.events(), [Event(CHILD, "/")])


class SetWatchesTests(WatchTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.writer.create("/b")
        self.seen = self.server.zxid

    def rearm(
        self, data: tuple[str, ...] = (), exist: tuple[str, ...] = (), children: tuple[str, ...] = ()
    ) -> list[Event]:
        xid = self.watcher.send(SetWatchesRequest(self.seen, data, exist, children))
        *events, reply = self.watcher.take()
        self.assertEqual(reply, Reply(xid, self.server.zxid, 0, b""))
        return [event for event in events if isinstance(event, Event)]

    def test_nothing_changed(self) -> None:
        """Without changes, the watches are set and do not fire."""
        self.assertEqual(self.rearm(("/a",), ("/c",), ("/b",)), [])
        self.writer.set("/a")
        self.writer.create("/c")
        self.writer.create("/b/1")
        self.assertEqual(self.watcher.events(), [Event(CHANGED, "/a"), Event(CREATED, "/c"), Event(CHILD, "/b")])

    def test_changed(self) -> None:
        """Data that was replaced, or created anew, has changed; the watch is used up."""
        self.writer.set("/a")
        self.writer.delete("/b")
        self.writer.create("/b")
        self.assertEqual(self.rearm(data=("/a", "/b")), [Event(CHANGED, "/a"), Event(CHANGED, "/b")])
        self.writer.set("/a")
        self.assertEqual(self.watcher.events(), [])

    def test_deleted(self) -> None:
        """A deleted node sends an event for each list that contains it."""
        self.writer.delete("/a")
        self.assertEqual(self.rearm(data=("/a",), children=("/a",)), [Event(DELETED, "/a"), Event(DELETED, "/a")])

    def test_created(self) -> None:
        """A node that was missing and is there now was created, however long ago."""
        self.assertEqual(self.rearm(exist=("/a",)), [Event(CREATED, "/a")])

    def test_children(self) -> None:
        """A child that came or went has changed its parent's children, and not its data."""
        self.writer.create("/a/1")
        self.writer.delete("/a/1")
        self.assertEqual(self.rearm(data=("/a",), children=("/a", "/b")), [Event(CHILD, "/a")])

    def test_order(self) -> None:
        """Events come in the order of the lists: data, existence, children."""
        self.writer.create("/a/1")
        self.writer.set("/b")
        self.assertEqual(
            self.rearm(("/b",), ("/a/1",), ("/a",)), [Event(CHANGED, "/b"), Event(CREATED, "/a/1"), Event(CHILD, "/a")]
        )


class RemoveTests(WatchTestCase):
    def remove(self, kind: int, peer: Peer | None = None) -> int:
        return (peer or self.watcher).ask(RemoveWatchesRequest("/a", kind)).err

    def test_removed(self) -> None:
        """A watch of the kind is removed, one of the other kind stays; no event is sent."""
        self.watcher.get("/a", watch=True)
        self.watcher.children("/a", watch=True)
        self.assertEqual(self.remove(WatchKind.DATA), 0)
        self.writer.set("/a")
        self.writer.create("/a/1")
        self.assertEqual(self.watcher.events(), [Event(CHILD, "/a")])

    def test_any(self) -> None:
        """Both kinds can be taken away at once."""
        self.watcher.get("/a", watch=True)
        self.watcher.children("/a", watch=True)
        self.assertEqual(self.remove(WatchKind.ANY), 0)
        self.assertEqual(self.remove(WatchKind.ANY), NoWatcherException.code)

    def test_none(self) -> None:
        """A watch that is not there cannot be taken away, nor that of another connection."""
        self.watcher.get("/a", watch=True)
        self.assertEqual(self.remove(WatchKind.CHILDREN), NoWatcherException.code)
        self.assertEqual(self.remove(WatchKind.DATA, self.writer), NoWatcherException.code)

    def test_unknown_kind(self) -> None:
        """A kind that there is not cannot be read."""
        self.assertEqual(self.remove(4), MarshallingErrorException.code)
