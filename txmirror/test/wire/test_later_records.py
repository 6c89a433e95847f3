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
)
from txmirror.types import OPEN_ACL
from txmirror.wire import (
    ClientInfo,
    CreateContainerRequest,
    CreateFlag,
    CreateTTLRequest,
    GetAllChildrenNumberRequest,
    GetAllChildrenNumberResponse,
    GetEphemeralsRequest,
    GetEphemeralsResponse,
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


class OperationTests(SynchronousTestCase):
    def test_numbers(self) -> None:
        """Each has the number of ``ZooDefs.OpCode``."""
        requests = (
            CreateContainerRequest,
            CreateTTLRequest,
            GetEphemeralsRequest,
            GetAllChildrenNumberRequest,
            WhoAmIRequest,
        )
        self.assertEqual([int(request.operation) for request in requests], [19, 21, 103, 104, 107])
