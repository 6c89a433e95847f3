"""Execute the requests that read data or the server's state. None of them is a transaction.

The checks and their order are those of ``FinalRequestProcessor``.
"""

from __future__ import annotations

from typing import Final

from txmirror.embedded import acl as access
from txmirror.embedded.requests import Caller, Encodable
from txmirror.embedded.tree import Node, Tree
from txmirror.embedded.versions import Version
from txmirror.embedded.watches import Watches
from txmirror.errors import BadArgumentsException, MarshallingErrorException, ZooKeeperException
from txmirror.types import Permission
from txmirror.wire import (
    ClientInfo,
    ErrorResult,
    ExistsRequest,
    GetACLRequest,
    GetACLResponse,
    GetAllChildrenNumberRequest,
    GetAllChildrenNumberResponse,
    GetChildren2Request,
    GetChildren2Response,
    GetChildrenRequest,
    GetChildrenResponse,
    GetDataRequest,
    GetDataResponse,
    GetEphemeralsRequest,
    GetEphemeralsResponse,
    MultiReadRequest,
    MultiResponse,
    PathResponse,
    StatResponse,
    SyncRequest,
    WhoAmIRequest,
    WhoAmIResponse,
)

#: The longest reply to a batch of reads, in bytes: enough for 128 of the largest nodes, as a tree reads them.
_MAX_REPLY: Final = 160 * 1024 * 1024


class Reads:
    """The reads. Each method executes one kind of request; if it fails, it raises a :exc:`ZooKeeperException` with a code."""

    def __init__(self, tree: Tree, watches: Watches, version: Version) -> None:
        self._tree = tree
        self._watches = watches
        self._exists_needs_read = version.exists_needs_read

    def exists(self, request: ExistsRequest, caller: Caller) -> Encodable:
        """Return a znode's stat."""
        path = request.path
        if "\0" in path:
            raise BadArgumentsException(path=path)
        # In 3.8.0 any client may read a stat: it has no check here.
        if self._exists_needs_read and path in self._tree.nodes:
            self._readable(path, caller)
        if request.watch:
            self._watches.data.add(path, caller)
        return StatResponse(self._tree.node(path).stat())

    def get_data(self, request: GetDataRequest, caller: Caller) -> GetDataResponse:
        """Return a znode's data and stat."""
        node = self._readable(request.path, caller)
        if request.watch:
            self._watches.data.add(request.path, caller)
        return GetDataResponse(node.data, node.stat())

    def get_acl(self, request: GetACLRequest, caller: Caller) -> Encodable:
        """Return a znode's access control list and stat."""
        node = self._tree.node(request.path)
        access.check(node.acl, Permission.READ | Permission.ADMIN, caller.identities, request.path)
        return GetACLResponse(access.shown_to(node.acl, caller.identities), node.stat())

    def get_children(self, request: GetChildrenRequest, caller: Caller) -> GetChildrenResponse:
        """Return the names of a znode's children."""
        return GetChildrenResponse(list(self._list(request, caller).children))

    def get_children2(self, request: GetChildren2Request, caller: Caller) -> Encodable:
        """Return the names of a znode's children, and its stat."""
        node = self._list(request, caller)
        return GetChildren2Response(list(node.children), node.stat())

    def multi_read(self, request: MultiReadRequest, caller: Caller) -> Encodable:
        """Return the data or children of several znodes, or an error for each that fails. Set no watches.

        :raises MarshallingErrorException: the reply is too long. (A real server goes on until its memory is full.)
        """
        results: list[GetDataResponse | GetChildrenResponse | ErrorResult] = []
        bytes_left = _MAX_REPLY
        for read in request.requests:
            if not isinstance(read, GetDataRequest | GetChildrenRequest):
                raise MarshallingErrorException("a batch of reads contains a write")
            try:
                if isinstance(read, GetDataRequest):
                    data = self.get_data(GetDataRequest(read.path, False), caller)
                    bytes_left -= len(data.data or b"")
                    results.append(data)
                else:
                    names = self.get_children(GetChildrenRequest(read.path, False), caller)
                    bytes_left -= sum(map(len, names.children))
                    results.append(names)
            except ZooKeeperException as error:
                results.append(ErrorResult(error.code or 0))
            if bytes_left < 0:
                raise MarshallingErrorException(f"the reply to a batch of reads is longer than {_MAX_REPLY} bytes")
        return MultiResponse([*results])

    def get_ephemerals(self, request: GetEphemeralsRequest, caller: Caller) -> Encodable:
        """Return the paths of the caller's ephemeral nodes that start with a prefix of the string, not of path components."""
        prefix = request.path
        owned = self._tree.ephemerals.get(caller.session_id, ())
        everything = prefix.strip() in {"", "/"}
        return GetEphemeralsResponse([path for path in owned if everything or path.startswith(prefix)])

    def get_all_children_number(self, request: GetAllChildrenNumberRequest, caller: Caller) -> Encodable:
        """Return the number of znodes below one, at any depth."""
        self._readable(request.path, caller)
        return GetAllChildrenNumberResponse(self._tree.count_below(request.path))

    def who_am_i(self, request: WhoAmIRequest, caller: Caller) -> Encodable:
        """Return the caller's identities."""
        return WhoAmIResponse(
            [ClientInfo(identity.scheme, access.user_name(identity)) for identity in caller.identities]
        )

    def sync(self, request: SyncRequest, caller: Caller) -> Encodable:
        """Return the path: all earlier writes have been applied."""
        return PathResponse(request.path)

    def _list(self, request: GetChildrenRequest | GetChildren2Request, caller: Caller) -> Node:
        node = self._readable(request.path, caller)
        if request.watch:
            self._watches.children.add(request.path, caller)
        return node

    def _readable(self, path: str, caller: Caller) -> Node:
        node = self._tree.node(path)
        access.check(node.acl, Permission.READ, caller.identities, path)
        return node
