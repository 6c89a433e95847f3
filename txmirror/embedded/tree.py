"""The znodes, their stats, and the undoing of a transaction, without checks, watches, sessions and Twisted.

Stats are stored as ``org.apache.zookeeper.server.DataTree`` stores them, which differs a little from the stats that clients see.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from txmirror.embedded.ephemeral_owners import session_of
from txmirror.errors import NoNodeException
from txmirror.paths import name_of
from txmirror.types import ACL, OPEN_ACL, READ_ACL, ZnodeStat

#: The nodes that every server has from the start, and that cannot be deleted.
SPECIAL_PATHS = frozenset({"/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"})
# Permissions are plain numbers, as in the lists from clients: every request checks one.
_OPEN = tuple(acl._replace(permissions=int(acl.permissions)) for acl in OPEN_ACL)


@attrs.define(eq=False)
class Node:
    """One znode. It has more than 7 parameters: those of ZooKeeper's own record (``StatPersisted``), data, ACL and children."""

    data: bytes | None = None
    acl: tuple[ACL, ...] = _OPEN
    czxid: int = 0
    mzxid: int = 0
    ctime: int = 0
    mtime: int = 0
    version: int = 0
    created_children: int = 0
    """The number of children ever created here, which numbers sequential nodes."""
    aversion: int = 0
    owner: int = 0
    """The ephemeral owner (see :mod:`txmirror.embedded.ephemeral_owners`)."""
    pzxid: int = 0
    children: dict[str, None] = attrs.Factory(dict)
    """The children's names: a dict, because it keeps their order."""

    def stat(self) -> ZnodeStat:
        """Return the stat that clients see."""
        count = len(self.children)
        return ZnodeStat(
            self.czxid,
            self.mzxid,
            self.ctime,
            self.mtime,
            self.version,
            # Each deleted child counts twice (created and deleted), each existing one once.
            self.created_children * 2 - count,
            self.aversion,
            session_of(self.owner),
            len(self.data or b""),
            count,
            self.pzxid,
        )


class Tree:
    """All znodes, by their paths.

    :ivar zxid: the last transaction.
    :ivar nodes: the znodes. The root is there twice: as ``/``, and as the empty string, which is its children's paths without
        their names. ZooKeeper does so too, and counts it twice.
    :ivar ephemerals: the paths of each session's ephemeral nodes, in the order of creation.
    :ivar expiring_nodes: the paths of containers and TTL nodes, in the order of creation.
    """

    def __init__(self) -> None:
        root = Node(b"", children={"zookeeper": None})
        self.zxid: int = 0
        self.nodes: dict[str, Node] = {
            "": root,
            "/": root,
            "/zookeeper": Node(b"", children={"quota": None, "config": None}),
            "/zookeeper/quota": Node(b""),
            "/zookeeper/config": Node(b"", READ_ACL, aversion=-1),
        }
        self.ephemerals: dict[int, dict[str, None]] = {}
        self.expiring_nodes: dict[str, None] = {}
        self._undoing: list[Callable[[], None]] = []

    def copy(self) -> Tree:
        """Return an independent copy of the tree."""
        other = Tree()
        other.zxid = self.zxid
        other.nodes = {path: attrs.evolve(node, children=dict(node.children)) for path, node in self.nodes.items()}
        other.nodes[""] = other.nodes["/"]
        other.ephemerals = {session: dict(paths) for session, paths in self.ephemerals.items()}
        other.expiring_nodes = dict(self.expiring_nodes)
        return other

    def begin(self) -> None:
        """Begin the next transaction. The last one can no longer be undone."""
        self.zxid += 1
        self._undoing.clear()

    def undo(self) -> None:
        """Undo the changes of the current transaction. Its zxid is used up all the same."""
        while self._undoing:
            self._undoing.pop()()

    def node(self, path: str) -> Node:
        """Return the znode at a path.

        :raises NoNodeException: the znode does not exist.
        """
        node = self.nodes.get(path)
        if node is None:
            raise NoNodeException(path=path)
        return node

    def parent(self, path: str) -> Node:
        """Return the parent of the znode at ``path``, which need not exist itself.

        :raises NoNodeException: the parent does not exist.
        """
        return self.node(path[: path.rindex("/")])

    def create(self, path: str, data: bytes | None, acl: tuple[ACL, ...], owner: int, now: int) -> Node:
        """Add a znode in the current transaction.

        :param owner: the ephemeral owner.
        :param now: the time in milliseconds.
        :raises NoNodeException: the parent does not exist.
        """
        parent = self.parent(path)
        former = parent.pzxid
        # Most nodes have their parent's list, and share it to save memory.
        if acl == parent.acl:
            acl = parent.acl
        node = Node(data, acl, self.zxid, self.zxid, now, now, owner=owner, pzxid=self.zxid)
        self._add(path, node, parent)
        parent.created_children += 1
        parent.pzxid = self.zxid

        def undo() -> None:
            self._remove(path, node, parent)
            parent.created_children -= 1
            parent.pzxid = former

        self._undoing.append(undo)
        return node

    def delete(self, path: str) -> Node:
        """Delete a znode in the current transaction, and return it.

        :raises NoNodeException: the znode does not exist.
        """
        node = self.node(path)
        parent = self.parent(path)
        former = parent.pzxid
        self._remove(path, node, parent)
        parent.pzxid = self.zxid

        def undo() -> None:
            self._add(path, node, parent)
            parent.pzxid = former

        self._undoing.append(undo)
        return node

    def set_data(self, path: str, data: bytes | None, now: int) -> Node:
        """Replace a znode's data in the current transaction.

        :raises NoNodeException: the znode does not exist.
        """
        node = self.node(path)
        former = node.data, node.mzxid, node.mtime, node.version
        node.data, node.mzxid, node.mtime, node.version = data, self.zxid, now, node.version + 1

        def undo() -> None:
            node.data, node.mzxid, node.mtime, node.version = former

        self._undoing.append(undo)
        return node

    def set_acl(self, path: str, acl: tuple[ACL, ...]) -> Node:
        """Replace a znode's access control list in the current transaction, without a change to any zxid of its stat.

        A multi never contains this change, so it cannot be undone.

        :raises NoNodeException: the znode does not exist.
        """
        node = self.node(path)
        node.acl, node.aversion = acl, node.aversion + 1
        return node

    def count_below(self, path: str) -> int:
        """Return the number of znodes below a path, at any depth."""
        if path == "/":
            return len(self.nodes) - 2
        return sum(other.startswith(path + "/") for other in self.nodes)

    def _add(self, path: str, node: Node, parent: Node) -> None:
        self.nodes[path] = node
        parent.children[name_of(path)] = None
        session = session_of(node.owner)
        if session:
            self.ephemerals.setdefault(session, {})[path] = None
        elif node.owner:
            self.expiring_nodes[path] = None

    def _remove(self, path: str, node: Node, parent: Node) -> None:
        del self.nodes[path]
        del parent.children[name_of(path)]
        session = session_of(node.owner)
        if session:
            owned = self.ephemerals[session]
            del owned[path]
            if not owned:
                del self.ephemerals[session]
        elif node.owner:
            del self.expiring_nodes[path]
