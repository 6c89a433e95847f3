"""Execute writes: check them in the server's order, change the tree, and collect the changes for the watches.

The checks and their order are those of ``PrepRequestProcessor``. It checks against the outcome of the pending transactions; here
each write is applied at once, and undone if a later write of the same transaction fails.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from txmirror.embedded import acl as access
from txmirror.embedded.ephemeral_owners import CONTAINER, session_of, ttl_owner
from txmirror.embedded.requests import Caller, Encodable
from txmirror.embedded.tree import SPECIAL_PATHS, Tree
from txmirror.embedded.watches import Change
from txmirror.errors import (
    BadArgumentsException,
    BadVersionException,
    MarshallingErrorException,
    NoChildrenForEphemeralsException,
    NodeExistsException,
    NotEmptyException,
    PathError,
    ReconfigDisabledException,
    RuntimeInconsistencyException,
    UnimplementedException,
    ZooKeeperException,
)
from txmirror.paths import validate
from txmirror.types import ACL, EventType, Permission
from txmirror.wire import (
    CheckVersionRequest,
    Create2Request,
    Create2Response,
    CreateContainerRequest,
    CreateFlag,
    CreateRequest,
    CreateTTLRequest,
    DeleteRequest,
    DoneResult,
    ErrorResult,
    MultiRequest,
    MultiResponse,
    Operation,
    PathResponse,
    ReconfigRequest,
    SetACLRequest,
    SetDataRequest,
    StatResponse,
)

_Create = CreateRequest | Create2Request | CreateContainerRequest | CreateTTLRequest

_EPHEMERAL = {CreateFlag.EPHEMERAL, CreateFlag.EPHEMERAL | CreateFlag.SEQUENCE}
_SEQUENCE = {CreateFlag.SEQUENCE, CreateFlag.EPHEMERAL | CreateFlag.SEQUENCE, CreateFlag.TTL_SEQUENCE}
_TTL = {CreateFlag.TTL, CreateFlag.TTL_SEQUENCE}


class Transaction:
    """One transaction. The constructor begins it; a write that fails uses up its zxid.

    :param caller: the client that sent the write; None if the server itself deletes nodes.
    :param now: the time in milliseconds.
    :param ttl_nodes: whether TTL nodes are enabled.
    :param create2_in_multi: whether a create in a multi keeps its own operation code, as since 3.9.
    :ivar changes: the changes, in order.
    """

    def __init__(
        self, tree: Tree, caller: Caller | None, now: int, ttl_nodes: bool, create2_in_multi: bool = False
    ) -> None:
        tree.begin()
        self._tree = tree
        self._caller = caller
        self._now = now
        self._ttl_nodes = ttl_nodes
        self._create2_in_multi = create2_in_multi
        self.changes: list[Change] = []

    def write(self, request: object) -> Encodable:
        """Execute a write.

        :returns: the record of the reply.
        :raises ZooKeeperException: one with a code: the write failed.
        """
        return _WRITES[type(request)](self, request)

    def remove(self, path: str) -> None:
        """Delete a znode without a check.

        :raises NoNodeException: the znode does not exist.
        """
        parent = self._tree.parent(path)
        node = self._tree.delete(path)
        self.changes.append(Change(EventType.DELETED, path, node.acl, parent.acl, self._tree.zxid))

    @property
    def _client(self) -> Caller:
        assert self._caller is not None, "only clients send requests"
        return self._caller

    def _create(self, request: _Create) -> Encodable:
        return self._make(
            request.operation,
            request.path,
            request.data,
            request.acl,
            request.flags,
            request.ttl if isinstance(request, CreateTTLRequest) else -1,
        )

    def _make(
        self, operation: Operation, path: str, data: bytes | None, acls: tuple[ACL, ...], number: int, ttl: int
    ) -> Encodable:
        identities = self._client.identities
        flags = self._check_kind(operation, number, ttl, path)
        if "/" not in path or "\0" in path:
            raise BadArgumentsException(path=path)
        acl = access.resolve(acls, identities, path)
        parent = self._tree.parent(path)
        access.check(parent.acl, Permission.CREATE, identities, path)
        if flags in _SEQUENCE:
            path += f"{parent.created_children:010d}"
        _check_path(path)
        if path in self._tree.nodes:
            raise NodeExistsException(path=path)
        if session_of(parent.owner):
            raise NoChildrenForEphemeralsException(path=path)
        # The operation alone decides whether the node is a container; the flags do not.
        if operation is Operation.CREATE_CONTAINER:
            owner = CONTAINER
        elif operation is Operation.CREATE_TTL:
            owner = ttl_owner(ttl)
        else:
            owner = self._client.session_id if flags in _EPHEMERAL else 0
        node = self._tree.create(path, data, acl, owner, self._now)
        self.changes.append(Change(EventType.CREATED, path, acl, parent.acl, self._tree.zxid))
        return PathResponse(path) if operation is Operation.CREATE else Create2Response(path, node.stat())

    def _check_kind(self, operation: Operation, number: int, ttl: int, path: str) -> CreateFlag:
        if not 0 <= number <= CreateFlag.TTL_SEQUENCE:
            raise BadArgumentsException(f"the flags {number} of a create are unknown", path=path)
        flags = CreateFlag(number)
        if flags in _TTL and not self._ttl_nodes:
            raise UnimplementedException(path=path)
        # A negative time to live, with the operation for TTL nodes and other flags, kills a real server.
        if flags in _TTL or operation is Operation.CREATE_TTL:
            try:
                ttl_owner(ttl if flags in _TTL else 0)
            except ValueError as error:
                raise BadArgumentsException(str(error), path=path) from None
        return flags

    def _delete(self, request: DeleteRequest) -> Encodable:
        path = request.path
        if "/" not in path or "\0" in path or path in SPECIAL_PATHS:
            raise BadArgumentsException(path=path)
        access.check(self._tree.parent(path).acl, Permission.DELETE, self._client.identities, path)
        node = self._tree.node(path)
        _check_version(node.version, request.version, path)
        if node.children:
            raise NotEmptyException(path=path)
        self.remove(path)
        return DoneResult(Operation.DELETE)

    def _set_data(self, request: SetDataRequest) -> Encodable:
        path = request.path
        _check_path(path)
        node = self._tree.node(path)
        access.check(node.acl, Permission.WRITE, self._client.identities, path)
        _check_version(node.version, request.version, path)
        self._tree.set_data(path, request.data, self._now)
        self.changes.append(Change(EventType.CHANGED, path, node.acl, (), self._tree.zxid))
        return StatResponse(node.stat())

    def _set_acl(self, request: SetACLRequest) -> Encodable:
        path = request.path
        _check_path(path)
        acl = access.resolve(request.acl, self._client.identities, path)
        node = self._tree.node(path)
        access.check(node.acl, Permission.ADMIN, self._client.identities, path)
        _check_version(node.aversion, request.version, path)
        self._tree.set_acl(path, acl)
        return StatResponse(node.stat())

    def _check(self, request: CheckVersionRequest) -> Encodable:
        path = request.path
        _check_path(path)
        node = self._tree.node(path)
        access.check(node.acl, Permission.READ, self._client.identities, path)
        _check_version(node.version, request.version, path)
        return DoneResult(Operation.CHECK)

    def _reconfig(self, request: ReconfigRequest) -> Encodable:
        # Disabled by default; if enabled, it is unimplemented in a standalone server.
        raise ReconfigDisabledException

    def _multi(self, request: MultiRequest) -> Encodable:
        done: list[Any] = []
        for write in request.requests:
            try:
                done.append(self._write_in_multi(write))
            except MarshallingErrorException:
                self._undo()
                raise
            except ZooKeeperException as error:
                self._undo()
                codes = [0] * len(done) + [error.code or 0]
                codes += [RuntimeInconsistencyException.code or 0] * (len(request.requests) - len(codes))
                return MultiResponse([ErrorResult(code) for code in codes])
        return MultiResponse(done)

    def _write_in_multi(self, request: object) -> Encodable:
        """Execute one write of a multi. Before 3.9 a create's flags decide the kind of node and of reply (``Op.Create``)."""
        if not isinstance(request, _Create):
            return self.write(request)
        ttl = -1
        if request.flags in _TTL:
            if not isinstance(request, CreateTTLRequest):
                raise MarshallingErrorException("a create without a time to live has the flags of a TTL node")
            operation, ttl = Operation.CREATE_TTL, request.ttl
        elif request.flags == CreateFlag.CONTAINER:
            operation = Operation.CREATE_CONTAINER
        elif self._create2_in_multi and not isinstance(request, CreateTTLRequest):
            operation = request.operation
        else:
            operation = Operation.CREATE
        return self._make(operation, request.path, request.data, request.acl, request.flags, ttl)

    def _undo(self) -> None:
        self._tree.undo()
        self.changes.clear()


_WRITES: dict[Any, Callable[[Transaction, Any], Encodable]] = {
    CreateRequest: Transaction._create,
    Create2Request: Transaction._create,
    CreateContainerRequest: Transaction._create,
    CreateTTLRequest: Transaction._create,
    DeleteRequest: Transaction._delete,
    SetDataRequest: Transaction._set_data,
    SetACLRequest: Transaction._set_acl,
    CheckVersionRequest: Transaction._check,
    ReconfigRequest: Transaction._reconfig,
    MultiRequest: Transaction._multi,
}
#: The operations that are transactions.
WRITES = frozenset(kind.operation for kind in _WRITES)


def _check_path(path: str) -> None:
    try:
        validate(path)
    except PathError as error:
        raise BadArgumentsException(str(error), path=path) from None


def _check_version(current: int, expected: int, path: str) -> None:
    if expected not in {-1, current}:
        raise BadVersionException(path=path)
