"""Every reply has the record that its request names."""

from __future__ import annotations

from typing import Any, ClassVar

from txmirror.test.embedded.peer import ServerTestCase
from txmirror.types import OPEN_ACL, WatchKind
from txmirror.wire import (
    AUTH_XID,
    PING_XID,
    AddWatchRequest,
    AuthRequest,
    CheckWatchesRequest,
    CloseSessionRequest,
    Create2Request,
    CreateContainerRequest,
    CreateFlag,
    CreateRequest,
    CreateTTLRequest,
    DeleteRequest,
    ExistsRequest,
    GetACLRequest,
    GetAllChildrenNumberRequest,
    GetChildren2Request,
    GetChildrenRequest,
    GetDataRequest,
    GetEphemeralsRequest,
    MultiReadRequest,
    MultiRequest,
    Operation,
    PingRequest,
    RemoveWatchesRequest,
    Request,
    SaslRequest,
    SetACLRequest,
    SetDataRequest,
    SetWatches2Request,
    SetWatchesRequest,
    SyncRequest,
    WhoAmIRequest,
)

#: Requests that succeed, in this order.
REQUESTS: tuple[Request, ...] = (
    CreateRequest("/a", b"data", OPEN_ACL, 0),
    Create2Request("/b", b"data", OPEN_ACL, 0),
    CreateContainerRequest("/container", b"", OPEN_ACL, CreateFlag.CONTAINER),
    CreateTTLRequest("/ttl", b"", OPEN_ACL, CreateFlag.TTL, 1000),
    ExistsRequest("/a", False),
    GetDataRequest("/a", False),
    SetDataRequest("/a", b"new", -1),
    GetACLRequest("/a"),
    SetACLRequest("/a", OPEN_ACL, -1),
    GetChildrenRequest("/", False),
    GetChildren2Request("/", False),
    SyncRequest("/"),
    MultiRequest((DeleteRequest("/b", -1),)),
    MultiReadRequest((GetDataRequest("/a", False),)),
    DeleteRequest("/a", -1),
    AddWatchRequest("/w", 0),
    CheckWatchesRequest("/w", WatchKind.ANY),
    RemoveWatchesRequest("/w", WatchKind.ANY),
    SetWatchesRequest(100, (), (), ()),
    SetWatches2Request(100, (), (), (), (), ()),
    GetEphemeralsRequest("/"),
    GetAllChildrenNumberRequest("/"),
    WhoAmIRequest(),
    SaslRequest(b""),
    PingRequest(),
    AuthRequest("digest", b"user:password"),
    CloseSessionRequest(),
)
#: A check outside a transaction gets no reply, and a reconfiguration fails.
_WITHOUT = {Operation.CHECK, Operation.RECONFIG}
_XIDS = {Operation.PING: PING_XID, Operation.AUTH: AUTH_XID}


class ReplyTests(ServerTestCase):
    options: ClassVar[dict[str, Any]] = {"ttl_nodes": True}

    def test_every_operation(self) -> None:
        """The reply has the record of the class that the request names, and nothing after it."""
        self.assertEqual({request.operation for request in REQUESTS} | _WITHOUT, set(Operation))
        peer = self.peer()
        for request in REQUESTS:
            reply = peer.ask(request, _XIDS.get(request.operation))
            self.assertEqual(reply.err, 0, request)
            if request.response is None:
                self.assertEqual(reply.body, b"", request)
            else:
                reply.read(request.response)
