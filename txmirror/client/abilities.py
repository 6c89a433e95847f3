"""What the server can do, as far as its answers have shown it.

Servers answer an operation that they have disabled with the error Unimplemented. One that they do not know they answer so too,
and then they close the connection: they are not asked for it again on the next one. Some servers only close the connection. So
does a server that goes away: only one that does it twice running, with the same operation as the oldest that it owes an
answer for, is taken to mean it. (A connection that merely breaks may be the network's doing: that counts for half.)

ClickHouse Keeper hangs up too, on more operations, and each time that costs the session: there once is enough (or twice, where the
connection broke), and what only reads or watches is not asked for again.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from twisted.logger import Logger

from txmirror.client.calls import Call, OnReply
from txmirror.client.servers import Server
from txmirror.errors import ReconfigDisabledException, UnimplementedException
from txmirror.wire import Operation

#: What servers before 3.5 know already.
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
#: What ClickHouse Keeper may lack of it: its first versions have no ``setWatches``.
_LACKED_BY_KEEPER = frozenset({Operation.SET_WATCHES})
#: What changes something.
_WRITES = frozenset({Operation.CREATE2, Operation.CREATE_CONTAINER, Operation.CREATE_TTL, Operation.RECONFIG})
#: What a server answers that does not know an operation, or has it disabled.
_CANNOT = frozenset({UnimplementedException.code, ReconfigDisabledException.code})
#: How much it says that a connection was closed, or broke, with an operation unanswered; and how much has to be said.
_CLOSED, _BROKEN, _HANGS_UP = 2, 1, 4
#: The ZooKeeper that has had an operation first; those that are not here came with 3.5.
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
    """Keeps what each server has shown that it can do, or cannot.

    :ivar server: the server that is spoken of; the one that is connected to.
    :ivar keeper: whether that is a ClickHouse Keeper.
    """

    _log = Logger()

    def __init__(self, server: Server) -> None:
        self.server = server
        self.keeper = False
        self._answers: dict[tuple[Server, Operation], bool] = {}
        self._hung_up: dict[tuple[Server, Operation], int] = {}
        self._said: set[tuple[Server, Operation]] = set()

    def can(self, operation: Operation) -> bool | None:
        """Tell whether the server can do something; None if it has not shown that yet."""
        if self._is_known(operation):
            return True
        return self._answers.get((self.server, operation))

    def hangs_up(self, operation: Operation) -> bool:
        """Tell whether the server is known to hang up when it is asked for this."""
        # Most servers never do: then there is nothing to look up for each request.
        return bool(self._hung_up) and self._hung_up.get((self.server, operation), 0) >= _HANGS_UP

    def noting(self, operation: Operation, on_reply: OnReply | None) -> OnReply | None:
        """Give what to do with a reply's error code and zxid so that what it shows is noted too, if it shows anything."""
        if operation in _ALWAYS_KNOWN - _LACKED_BY_KEEPER:
            return on_reply

        def note(err: int, zxid: int) -> None:
            key = (self.server, operation)
            self._answers[key] = err not in _CANNOT
            self._hung_up.pop(key, None)
            if on_reply is not None:
                on_reply(err, zxid)

        return note

    def disconnected(
        self, oldest: Call[Any] | None, closed: bool, in_order: bool, unimplemented: Collection[Operation] = ()
    ) -> None:
        """Note how the connection ended; where that shows that the server does not know an operation, its request fails so.

        :param oldest: what the server had to answer next.
        :param closed: whether the server ended it, or the network.
        :param in_order: whether it was certainly the server. Of a write it has to be.
        :param unimplemented: what the server had answered last that it does not know.
        """
        if unimplemented:
            # The rest was not answered because of that. Nothing is learnt of it.
            for operation in unimplemented:
                self._note_hung_up(operation)
            return
        suspect = oldest.operation if oldest is not None and closed else None
        if suspect is not None and (self._is_known(suspect) or (suspect in _WRITES and not in_order)):
            suspect = None
        if oldest is None or suspect is None or self.can(suspect) is True:
            self._doubt(suspect)
            return
        key = (self.server, suspect)
        weight = _CLOSED if in_order else _BROKEN
        self._hung_up[key] = self._hung_up.get(key, 0) + (_HANGS_UP // _CLOSED * weight if self.keeper else weight)
        if not self.hangs_up(suspect):
            self._doubt(suspect)
            return
        self._note_hung_up(suspect)
        error = UnimplementedException(path=oldest.path)
        # It is all but certain, and no more.
        error.applied = None
        oldest.fail(error)

    def _note_hung_up(self, operation: Operation) -> None:
        key = (self.server, operation)
        self._hung_up[key] = _HANGS_UP
        self._answers[key] = False
        if key not in self._said:
            self._said.add(key)
            self._log.warn(
                "{server} does not support {operation}, which ZooKeeper has had since {since}: it closed the connection. It is"
                " not asked for that again.",
                server=str(self.server),
                operation=operation.name,
                since=_SINCE.get(operation, "3.5"),
            )

    def _doubt(self, suspect: Operation | None) -> None:
        """Let the server be asked once more for what it hung up on: it may have come back as a newer one.

        Of ClickHouse Keeper that would cost the session, where reads and watches have other ways.
        """
        for server, operation in list(self._hung_up):
            if server == self.server and operation is not suspect and (operation in _WRITES or not self.keeper):
                self._hung_up[server, operation] = min(self._hung_up[server, operation], _CLOSED)

    def _is_known(self, operation: Operation) -> bool:
        """Return whether every server of this kind knows an operation."""
        return operation in _ALWAYS_KNOWN and not (self.keeper and operation in _LACKED_BY_KEEPER)
