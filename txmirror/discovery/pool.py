"""The instances that may be picked at this moment, as strategies get them."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Collection, Sequence

from txmirror.discovery.judging import says
from txmirror.discovery.listing import InstanceList, Verdict, is_same
from txmirror.types import Instance

#: The label, or key of the data, with an instance's zone.
_ZONE = "zone"
#: Up to this number, the avoided instances are searched one by one.
_FEW = 10
#: Of more changed nodes than this, all nodes are looked at.
_MANY = 200


class Pool:
    """Selects the instances that may be picked, when the list or the marks have changed.

    :param instances: the nodes of the service.
    :param withheld: returns the names of instances that are down.
    :param zone: the preferred zone; None for none.
    :param least_in_zone: the number of instances in the zone that is enough to pick only those.
    """

    def __init__(
        self, instances: InstanceList, withheld: Callable[[], Collection[str]], zone: str | None, least_in_zone: int
    ) -> None:
        self._list = instances
        self._withheld = withheld
        self._zone = zone
        self._least_in_zone = least_in_zone
        self._pickable: tuple[Instance, ...] | None = None
        #: The usable instances, withheld or not, in order of their names, and these.
        self._usable: list[Instance] = []
        self._names: list[str] = []
        #: Those outside of the zone too.
        self._available: tuple[Instance, ...] = ()

    @property
    def pickable(self) -> tuple[Instance, ...]:
        """The instances that may be picked, sorted by name: the same object until they change."""
        return self._select() if self._pickable is None else self._pickable

    def invalidate(self) -> None:
        """Note that the list or the marks have changed."""
        self._pickable = None

    def without(self, avoided: Collection[Instance]) -> Sequence[Instance]:
        """Return those that are not to be avoided; those outside of the zone if there are no others."""
        pickable = self.pickable
        left = _without(pickable, avoided)
        return left or (left if pickable is self._available else _without(self._available, avoided))

    def counts(self) -> tuple[Counter[Verdict], list[str]]:
        """Return the number of nodes with each verdict, and the names of the usable instances that are withheld."""
        nodes = self._list.nodes
        withheld = [name for name in self._withheld() if name in nodes and nodes[name].usable is not None]
        return Counter(each.verdict for each in nodes.values()), withheld

    def _select(self) -> tuple[Instance, ...]:
        self._update()
        found, withheld = self._usable, self._withheld()
        available = tuple([each for each in found if each.name not in withheld]) if withheld else tuple(found)
        pickable = available if self._zone is None else self._prefer_zone(available, self._zone)
        self._available = available
        self._pickable = pickable
        return pickable

    def _update(self) -> None:
        """Look at the nodes that have changed."""
        nodes, touched = self._list.nodes, self._list.take_touched()
        if touched is None or len(touched) > _MANY:
            # Pairs with the nodes would be 10,000 new objects, after which Python collects garbage: that takes three times as long as
            # all this.
            found = [nodes[name].usable for name in sorted(nodes)]
            self._usable = [each for each in found if each is not None]
            self._names = [each.name for each in self._usable]
            return
        for name in touched:
            node, at = nodes.get(name), bisect_left(self._names, name)
            usable = None if node is None else node.usable
            there = at < len(self._names) and self._names[at] == name
            if usable is None:
                if there:
                    del self._names[at], self._usable[at]
            elif there:
                self._usable[at] = usable
            else:
                self._names.insert(at, name)
                self._usable.insert(at, usable)

    def _prefer_zone(self, available: tuple[Instance, ...], zone: str) -> tuple[Instance, ...]:
        near = tuple([each for each in available if says(each, _ZONE, zone)])
        return near if len(near) >= self._least_in_zone and len(near) < len(available) else available


def _without(instances: tuple[Instance, ...], avoided: Collection[Instance]) -> list[Instance]:
    if len(avoided) > _FEW:
        # A search for each would take longer. Nearly always they are the same objects.
        same = set(map(id, avoided))
        others = [each for each in instances if id(each) not in same]
        if len(others) + len(same) == len(instances):
            return others
    left = list(instances)
    for each in avoided:
        at = bisect_left(left, each.name, key=lambda other: other.name)
        if at < len(left) and is_same(left[at], each):
            del left[at]
    return left
