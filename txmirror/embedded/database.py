"""What each request does: the checks in the server's order, the change, the watches that it triggers, and the answer.

The checks and their order are those of ``PrepRequestProcessor`` (writes) and ``FinalRequestProcessor`` (reads). Sessions and
connections are no matter of this module; whoever asks is a :class:`Caller`.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Protocol

from txmirror.embedded import acl as access
from txmirror.embedded.tree import SPECIAL_PATHS, Tree
from txmirror.embedded.watches import Watcher, Watches
from txmirror.errors import (
    BadArgumentsException,
    BadVersionException,
    MarshallingErrorException,
    NoChildrenForEphemeralsException,
    NodeExistsException,
    NotEmptyException,
    NoWatcherException,
    PathError,
    ProtocolError,
    UnimplementedException,
)
from txmirror.paths import validate
from txmirror.types import EventType, Permission, WatchKind
from txmirror.wire import (
    Create2Request,
    Create2Response,
    CreateFlag,
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
    Operation,
    PathResponse,
    RemoveWatchesRequest,
    SetACLRequest,
    SetDataRequest,
    SetWatchesRequest,
    StatResponse,
    SyncRequest,
)

_WRITES = {Operation.CREATE, Operation.CREATE2, Operation.DELETE, Operation.SET_DATA, Operation.SET_ACL}


class Caller(Watcher, Protocol):
    """Whoever asks: a connection with a session."""

    @property
    def session_id(self) -> int:
        """The session's id."""


class Database:
    """A tree of znodes and the watches on it.

    :param now: gives the time in milliseconds since the epoch.
    """

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._handlers: dict[int, Callable[[Cursor, Caller], bytes]] = {
            Operation.CREATE: lambda cursor, caller: self._create(CreateRequest.decode(cursor), caller),
            Operation.CREATE2: lambda cursor, caller: self._create(Create2Request.decode(cursor), caller),
            Operation.DELETE: self._delete,
            Operation.SET_DATA: self._set_data,
            Operation.SET_ACL: self._set_acl,
            Operation.EXISTS: self._exists,
            Operation.GET_DATA: self._get_data,
            Operation.GET_ACL: self._get_acl,
            Operation.GET_CHILDREN: self._get_children,
            Operation.GET_CHILDREN2: self._get_children2,
            Operation.SYNC: self._sync,
            Operation.SET_WATCHES: self._set_watches,
            Operation.REMOVE_WATCHES: self._remove_watches,
        }
        self.reset()

    @property
    def operations(self) -> Container[int]:
        """The numbers of what requests may ask for."""
        return self._handlers

    def reset(self) -> None:
        """Begin with nothing, and with the first transaction."""
        self.tree = Tree()
        self.watches = Watches()

    def perform(self, operation: int, cursor: Cursor, caller: Caller) -> bytes:
        """Do what a request asks for.

        :param operation: one of :attr:`operations`.
        :param cursor: at the request's record.
        :returns: the record that answers it. Events that it causes were sent by then.
        :raises ZooKeeperException: one with a code: it is refused.
        """
        if operation in _WRITES:
            # A write that is then refused is a transaction too.
            self.begin()
        try:
            return self._handlers[operation](cursor, caller)
        except ProtocolError as error:
            raise MarshallingErrorException(str(error)) from error

    def begin(self) -> None:
        """Begin the next transaction."""
        self.tree.zxid += 1

    def end_session(self, session_id: int) -> None:
        """Take away a session's ephemeral nodes, all in one transaction."""
        self.begin()
        for path in list(self.tree.ephemerals.get(session_id, ())):
            self._remove(path)

    def _create(self, request: CreateRequest | Create2Request, caller: Caller) -> bytes:
        path = request.path
        flags = _create_flags(request.flags)
        if "/" not in path or "\0" in path:
            raise BadArgumentsException(path=path)
        acl = access.resolve(request.acl, caller.identities, path)
        parent = self.tree.parent(path)
        access.check(parent.acl, Permission.CREATE, caller.identities, path)
        if flags & CreateFlag.SEQUENCE:
            path += f"{parent.created_children:010d}"
        _check_path(path)
        if path in self.tree.nodes:
            raise NodeExistsException(path=path)
        if parent.owner:
            raise NoChildrenForEphemeralsException(path=path)
        owner = caller.session_id if flags & CreateFlag.EPHEMERAL else 0
        node = self.tree.create(path, request.data, acl, owner, self._now())
        self.watches.created(path, acl, parent.acl)
        if request.operation is Operation.CREATE:
            return PathResponse(path).encode()
        return Create2Response(path, node.stat()).encode()

    def _delete(self, cursor: Cursor, caller: Caller) -> bytes:
        request = DeleteRequest.decode(cursor)
        path = request.path
        if "/" not in path or "\0" in path or path in SPECIAL_PATHS:
            raise BadArgumentsException(path=path)
        access.check(self.tree.parent(path).acl, Permission.DELETE, caller.identities, path)
        node = self.tree.node(path)
        _check_version(node.version, request.version, path)
        if node.children:
            raise NotEmptyException(path=path)
        self._remove(path)
        return b""

    def _remove(self, path: str) -> None:
        parent = self.tree.parent(path)
        node = self.tree.delete(path)
        self.watches.deleted(path, node.acl, parent.acl)

    def _set_data(self, cursor: Cursor, caller: Caller) -> bytes:
        request = SetDataRequest.decode(cursor)
        path = request.path
        _check_path(path)
        node = self.tree.node(path)
        access.check(node.acl, Permission.WRITE, caller.identities, path)
        _check_version(node.version, request.version, path)
        self.tree.set_data(path, request.data, self._now())
        self.watches.changed(path, node.acl)
        return StatResponse(node.stat()).encode()

    def _set_acl(self, cursor: Cursor, caller: Caller) -> bytes:
        request = SetACLRequest.decode(cursor)
        path = request.path
        _check_path(path)
        acl = access.resolve(request.acl, caller.identities, path)
        node = self.tree.node(path)
        access.check(node.acl, Permission.ADMIN, caller.identities, path)
        _check_version(node.aversion, request.version, path)
        self.tree.set_acl(path, acl)
        return StatResponse(node.stat()).encode()

    def _exists(self, cursor: Cursor, caller: Caller) -> bytes:
        request = ExistsRequest.decode(cursor)
        path = request.path
        if "\0" in path:
            raise BadArgumentsException(path=path)
        # Anybody may ask this: 3.8.0 has no check here.
        if request.watch:
            self.watches.data.add(path, caller)
        return StatResponse(self.tree.node(path).stat()).encode()

    def _get_data(self, cursor: Cursor, caller: Caller) -> bytes:
        request = GetDataRequest.decode(cursor)
        node = self.tree.node(request.path)
        access.check(node.acl, Permission.READ, caller.identities, request.path)
        if request.watch:
            self.watches.data.add(request.path, caller)
        return GetDataResponse(node.data, node.stat()).encode()

    def _get_acl(self, cursor: Cursor, caller: Caller) -> bytes:
        path = GetACLRequest.decode(cursor).path
        node = self.tree.node(path)
        access.check(node.acl, Permission.READ | Permission.ADMIN, caller.identities, path)
        return GetACLResponse(access.shown_to(node.acl, caller.identities), node.stat()).encode()

    def _get_children(self, cursor: Cursor, caller: Caller) -> bytes:
        return GetChildrenResponse(self._list(GetChildrenRequest.decode(cursor), caller)).encode()

    def _get_children2(self, cursor: Cursor, caller: Caller) -> bytes:
        request = GetChildren2Request.decode(cursor)
        return GetChildren2Response(self._list(request, caller), self.tree.node(request.path).stat()).encode()

    def _list(self, request: GetChildrenRequest | GetChildren2Request, caller: Caller) -> list[str]:
        node = self.tree.node(request.path)
        access.check(node.acl, Permission.READ, caller.identities, request.path)
        if request.watch:
            self.watches.children.add(request.path, caller)
        return list(node.children)

    def _sync(self, cursor: Cursor, caller: Caller) -> bytes:
        return PathResponse(SyncRequest.decode(cursor).path).encode()

    def _set_watches(self, cursor: Cursor, caller: Caller) -> bytes:
        # These events are not filtered by ACL, and a node that is in two lists may be told of twice: so DataTree has it.
        request = SetWatchesRequest.decode(cursor)
        nodes = self.tree.nodes
        for path in request.dataWatches:
            if (node := nodes.get(path)) is None:
                caller.notify(EventType.DELETED, path)
            elif node.mzxid > request.relativeZxid:
                caller.notify(EventType.CHANGED, path)
            else:
                self.watches.data.add(path, caller)
        for path in request.existWatches:
            if path in nodes:
                caller.notify(EventType.CREATED, path)
            else:
                self.watches.data.add(path, caller)
        for path in request.childWatches:
            if (node := nodes.get(path)) is None:
                caller.notify(EventType.DELETED, path)
            elif node.pzxid > request.relativeZxid:
                caller.notify(EventType.CHILD, path)
            else:
                self.watches.children.add(path, caller)
        return b""

    def _remove_watches(self, cursor: Cursor, caller: Caller) -> bytes:
        request = RemoveWatchesRequest.decode(cursor)
        try:
            kind = WatchKind(request.type)
        except ValueError:
            raise MarshallingErrorException(f"no kind of watch has the number {request.type}") from None
        if not self.watches.remove(request.path, kind, caller):
            raise NoWatcherException(path=request.path)
        return b""


def _create_flags(number: int) -> CreateFlag:
    if 0 <= number <= 3:
        return CreateFlag(number)
    if number == 4:
        # The flag of a container makes an ordinary node unless it comes with the operation for containers.
        return CreateFlag.PERSISTENT
    if number in {5, 6}:
        raise UnimplementedException  # nodes with a time to live are off by default
    raise BadArgumentsException(f"no kind of znode has the number {number}")


def _check_path(path: str) -> None:
    try:
        validate(path)
    except PathError as error:
        raise BadArgumentsException(str(error), path=path) from None


def _check_version(current: int, expected: int, path: str) -> None:
    if expected not in {-1, current}:
        raise BadVersionException(path=path)
