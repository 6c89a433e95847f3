"""The instances of a service as answers need them: by tag, zone and address, and in an order that is random as far as it is read.

A change of the list costs as much as what has changed, and an answer as much as its records, however long the list is. Only the first
question about a service looks at all instances, in several turns of the reactor, and the first one with a tag, in one turn: some 2
milliseconds for 1,000 instances.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from itertools import compress, count
from operator import is_not
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
        self._instances: Sequence[Instance] = ()
        #: By tag (None: all), and whether only those in the zone are in it.
        self._groups: dict[tuple[str | None, bool], Group] = {}
        self._tags = False
        #: The instances that are not in their groups yet, by identity.
        self._to_add: dict[int, Instance] = {}

    def update(self, instances: tuple[Instance, ...]) -> bool:
        """Use these instances from now on. They are in order of their names.

        :returns: whether all are in their groups. If not, call it again in a later turn of the reactor.
        """
        if instances is not self._instances:
            removed, added = difference(self._instances, instances)
            self._instances = instances
            for each in removed:
                if self._to_add.pop(id(each), None) is None:
                    self._remove(each)
            self._to_add.update((id(each), each) for each in added)
        for _ in range(min(MOST_IN_TURN, len(self._to_add))):
            _, each = self._to_add.popitem()
            self._add(each, self._keys(each, tags=self._tags))
        return not self._to_add

    def choose(self, tag: str | None) -> Group:
        """Return the instances with a tag, or all for None: those in the zone, if there are any. All must be in their groups."""
        if tag is not None and not self._tags:
            self._tags = True
            for each in self._instances:
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


def difference(before: Sequence[Instance], after: Sequence[Instance]) -> tuple[list[Instance], list[Instance]]:
    """Return the objects that are only in the first of two lists, and those only in the second. Nearly all are at the same places."""
    first = _same(before, after)
    last = _same(before[first:][::-1], after[first:][::-1])
    left, right = before[first : len(before) - last], after[first : len(after) - last]
    if len(left) == len(right):
        different = list(map(is_not, left, right))
        left, right = list(compress(left, different)), list(compress(right, different))
    ids, others = set(map(id, left)), set(map(id, right))
    return [each for each in left if id(each) not in others], [each for each in right if id(each) not in ids]


def _same(one: Sequence[Instance], other: Sequence[Instance]) -> int:
    """Return the number of objects at the beginning that are the same in both."""
    return next(compress(count(), map(is_not, one, other)), min(len(one), len(other)))
