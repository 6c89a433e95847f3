"""The strategy that sends equal keys to the same instance."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from random import Random

from zope.interface import implementer

from txmirror.discovery.rendezvous import Ranking, hash_key
from txmirror.discovery.strategies import RoundRobin
from txmirror.interfaces import IStrategy
from txmirror.types import Instance


@implementer(IStrategy)
class Sticky:
    """Picks the instance with the highest score for a key; those without a key in turn.

    The score of an instance depends on its name and its weight alone, and is the same in every process. So the keys of an
    instance that goes are spread over all others, and no other key moves.

    :param random: chooses the first for requests without a key.
    """

    def __init__(self, random: Random) -> None:
        self._in_turn = RoundRobin(random)
        self._instances: Sequence[Instance] = ()
        self._ranking = Ranking()

    def pick(self, instances: Sequence[Instance], key: Hashable | None) -> Instance:
        """Return the instance for a key.

        :raises TypeError: the key is no text, bytes or number, and no tuple of them: it has no stable form.
        """
        if key is None:
            return self._in_turn.pick(instances, key)
        number = hash_key(key)
        if not isinstance(instances, tuple):
            return Ranking(instances).best(number)
        if instances is not self._instances:
            self._instances = instances
            self._ranking.use(instances)
        return self._ranking.best(number)
