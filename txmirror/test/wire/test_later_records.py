"""The records that servers have learnt since 3.5."""

from __future__ import annotations

from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txmirror.test.wire.strategies import (
    RecordContract,
    buffers,
    int32s,
    int64s,
    lists_of_texts,
    texts,
    tuples_of_acls,
    tuples_of_texts,
)
from txmirror.types import OPEN_ACL
from txmirror.wire import (
    AddWatchRequest,
    AddWatchResponse,
    CheckWatchesRequest,
    ClientInfo,
    CreateContainerRequest,
    CreateFlag,
    CreateTTLRequest,
    GetAllChildrenNumberRequest,
    GetAllChildrenNumberResponse,
    GetEphemeralsRequest,
    GetEphemeralsResponse,
    ReconfigRequest,
    SaslRequest,
    SaslResponse,
    SetWatches2Request,
    WhoAmIRequest,
    WhoAmIResponse,
)


class CreateContainerRequestTests(RecordContract, SynchronousTestCase):
    record = CreateContainerRequest
    records = st.builds(CreateContainerRequest, texts, buffers, tuples_of_acls, int32s)


class CreateTTLRequestTests(RecordContract, SynchronousTestCase):
    record = CreateTTLRequest
    records = st.builds(CreateTTLRequest, texts, buffers, tuples_of_acls, int32s, int64s)

    def test_bytes(self) -> None:
        """It has the bytes of zookeeper.jute's CreateTTLRequest."""
        self.assertEqual(
            CreateTTLRequest("/a", b"x", OPEN_ACL, CreateFlag.TTL, 1500).encode(),
            b"\0\0\0\2/a"  # ustring path
            b"\0\0\0\1x"  # buffer data
            b"\0\0\0\1\0\0\0\x1f\0\0\0\5world\0\0\0\6anyone"  # vector<ACL> acl
            b"\0\0\0\5"  # int flags
            b"\0\0\0\0\0\0\5\xdc",  # long ttl
        )


class GetEphemeralsRequestTests(RecordContract, SynchronousTestCase):
    record = GetEphemeralsRequest
    records = st.builds(GetEphemeralsRequest, texts)


class GetAllChildrenNumberRequestTests(RecordContract, SynchronousTestCase):
    record = GetAllChildrenNumberRequest
    records = st.builds(GetAllChildrenNumberRequest, texts)


class GetEphemeralsResponseTests(RecordContract, SynchronousTestCase):
    record = GetEphemeralsResponse
    records = st.builds(GetEphemeralsResponse, lists_of_texts)


class GetAllChildrenNumberResponseTests(RecordContract, SynchronousTestCase):
    record = GetAllChildrenNumberResponse
    records = st.builds(GetAllChildrenNumberResponse, int32s)


class WhoAmIResponseTests(RecordContract, SynchronousTestCase):
    record = WhoAmIResponse
    records = st.builds(WhoAmIResponse, st.lists(st.builds(ClientInfo, texts, texts), max_size=3))


class ReconfigRequestTests(RecordContract, SynchronousTestCase):
    record = ReconfigRequest
    records = st.builds(ReconfigRequest, st.none() | texts, st.none() | texts, st.none() | texts, int64s)

    def test_bytes(self) -> None:
        """A missing text is null, which differs from an empty one."""
        self.assertEqual(
            ReconfigRequest(None, "3", "", -1).encode(),
            b"\xff\xff\xff\xff"  # ustring joiningServers
            b"\0\0\0\x013"  # ustring leavingServers
            b"\0\0\0\0"  # ustring newMembers
            b"\xff\xff\xff\xff\xff\xff\xff\xff",  # long curConfigId
        )


class SaslRequestTests(RecordContract, SynchronousTestCase):
    record = SaslRequest
    records = st.builds(SaslRequest, buffers)

    def test_secret(self) -> None:
        """The repr does not show the token."""
        self.assertNotIn("hush", repr(SaslRequest(b"hush")))


class SaslResponseTests(RecordContract, SynchronousTestCase):
    record = SaslResponse
    records = st.builds(SaslResponse, buffers)

    def test_secret(self) -> None:
        """The repr does not show the token."""
        self.assertNotIn("hush", repr(SaslResponse(b"hush")))


class SetWatches2RequestTests(RecordContract, SynchronousTestCase):
    record = SetWatches2Request
    records = st.builds(SetWatches2Request, int64s, *[tuples_of_texts] * 5)

    def test_bytes(self) -> None:
        """The lists stand in the order of zookeeper.jute's SetWatches2."""
        self.assertEqual(
            SetWatches2Request(7, ("/d",), ("/e",), ("/c",), ("/p",), ("/r",)).encode(),
            b"\0\0\0\0\0\0\0\7"  # long relativeZxid
            b"\0\0\0\1\0\0\0\2/d"  # vector<ustring> dataWatches
            b"\0\0\0\1\0\0\0\2/e"  # vector<ustring> existWatches
            b"\0\0\0\1\0\0\0\2/c"  # vector<ustring> childWatches
            b"\0\0\0\1\0\0\0\2/p"  # vector<ustring> persistentWatches
            b"\0\0\0\1\0\0\0\2/r",  # vector<ustring> persistentRecursiveWatches
        )


class CheckWatchesRequestTests(RecordContract, SynchronousTestCase):
    record = CheckWatchesRequest
    records = st.builds(CheckWatchesRequest, texts, int32s)


class AddWatchRequestTests(RecordContract, SynchronousTestCase):
    record = AddWatchRequest
    records = st.builds(AddWatchRequest, texts, int32s)


class AddWatchResponseTests(RecordContract, SynchronousTestCase):
    record = AddWatchResponse
    records = st.builds(AddWatchResponse, int32s)


class OperationTests(SynchronousTestCase):
    def test_numbers(self) -> None:
        """Each has the number of ``ZooDefs.OpCode``."""
        requests = (
            CreateContainerRequest,
            CreateTTLRequest,
            GetEphemeralsRequest,
            GetAllChildrenNumberRequest,
            WhoAmIRequest,
            ReconfigRequest,
            CheckWatchesRequest,
            SaslRequest,
            SetWatches2Request,
            AddWatchRequest,
        )
        numbers = [19, 21, 103, 104, 107, 16, 17, 102, 105, 106]
        self.assertEqual([int(request.operation) for request in requests], numbers)
