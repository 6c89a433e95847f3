"""The shortest prefix of a storm that still fails."""

from __future__ import annotations

from txmirror.testing.storm.storms import Plan, Result, Storm


def shrink(plan: Plan, result: Result) -> Result:
    """Return the result of the shortest prefix that bisection finds.

    A prefix of a storm has the same steps, and then the end of all faults. So a violation that is only found after that end may need
    fewer steps.

    :param result: the result of a storm that has failed.
    """
    assert result.failed is not None, "the storm has not failed"
    shortest, lowest = result, 0
    highest = result.failed.step
    while lowest < highest:
        middle = (lowest + highest) // 2
        again = Storm(plan, result.seed).run(middle)
        if again.failed is None:
            lowest = middle + 1
        else:
            shortest, highest = again, min(middle, again.failed.step)
    return shortest if shortest.steps == highest else Storm(plan, result.seed).run(highest)


def describe(shortest: Result, steps: int) -> str:
    """Return the description of a failure.

    :param shortest: the result of the shortest prefix.
    :param steps: the number of steps at first.
    """
    failed = shortest.failed
    if failed is None:
        # It depends on something that the seed does not decide.
        return f"seed {shortest.seed} has failed, and a prefix of {shortest.steps} steps does not fail again"
    return (
        f"seed {shortest.seed} fails after step {failed.step}: {failed.reason}\n"
        f"The shortest prefix that fails has {shortest.steps} of {steps} steps."
    )
