"""The strategy that sends equal keys to the same instance, by rendezvous hashing: it has the highest score for the key."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from random import Random
from typing import Final

import attrs
from zope.interface import implementer

from txmirror.discovery.strategies import RoundRobin, weight_of
from txmirror.interfaces import IStrategy
from txmirror.rendezvous import hash_bytes, hash_text, mix
from txmirror.types import Instance

#: The most keys whose instance is remembered.
_MOST_KEYS: Final = 65_536
#: The most instances that came and are remembered for keys that were not compared with them.
_MOST_NEW: Final = 1_024
#: The numbers that are compared have as many bits as a float has exactly, and one less.
_RANGE: Final = 2**52
#: The types of keys that are written in the same way by every process.
_STABLE_TYPES: Final = frozenset((str, bytes, int, bool, float, type(None)))


@attrs.define(eq=False)
class _Candidate:
    """An instance with its name's hash. Another object replaces it when its weight changes."""

    instance: Instance
    number: int
    weight: int
    gone: bool = False

    def score(self, key: int) -> float:
        """Return its score for a hashed key: the weighted rendezvous hashing of Schindelhauer and Schomaker."""
        return _weigh(mix(self.number ^ key), self.weight)


class Ranking:
    """Finds the instance with the highest score for a key.

    The score depends on the key and on the instance's name and weight. So another instance becomes the best one only if the best one
    goes, or one comes with a higher score: a key that was seen before is compared with those only that have come since.

    :param instances: the instances.
    """

    def __init__(self, instances: Sequence[Instance] = ()) -> None:
        self._by_name: dict[str, _Candidate] = {}
        self._candidates: list[_Candidate] = []
        self._numbers: list[int] = []
        self._equal_weights = True
        self._came: list[_Candidate] = []
        #: The best one for each key, and how many of those that came it was compared with.
        self._best: dict[int, tuple[_Candidate, int]] = {}
        self.use(instances)

    def use(self, instances: Sequence[Instance]) -> None:
        """Use these instances from now on, in place of the former ones."""
        former, self._by_name = self._by_name, {}
        came = []
        for each in instances:
            candidate, weight = former.pop(each.name, None), weight_of(each)
            if candidate is None or candidate.weight != weight:
                if candidate is not None:
                    candidate.gone = True
                candidate = _Candidate(each, hash_text(each.name), weight)
                came.append(candidate)
            candidate.instance = each
            self._by_name[each.name] = candidate
        for gone in former.values():
            gone.gone = True
        self._candidates = list(self._by_name.values())
        self._numbers = [each.number for each in self._candidates]
        self._equal_weights = len({each.weight for each in self._candidates}) <= 1
        self._came += came
        if len(self._came) > _MOST_NEW:
            self._came.clear()
            self._best.clear()

    def best(self, key: int) -> Instance:
        """Return the instance with the highest score for a hashed key. There is at least one instance."""
        count = len(self._came)
        best, compared = self._best.get(key, (None, 0))
        if best is not None and compared == count and not best.gone:
            return best.instance
        if best is None or best.gone or count - compared > len(self._candidates):
            best = self._find(key)
        else:
            for each in self._came[compared:]:
                if not each.gone and each.score(key) > best.score(key):
                    best = each
        if len(self._best) >= _MOST_KEYS:
            self._best.clear()
        self._best[key] = best, count
        return best.instance

    def _find(self, key: int) -> _Candidate:
        """Compare all."""
        mixed = [mix(each ^ key) for each in self._numbers]
        if self._equal_weights:
            # The order of the scores is that of the numbers.
            return self._candidates[mixed.index(max(mixed))]
        scores = [_weigh(number, each.weight) for number, each in zip(mixed, self._candidates, strict=True)]
        return self._candidates[scores.index(max(scores))]


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


def hash_key(key: Hashable) -> int:
    """Return a number for a key: the same in every process, unlike :func:`hash`.

    :raises TypeError: the key is no text, bytes or number, and no tuple of them; the message quotes it.
    """
    if type(key) is str:
        return hash_text(key)
    if not _is_stable(key):
        raise TypeError(f"the key is {key!r:.60}: not a text, bytes or a number, and not a tuple of them")
    return hash_bytes(b"\0" + ascii(key).encode())


def _is_stable(key: object) -> bool:
    if type(key) is tuple:
        return all(map(_is_stable, key))
    return type(key) in _STABLE_TYPES


def _weigh(number: int, weight: int) -> float:
    return -weight / math.log((number + 0.5) / _RANGE)
