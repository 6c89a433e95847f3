"""The distribution of each strategy."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from txmirror.discovery import STRATEGIES, check_pick, rendezvous
from txmirror.discovery.pending import LeastPending, PendingCounts
from txmirror.discovery.picking import make_strategy
from txmirror.discovery.rendezvous import Ranking, Sticky, hash_key
from txmirror.discovery.strategies import RandomChoice, RoundRobin, Weighted
from txmirror.interfaces import IStrategy
from txmirror.test.hypothesis_profiles import at_most
from txmirror.types import Instance

_WEIGHTS = st.lists(st.none() | st.integers(1, 100), min_size=1, max_size=8)
_SEEDS = st.integers(0, 2**32)


def instances(weights: Sequence[int | None]) -> tuple[Instance, ...]:
    """Return instances with some weights, sorted by name."""
    return tuple(
        Instance(name=f"web{number:03}:80", address="h", port=80, weight=weight)
        for number, weight in enumerate(weights)
    )


def count(strategy: IStrategy, among: Sequence[Instance], picks: int, keyed: bool = False) -> list[int]:
    """Return how often each instance is picked."""
    counted = Counter(strategy.pick(among, f"key{number}" if keyed else None).name for number in range(picks))
    return [counted[each.name] for each in among]


class Case(SynchronousTestCase):
    def assert_shares(self, counts: Sequence[int], weights: Sequence[float]) -> None:
        """Check that counts are near to weights: within six standard deviations."""
        total = sum(counts)
        for each, weight in zip(counts, weights, strict=True):
            share = weight / sum(weights)
            self.assertLess(abs(each - total * share), 6 * (total * share * (1 - share)) ** 0.5 + 1, (counts, weights))


class DistributionTests(Case):
    @at_most(20)
    @given(st.integers(1, 50), st.integers(0, 300), _SEEDS)
    def test_round_robin(self, size: int, picks: int, seed: int) -> None:
        """Any picks in a row are spread as evenly as can be."""
        counts = count(RoundRobin(Random(seed)), instances([1] * size), picks)
        self.assertLessEqual(max(counts) - min(counts), 1)

    def test_round_robin_begins_anywhere(self) -> None:
        """Many processes do not all begin with the same instance."""
        among = instances([1] * 4)
        counted = Counter(RoundRobin(Random(seed)).pick(among, None).name for seed in range(400))
        self.assert_shares([counted[each.name] for each in among], [1] * 4)

    @at_most(20)
    @given(st.integers(1, 8), _SEEDS)
    def test_random(self, size: int, seed: int) -> None:
        self.assert_shares(count(RandomChoice(Random(seed)), instances([1] * size), 1000), [1] * size)

    @at_most(20)
    @given(_WEIGHTS, _SEEDS, st.booleans())
    def test_weighted(self, weights: list[int | None], seed: int, avoiding: bool) -> None:
        """The shares are those of the weights; no weight counts as 1."""
        among = instances(weights)
        counts = count(Weighted(Random(seed)), list(among) if avoiding else among, 1000)
        self.assert_shares(counts, [1 if each is None else each for each in weights])

    @at_most(20)
    @given(st.integers(1, 12), st.data())
    def test_least_pending(self, size: int, data: Any) -> None:
        """Each instance that is picked has the fewest pending requests at that moment, in any history."""
        among = instances([1] * size)
        counts = PendingCounts()
        strategy = LeastPending(counts, Random(0))
        pending: list[Any] = []
        for step in data.draw(st.lists(st.integers(-20, 30), max_size=60)):
            if step < 0 and pending:
                pending.pop(step % len(pending)).__exit__(None, None, None)
                continue
            some: Sequence[Instance] = among if step % 3 else list(among[step % size :])
            picked = strategy.pick(some, None)
            self.assertEqual(counts[picked.name], min(counts[each.name] for each in some))
            pending.append(counts.counted(picked))
            pending[-1].__enter__()
        for each in pending:
            each.__exit__(None, None, None)
        self.assertEqual([counts[each.name] for each in among], [0] * size)

    @at_most(20)
    @given(st.integers(1, 12), st.integers(0, 100))
    def test_least_pending_ties(self, size: int, picks: int) -> None:
        """Instances with equally few are picked in turn."""
        counts = count(LeastPending(PendingCounts(), Random(0)), instances([1] * size), picks)
        self.assertLessEqual(max(counts) - min(counts), 1)

    def test_least_pending_exceptions(self) -> None:
        """A request that fails is pending no longer."""
        counts = PendingCounts()
        (instance,) = instances([1])
        with contextlib.suppress(KeyError), counts.counted(instance) as used:
            self.assertIs(used, instance)
            self.assertEqual(counts[instance.name], 1)
            raise KeyError
        self.assertEqual(counts[instance.name], 0)

    def test_least_pending_of_changed_list(self) -> None:
        """Another list is ordered by the same counts; requests to an instance that has gone are no matter."""
        counts = PendingCounts()
        strategy = LeastPending(counts, Random(0))
        one, two, three = instances([1] * 3)
        with counts.counted(one), counts.counted(two):
            self.assertIs(strategy.pick((one, two, three), None), three)
            with counts.counted(three), counts.counted(three):
                self.assertIn(strategy.pick((one, three), None), (one, two))
        self.assertEqual(count(strategy, (one, three), 4), [2, 2])


class StickyTests(Case):
    @at_most(10)
    @given(_WEIGHTS)
    def test_shares(self, weights: list[int | None]) -> None:
        """The keys are spread by the weights."""
        self.assert_shares(
            count(Sticky(Random(0)), instances(weights), 2000, keyed=True),
            [1 if each is None else each for each in weights],
        )

    @at_most(15)
    @given(_WEIGHTS, st.integers(0, 7), st.booleans())
    def test_one_goes(self, weights: list[int | None], gone: int, avoided: bool) -> None:
        """Only the keys of the instance that goes, or is avoided, move; when it returns, only its keys move back."""
        among = instances([*weights, 5])
        left = tuple(each for number, each in enumerate(among) if number != gone % len(among))
        strategy = Sticky(Random(0))
        keys = [f"key{number}" for number in range(200)]
        before = {key: strategy.pick(among, key) for key in keys}
        without = {key: strategy.pick(list(left) if avoided else left, key) for key in keys}
        moved = {key for key in keys if before[key] is not without[key]}
        self.assertEqual(moved, {key for key in keys if before[key] not in left})
        self.assertEqual({key: strategy.pick(among, key) for key in keys}, before)

    @at_most(10)
    @given(st.lists(st.integers(1, 50), min_size=2, max_size=6), st.integers(1, 50))
    def test_weight_grows(self, weights: list[int], more: int) -> None:
        """Keys move only to an instance whose weight grows."""
        before, after = instances(weights), instances([weights[0] + more, *weights[1:]])
        one, two = Sticky(Random(0)), Sticky(Random(0))
        for number in range(200):
            former, now = one.pick(before, number).name, two.pick(after, number).name
            self.assertIn(now, (former, before[0].name))

    @at_most(30)
    @given(st.lists(st.dictionaries(st.integers(0, 9), st.integers(1, 3), min_size=1), max_size=12))
    def test_any_changes(self, lists: list[dict[int, int]]) -> None:
        """Whatever comes and goes, a key gets the same as from the list alone."""
        strategy = Sticky(Random(0))
        for weights in lists:
            among = tuple(
                Instance(name=f"web{number}", address="h", port=80, weight=weight)
                for number, weight in sorted(weights.items())
            )
            for number in range(15):
                self.assertIs(strategy.pick(among, number), Ranking(among).best(hash_key(number)))

    def test_many_changes(self) -> None:
        """Remembered keys and instances that came are forgotten when there are too many."""
        ranking = Ranking(instances([1] * 3))
        ranking.best(1)
        for number in range(2000):
            among = instances([1, number + 1])
            ranking.use(among)
            self.assertIs(ranking.best(1), Ranking(among).best(1))
        self.assertLess(len(ranking._came), 1100)
        self.patch(rendezvous, "_MOST_KEYS", 10)
        for key in range(50):
            ranking.best(key)
        self.assertLess(len(ranking._best), 11)

    def test_without_key(self) -> None:
        """Requests without a key take the instances in turn."""
        self.assertEqual(count(Sticky(Random(0)), instances([1] * 3), 9), [3, 3, 3])

    def test_stable(self) -> None:
        """Every process, of any version of this package, chooses the same."""
        picked = [Sticky(Random(0)).pick(instances([1, 2, 3]), key).name[5] for key in _KEYS]
        self.assertEqual("".join(picked), "121111221")
        self.assertEqual(hash_key("key"), 14878992315609337077)

    def test_keys(self) -> None:
        """Keys of different kinds differ; an object without a stable form is refused."""
        self.assertEqual(len({hash_key(each) for each in (*_KEYS, "1", 1, b"1", ("1",), 1.0, True)}), len(_KEYS) + 6)
        for key in (object(), (1, object()), frozenset({"a"})):
            message = str(self.assertRaises(TypeError, hash_key, key))
            self.assertIn(repr(key)[:60], message)


_KEYS: list[Any] = ["", "a", "città\udce9", b"a", 17, -1, 2.5, ("user", 5), (None,)]


class ByNameTests(SynchronousTestCase):
    def test_all(self) -> None:
        for name in STRATEGIES:
            check_pick(name)
            verifyObject(IStrategy, make_strategy(name, PendingCounts(), Random(0)))

    def test_unknown(self) -> None:
        """An unknown name is quoted, and the known ones are named."""
        message = str(self.assertRaises(ValueError, check_pick, "round-robbin"))
        self.assertEqual(
            message,
            "there is no strategy 'round-robbin': the strategies are round-robin, random, weighted, sticky, least-pending",
        )

    def test_object(self) -> None:
        strategy = RoundRobin(Random(0))
        self.assertIs(make_strategy(strategy, PendingCounts(), Random(0)), strategy)
        self.assertIn("5 is neither", str(self.assertRaises(TypeError, check_pick, 5)))
