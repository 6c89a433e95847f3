"""The values that every room shares."""

from __future__ import annotations

import base64
import hashlib

from twisted.trial.unittest import SynchronousTestCase

from txmirror.types import (
    ACL,
    CREATOR_ALL_ACL,
    OPEN_ACL,
    READ_ACL,
    ChildrenReply,
    CreateReply,
    DataReply,
    EventType,
    Permission,
    SessionEvent,
    SessionState,
    StatReply,
    WatchedEvent,
    WatchKind,
    ZnodeStat,
    digest_acl,
    digest_identity,
)

STAT = ZnodeStat(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)


class ZnodeStatTests(SynchronousTestCase):
    def test_fields(self) -> None:
        """The fields have the names and the order of zookeeper.jute."""
        self.assertEqual(
            ZnodeStat._fields,
            (
                "czxid",
                "mzxid",
                "ctime",
                "mtime",
                "version",
                "cversion",
                "aversion",
                "ephemeralOwner",
                "dataLength",
                "numChildren",
                "pzxid",
            ),
        )

    def test_repr(self) -> None:
        """The repr shows every field by name."""
        self.assertEqual(
            repr(STAT),
            "ZnodeStat(czxid=1, mzxid=2, ctime=3, mtime=4, version=5, cversion=6, aversion=7, ephemeralOwner=8, "
            "dataLength=9, numChildren=10, pzxid=11)",
        )

    def test_is_immutable(self) -> None:
        """A stat that was given to one watcher cannot be changed for the next."""
        self.assertRaises(AttributeError, setattr, STAT, "version", 6)


class NumberTests(SynchronousTestCase):
    def test_event_types(self) -> None:
        """Events have the numbers of Watcher.Event.EventType."""
        self.assertEqual(
            {event.name: int(event) for event in EventType},
            {
                "CREATED": 1,
                "DELETED": 2,
                "CHANGED": 3,
                "CHILD": 4,
                "DATA_WATCH_REMOVED": 5,
                "CHILD_WATCH_REMOVED": 6,
                "PERSISTENT_WATCH_REMOVED": 7,
            },
        )

    def test_watch_kinds(self) -> None:
        """Kinds of watches have the numbers of Watcher.WatcherType."""
        self.assertEqual({kind.name: int(kind) for kind in WatchKind}, {"CHILDREN": 1, "DATA": 2, "ANY": 3})

    def test_permissions(self) -> None:
        """Permissions have the bits of ZooDefs.Perms."""
        self.assertEqual(
            {name: int(bit) for name, bit in Permission.__members__.items()},
            {"READ": 1, "WRITE": 2, "CREATE": 4, "DELETE": 8, "ADMIN": 16, "ALL": 31},
        )

    def test_all_permissions(self) -> None:
        """ALL is all of them together."""
        self.assertEqual(
            Permission.READ | Permission.WRITE | Permission.CREATE | Permission.DELETE | Permission.ADMIN,
            Permission.ALL,
        )


class ACLTests(SynchronousTestCase):
    def test_open(self) -> None:
        """The open list lets anybody do anything, as ZooDefs.Ids.OPEN_ACL_UNSAFE does."""
        self.assertEqual(OPEN_ACL, (ACL(31, "world", "anyone"),))

    def test_read(self) -> None:
        """The read list lets anybody read, as ZooDefs.Ids.READ_ACL_UNSAFE does."""
        self.assertEqual(READ_ACL, (ACL(1, "world", "anyone"),))

    def test_creator(self) -> None:
        """CREATOR_ALL_ACL has no names: the server replaces it by the identities of the session."""
        self.assertEqual(CREATOR_ALL_ACL, (ACL(31, "auth", ""),))


class DigestTests(SynchronousTestCase):
    def test_superuser(self) -> None:
        """The identity equals that of ZooKeeper's own generator, as in its manual."""
        self.assertEqual(digest_identity("super", "admin"), "super:xQJmxLMiHGwaqBvst5y6rkB6HQs=")

    def test_password(self) -> None:
        """A password may have colons, be empty, and have letters of any alphabet, which go in as UTF-8."""
        self.assertEqual(len({digest_identity("a", word) for word in ("b", "b:c", "bc", "")}), 4)
        for word in ("b:c", "", "pässword"):
            expected = base64.b64encode(hashlib.sha1(f"a:{word}".encode(), usedforsecurity=False).digest()).decode()
            self.assertEqual(digest_identity("a", word), f"a:{expected}")

    def test_user(self) -> None:
        """A user's name has letters and no colon, because the server divides the credentials there."""
        for user in ("", "a:b", ":"):
            error = self.assertRaises(ValueError, digest_identity, user, "secret")
            self.assertIn(repr(user), str(error))
            self.assertNotIn("secret", str(error))

    def test_entry(self) -> None:
        """An entry has all permissions by default."""
        identity = "super:xQJmxLMiHGwaqBvst5y6rkB6HQs="
        self.assertEqual(digest_acl("super", "admin"), ACL(31, "digest", identity))
        self.assertEqual(digest_acl("super", "admin", Permission.READ | Permission.WRITE), ACL(3, "digest", identity))
        self.assertRaises(ValueError, digest_acl, "a:b", "c")


class EventTests(SynchronousTestCase):
    def test_watched_event(self) -> None:
        """A watched event has a type and a path; its zxid is None if the server sends none."""
        event = WatchedEvent(EventType.CHILD, "/a")
        self.assertEqual((event.type, event.path, event.zxid), (EventType.CHILD, "/a", None))

    def test_session_event_is_immutable(self) -> None:
        """A session event is immutable, so that no listener can change it for others."""
        event = SessionEvent(SessionState.CONNECTED, 1, 1, 7)
        self.assertRaises(AttributeError, setattr, event, "session_number", 2)

    def test_session_events_are_values(self) -> None:
        """Session events that say the same are equal."""
        self.assertEqual(SessionEvent(SessionState.LOST, 1, 1, 7), SessionEvent(SessionState.LOST, 1, 1, 7))


class ReplyTests(SynchronousTestCase):
    def test_zxid_comes_first(self) -> None:
        """Every reply begins with the zxid that it is as of."""
        for reply in (DataReply, ChildrenReply, StatReply, CreateReply):
            self.assertEqual(reply._fields[0], "zxid")

    def test_stat_comes_last(self) -> None:
        """Every reply ends with a stat."""
        for reply in (DataReply, ChildrenReply, StatReply, CreateReply):
            self.assertEqual(reply._fields[-1], "stat")
