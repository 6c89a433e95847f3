"""The znodes and what is counted about them. No checks, no watches, no sessions, and no Twisted.

Stats are kept as ``org.apache.zookeeper.server.DataTree`` keeps them, which is not quite as they are shown.
"""

from __future__ import annotations

import attrs

from txmirror.errors import NoNodeException
from txmirror.paths import name_of
from txmirror.types import ACL, OPEN_ACL, READ_ACL, ZnodeStat

#: The nodes that every server has from the start, and that cannot be deleted.
SPECIAL_PATHS = frozenset({"/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"})


@attrs.define(eq=False)
class Node:
    """One znode."""

    data: bytes | None = None
    acl: tuple[ACL, ...] = OPEN_ACL
    czxid: int = 0
    mzxid: int = 0
    ctime: int = 0
    mtime: int = 0
    version: int = 0
    created_children: int = 0
    """How many children were ever created here: what sequence nodes are numbered by."""
    aversion: int = 0
    owner: int = 0
    pzxid: int = 0
    children: dict[str, None] = attrs.Factory(dict)
    """The children's names; a dict for its order, which a set does not have."""

    def stat(self) -> ZnodeStat:
        """Give the stat that clients see."""
        count = len(self.children)
        return ZnodeStat(
            self.czxid,
            self.mzxid,
            self.ctime,
            self.mtime,
            self.version,
            # Each child that is not here any more was created and deleted; each that is here, only created.
            self.created_children * 2 - count,
            self.aversion,
            self.owner,
            len(self.data or b""),
            count,
            self.pzxid,
        )


class Tree:
    """All znodes, by their paths.

    :ivar zxid: the last transaction.
    :ivar nodes: the znodes. The root is there twice, as ``/`` and as the empty string, which is what is left of its
        children's paths when their names are taken away; ZooKeeper has it so, and counts it twice.
    :ivar ephemerals: the paths of each session's ephemeral nodes, in the order in which they were made.
    """

    def __init__(self) -> None:
        root = Node(b"", children={"zookeeper": None})
        self.zxid = 0
        self.nodes = {
            "": root,
            "/": root,
            "/zookeeper": Node(b"", children={"quota": None, "config": None}),
            "/zookeeper/quota": Node(b""),
            "/zookeeper/config": Node(b"", READ_ACL, aversion=-1),
        }
        self.ephemerals: dict[int, dict[str, None]] = {}

    def node(self, path: str) -> Node:
        """Give the znode at a path.

        :raises NoNodeException: there is none.
        """
        node = self.nodes.get(path)
        if node is None:
            raise NoNodeException(path=path)
        return node

    def parent(self, path: str) -> Node:
        """Give the znode that is, or would be, the parent of the one at ``path``.

        :raises NoNodeException: there is none.
        """
        return self.node(path[: path.rindex("/")])

    def create(self, path: str, data: bytes | None, acl: tuple[ACL, ...], owner: int, now: int) -> Node:
        """Add a znode by the present transaction.

        :param owner: the session that it goes away with, or 0.
        :param now: the time in milliseconds.
        :raises NoNodeException: there is no parent.
        """
        parent = self.parent(path)
        node = Node(data, acl, self.zxid, self.zxid, now, now, owner=owner, pzxid=self.zxid)
        parent.children[name_of(path)] = None
        parent.created_children += 1
        parent.pzxid = self.zxid
        self.nodes[path] = node
        if owner:
            self.ephemerals.setdefault(owner, {})[path] = None
        return node

    def delete(self, path: str) -> Node:
        """Take a znode away by the present transaction, and give what was there.

        :raises NoNodeException: there is none.
        """
        node = self.node(path)
        parent = self.parent(path)
        del self.nodes[path]
        del parent.children[name_of(path)]
        parent.pzxid = self.zxid
        if node.owner:
            owned = self.ephemerals[node.owner]
            del owned[path]
            if not owned:
                del self.ephemerals[node.owner]
        return node

    def set_data(self, path: str, data: bytes | None, now: int) -> Node:
        """Replace a znode's data by the present transaction.

        :raises NoNodeException: there is none.
        """
        node = self.node(path)
        node.data = data
        node.mzxid = self.zxid
        node.mtime = now
        node.version += 1
        return node

    def set_acl(self, path: str, acl: tuple[ACL, ...]) -> Node:
        """Replace a znode's access control list. No zxid of its stat tells.

        :raises NoNodeException: there is none.
        """
        node = self.node(path)
        node.acl = acl
        node.aversion += 1
        return node
