"""The strategy that sends equal keys to the same instance, by rendezvous hashing: a change of an instance moves its share of keys only."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Hashable, Sequence
from functools import lru_cache
from random import Random
from typing import Final

from zope.interface import implementer

from txmirror.discovery.strategies import RoundRobin, weight_of
from txmirror.interfaces import IStrategy
from txmirror.types import Instance

#: The most keys whose instance is remembered until the instances change.
_REMEMBERED: Final = 65_536
_MASK: Final = 2**64 - 1
#: The numbers that are compared have as many bits as a float has exactly, and one less.
_RANGE: Final = 2**52
#: The types of keys that are written in the same way by every process.
_STABLE_TYPES: Final = frozenset((str, bytes, int, bool, float, type(None)))
#: Odd numbers of 64 bits, to mix the bits of a product: those of splitmix64.
_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


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
        self._best = _Ranking(()).best

    def pick(self, instances: Sequence[Instance], key: Hashable | None) -> Instance:
        """Return the instance for a key.

        :raises TypeError: the key is no text, bytes or number, and no tuple of them: it has no stable form.
        """
        if key is None:
            return self._in_turn.pick(instances, key)
        number = hash_key(key)
        if not isinstance(instances, tuple):
            return _Ranking(instances).best(number)
        if instances is not self._instances:
            self._instances = instances
            self._best = lru_cache(_REMEMBERED)(_Ranking(instances).best)
        return self._best(number)


class _Ranking:
    """Finds the instance with the highest score.

    :param instances: the instances.
    """

    def __init__(self, instances: Sequence[Instance]) -> None:
        self._instances = instances
        self._numbers = [_hash(each.name.encode(errors="surrogatepass")) for each in instances]
        self._weights = [weight_of(each) for each in instances]
        self._equal_weights = len(set(self._weights)) == 1

    def best(self, number: int) -> Instance:
        """Return the instance with the highest score for a hashed key."""
        mixed = [_mix(each ^ number) for each in self._numbers]
        if self._equal_weights:
            return self._instances[mixed.index(max(mixed))]
        # The weighted rendezvous hashing of Schindelhauer and Schomaker. With equal weights it chooses the same.
        scores = [-weight / math.log((each + 0.5) / _RANGE) for each, weight in zip(mixed, self._weights, strict=True)]
        return self._instances[scores.index(max(scores))]


def hash_key(key: Hashable) -> int:
    """Return a number for a key: the same in every process, unlike :func:`hash`.

    :raises TypeError: the key is no text, bytes or number, and no tuple of them.
    """
    if type(key) is str:
        return _hash(key.encode(errors="surrogatepass"))
    if not _is_stable(key):
        raise TypeError(f"the key is {key!r:.60}: not a text, bytes or a number, and not a tuple of them")
    return _hash(b"\0" + ascii(key).encode())


def _is_stable(key: object) -> bool:
    if type(key) is tuple:
        return all(map(_is_stable, key))
    return type(key) in _STABLE_TYPES


def _hash(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")


def _mix(number: int) -> int:
    """Return a number of 52 bits, all of which depend on all bits of another of 64."""
    product = number * _FIRST & _MASK
    return ((product ^ product >> 31) * _SECOND & _MASK) >> 12
