"""The strategies that need no key: in turn, at random, by weight."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Hashable, Sequence
from itertools import accumulate
from random import Random

from zope.interface import implementer

from txmirror.interfaces import IStrategy
from txmirror.types import Instance


@implementer(IStrategy)
class RoundRobin:
    """Picks the instances in turn, from a random one on.

    :param random: chooses the first.
    """

    def __init__(self, random: Random) -> None:
        self._next = random.getrandbits(32)

    def pick(self, instances: Sequence[Instance], key: Hashable | None) -> Instance:
        """Return the next instance."""
        self._next += 1
        return instances[self._next % len(instances)]


@implementer(IStrategy)
class RandomChoice:
    """Picks any instance, each with the same probability.

    :param random: chooses.
    """

    def __init__(self, random: Random) -> None:
        self._random = random.random

    def pick(self, instances: Sequence[Instance], key: Hashable | None) -> Instance:
        """Return a random instance."""
        return instances[int(self._random() * len(instances))]


def weight_of(instance: Instance) -> int:
    """Return an instance's weight: 1 if it has none."""
    return 1 if instance.weight is None else instance.weight


@implementer(IStrategy)
class Weighted:
    """Picks any instance, with a probability that is proportional to its weight.

    :param random: chooses.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._instances: Sequence[Instance] = ()
        self._sums: list[int] = []

    def pick(self, instances: Sequence[Instance], key: Hashable | None) -> Instance:
        """Return a random instance."""
        chosen: Instance
        if not isinstance(instances, tuple):
            return self._random.choices(instances, [weight_of(each) for each in instances])[0]
        if instances is not self._instances:
            self._instances, self._sums = instances, list(accumulate(map(weight_of, instances)))
        chosen = instances[bisect(self._sums, self._random.random() * self._sums[-1], 0, len(instances) - 1)]
        return chosen
