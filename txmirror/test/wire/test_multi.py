"""Several operations in one request, and their reply."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from kazoo import security
from kazoo.protocol import serialization as kazoo
from twisted.trial.unittest import SynchronousTestCase

from txmirror.errors import ProtocolError
from txmirror.test.wire.strategies import (
    RecordContract,
    buffers,
    int32s,
    int64s,
    lists_of_texts,
    stats,
    texts,
    tuples_of_acls,
)
from txmirror.types import OPEN_ACL, ZnodeStat
from txmirror.wire import (
    BatchedReadRequest,
    CheckVersionRequest,
    Create2Request,
    Create2Response,
    CreateContainerRequest,
    CreateRequest,
    CreateTTLRequest,
    Cursor,
    DeleteRequest,
    DoneResult,
    ErrorResult,
    GetChildrenRequest,
    GetChildrenResponse,
    GetDataRequest,
    GetDataResponse,
    MultiReadRequest,
    MultiRequest,
    MultiResponse,
    Operation,
    PathResponse,
    SetDataRequest,
    StatResponse,
)

writes = st.one_of(
    st.builds(CreateRequest, texts, buffers, tuples_of_acls, int32s),
    st.builds(Create2Request, texts, buffers, tuples_of_acls, int32s),
    st.builds(CreateContainerRequest, texts, buffers, tuples_of_acls, int32s),
    st.builds(CreateTTLRequest, texts, buffers, tuples_of_acls, int32s, int64s),
    st.builds(DeleteRequest, texts, int32s),
    st.builds(SetDataRequest, texts, buffers, int32s),
    st.builds(CheckVersionRequest, texts, int32s),
)
reads = st.builds(GetDataRequest, texts, st.booleans()) | st.builds(GetChildrenRequest, texts, st.booleans())
results = st.one_of(
    st.builds(PathResponse, texts),
    st.builds(Create2Response, texts, stats),
    st.builds(StatResponse, stats),
    st.builds(GetDataResponse, buffers, stats),
    st.builds(GetChildrenResponse, lists_of_texts),
    st.sampled_from([DoneResult(Operation.DELETE), DoneResult(Operation.CHECK)]),
    st.builds(ErrorResult, int32s),
)


class CheckVersionRequestTests(RecordContract, SynchronousTestCase):
    record = CheckVersionRequest
    records = st.builds(CheckVersionRequest, texts, int32s)


class ErrorResultTests(RecordContract, SynchronousTestCase):
    record = ErrorResult
    records = st.builds(ErrorResult, int32s)


class MultiRequestTests(RecordContract, SynchronousTestCase):
    record = MultiRequest
    records = st.builds(MultiRequest, st.lists(writes, max_size=3).map(tuple))

    def test_operation(self) -> None:
        """A transaction is operation 14, and a batch of reads is 22."""
        self.assertEqual((MultiRequest.operation, MultiReadRequest.operation), (14, 22))

    def test_foreign_operation(self) -> None:
        """An operation that cannot stand among several is named."""
        frame = MultiRequest((DeleteRequest("/a", 0),)).encode().replace(b"\0\0\0\2", b"\0\0\0\x0b", 1)
        error = self.assertRaises(ProtocolError, MultiRequest.decode, Cursor(frame))
        self.assertIn("11", str(error))

    def test_as_kazoo_has_it(self) -> None:
        """A transaction has the bytes that kazoo writes."""
        acl = [security.ACL(entry.permissions, security.Id(entry.scheme, entry.identity)) for entry in OPEN_ACL]
        theirs = kazoo.Transaction(
            [
                kazoo.Create("/a", b"one", acl, 3),
                kazoo.Delete("/b", 2),
                kazoo.SetData("/c", b"two", -1),
                kazoo.CheckVersion("/d", 7),
            ]
        )
        ours = MultiRequest(
            (
                CreateRequest("/a", b"one", OPEN_ACL, 3),
                DeleteRequest("/b", 2),
                SetDataRequest("/c", b"two", -1),
                CheckVersionRequest("/d", 7),
            )
        )
        self.assertEqual(ours.encode(), bytes(theirs.serialize()))


class MultiReadRequestTests(RecordContract, SynchronousTestCase):
    record = MultiReadRequest
    records = st.builds(MultiReadRequest, st.lists(reads, max_size=3).map(tuple))


class BatchedReadRequestTests(SynchronousTestCase):
    @given(st.lists(texts, max_size=3), st.lists(texts, max_size=3))
    def test_as_multi_read(self, data: list[str], children: list[str]) -> None:
        """It is encoded as the reads of data, and then of children, one by one."""
        one_by_one: list[GetDataRequest | GetChildrenRequest] = [GetDataRequest(path, False) for path in data]
        one_by_one += [GetChildrenRequest(path, False) for path in children]
        self.assertEqual(BatchedReadRequest(data, children).encode(), MultiReadRequest(tuple(one_by_one)).encode())
        self.assertEqual(BatchedReadRequest.operation, MultiReadRequest.operation)


class MultiResponseTests(RecordContract, SynchronousTestCase):
    record = MultiResponse
    records = st.builds(MultiResponse, st.lists(results, max_size=3))

    def test_foreign_result(self) -> None:
        """A result that answers nothing that can stand among several is named."""
        frame = MultiResponse([PathResponse("/a")]).encode().replace(b"\0\0\0\1", b"\0\0\0\x63", 1)
        error = self.assertRaises(ProtocolError, MultiResponse.decode, Cursor(frame))
        self.assertIn("99", str(error))

    def test_read_by_kazoo(self) -> None:
        """kazoo decodes our encoding."""
        stat = ZnodeStat(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)
        frame = MultiResponse(
            [PathResponse("/a"), DoneResult(Operation.DELETE), StatResponse(stat), DoneResult(Operation.CHECK)]
        ).encode()
        path, deleted, changed, checked = kazoo.Transaction.deserialize(frame, 0)
        self.assertEqual((path, deleted, checked), ("/a", True, True))
        self.assertEqual(tuple(changed), tuple(stat))

    def test_refusal_read_by_kazoo(self) -> None:
        """kazoo finds the operation that was refused where we put it."""
        frame = MultiResponse([ErrorResult(0), ErrorResult(-101), ErrorResult(-2)]).encode()
        names = [type(result).__name__ for result in kazoo.Transaction.deserialize(frame, 0)]
        self.assertEqual(names, ["RolledBackError", "NoNodeError", "RuntimeInconsistency"])
