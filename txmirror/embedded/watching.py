"""Execute the requests about watches: set them again after a reconnect, set persistent ones, remove and check them.

The replies are those of ``DataTree.setWatches`` and of ``FinalRequestProcessor``.
"""

from __future__ import annotations

from txmirror.embedded.requests import Caller, Encodable
from txmirror.embedded.tree import Tree
from txmirror.embedded.watches import Watches, WatchMode
from txmirror.errors import MarshallingErrorException, NoWatcherException
from txmirror.types import EventType, WatchKind
from txmirror.wire import (
    AddWatchRequest,
    AddWatchResponse,
    CheckWatchesRequest,
    RemoveWatchesRequest,
    SetWatches2Request,
    SetWatchesRequest,
)

_MODES = {0: WatchMode.PERSISTENT, 1: WatchMode.RECURSIVE}
#: The additions to ``Watcher.WatcherType`` since 3.9.
_MODES_BY_KIND = {4: WatchMode.PERSISTENT, 5: WatchMode.RECURSIVE}


class Watching:
    """The requests about watches. Each method executes one kind of request; None is a reply without a record.

    A request that fails raises a :exc:`ZooKeeperException` with a code.

    :param keeper: whether to behave like ClickHouse Keeper.
    """

    def __init__(self, tree: Tree, watches: Watches, keeper: bool = False) -> None:
        self._tree = tree
        self._watches = watches
        # ClickHouse Keeper sends this event for changed children when watches are set again.
        self._children_changed = EventType.CHANGED if keeper else EventType.CHILD

    def set_watches(self, request: SetWatchesRequest | SetWatches2Request, caller: Caller) -> None:
        """Set watches as of a transaction, and send at once the events of later changes.

        Like DataTree, do not filter these events by ACL, and send two events of a node that is in two lists.
        """
        zxid = request.relativeZxid
        for path in request.dataWatches:
            node = self._tree.nodes.get(path)
            changed = None if node is None else node.mzxid
            if not _send_missed_event(path, changed, zxid, EventType.CHANGED, caller):
                self._watches.data.add(path, caller)
        for path in request.existWatches:
            if path in self._tree.nodes:
                caller.notify(EventType.CREATED, path)
            else:
                self._watches.data.add(path, caller)
        for path in request.childWatches:
            node = self._tree.nodes.get(path)
            changed = None if node is None else node.pzxid
            if not _send_missed_event(path, changed, zxid, self._children_changed, caller):
                self._watches.children.add(path, caller)
        if isinstance(request, SetWatches2Request):
            for path in request.persistentWatches:
                self._watches.add(path, WatchMode.PERSISTENT, caller)
            for path in request.persistentRecursiveWatches:
                self._watches.add(path, WatchMode.RECURSIVE, caller)

    def add_watch(self, request: AddWatchRequest, caller: Caller) -> Encodable:
        """Set a persistent watch, even on a missing node or one that the caller may not read."""
        mode = _MODES.get(request.mode)
        if mode is None:
            raise MarshallingErrorException(f"the mode {request.mode} of a watch is unknown")
        self._watches.add(request.path, mode, caller)
        return AddWatchResponse()

    def remove_watches(self, request: RemoveWatchesRequest, caller: Caller) -> None:
        """Remove watches of a kind; before 3.9 those of every mode."""
        if not self._watches.remove(request.path, self._kind(request.type), caller):
            raise NoWatcherException(path=request.path)

    def check_watches(self, request: CheckWatchesRequest, caller: Caller) -> None:
        """Check that there is a watch of a kind."""
        path, kind = request.path, self._kind(request.type)
        if path and "/" not in path and not self._watches.several_modes:
            raise MarshallingErrorException(f"{path!r} has no parent")
        if not path or not self._watches.check(path, kind, caller):
            raise NoWatcherException(path=path)

    def _kind(self, number: int) -> WatchKind | WatchMode:
        if self._watches.several_modes and number in _MODES_BY_KIND:
            return _MODES_BY_KIND[number]
        try:
            return WatchKind(number)
        except ValueError:
            raise MarshallingErrorException(f"the kind {number} of a watch is unknown") from None


def _send_missed_event(path: str, changed: int | None, zxid: int, kind: EventType, caller: Caller) -> bool:
    """Send the event of a node's change since a transaction, and return whether it has changed.

    :param changed: the transaction of the latest change; None if the node does not exist.
    """
    if changed is None:
        caller.notify(EventType.DELETED, path)
    elif changed > zxid:
        caller.notify(kind, path)
    else:
        return False
    return True
