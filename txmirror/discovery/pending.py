"""The strategy that picks an instance with the fewest pending requests, and the counts that it reads."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from random import Random

from zope.interface import implementer

from txmirror.interfaces import IStrategy
from txmirror.types import Instance


class PendingCounts:
    """The number of pending requests of each instance, by name.

    :ivar strategy: the strategy that follows the counts; None for none.
    """

    def __init__(self) -> None:
        self.strategy: LeastPending | None = None
        self._counts: dict[str, int] = {}

    def __getitem__(self, name: str) -> int:
        return self._counts.get(name, 0)

    @contextmanager
    def counted(self, instance: Instance) -> Iterator[Instance]:
        """Count a request as pending, until the context ends."""
        self._add(instance.name, 1)
        try:
            yield instance
        finally:
            self._add(instance.name, -1)

    def _add(self, name: str, difference: int) -> None:
        before = self._counts.get(name, 0)
        count = before + difference
        if count:
            self._counts[name] = count
        else:
            del self._counts[name]
        if self.strategy is not None:
            self.strategy.count_changed(name, before, count)


@implementer(IStrategy)
class LeastPending:
    """Picks an instance with the fewest pending requests; several with equally few in turn, in a random order.

    Neither a pick nor a change of a count takes longer with more instances.

    :param counts: the pending requests.
    :param random: chooses the order.
    """

    def __init__(self, counts: PendingCounts, random: Random) -> None:
        self._counts = counts
        self._random = random
        self._instances: Sequence[Instance] = ()
        #: The instances by their count, in the order in which they are to be picked.
        self._by_count: dict[int, OrderedDict[str, Instance]] = {}
        counts.strategy = self

    def pick(self, instances: Sequence[Instance], key: Hashable | None) -> Instance:
        """Return an instance with the fewest pending requests."""
        if not isinstance(instances, tuple):
            least = min(self._counts[each.name] for each in instances)
            return self._random.choice([each for each in instances if self._counts[each.name] == least])
        if instances is not self._instances:
            self._index(instances)
        turn = self._by_count[min(self._by_count)]
        name = next(iter(turn))
        turn.move_to_end(name)
        return turn[name]

    def count_changed(self, name: str, before: int, count: int) -> None:
        """Note a new count of an instance."""
        turn = self._by_count.get(before)
        instance = None if turn is None else turn.pop(name, None)
        if turn is None or instance is None:
            return
        if not turn:
            del self._by_count[before]
        self._by_count.setdefault(count, OrderedDict())[name] = instance

    def _index(self, instances: Sequence[Instance]) -> None:
        self._instances = instances
        self._by_count = {}
        for each in self._random.sample(instances, len(instances)):
            self._by_count.setdefault(self._counts[each.name], OrderedDict())[each.name] = each
