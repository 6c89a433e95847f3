"""The instances of a service as answers need them: by tag, zone and address, and in an order that is random as far as it is read.

A change of the list costs as much as what has changed, and an answer as much as its records, however long the list is. Only the first
question about a service looks at all instances, in several turns of the reactor, and the first one with a tag, in one turn: some 2
milliseconds for 1,000 instances.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from random import Random
from typing import Final, Generic, TypeVar

from txmirror.dns.records import Address, parse_address, tags_of, zone_of
from txmirror.types import Instance

#: The most instances that are added in one call: some milliseconds.
MOST_IN_TURN: Final = 500

_T = TypeVar("_T")


class Bag(Generic[_T]):
    """Items by key, which can be read in a random order without a shuffle of all."""

    def __init__(self) -> None:
        self._items: list[_T] = []
        self._keys: list[Hashable] = []
        self._places: dict[Hashable, int] = {}

    def __len__(self) -> int:
        return len(self._items)

    def add(self, key: Hashable, item: _T) -> None:
        """Add an item, whose key is new."""
        self._places[key] = len(self._items)
        self._items.append(item)
        self._keys.append(key)

    def remove(self, key: Hashable) -> None:
        """Remove the item with a key. The last one takes its place."""
        place, item, last = self._places.pop(key), self._items.pop(), self._keys.pop()
        if last != key:
            self._items[place], self._keys[place], self._places[last] = item, last, place

    def shuffled(self, random: Random) -> Iterator[_T]:
        """Yield the items in a random order; each step costs the same. They must not change meanwhile."""
        moved: dict[int, int] = {}
        items, size = self._items, len(self._items)
        for place in range(size):
            # Fisher and Yates's shuffle, of which only the places that are no longer their own are kept.
            other = place + int(random.random() * (size - place))
            yield items[moved.get(other, other)]
            moved[other] = moved.pop(place, place)


class Group:
    """Instances of a service that have something in common, and their addresses, each once.

    :ivar instances: the instances, by name.
    :ivar addresses: the addresses by version, 4 and 6.
    """

    def __init__(self) -> None:
        self.instances: Bag[Instance] = Bag()
        self.addresses: dict[int, Bag[Address]] = {4: Bag(), 6: Bag()}
        self._counts: Counter[bytes] = Counter()

    def add(self, instance: Instance) -> None:
        """Add an instance."""
        self.instances.add(instance.name, instance)
        address = parse_address(instance.address)
        if address is not None:
            key = address.packed
            if not self._counts[key]:
                self.addresses[address.version].add(key, address)
            self._counts[key] += 1

    def remove(self, instance: Instance) -> None:
        """Remove an instance."""
        self.instances.remove(instance.name)
        address = parse_address(instance.address)
        if address is not None:
            key = address.packed
            self._counts[key] -= 1
            if not self._counts[key]:
                del self._counts[key]
                self.addresses[address.version].remove(key)


class Selection:
    """The instances of one service, in groups.

    :param zone: the preferred zone; None for none.
    """

    def __init__(self, zone: str | None) -> None:
        self._zone = zone
        #: The instances that are in their groups, by name.
        self._instances: dict[str, Instance] = {}
        #: By tag (None: all), and whether only those in the zone are in it.
        self._groups: dict[tuple[str | None, bool], Group] = {}
        self._tags = False
        #: The instances by name that differ from those in the groups; None for one that is gone.
        self._changes: dict[str, Instance | None] = {}

    def change(self, name: str, instance: Instance | None) -> None:
        """Note an instance that is new or has changed; None if there is none with this name any more."""
        if instance is self._instances.get(name):
            self._changes.pop(name, None)
        else:
            self._changes[name] = instance

    def update(self) -> bool:
        """Put some of the changed instances into their groups.

        :returns: whether all are in their groups. If not, call it again in a later turn of the reactor.
        """
        for _ in range(min(MOST_IN_TURN, len(self._changes))):
            name, new = self._changes.popitem()
            old = self._instances.pop(name, None)
            if old is not None:
                self._remove(old)
            if new is not None:
                self._instances[name] = new
                self._add(new, self._keys(new, tags=self._tags))
        return not self._changes

    def choose(self, tag: str | None) -> Group:
        """Return the instances with a tag, or all for None: those in the zone, if there are any. All must be in their groups."""
        if tag is not None and not self._tags:
            self._tags = True
            for each in self._instances.values():
                self._add(each, [key for key in self._keys(each, tags=True) if key[0] is not None])
        return self._groups.get((tag, True)) or self._groups.get((tag, False)) or Group()

    def _remove(self, instance: Instance) -> None:
        for key in self._keys(instance, tags=self._tags):
            group = self._groups[key]
            group.remove(instance)
            if not len(group.instances):
                del self._groups[key]

    def _add(self, instance: Instance, keys: Sequence[tuple[str | None, bool]]) -> None:
        for key in keys:
            group = self._groups.get(key)
            if group is None:
                group = self._groups[key] = Group()
            group.add(instance)

    def _keys(self, instance: Instance, *, tags: bool) -> list[tuple[str | None, bool]]:
        """Return the groups of an instance."""
        names: list[str | None] = [None, *tags_of(instance)] if tags else [None]
        keys = [(name, False) for name in names]
        if self._zone is not None and zone_of(instance) == self._zone:
            keys += [(name, True) for name in names]
        return keys
