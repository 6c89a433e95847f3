"""Audit a followed path for changes without events.

Servers send no event for some changes. A changed ACL causes none. A session only gets events about a node that it may read at that
moment (CVE-2024-23944, in ZooKeeper from 3.8.4 and 3.9.2, and in Debian's 3.8.0): so without that right it gets no event when a
protected node is created, written or deleted. Nor does a recursive watch send an event that the list of the parent's children
has changed. Therefore a followed path is audited from time to time. Each audit reads the node, the list of its children if
``pzxid`` shows that some have come or gone, and a fifth of the children, in turn. It marks unreadable nodes as such, and the
next ones retry them.
"""

from __future__ import annotations

from bisect import bisect_right
from random import Random

from twisted.internet.interfaces import IReactorTime

from txmirror import paths
from txmirror.mirror import Tree
from txmirror.timers import Timer

#: The number of audits that read all children once, and the most children that one audit reads.
_AUDITS = 5
_MOST_AUDITED = 1000


class Audit:
    """Reads the nodes of a tree of depth one from time to time.

    :param tree: the tree.
    :param reactor: runs the timer.
    :param interval: the interval between audits, in seconds, a quarter more or less; None for no audits.
    :param random: varies the interval, so that many processes that follow the same path do not audit it at once.
    """

    def __init__(self, tree: Tree, reactor: IReactorTime, interval: float | None, random: Random) -> None:
        self._tree = tree
        self._interval = interval
        self._random = random
        self._timer = Timer(reactor, self.run)
        #: The name of the child that was audited last.
        self._last_audited = ""
        #: The ``pzxid`` of the node when the list of its children was last known to be complete; None if it never was.
        self._listed_pzxid: int | None = None
        self._schedule()

    def stop(self) -> None:
        """Stop the timer."""
        self._timer.stop()

    def run(self) -> None:
        """Read nodes that may have changed without an event."""
        self._schedule()
        tree = self._tree
        if not tree.settled or tree.path not in tree:
            # Without a connection nothing can be read; and a tree that is being read is up to date.
            return
        tree.look_again(tree.path)
        for name in self._names_to_audit(tree.children(tree.path)):
            tree.look_again(paths.join(tree.path, name))
        tree.caught_up().addCallback(lambda _: self._check_list())

    def _schedule(self) -> None:
        if self._interval is not None:
            self._timer.start(self._interval * self._random.uniform(0.75, 1.25))

    def _names_to_audit(self, names: list[str]) -> list[str]:
        """Return the names of the children that this audit reads."""
        count = min(-(-len(names) // _AUDITS), _MOST_AUDITED)
        start = bisect_right(names, self._last_audited)
        turn = (names[start : start + count] + names)[:count]
        if turn:
            self._last_audited = turn[-1]
        return turn

    def _check_list(self) -> None:
        """Read the list of children, unless it is known to match the node's stat."""
        tree = self._tree
        if not tree.settled or tree.path not in tree:
            return
        pzxid = tree[tree.path][1].pzxid
        if pzxid != self._listed_pzxid:
            self._listed_pzxid = pzxid
            tree.look_again(tree.path, names=True)
