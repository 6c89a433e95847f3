"""The interests of programs: records of single nodes, and branches."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from txmirror.mirror.interest import FollowedBranch
from txmirror.mirror.record import Record
from txmirror.mirror.store import TreeIndex

#: Returns whether a persistent watch reports a node's changes; None if that is not known yet.
Covers = Callable[[str], "bool | None"]


class Interests:
    """All records and branches.

    :ivar records: the records, by path.
    :ivar branches: the branches, in the order in which they were added.
    :ivar trees: the same branches by their roots.
    """

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.branches: dict[FollowedBranch, None] = {}
        self.trees: TreeIndex = TreeIndex()

    def add(self, branch: FollowedBranch) -> None:
        """Add a branch."""
        self.branches[branch] = None
        self.trees.add(branch.path, branch)

    def remove(self, branch: FollowedBranch) -> None:
        """Remove a branch."""
        del self.branches[branch]
        self.trees.remove(branch.path, branch)

    def rooted_at(self, path: str) -> list[FollowedBranch]:
        """Return the branches with their roots at a path."""
        return cast("list[FollowedBranch]", self.trees.at(path))

    def wants(self, path: str) -> bool:
        """Return whether anybody is interested in a node."""
        return path in self.records or bool(self.trees.covering(path))

    def invalidate_all(self) -> None:
        """Read everything again."""
        for record in list(self.records.values()):
            record.invalidate()
        for branch in list(self.branches):
            branch.read_all()

    def reread_uncovered(self, root: str, covers: Covers) -> None:
        """Read nodes at or below a root again, with watches of their own: its persistent watch is gone.

        That watch has covered nodes too that a tree leaves out.
        """
        below = root.rstrip("/") + "/"
        for path, record in list(self.records.items()):
            if (path == root or path.startswith(below)) and not covers(path):
                record.invalidate()
        for branch in list(self.branches):
            if (branch.path == root or branch.path.startswith(below)) and not covers(branch.path):
                branch.read_all()

    def restorable(self, covers: Covers, *, covered: bool) -> tuple[list[str], list[str], list[str]]:
        """Return the nodes whose watches are to be restored: on data, on existence, and on children.

        :param covered: those that a persistent watch covers; if False, all others.
        """
        groups: tuple[list[str], list[str], list[str]] = ([], [], [])
        for branch in self.branches:
            if bool(branch.persistent) is covered:
                for group, found in zip(groups, branch.restorable(), strict=True):
                    group.extend(found)
        for path, record in self.records.items():
            if bool(covers(path)) is covered:
                for group, wanted in zip(groups, record.restorable(), strict=True):
                    if wanted:
                        group.append(path)
        return groups

    # Session events.

    def connected(self, *, new_session: bool, new_data: bool) -> None:
        """Note that there is a connection, in a new session, or with data of another generation."""
        for record in list(self.records.values()):
            if new_data:
                record.forget()
            record.update_state()
        if new_session:
            for branch in self.branches:
                branch.persistent = None

    def disconnected(self) -> None:
        """Note that there is no connection."""
        for record in list(self.records.values()):
            record.disconnected()
        for branch in list(self.branches):
            branch.disconnected()

    def check_settled(self) -> None:
        """Notify the branches that have nothing unsettled."""
        for branch in list(self.branches):
            if not branch.unsettled:
                branch.check_settled()

    def end(self) -> None:
        """Fail all waiters. The last known state stays readable."""
        for record in list(self.records.values()):
            record.close()
        for branch in list(self.branches):
            branch.end()
