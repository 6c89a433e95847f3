"""Audit the tree of all services for changes without events.

Servers send no event when an ACL was changed, and none about a node that the session may not read at that moment. So an instance that
was readable once, and is protected now, would be shown for ever, also after its end; and one that is registered protected would not be
shown at all. Therefore some nodes are read again from time to time, in turn: nodes that cannot be read are marked as such then, and a
service whose ``pzxid`` has changed gets its list of nodes anew.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Final

from twisted.internet.interfaces import IReactorTime

from txmirror import paths
from txmirror.mirror import Tree
from txmirror.timers import Timer

#: The interval between audits, in seconds.
_INTERVAL: Final = 15.0
#: The number of audits that read all nodes once, and the fewest and the most nodes that one audit reads.
_AUDITS: Final = 20
_FEWEST: Final = 10
_MOST: Final = 250


class TreeAudit:
    """Reads the nodes of a tree of services from time to time.

    :param tree: the tree: its root, the services, and their nodes.
    :param reactor: runs the timer.
    """

    def __init__(self, tree: Tree, reactor: IReactorTime) -> None:
        self._tree = tree
        self._timer = Timer(reactor, self._run)
        #: The service and the node in it that were audited last.
        self._service = self._node = ""
        #: The ``pzxid`` of the root and the services when their lists were last known to be complete.
        self._listed: dict[str, int] = {}

    def start(self) -> None:
        """Start the timer."""
        self._timer.start(_INTERVAL)

    def stop(self) -> None:
        """Stop the timer."""
        self._timer.stop()

    def _run(self) -> None:
        self.start()
        tree = self._tree
        if not tree.settled or tree.path not in tree:
            # Without a connection nothing can be read; and a tree that is being read is up to date.
            return
        count = min(max(_FEWEST, len(tree) // _AUDITS), _MOST)
        lists = [tree.path]
        tree.look_again(tree.path)
        for path, is_list in self._take(count):
            tree.look_again(path)
            if is_list:
                lists.append(path)
        tree.caught_up().addCallbacks(lambda _: self._check_lists(lists), lambda _: None)

    def _take(self, count: int) -> Iterator[tuple[str, bool]]:
        """Yield the paths of the next nodes, and whether each is that of a service."""
        tree = self._tree
        services = tree.children(tree.path)
        place = bisect_left(services, self._service)
        for _ in range(len(services) + 1):
            if not services or count <= 0:
                return
            if place >= len(services):
                place = 0
            path = paths.join(tree.path, services[place])
            if services[place] != self._service or not self._node:
                self._service, self._node = services[place], ""
                count -= 1
                yield path, True
            nodes = tree.children(path)
            start = bisect_right(nodes, self._node)
            for name in nodes[start : start + count]:
                self._node = name
                count -= 1
                yield paths.join(path, name), False
            if count > 0 or not nodes or self._node >= nodes[-1]:
                place += 1
                self._service = services[place] if place < len(services) else ""
                self._node = ""

    def _check_lists(self, lists: list[str]) -> None:
        """Read the lists of children, unless they are known to match their nodes' stats."""
        tree = self._tree
        if not tree.settled:
            return
        for path in lists:
            if path not in tree:
                self._listed.pop(path, None)
                continue
            pzxid = tree[path][1].pzxid
            if pzxid != self._listed.get(path):
                self._listed[path] = pzxid
                tree.look_again(path, names=True)
        if len(self._listed) > 2 * len(tree) + 10:
            # Services that are gone.
            self._listed = {path: each for path, each in self._listed.items() if path in tree}
