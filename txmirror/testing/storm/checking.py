"""Storms for programs that use txmirror."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from txmirror.testing.storm.faults import FaultKind
from txmirror.testing.storm.shrinking import describe, shrink
from txmirror.testing.storm.storms import Plan, Program, Storm
from txmirror.testing.world import World

#: All but the loss of data, from which few programs recover.
_FAULTS = tuple(kind for kind in FaultKind if kind not in (FaultKind.WIPE, FaultKind.RESTORE))


def check(
    world: Callable[[], World],
    program: Callable[[World], Program],
    *,
    seeds: Iterable[int] = range(10),
    steps: int = 100,
    faults: Collection[FaultKind] = _FAULTS,
) -> None:
    """Check a program under random actions and random faults, which the seed decides.

    In each step the program acts, or a fault happens or ends; then some calls of the reactor happen, or up to 8 seconds pass, and
    the program is checked. Now and then, and in the end, all faults end. 40 seconds later the program must have settled. Then the
    world is closed, and nothing may be left in it.

    Until the end of a storm, ``random``, ``uuid.uuid4``, ``os.urandom``, ``secrets`` and ``os.getpid`` of this process derive from the
    seed, and so do generators that are made without a seed. For the same course in each process, the program must not depend on the order of a set; ``PYTHONHASHSEED=0`` orders sets of strings.

    :param world: makes the world, as ``lambda: World(servers=3)`` does.
    :param program: makes the program in a world.
    :param seeds: the seeds, one for each storm.
    :param steps: the number of steps of each.
    :param faults: the kinds of faults. By default all but the loss of data, WIPE and RESTORE. EXPIRE ends sessions before their
        timeout, while a lock may still be relied on: leave it out if the program checks that.
    :raises AssertionError: the program, or a check of it, has failed. The message contains the seed, the shortest prefix that
        still fails, the call that repeats it, and the last lines of its log.
    """
    plan = Plan(world, lambda made, journal, random: program(made), faults)
    for seed in seeds:
        result = Storm(plan, seed).run(steps)
        if result.failed is not None:
            shortest = shrink(plan, result)
            lines = "\n".join(shortest.journal.last)
            raise AssertionError(
                f"{describe(shortest, steps)}\nTo repeat it: storm.check(..., seeds=[{seed}], steps={shortest.steps})\n"
                f"The last lines of its log:\n{lines}"
            )
