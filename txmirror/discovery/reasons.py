"""Explain why there is no instance."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from txmirror.discovery.down_marks import DownMarks
from txmirror.discovery.judging import Where
from txmirror.discovery.listing import InstanceList, Verdict
from txmirror.discovery.pool import Pool
from txmirror.discovery.service_tree import ServiceTree
from txmirror.printable import on_one_line
from txmirror.types import Instance


class Reasons:
    """Explains why a service has no instance that can be picked.

    :param path: the path of the service.
    :param instances: its nodes.
    :param pool: those that may be picked.
    :param marks: those that are down.
    :param where: the filter.
    :param now: returns the time by the registry's reactor, in seconds.
    """

    def __init__(
        self,
        path: str,
        instances: InstanceList,
        pool: Pool,
        marks: DownMarks,
        where: Where | None,
        now: Callable[[], float],
    ) -> None:
        self._path = path
        self._list = instances
        self._pool = pool
        self._marks = marks
        self._where = dict(where) if isinstance(where, Mapping) else where
        self._now = now

    def explain(self, avoided: Collection[Instance]) -> str:
        """Return the reasons as one line.

        :param avoided: the instances that the caller avoids.
        """
        count = len(self._pool.pickable) and len(avoided)
        return on_one_line("; ".join([*self._of_list(), *self._of_nodes(count)]))

    def _of_list(self) -> list[str]:
        tree, reasons = self._list.tree, []
        if tree is None:
            reasons.append("the registry is not connected to ZooKeeper")
        elif tree.stale_since is not None:
            reasons.append(f"ZooKeeper has been away for {self._now() - tree.stale_since:.1f} s")
        refusal = None if tree is None else tree.unreadable.get(self._path)
        if refusal is not None:
            reasons.append(f"the path cannot be read: {refusal}")
        elif not self._list.known:
            reasons.append("its list was not read yet")
        elif not self._list.nodes:
            missing = tree is not None and self._is_missing(tree)
            reasons.append("the path does not exist" if missing else "no instance is registered")
        return reasons

    def _is_missing(self, tree: ServiceTree) -> bool:
        return tree.stale_since is None and self._path not in tree

    def _of_nodes(self, avoided: int) -> list[str]:
        counts, withheld = self._pool.counts()
        reasons = []
        if withheld:
            first = min(map(self._marks.available_in, withheld))
            reasons.append(f"{len(withheld)} down after failures, the first for another {first:.1f} s")
        if avoided:
            reasons.append(f"{avoided} avoided, after the caller has tried them")
        texts = {
            Verdict.DOWN: "registered as down",
            Verdict.FILTERED: f"filtered out by {self._where!r:.200}",
            Verdict.FAILED: "on which the filter has failed",
            Verdict.NO_WEIGHT: "with the weight 0",
            Verdict.UNREADABLE: "unreadable",
        }
        reasons += [f"{counts[verdict]} {text}" for verdict, text in texts.items() if counts[verdict]]
        if self._list.omitted:
            name, reason = min(self._list.omitted.items())
            reasons[-1] += f" (such as {name!r}: {reason:.200})"
        return reasons
