"""What one server knows of the data, who watches it there, and what it answers.

A server that lags goes on with the data of the moment at which it began to: what it is asked is answered by that, and
whoever watches is told of nothing. Writes, and what else has to go through the leader, wait until it has caught up; so it is
with a follower of an ensemble that the leader's commits do not reach.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from txmirror.embedded.cursor import TolerantCursor
from txmirror.embedded.database import WRITES, Database
from txmirror.embedded.reads import Reads
from txmirror.embedded.requests import Caller, Record
from txmirror.embedded.tree import Tree
from txmirror.embedded.versions import Version
from txmirror.embedded.watches import Change, Watches
from txmirror.embedded.watching import Watching
from txmirror.errors import MarshallingErrorException, ProtocolError
from txmirror.wire import (
    AddWatchRequest,
    CheckWatchesRequest,
    Cursor,
    ExistsRequest,
    GetACLRequest,
    GetAllChildrenNumberRequest,
    GetChildren2Request,
    GetChildrenRequest,
    GetDataRequest,
    GetEphemeralsRequest,
    MultiReadRequest,
    Operation,
    RemoveWatchesRequest,
    SetWatches2Request,
    SetWatchesRequest,
    SyncRequest,
    WhoAmIRequest,
)

#: What a follower asks its leader for, and its client waits until it has come back.
_LEADER_OPERATIONS = WRITES | {Operation.SYNC, Operation.CLOSE_SESSION}
#: What takes no path for an empty one; the rest trips over it.
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
    """The data as one server has it.

    :param database: the data as it is.
    :param version: the server's.
    :ivar tree: the znodes, as this server knows them.
    :ivar watches: its clients' watches.
    :ivar partitioned: whether it is out of reach for the others, and so lags whatever becomes of the data.
    """

    def __init__(self, database: Database, version: Version) -> None:
        self._database = database
        self._version = version
        self._missed: list[Callable[[], None]] | None = None
        self._pending: list[Callable[[], None]] = []
        self.partitioned = False
        self.watches = Watches(version.watch_modes)
        self._use_tree(database.tree)
        database.followers.append(self)

    @property
    def lagging(self) -> bool:
        """Whether it knows only what was."""
        return self._missed is not None

    def lag(self) -> None:
        """Learn of nothing more."""
        self._missed = []
        self._use_tree(self._database.tree.copy())

    def catch_up(self) -> None:
        """Learn of all that was missed: who watches is told, in order, and then what has waited is done."""
        missed, self._missed = self._missed, None
        self._use_tree(self._database.tree)
        for learn in missed or ():
            learn()
        waiting, self._pending = self._pending, []
        for proceed in waiting:
            proceed()

    def learn(self, what: Callable[[], None]) -> None:
        """Do something that follows from a transaction when this server learns of that: now, if it does not lag."""
        if self._missed is None:
            what()
        else:
            self._missed.append(what)

    def needs_leader(self, operation: int) -> bool:
        """Tell whether an operation has to go through the leader."""
        return operation in _LEADER_OPERATIONS

    def wait(self, proceed: Callable[[], None]) -> None:
        """Call something when this server has caught up."""
        self._pending.append(proceed)

    def perform(self, operation: int, cursor: Cursor, caller: Caller) -> bytes:
        """Do what a request asks for.

        :param operation: its number, which its version knows.
        :param cursor: at the request's record.
        :returns: the record that answers it. Events that it causes were sent by then.
        :raises ZooKeeperException: one with a code: it is refused.
        """
        if operation in _PATH_MAY_BE_NULL:
            cursor = TolerantCursor(cursor.frame, cursor.offset)
        try:
            if operation in WRITES:
                return self._database.write(operation, cursor, caller, self._version)
            decode, answer = self._answers[operation]
            record = answer(decode(cursor), caller)
        except ProtocolError as error:
            raise MarshallingErrorException(str(error)) from error
        return b"" if record is None else record.encode()

    def changed(self, changes: Sequence[Change]) -> None:
        """Tell who watches here of a transaction."""
        for change in changes:
            if self._missed is None:
                self.watches.dispatch(change)
            else:
                self._missed.append(partial(self.watches.dispatch, change))

    def replaced(self) -> None:
        """Begin anew with other data. Nobody is told, and what has waited is not done."""
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
        answers: list[tuple[Any, Callable[[Any, Caller], Record | None]]] = [
            (ExistsRequest, reads.exists),
            (GetDataRequest, reads.get_data),
            (GetACLRequest, reads.get_acl),
            (GetChildrenRequest, reads.get_children),
            (GetChildren2Request, reads.get_children2),
            (MultiReadRequest, reads.multi_read),
            (GetEphemeralsRequest, reads.get_ephemerals),
            (GetAllChildrenNumberRequest, reads.get_all_children_number),
            (WhoAmIRequest, reads.who_am_i),
            (SyncRequest, reads.sync),
            (SetWatchesRequest, watching.set_watches),
            (SetWatches2Request, watching.set_watches),
            (AddWatchRequest, watching.add_watch),
            (RemoveWatchesRequest, watching.remove_watches),
            (CheckWatchesRequest, watching.check_watches),
        ]
        self._answers = {kind.operation: (kind.decode, answer) for kind, answer in answers}
