"""The strategies by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Final

from txmirror.discovery.pending import LeastPending, PendingCounts
from txmirror.discovery.rendezvous import Sticky
from txmirror.discovery.strategies import RandomChoice, RoundRobin, Weighted
from txmirror.interfaces import IStrategy

#: The functions that make the strategies, by name.
_MAKERS: Final[Mapping[str, Callable[[PendingCounts, Random], IStrategy]]] = {
    "round-robin": lambda _, random: RoundRobin(random),
    "random": lambda _, random: RandomChoice(random),
    "weighted": lambda _, random: Weighted(random),
    "sticky": lambda _, random: Sticky(random),
    "least-pending": LeastPending,
}
#: The names of the strategies.
STRATEGIES: Final = tuple(_MAKERS)


def check_pick(pick: str | IStrategy) -> None:
    """Check that there is such a strategy.

    :param pick: the name of one, or one itself.
    :raises ValueError: there is no strategy of this name; the message quotes it, and names those that there are.
    :raises TypeError: it is neither a name nor a strategy; the message quotes it.
    """
    if isinstance(pick, str):
        if pick not in _MAKERS:
            raise ValueError(f"there is no strategy {pick!r}: the strategies are {', '.join(STRATEGIES)}")
    elif not IStrategy.providedBy(pick):
        raise TypeError(f"{pick!r:.60} is neither the name of a strategy nor an object that provides IStrategy")


def make_strategy(pick: str | IStrategy, counts: PendingCounts, random: Random) -> IStrategy:
    """Return a strategy.

    :param pick: the name of one, or one itself.
    :param counts: the pending requests.
    :param random: makes its random choices.
    :raises ValueError, TypeError: as :func:`check_pick`.
    """
    check_pick(pick)
    return _MAKERS[pick](counts, random) if isinstance(pick, str) else pick
