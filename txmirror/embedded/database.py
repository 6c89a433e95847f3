"""The data and the watches on it, and which request is served by whom.

Sessions and connections are no matter of this module; whoever asks is a :class:`Caller`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from txmirror.embedded.reads import Reads
from txmirror.embedded.requests import Caller, Record
from txmirror.embedded.transactions import Transaction
from txmirror.embedded.tree import Tree
from txmirror.embedded.versions import Version
from txmirror.embedded.watches import Watches
from txmirror.embedded.watching import Watching
from txmirror.errors import MarshallingErrorException, ProtocolError
from txmirror.wire import (
    AddWatchRequest,
    CheckVersionRequest,
    CheckWatchesRequest,
    Create2Request,
    CreateContainerRequest,
    CreateRequest,
    CreateTTLRequest,
    Cursor,
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
    ReconfigRequest,
    RemoveWatchesRequest,
    SetACLRequest,
    SetDataRequest,
    SetWatches2Request,
    SetWatchesRequest,
    SyncRequest,
    WhoAmIRequest,
)

_WRITES: dict[int, Any] = {
    kind.operation: kind
    for kind in (
        CreateRequest,
        Create2Request,
        CreateContainerRequest,
        CreateTTLRequest,
        DeleteRequest,
        SetDataRequest,
        SetACLRequest,
        CheckVersionRequest,
        ReconfigRequest,
        MultiRequest,
    )
}


class Database:
    """A tree of znodes and the watches on it.

    :param now: gives the time in milliseconds since the epoch.
    :param version: whose operations it knows.
    :param ttl_nodes: whether nodes may have a time to live.
    :ivar when_mortal: called after a write when there are nodes that go by themselves (``Tree.mortals``).
    """

    def __init__(self, now: Callable[[], int], version: Version, ttl_nodes: bool) -> None:
        self._now = now
        self._version = version
        self._ttl_nodes = ttl_nodes
        self.when_mortal: Callable[[], None] = lambda: None
        self.reset()

    def reset(self) -> None:
        """Begin with nothing, and with the first transaction."""
        self.tree = Tree()
        self.watches = Watches()
        reads, watching = Reads(self.tree, self.watches), Watching(self.tree, self.watches)
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
        self._reads = {kind.operation: (kind.decode, answer) for kind, answer in answers}

    def perform(self, operation: int, cursor: Cursor, caller: Caller) -> bytes:
        """Do what a request asks for.

        :param operation: its number, which its version knows.
        :param cursor: at the request's record.
        :returns: the record that answers it. Events that it causes were sent by then.
        :raises ZooKeeperException: one with a code: it is refused.
        """
        try:
            if operation in _WRITES:
                return self._write(operation, cursor, caller)
            decode, answer = self._reads[operation]
            record = answer(decode(cursor), caller)
        except ProtocolError as error:
            raise MarshallingErrorException(str(error)) from error
        return b"" if record is None else record.encode()

    def begin(self) -> None:
        """Begin and end a transaction that changes nothing here."""
        self.tree.begin()

    def end_session(self, session_id: int) -> None:
        """Take away a session's ephemeral nodes, all in one transaction."""
        self.remove(list(self.tree.ephemerals.get(session_id, ())))

    def remove(self, paths: Iterable[str]) -> None:
        """Take znodes away, all in one transaction of the server's own.

        :raises NoNodeException: one of them is not there.
        """
        transaction = self._begin(None)
        for path in paths:
            transaction.remove(path)
        transaction.commit()

    def _begin(self, caller: Caller | None) -> Transaction:
        return Transaction(self.tree, self.watches, caller, self._now(), self._ttl_nodes)

    def _write(self, operation: int, cursor: Cursor, caller: Caller) -> bytes:
        # What then cannot be read is a transaction too.
        transaction = self._begin(caller)
        request = _WRITES[operation].decode(cursor)
        if isinstance(request, MultiRequest):
            self._check_known(request)
        record = transaction.write(request)
        transaction.commit()
        if self.tree.mortals:
            self.when_mortal()
        return record.encode()

    def _check_known(self, request: MultiRequest) -> None:
        for part in request.requests:
            if part.operation not in _WRITES or part.operation not in self._version.operations:
                raise MarshallingErrorException(f"an operation {part.operation!r} stands in a transaction")
