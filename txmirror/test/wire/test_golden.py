"""The same bytes as another project's: kazoo's, and where it has none, bytes written by hand from zookeeper.jute.

A mistake that our client and our embedded server share passes every round trip. It does not pass here.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from kazoo import security
from kazoo.protocol import serialization as kazoo
from twisted.trial.unittest import SynchronousTestCase

from txmirror.test.wire.strategies import buffers, characters, int32s, int64s, stats
from txmirror.types import ACL, CREATOR_ALL_ACL, OPEN_ACL, ZnodeStat
from txmirror.wire import (
    AuthRequest,
    CloseSessionRequest,
    ConnectRequest,
    ConnectResponse,
    Create2Request,
    Create2Response,
    CreateRequest,
    Cursor,
    DeleteRequest,
    ExistsRequest,
    GetACLRequest,
    GetACLResponse,
    GetChildren2Request,
    GetChildren2Response,
    GetChildrenRequest,
    GetChildrenResponse,
    GetDataRequest,
    GetDataResponse,
    PathResponse,
    PingRequest,
    RemoveWatchesRequest,
    ReplyHeader,
    Request,
    RequestHeader,
    SetACLRequest,
    SetDataRequest,
    SetWatchesRequest,
    StatResponse,
    SyncRequest,
    WatcherEvent,
    encode_frame,
)

# kazoo writes an empty string as null, which no path or scheme is.
texts = st.text(characters, min_size=1, max_size=8)
acls = st.builds(ACL, int32s, texts, texts)
tuples_of_acls = st.lists(acls, max_size=3).map(tuple)


def to_kazoo(entries: tuple[ACL, ...]) -> list[Any]:
    """Return an access control list of kazoo's."""
    return [security.ACL(entry.permissions, security.Id(entry.scheme, entry.identity)) for entry in entries]


class GoldenCase(SynchronousTestCase):
    def same(self, ours: Any, theirs: bytes | bytearray) -> None:
        """Compare the bytes, and read theirs back with our class."""
        self.assertEqual(ours.encode(), bytes(theirs))
        cursor = Cursor(bytes(theirs))
        self.assertEqual(type(ours).decode(cursor), ours)
        cursor.finish()

    def same_request(self, ours: Request, theirs: Any) -> None:
        """Compare the bytes and the number of the operation."""
        self.same(ours, theirs.serialize())
        self.assertEqual(int(ours.operation), theirs.type)


class KazooRequestTests(GoldenCase):
    """Kazoo's client and ours send the same bytes, and our server decodes them."""

    @given(int32s, int64s, int32s, int64s, buffers, st.booleans())
    def test_connect(
        self, version: int, zxid: int, timeout: int, session: int, passwd: bytes | None, read_only: bool
    ) -> None:
        """The handshakes are the same."""
        self.same(
            ConnectRequest(zxid, timeout, session, passwd, read_only, version),
            kazoo.Connect(version, zxid, timeout, session, passwd, read_only).serialize(),
        )

    @given(texts, buffers, tuples_of_acls, int32s)
    def test_create(self, path: str, data: bytes | None, acl: tuple[ACL, ...], flags: int) -> None:
        """The requests to create a node are the same."""
        self.same_request(CreateRequest(path, data, acl, flags), kazoo.Create(path, data, to_kazoo(acl), flags))

    @given(texts, buffers, tuples_of_acls, int32s)
    def test_create2(self, path: str, data: bytes | None, acl: tuple[ACL, ...], flags: int) -> None:
        """The requests to create a node and get its stat are the same."""
        self.same_request(Create2Request(path, data, acl, flags), kazoo.Create2(path, data, to_kazoo(acl), flags))

    def test_create_for_the_creator(self) -> None:
        """An ACL entry whose identity kazoo leaves null, as a real server allows it, has an empty identity."""
        frame = bytes(kazoo.Create("/a", b"", security.CREATOR_ALL_ACL, 0).serialize())
        self.assertEqual(CreateRequest.decode(Cursor(frame)), CreateRequest("/a", b"", CREATOR_ALL_ACL, 0))

    @given(texts, int32s)
    def test_delete(self, path: str, version: int) -> None:
        """The requests to delete a node are the same."""
        self.same_request(DeleteRequest(path, version), kazoo.Delete(path, version))

    @given(texts, st.booleans())
    def test_exists(self, path: str, watch: bool) -> None:
        """The requests for a stat are the same."""
        self.same_request(ExistsRequest(path, watch), kazoo.Exists(path, watch))

    @given(texts, st.booleans())
    def test_get_data(self, path: str, watch: bool) -> None:
        """The requests for data are the same."""
        self.same_request(GetDataRequest(path, watch), kazoo.GetData(path, watch))

    @given(texts, buffers, int32s)
    def test_set_data(self, path: str, data: bytes | None, version: int) -> None:
        """The requests to replace data are the same."""
        self.same_request(SetDataRequest(path, data, version), kazoo.SetData(path, data, version))

    @given(texts, st.booleans())
    def test_get_children(self, path: str, watch: bool) -> None:
        """The requests for the names of the children are the same."""
        self.same_request(GetChildrenRequest(path, watch), kazoo.GetChildren(path, watch))

    @given(texts, st.booleans())
    def test_get_children2(self, path: str, watch: bool) -> None:
        """The requests for the names of the children and the stat are the same."""
        self.same_request(GetChildren2Request(path, watch), kazoo.GetChildren2(path, watch))

    @given(texts)
    def test_get_acl(self, path: str) -> None:
        """The requests for an access control list are the same."""
        self.same_request(GetACLRequest(path), kazoo.GetACL(path))

    @given(texts, tuples_of_acls, int32s)
    def test_set_acl(self, path: str, acl: tuple[ACL, ...], version: int) -> None:
        """The requests to replace an access control list are the same."""
        self.same_request(SetACLRequest(path, acl, version), kazoo.SetACL(path, to_kazoo(acl), version))

    @given(texts)
    def test_sync(self, path: str) -> None:
        """The requests to sync are the same."""
        self.same_request(SyncRequest(path), kazoo.Sync(path))

    @given(int32s, texts, texts)
    def test_auth(self, kind: int, scheme: str, auth: str) -> None:
        """The auth packets are the same."""
        self.same_request(AuthRequest(scheme, auth.encode(), kind), kazoo.Auth(kind, scheme, auth))

    def test_ping(self) -> None:
        """The pings are the same."""
        self.same_request(PingRequest(), kazoo.PingInstance)

    def test_close(self) -> None:
        """The requests to end the session are the same."""
        self.same_request(CloseSessionRequest(), kazoo.CloseInstance)


class KazooResponseTests(GoldenCase):
    """Kazoo's client decodes the replies of our server."""

    @given(int32s, int64s, int32s)
    def test_reply_header(self, xid: int, zxid: int, err: int) -> None:
        """Kazoo reads our header, to its end."""
        encoded = ReplyHeader(xid, zxid, err).encode()
        self.assertEqual(kazoo.ReplyHeader.deserialize(encoded, 0), ((xid, zxid, err), len(encoded)))

    @given(int32s, int32s, int64s, buffers, st.booleans())
    def test_connect(self, version: int, timeout: int, session: int, passwd: bytes | None, read_only: bool) -> None:
        """Kazoo reads our answer to the handshake, to its end."""
        encoded = ConnectResponse(timeout, session, passwd, read_only, version).encode()
        expected = (version, 0, timeout, session, passwd, read_only)
        self.assertEqual(kazoo.Connect.deserialize(encoded, 0), (expected, len(encoded)))

    def test_connect_without_read_only(self) -> None:
        """Kazoo reads our answer in the form of servers before 3.4."""
        encoded = ConnectResponse(10_000, 7, b"p" * 16, None).encode()
        self.assertEqual(kazoo.Connect.deserialize(encoded, 0), ((0, 0, 10_000, 7, b"p" * 16, False), len(encoded)))

    @given(texts)
    def test_create(self, path: str) -> None:
        """Kazoo reads the path of a node that was created."""
        self.assertEqual(kazoo.Create.deserialize(PathResponse(path).encode(), 0), path)

    @given(texts)
    def test_sync(self, path: str) -> None:
        """Kazoo reads the path that was synced."""
        self.assertEqual(kazoo.Sync.deserialize(PathResponse(path).encode(), 0), path)

    @given(texts, stats)
    def test_create2(self, path: str, stat: ZnodeStat) -> None:
        """Kazoo reads the path and stat of a node that was created."""
        self.assertEqual(kazoo.Create2.deserialize(Create2Response(path, stat).encode(), 0), (path, stat))

    @given(stats)
    def test_set_data(self, stat: ZnodeStat) -> None:
        """Kazoo reads the stat of a node whose data was replaced, every field under the same name."""
        read = kazoo.SetData.deserialize(StatResponse(stat).encode(), 0)
        self.assertEqual(read._asdict(), stat._asdict())

    def test_exists(self) -> None:
        """Kazoo reads the stat of a node that exists."""
        stat = ZnodeStat(*range(1, 12))
        self.assertEqual(kazoo.Exists.deserialize(StatResponse(stat).encode(), 0), stat)

    @given(stats)
    def test_set_acl(self, stat: ZnodeStat) -> None:
        """Kazoo reads the stat of a node whose access control list was replaced."""
        self.assertEqual(kazoo.SetACL.deserialize(StatResponse(stat).encode(), 0), stat)

    @given(buffers, stats)
    def test_get_data(self, data: bytes | None, stat: ZnodeStat) -> None:
        """Kazoo reads data, null too, and stat."""
        self.assertEqual(kazoo.GetData.deserialize(GetDataResponse(data, stat).encode(), 0), (data, stat))

    @given(st.lists(texts, max_size=4))
    def test_get_children(self, children: list[str]) -> None:
        """Kazoo reads the names of children."""
        self.assertEqual(kazoo.GetChildren.deserialize(GetChildrenResponse(children).encode(), 0), children)

    @given(st.lists(texts, max_size=4), stats)
    def test_get_children2(self, children: list[str], stat: ZnodeStat) -> None:
        """Kazoo reads the names of children, and the stat."""
        encoded = GetChildren2Response(children, stat).encode()
        self.assertEqual(kazoo.GetChildren2.deserialize(encoded, 0), (children, stat))

    @given(tuples_of_acls, stats)
    def test_get_acl(self, acl: tuple[ACL, ...], stat: ZnodeStat) -> None:
        """Kazoo reads an access control list and the stat."""
        encoded = GetACLResponse(list(acl), stat).encode()
        self.assertEqual(kazoo.GetACL.deserialize(encoded, 0), (to_kazoo(acl), stat))

    @given(int32s, int32s, texts)
    def test_event(self, kind: int, state: int, path: str) -> None:
        """Kazoo reads an event, to its end."""
        encoded = WatcherEvent(kind, state, path).encode()
        self.assertEqual(kazoo.Watch.deserialize(encoded, 0), ((kind, state, path), len(encoded)))


class HandWrittenTests(GoldenCase):
    """Bytes written from zookeeper.jute, field by field."""

    def test_set_watches(self) -> None:
        """setWatches is a zxid and three lists of paths: data, existence, children."""
        self.same(
            SetWatchesRequest(0x0000000500000007, ("/a", "/bc"), ("/x",), ()),
            b"\x00\x00\x00\x05\x00\x00\x00\x07"  # long relativeZxid
            b"\x00\x00\x00\x02"  # vector<ustring> dataWatches: two
            b"\x00\x00\x00\x02/a"
            b"\x00\x00\x00\x03/bc"
            b"\x00\x00\x00\x01"  # vector<ustring> existWatches: one
            b"\x00\x00\x00\x02/x"
            b"\x00\x00\x00\x00",  # vector<ustring> childWatches: none
        )

    def test_remove_watches(self) -> None:
        """removeWatches is a path and the kind of watches."""
        self.same(
            RemoveWatchesRequest("/a", 2),
            b"\x00\x00\x00\x02/a"  # ustring path
            b"\x00\x00\x00\x02",  # int type: WatcherType.Data
        )

    def test_frame_of_a_ping(self) -> None:
        """A ping's frame is its length and its header."""
        frame = encode_frame(RequestHeader(-2, PingRequest.operation).encode() + PingRequest().encode())
        self.assertEqual(
            frame,
            b"\x00\x00\x00\x08"  # the frame's length
            b"\xff\xff\xff\xfe"  # int xid: -2
            b"\x00\x00\x00\x0b",  # int type: 11
        )

    def test_frame_of_set_watches(self) -> None:
        """A setWatches' frame is its length, its header, and the record."""
        request = SetWatchesRequest(1, (), (), ("/",))
        self.assertEqual(
            encode_frame(RequestHeader(5, request.operation).encode() + request.encode()),
            b"\x00\x00\x00\x21"  # the frame's length: 33
            b"\x00\x00\x00\x05"  # int xid
            b"\x00\x00\x00\x65"  # int type: 101
            b"\x00\x00\x00\x00\x00\x00\x00\x01"  # long relativeZxid
            b"\x00\x00\x00\x00"  # vector<ustring> dataWatches: none
            b"\x00\x00\x00\x00"  # vector<ustring> existWatches: none
            b"\x00\x00\x00\x01"  # vector<ustring> childWatches: one
            b"\x00\x00\x00\x01/",
        )

    def test_create_of_an_open_node(self) -> None:
        """A create is a path, data, a list of ACL entries, and flags."""
        self.same(
            CreateRequest("/a", b"xyz", OPEN_ACL, 1),
            b"\x00\x00\x00\x02/a"  # ustring path
            b"\x00\x00\x00\x03xyz"  # buffer data
            b"\x00\x00\x00\x01"  # vector<ACL> acl: one
            b"\x00\x00\x00\x1f"  # int perms: all
            b"\x00\x00\x00\x05world"  # ustring scheme
            b"\x00\x00\x00\x06anyone"  # ustring id
            b"\x00\x00\x00\x01",  # int flags: ephemeral
        )

    def test_event(self) -> None:
        """An event is a header with the xid -1, and a type, a state and a path."""
        self.assertEqual(
            ReplyHeader(-1, -1, 0).encode() + WatcherEvent(3, 3, "/a").encode(),
            b"\xff\xff\xff\xff"  # int xid: -1
            b"\xff\xff\xff\xff\xff\xff\xff\xff"  # long zxid: -1
            b"\x00\x00\x00\x00"  # int err
            b"\x00\x00\x00\x03"  # int type: NodeDataChanged
            b"\x00\x00\x00\x03"  # int state: SyncConnected
            b"\x00\x00\x00\x02/a",  # ustring path
        )
