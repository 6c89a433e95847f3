"""The operations that the server supports, as far as its answers have shown them.

A server answers an operation that it has disabled with the error Unimplemented. An operation that it does not know it answers
in the same way, and then it closes the connection: the client does not send that operation again on the next one. Some servers
only close the connection. So does a server that stops. The client therefore concludes that an operation is not supported
only if the server closes two connections in succession with that operation as the oldest one unanswered. (The network may have
broken a connection that was not closed in order: that counts for half.)

ClickHouse Keeper closes the connection too, on more operations, and each time that costs the session. There one such end is
enough (or two, where the connection broke), and the client does not try a read or a watch again.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, TypeVar

from twisted.logger import Logger

from txmirror.client.connection.calls import Call, OnReply
from txmirror.client.connection.endpoints import Loss
from txmirror.client.connection.settings import Server
from txmirror.errors import ReconfigDisabledException, UnimplementedException
from txmirror.wire import Operation

_T = TypeVar("_T")

#: The operations that servers before 3.5 know.
_ALWAYS_KNOWN = frozenset(
    {
        Operation.CREATE,
        Operation.DELETE,
        Operation.EXISTS,
        Operation.GET_DATA,
        Operation.SET_DATA,
        Operation.GET_ACL,
        Operation.SET_ACL,
        Operation.GET_CHILDREN,
        Operation.SYNC,
        Operation.PING,
        Operation.GET_CHILDREN2,
        Operation.CHECK,
        Operation.MULTI,
        Operation.AUTH,
        Operation.SET_WATCHES,
        Operation.SASL,
        Operation.CLOSE_SESSION,
    }
)
#: The ones of these that ClickHouse Keeper may lack: its first versions have no ``setWatches``.
_LACKED_BY_KEEPER = frozenset({Operation.SET_WATCHES})
#: The operations that every server supports.
NEVER_LACKED = _ALWAYS_KNOWN - _LACKED_BY_KEEPER
#: The writes among the other operations.
_WRITES = frozenset({Operation.CREATE2, Operation.CREATE_CONTAINER, Operation.CREATE_TTL, Operation.RECONFIG})
#: The error codes of a server that does not know an operation, or has disabled it.
_CANNOT = frozenset({UnimplementedException.code, ReconfigDisabledException.code})
#: The weight of a connection that was closed, or that broke, with an operation unanswered; and the weight that is enough.
_CLOSED, _BROKEN, _HANGS_UP = 2, 1, 4
#: The first version of ZooKeeper with an operation; operations that are not here came with 3.5.
_SINCE = {
    Operation.SET_WATCHES: "3.1",
    Operation.MULTI_READ: "3.6",
    Operation.GET_EPHEMERALS: "3.6",
    Operation.GET_ALL_CHILDREN_NUMBER: "3.6",
    Operation.SET_WATCHES2: "3.6",
    Operation.ADD_WATCH: "3.6",
    Operation.WHO_AM_I: "3.7",
}


class Abilities:
    """The operations that each server has shown to support, or not to support.

    :ivar server: the current server: all methods are about this one.
    :ivar keeper: whether it is a ClickHouse Keeper.
    :ivar hung_up: the weight of the connections that each server has closed on an operation; empty for most clients.
    """

    _log = Logger()

    def __init__(self, server: Server) -> None:
        self.server: Server = server
        self.keeper: bool = False
        self._answers: dict[tuple[Server, Operation], bool] = {}
        self.hung_up: dict[tuple[Server, Operation], int] = {}
        self._notes: dict[Operation, OnReply] = {}
        self._warned: set[tuple[Server, Operation]] = set()

    def connected(self, server: Server, *, keeper: bool) -> None:
        """Note the current server.

        :param keeper: whether it is a ClickHouse Keeper.
        """
        self.server = server
        self.keeper = keeper

    def can(self, operation: Operation) -> bool | None:
        """Return whether the server supports an operation; None if it has not shown that yet."""
        if self._is_known(operation):
            return True
        return self._answers.get((self.server, operation))

    def may_cost_session(self, operation: Operation) -> bool:
        """Return whether a request might end the session, because the server may not know the operation."""
        return self.keeper and self.can(operation) is not True

    def hangs_up(self, operation: Operation) -> bool:
        """Return whether the server is known to close the connection on this operation."""
        # Most servers never do: then there is no lookup for each request.
        return bool(self.hung_up) and self.hung_up.get((self.server, operation), 0) >= _HANGS_UP

    def noting(self, operation: Operation, on_reply: OnReply | None = None) -> OnReply | None:
        """Return a callback for a reply that notes whether the server supports the operation, and then calls ``on_reply``."""
        if operation in NEVER_LACKED:
            return on_reply
        if on_reply is not None:
            return self._noting(operation, on_reply)
        note = self._notes.get(operation)
        if note is None:
            # One callback for all requests of an operation: the garbage collector walks over those that wait.
            note = self._notes[operation] = self._noting(operation, None)
        return note

    def note_reply_of(self, call: Call[_T]) -> Call[_T]:
        """Return a request whose reply notes whether the server supports the operation."""
        call.on_reply = self.noting(call.operation, call.on_reply)
        return call

    def _noting(self, operation: Operation, on_reply: OnReply | None) -> OnReply:
        def note(err: int, zxid: int) -> None:
            key = (self.server, operation)
            self._answers[key] = err not in _CANNOT
            self.hung_up.pop(key, None)
            if on_reply is not None:
                on_reply(err, zxid)

        return note

    def disconnected(
        self, oldest: Call[Any] | None, loss: Loss | None, unimplemented: Collection[Operation] = ()
    ) -> None:
        """Note how the connection ended. If that shows that the server lacks an operation, fail its request accordingly.

        :param oldest: the request that the server had to answer next.
        :param loss: the way in which the other side ended the connection. For a write it must have been the server.
        :param unimplemented: the operations that the server has just refused as unknown.
        """
        if unimplemented:
            # That is why the other requests have no answer. It says nothing about their operations.
            for operation in unimplemented:
                self._note_hung_up(operation)
            return
        in_order = loss is Loss.CLOSED
        suspect = oldest.operation if oldest is not None and loss is not None else None
        if suspect is not None and (self._is_known(suspect) or (suspect in _WRITES and not in_order)):
            suspect = None
        if oldest is None or suspect is None or self.can(suspect) is True:
            self._allow_retry(suspect)
            return
        key = (self.server, suspect)
        weight = _CLOSED if in_order else _BROKEN
        self.hung_up[key] = self.hung_up.get(key, 0) + (_HANGS_UP // _CLOSED * weight if self.keeper else weight)
        if not self.hangs_up(suspect):
            self._allow_retry(suspect)
            return
        self._note_hung_up(suspect)
        error = UnimplementedException(path=oldest.path)
        # This is nearly certain, but not quite.
        error.applied = None
        oldest.fail(error)

    def _note_hung_up(self, operation: Operation) -> None:
        key = (self.server, operation)
        self.hung_up[key] = _HANGS_UP
        self._answers[key] = False
        if key not in self._warned:
            self._warned.add(key)
            self._log.warn(
                "{server} does not support {operation}, which ZooKeeper has had since {since}: it closed the connection. The"
                " client does not try it there again.",
                server=str(self.server),
                operation=operation.name,
                since=_SINCE.get(operation, "3.5"),
            )

    def _allow_retry(self, suspect: Operation | None) -> None:
        """Allow one more try of the operations on which the server closed the connection: it may have been upgraded since.

        With ClickHouse Keeper a try costs the session; there only writes, which have no other way, are tried again.
        """
        for server, operation in list(self.hung_up):
            if server == self.server and operation is not suspect and (operation in _WRITES or not self.keeper):
                self.hung_up[server, operation] = min(self.hung_up[server, operation], _CLOSED)

    def _is_known(self, operation: Operation) -> bool:
        """Return whether every server of this kind knows an operation."""
        return operation in _ALWAYS_KNOWN and not (self.keeper and operation in _LACKED_BY_KEEPER)
