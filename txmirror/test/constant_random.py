"""Random numbers that a test decides."""

from __future__ import annotations

from random import Random


class ConstantRandom(Random):
    """Random numbers from 0 to 1 that are all equal, so that every pause is the same in each run. No two GUIDs are alike.

    :param number: the number, less than 1.
    """

    def __init__(self, number: float) -> None:
        super().__init__(0)
        self._number = number

    def random(self) -> float:
        """Return the number."""
        return self._number
