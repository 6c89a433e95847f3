"""The records that a client sends."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txmirror.errors import ProtocolError
from txmirror.test.wire.strategies import (
    RecordContract,
    buffers,
    int32s,
    int64s,
    texts,
    tuples_of_acls,
    tuples_of_texts,
)
from txmirror.types import OPEN_ACL, READ_ACL, WatchKind
from txmirror.wire import (
    AuthRequest,
    CloseSessionRequest,
    ConnectRequest,
    Create2Request,
    CreateFlag,
    CreateRequest,
    Cursor,
    DeleteRequest,
    ExistsRequest,
    GetACLRequest,
    GetChildren2Request,
    GetChildrenRequest,
    GetDataRequest,
    Operation,
    PingRequest,
    RemoveWatchesRequest,
    RequestHeader,
    SetACLRequest,
    SetDataRequest,
    SetWatchesRequest,
    SyncRequest,
)
from txmirror.wire.jute import NULL, encode_int, encode_string


class RequestHeaderTests(RecordContract, SynchronousTestCase):
    record = RequestHeader
    records = st.builds(RequestHeader, int32s, int32s)

    def test_reserved_xid(self) -> None:
        """A negative xid, as that of a ping, and a negative type, as that of closeSession, are numbers like others."""
        self.assertEqual(RequestHeader(-2, -11).encode(), b"\xff\xff\xff\xfe\xff\xff\xff\xf5")


class ConnectRequestTests(RecordContract, SynchronousTestCase):
    record = ConnectRequest
    records = st.builds(ConnectRequest, int64s, int32s, int64s, buffers, st.booleans(), int32s)
    optional = 1

    def test_without_read_only(self) -> None:
        """The handshake of a client before 3.4 lacks the last field, which is then None."""
        frame = ConnectRequest(5, 10_000, 7, b"p" * 16, None).encode()
        self.assertEqual(len(frame), 44)
        self.assertEqual(self.decode(frame), ConnectRequest(5, 10_000, 7, b"p" * 16, None))

    def test_with_read_only(self) -> None:
        """The handshake of a client since 3.4 is one byte longer."""
        self.assertEqual(len(ConnectRequest(5, 10_000, 7, b"p" * 16).encode()), 45)

    def test_faulty_read_only(self) -> None:
        """A last byte that is no boolean is a protocol error."""
        frame = ConnectRequest(5, 10_000, 7, b"p" * 16, None).encode() + b"\x02"
        self.assertRaises(ProtocolError, self.decode, frame)

    def test_password_is_hidden(self) -> None:
        """The session's password does not get into a log by way of the repr."""
        self.assertNotIn("secret", repr(ConnectRequest(0, 10_000, 7, b"secret")))


class CreateRequestTests(RecordContract, SynchronousTestCase):
    record = CreateRequest
    records = st.builds(CreateRequest, texts, buffers, tuples_of_acls, int32s)

    def test_enums(self) -> None:
        """Members of the enums are written as the numbers that they are."""
        flags = CreateFlag.EPHEMERAL | CreateFlag.SEQUENCE
        self.assertEqual(
            CreateRequest("/a", b"", OPEN_ACL, flags).encode(),
            CreateRequest("/a", b"", ((31, "world", "anyone"),), 3).encode(),  # type: ignore[arg-type]
        )

    def test_null_is_not_empty(self) -> None:
        """A node without data differs from one with empty data."""
        null = CreateRequest("/a", None, OPEN_ACL, 0)
        empty = CreateRequest("/a", b"", OPEN_ACL, 0)
        self.assertNotEqual(null.encode(), empty.encode())
        self.assertEqual([self.decode(null.encode()).data, self.decode(empty.encode()).data], [None, b""])

    def test_null_path(self) -> None:
        """A null path is a protocol error."""
        self.assertRaises(ProtocolError, self.decode, NULL + NULL + NULL + encode_int(0))

    def test_null_acl(self) -> None:
        """A null access control list is an empty one, for the server to refuse."""
        self.assertEqual(self.decode(encode_string("/a") + NULL + NULL + encode_int(0)).acl, ())

    def test_lone_surrogate(self) -> None:
        """A path that UTF-8 cannot say cannot be written."""
        self.assertRaises(ValueError, CreateRequest("/\ud800", b"", OPEN_ACL, 0).encode)


class Create2RequestTests(RecordContract, SynchronousTestCase):
    record = Create2Request
    records = st.builds(Create2Request, texts, buffers, tuples_of_acls, int32s)

    def test_is_no_create(self) -> None:
        """A create2 is never taken for a create, though their bytes are the same."""
        create, create2 = CreateRequest("/a", b"", OPEN_ACL, 0), Create2Request("/a", b"", OPEN_ACL, 0)
        self.assertEqual(create.encode(), create2.encode())
        self.assertNotEqual(create, create2)


class DeleteRequestTests(RecordContract, SynchronousTestCase):
    record = DeleteRequest
    records = st.builds(DeleteRequest, texts, int32s)


class ExistsRequestTests(RecordContract, SynchronousTestCase):
    record = ExistsRequest
    records = st.builds(ExistsRequest, texts, st.booleans())


class GetDataRequestTests(RecordContract, SynchronousTestCase):
    record = GetDataRequest
    records = st.builds(GetDataRequest, texts, st.booleans())

    def test_faulty_watch(self) -> None:
        """A watch that is neither 0 nor 1 is a protocol error that names the byte."""
        error = self.assertRaises(ProtocolError, self.decode, encode_string("/a") + b"\x7f")
        self.assertIn("127", str(error))


class GetChildrenRequestTests(RecordContract, SynchronousTestCase):
    record = GetChildrenRequest
    records = st.builds(GetChildrenRequest, texts, st.booleans())


class GetChildren2RequestTests(RecordContract, SynchronousTestCase):
    record = GetChildren2Request
    records = st.builds(GetChildren2Request, texts, st.booleans())


class SetDataRequestTests(RecordContract, SynchronousTestCase):
    record = SetDataRequest
    records = st.builds(SetDataRequest, texts, buffers, int32s)


class GetACLRequestTests(RecordContract, SynchronousTestCase):
    record = GetACLRequest
    records = st.builds(GetACLRequest, texts)


class SetACLRequestTests(RecordContract, SynchronousTestCase):
    record = SetACLRequest
    records = st.builds(SetACLRequest, texts, tuples_of_acls, int32s)

    def test_keeps_the_order(self) -> None:
        """The entries of the list stay in their order."""
        acl = (*READ_ACL, *OPEN_ACL, *READ_ACL)
        self.assertEqual(self.decode(SetACLRequest("/a", acl, -1).encode()).acl, acl)


class SyncRequestTests(RecordContract, SynchronousTestCase):
    record = SyncRequest
    records = st.builds(SyncRequest, texts)


class PingRequestTests(RecordContract, SynchronousTestCase):
    record = PingRequest
    records = st.builds(PingRequest)


class CloseSessionRequestTests(RecordContract, SynchronousTestCase):
    record = CloseSessionRequest
    records = st.builds(CloseSessionRequest)


class AuthRequestTests(RecordContract, SynchronousTestCase):
    record = AuthRequest
    records = st.builds(AuthRequest, texts, buffers, int32s)

    def test_credentials_are_hidden(self) -> None:
        """Credentials do not get into a log by way of the repr."""
        self.assertNotIn("secret", repr(AuthRequest("digest", b"user:secret")))


class SetWatchesRequestTests(RecordContract, SynchronousTestCase):
    record = SetWatchesRequest
    records = st.builds(SetWatchesRequest, int64s, tuples_of_texts, tuples_of_texts, tuples_of_texts)

    def test_lists_stay_apart(self) -> None:
        """Each path comes back in the list that it was put into."""
        request = SetWatchesRequest(9, ("/a", "/b"), ("/c",), ())
        decoded = self.decode(request.encode())
        self.assertEqual([decoded.dataWatches, decoded.existWatches, decoded.childWatches], [("/a", "/b"), ("/c",), ()])

    def test_null_lists(self) -> None:
        """Null lists, as other clients send them, are empty ones."""
        self.assertEqual(self.decode(b"\x00" * 8 + NULL * 3), SetWatchesRequest(0, (), (), ()))


class RemoveWatchesRequestTests(RecordContract, SynchronousTestCase):
    record = RemoveWatchesRequest
    records = st.builds(RemoveWatchesRequest, texts, int32s)

    def test_enum(self) -> None:
        """A member of the enum is written as the number that it is."""
        self.assertEqual(RemoveWatchesRequest("/a", WatchKind.DATA).encode(), RemoveWatchesRequest("/a", 2).encode())


class OperationTests(SynchronousTestCase):
    def test_numbers(self) -> None:
        """Each request has the operation number of ZooDefs.OpCode."""
        numbers: dict[Any, int] = {
            CreateRequest: 1,
            DeleteRequest: 2,
            ExistsRequest: 3,
            GetDataRequest: 4,
            SetDataRequest: 5,
            GetACLRequest: 6,
            SetACLRequest: 7,
            GetChildrenRequest: 8,
            SyncRequest: 9,
            PingRequest: 11,
            GetChildren2Request: 12,
            Create2Request: 15,
            RemoveWatchesRequest: 18,
            AuthRequest: 100,
            SetWatchesRequest: 101,
            CloseSessionRequest: -11,
        }
        self.assertEqual({request: int(request.operation) for request in numbers}, numbers)

    def test_numbers_differ(self) -> None:
        """No two names stand for one number."""
        self.assertEqual(len({int(operation) for operation in Operation}), len(Operation.__members__))

    def test_no_fields(self) -> None:
        """A ping and a closeSession are nothing but their headers."""
        self.assertEqual([PingRequest().encode(), CloseSessionRequest().encode()], [b"", b""])
        cursor = Cursor(b"rest")
        PingRequest.decode(cursor)
        self.assertEqual(cursor.offset, 0)
