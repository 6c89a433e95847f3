"""A random order that is made as far as it is read: a reply has room for few of many instances."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from random import Random
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Shuffled(Generic[_T]):
    """Items in a random order, which is the same each time that they are read.

    :param items: the items.
    :param random: makes the order.
    """

    def __init__(self, items: Iterable[_T], random: Random) -> None:
        self._items = list(items)
        self._random = random
        #: The number of items whose places are fixed.
        self._fixed = 0

    def __iter__(self) -> Iterator[_T]:
        items = self._items
        for place in range(len(items)):
            if place == self._fixed:
                other = self._random.randrange(place, len(items))
                items[place], items[other] = items[other], items[place]
                self._fixed += 1
            yield items[place]
