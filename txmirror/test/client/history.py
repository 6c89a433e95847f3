"""The changes of an embedded server, each with its transaction, to compare a client's events with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from txmirror import paths
from txmirror.embedded import EmbeddedServer
from txmirror.types import EventType, WatchedEvent

_TOLD_OF_NODE = (EventType.CREATED, EventType.CHANGED, EventType.DELETED)


class Change(NamedTuple):
    """One change that a watch may report."""

    zxid: int
    type: EventType
    path: str
    data: bytes
    """The node's data after the change."""
    session: int
    """The session of its request; 0 for a change by the server itself."""


class State(NamedTuple):
    """The state of a path from a transaction on."""

    zxid: int
    node: tuple[bytes, int, int, int] | None
    """Data, czxid, mzxid, and whose ephemeral it is."""


class History:
    """Listens inside a server. It is made before the server gets any request.

    :ivar changes: all changes, in the order in which the server reports them.
    :ivar ended: the sessions that have ended, with the reasons.
    :ivar persistent: the persistent watches that were set: the session, the path, and the transaction.
    """

    def __init__(self, server: EmbeddedServer) -> None:
        self.server = server
        self.changes: list[Change] = []
        self.ended: dict[int, str] = {}
        self.persistent: list[tuple[object, str, int]] = []
        self._states: dict[str, list[State]] = {}
        self._children: dict[str, list[tuple[int, frozenset[str] | None]]] = {}
        self._session = 0
        state, replica = server._state, server._replica
        sessions = state.sessions
        self.tree = state.database.tree
        watches = replica.watches
        self._before(watches, "dispatch", lambda change: self._tell(change.kind, change.path))
        self._before(watches, "add", lambda path, mode, who: self.persistent.append((who, path, self.tree.zxid)))
        self._before(sessions, "end", lambda session, reason, closing=None: self.ended.setdefault(session.id, reason))
        perform = replica.perform

        def performing(operation: int, cursor: Any, caller: Any) -> bytes:
            self._session = caller.session_id
            try:
                return perform(operation, cursor, caller)
            finally:
                self._session = 0

        _replace(replica, "perform", performing)

    def _before(self, owner: object, name: str, note: Callable[..., object]) -> None:
        really = getattr(owner, name)

        def noting(*args: Any) -> object:
            note(*args)
            return really(*args)

        _replace(owner, name, noting)

    def _tell(self, kind: EventType, path: str) -> None:
        self._note(kind, path)
        if kind is EventType.CHANGED:
            return
        parent = paths.parent_of(path) or "/"
        self.changes.append(Change(self.tree.zxid, EventType.CHILD, parent, b"", self._session))
        for each in (path, parent):
            node = self.tree.nodes.get(each)
            names = None if node is None else frozenset(node.children)
            self._children.setdefault(each, []).append((self.tree.zxid, names))

    def _note(self, kind: EventType, path: str) -> None:
        node = self.tree.nodes.get(path)
        data = b"" if node is None else node.data or b""
        zxid = self.tree.zxid
        self.changes.append(Change(zxid, kind, path, data, self._session))
        found = None if node is None else (data, node.czxid, node.mzxid, node.owner)
        self._states.setdefault(path, []).append(State(zxid, found))

    # What is asked of it.

    def node(self, path: str, zxid: int) -> tuple[bytes, int, int, int] | None:
        """Return the state of a path as of a transaction."""
        return next((state.node for state in reversed(self._states.get(path, [])) if state.zxid <= zxid), None)

    def children(self, path: str, zxid: int) -> frozenset[str] | None:
        """Return the children's names as of a transaction; None if there was no node."""
        first = frozenset({"zookeeper"}) if path == "/" else None
        found = self._children.get(path, [])
        return next((names for at, names in reversed(found) if at <= zxid), first)

    def moments(self, path: str, since: int, until: int) -> list[int]:
        """Return the transactions as of which a path may have been read, one for each state of it."""
        changed = {change.zxid for change in self.changes if change.path == path and since < change.zxid <= until}
        return [since, *sorted(changed)]

    def of_node(self, path: str, since: int, until: int) -> bool:
        """Return whether a node was created, deleted or changed."""
        return any(
            change.path == path and change.type in _TOLD_OF_NODE and since < change.zxid <= until
            for change in reversed(self.changes)
        )

    def of_children(self, path: str, since: int, until: int) -> bool:
        """Return whether a node's list of children has changed, or the node was deleted."""
        return any(
            change.path == path and change.type in {EventType.CHILD, EventType.DELETED} and since < change.zxid <= until
            for change in reversed(self.changes)
        )

    def for_persistent(self, path: str, recursive: bool, since: int) -> list[WatchedEvent]:
        """Return all events that a persistent watch must get since a transaction."""
        return [
            WatchedEvent(change.type, change.path, change.zxid)
            for change in self.changes
            if change.zxid > since and concerns(path, recursive, change.type, change.path)
        ]

    def with_data(self, data: bytes) -> list[Change]:
        """Return the changes that wrote this data, which is unique."""
        return [
            change
            for change in self.changes
            if change.data == data and change.type in {EventType.CREATED, EventType.CHANGED}
        ]


def concerns(path: str, recursive: bool, kind: EventType, where: str) -> bool:
    """Return whether a persistent watch reports an event."""
    if not recursive:
        return where == path
    return kind is not EventType.CHILD and (where == path or where.startswith(path.rstrip("/") + "/"))


def _replace(owner: object, name: str, function: Callable[..., object]) -> None:
    setattr(owner, name, function)
