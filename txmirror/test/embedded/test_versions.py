"""A server can be another version's: its operations and its events are those of that version."""

from __future__ import annotations

from typing import Any, ClassVar

from txmirror.embedded import EmbeddedServer
from txmirror.errors import MarshallingErrorException, UnimplementedException
from txmirror.test.embedded.peer import Event, Reply, ServerTestCase
from txmirror.types import OPEN_ACL, EventType
from txmirror.wire import (
    AddWatchRequest,
    Create2Request,
    CreateRequest,
    DeleteRequest,
    MultiRequest,
    RequestHeader,
    SetWatchesRequest,
    encode_frame,
)


class VersionTests(ServerTestCase):
    def test_unknown(self) -> None:
        """A version that cannot be imitated is refused, and quoted."""
        for version in ("3.5", "", "3.8.0"):
            error = self.assertRaises(ValueError, EmbeddedServer, self.reactor, version=version)
            self.assertIn(repr(version), str(error))

    def test_ordinary(self) -> None:
        """Events of 3.8 do not say which transaction they are about."""
        peer = self.peer()
        peer.get("/", watch=True)
        self.peer().set("/")
        self.assertEqual(peer.events(), [Event(EventType.CHANGED, "/")])
        self.assertEqual(peer.event_zxids, [-1])


class OldTests(ServerTestCase):
    options: ClassVar[dict[str, Any]] = {"version": "3.4"}

    def test_later_operations(self) -> None:
        """What 3.4 does not know is answered without a zxid, and ends the connection."""
        for operation in (15, 16, 17, 18, 19, 21, 22, 103, 104, 105, 106, 107):
            peer = self.peer()
            peer.raw(encode_frame(RequestHeader(7, operation).encode()))
            self.assertEqual(peer.take(), [Reply(7, -1, UnimplementedException.code, b"")])
            self.assertIsNotNone(peer.lost)

    def test_known_operations(self) -> None:
        """What 3.4 knows works, transactions among it."""
        peer = self.peer()
        self.assertEqual(peer.ask(CreateRequest("/a", b"", OPEN_ACL, 0)).err, 0)
        self.assertEqual(peer.ask(MultiRequest((DeleteRequest("/a", 0),))).err, 0)
        self.assertFalse(peer.exists("/a"))

    def test_later_operations_in_a_transaction(self) -> None:
        """What 3.4 does not know cannot be read in a transaction."""
        peer = self.peer()
        request = MultiRequest((DeleteRequest("/a", 0), Create2Request("/a", b"", OPEN_ACL, 0)))
        self.assertEqual(peer.ask(request).err, MarshallingErrorException.code)

    def test_srvr(self) -> None:
        """It says that it is a 3.4."""
        peer = self.connect()
        peer.raw(b"srvr")
        self.assertTrue(peer.text.startswith(b"Zookeeper version: 3.4.14-"), peer.text)


class NewTests(ServerTestCase):
    options: ClassVar[dict[str, Any]] = {"version": "3.9"}

    def test_zxid(self) -> None:
        """Each event says which transaction it is about."""
        watcher, writer = self.peer(), self.peer()
        watcher.ask(AddWatchRequest("/", 1))
        first = writer.create("/a").stat.czxid
        second = writer.set("/a").stat.mzxid
        writer.delete("/a")
        self.assertEqual([event.type for event in watcher.events()], [EventType.CREATED, 3, 2])
        self.assertEqual(watcher.event_zxids, [first, second, second + 1])

    def test_a_session_ends(self) -> None:
        """Ephemerals go in the transaction that ends their session."""
        watcher, owner = self.peer(), self.peer()
        owner.create("/e", flags=1)
        watcher.get("/e", watch=True)
        owner.close()
        self.assertEqual(
            (watcher.events(), watcher.event_zxids), ([Event(EventType.DELETED, "/e")], [self.server.zxid])
        )

    def test_missed(self) -> None:
        """What was missed is told without a transaction: there may have been many."""
        peer = self.peer()
        peer.send(SetWatchesRequest(0, ("/none",), (), ()))
        self.assertEqual(peer.event_zxids, [-1])
