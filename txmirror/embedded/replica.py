"""One server's view of the data, with its clients' watches and its replies to requests.

A server that lags replies from the data of the moment at which it began to lag, and sends no events. Writes, and other requests
that need the leader, wait until it has caught up. A follower that does not receive the leader's commits behaves so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from txmirror.embedded.cursor import TolerantCursor
from txmirror.embedded.database import Database
from txmirror.embedded.reads import Reads
from txmirror.embedded.requests import Caller, Encodable
from txmirror.embedded.transactions import WRITES
from txmirror.embedded.tree import Tree
from txmirror.embedded.versions import Version
from txmirror.embedded.watches import Change, Watches
from txmirror.embedded.watching import Watching
from txmirror.errors import MarshallingErrorException, ProtocolError
from txmirror.wire import REQUESTS, Cursor, Operation

#: The operations that a follower forwards to its leader. The client's later requests wait for the leader's answer.
_LEADER_OPERATIONS = WRITES | {Operation.SYNC, Operation.CLOSE_SESSION}
#: The operations that read a null path as an empty one. The others fail on it.
_PATH_MAY_BE_NULL = frozenset(
    {
        Operation.SET_DATA,
        Operation.SET_ACL,
        Operation.CHECK,
        Operation.SYNC,
        Operation.GET_EPHEMERALS,
        Operation.ADD_WATCH,
        Operation.REMOVE_WATCHES,
    }
)


class Replica:
    """The data as one server sees it.

    :param database: the current data.
    :param version: the server's version.
    :ivar tree: the znodes as this server sees them.
    :ivar watches: the watches of its clients.
    :ivar partitioned: whether the server cannot reach the others, and lags even if the data is replaced.
    """

    def __init__(self, database: Database, version: Version) -> None:
        self._database = database
        self._version = version
        self._missed: list[Callable[[], None]] | None = None
        self._pending: list[Callable[[], None]] = []
        self.partitioned = False
        self.watches: Watches = Watches(version.watch_modes)
        self._use_tree(database.tree)
        database.followers.append(self)

    @property
    def lagging(self) -> bool:
        """True while the server lags behind the database."""
        return self._missed is not None

    def lag(self) -> None:
        """Stop applying transactions until :meth:`catch_up`."""
        self._missed = []
        self._use_tree(self._database.tree.copy())

    def catch_up(self) -> None:
        """Apply the missed transactions: dispatch their watch events in order, then execute the pending requests."""
        missed, self._missed = self._missed, None
        self._use_tree(self._database.tree)
        for learn in missed or ():
            learn()
        waiting, self._pending = self._pending, []
        for proceed in waiting:
            proceed()

    def learn(self, action: Callable[[], None]) -> None:
        """Call ``action`` when this server applies the present transaction: at once, unless it lags."""
        if self._missed is None:
            action()
        else:
            self._missed.append(action)

    def needs_leader(self, operation: int) -> bool:
        """Return whether an operation goes through the leader."""
        return operation in _LEADER_OPERATIONS

    def wait(self, proceed: Callable[[], None]) -> None:
        """Call ``proceed`` when this server has caught up."""
        self._pending.append(proceed)

    def perform(self, operation: int, cursor: Cursor, caller: Caller) -> bytes:
        """Execute a request.

        :param operation: its code, which the server's version knows.
        :param cursor: at the request's record.
        :returns: the encoded record of the reply. The events that the request causes have been sent before.
        :raises ZooKeeperException: one with a code: the request failed.
        """
        if operation in _PATH_MAY_BE_NULL:
            cursor = TolerantCursor(cursor.frame, cursor.offset)
        try:
            if operation in WRITES:
                return self._database.write(operation, cursor, caller, self._version)
            record = self._answers[operation](REQUESTS[operation].decode(cursor), caller)
        except ProtocolError as error:
            raise MarshallingErrorException(str(error)) from error
        return b"" if record is None else record.encode()

    def changed(self, changes: Sequence[Change]) -> None:
        """Dispatch the watch events of a transaction, or keep them until the server has caught up."""
        for change in changes:
            if self._missed is None:
                self.watches.dispatch(change)
            else:
                self._missed.append(partial(self.watches.dispatch, change))

    def replaced(self) -> None:
        """Begin again with replaced data. Send no events, and drop the pending requests."""
        self._missed = None
        self._pending.clear()
        self.watches = Watches(self._version.watch_modes)
        if self.partitioned:
            self.lag()
        else:
            self._use_tree(self._database.tree)

    def _use_tree(self, tree: Tree) -> None:
        self.tree = tree
        reads = Reads(tree, self.watches, self._version)
        watching = Watching(tree, self.watches, self._version.keeper)
        self._answers: dict[int, Callable[[Any, Caller], Encodable | None]] = {
            Operation.EXISTS: reads.exists,
            Operation.GET_DATA: reads.get_data,
            Operation.GET_ACL: reads.get_acl,
            Operation.GET_CHILDREN: reads.get_children,
            Operation.GET_CHILDREN2: reads.get_children2,
            Operation.MULTI_READ: reads.multi_read,
            Operation.GET_EPHEMERALS: reads.get_ephemerals,
            Operation.GET_ALL_CHILDREN_NUMBER: reads.get_all_children_number,
            Operation.WHO_AM_I: reads.who_am_i,
            Operation.SYNC: reads.sync,
            Operation.SET_WATCHES: watching.set_watches,
            Operation.SET_WATCHES2: watching.set_watches,
            Operation.ADD_WATCH: watching.add_watch,
            Operation.REMOVE_WATCHES: watching.remove_watches,
            Operation.CHECK_WATCHES: watching.check_watches,
        }
