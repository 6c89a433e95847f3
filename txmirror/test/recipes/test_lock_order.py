"""The order in which contenders stand."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txmirror.recipes.lock_order import LockOrder

in_order, predecessor = LockOrder().in_order, LockOrder().predecessor


def name(kind: str, number: int, owner: str = "a") -> str:
    """Name a contender's node, with the number as the server writes it."""
    return f"{owner * 32}{kind}{number:010d}"


def alone(number: int) -> str:
    return name("__lock__", number)


def reading(number: int) -> str:
    return name("__rlock__", number)


class OrderTests(SynchronousTestCase):
    def test_numbers(self) -> None:
        """The numbers decide the order, whatever the prefixes are."""
        names = [name("__lock__", 2, "a"), name("__rlock__", 0, "c"), name("__lock__", 1, "b")]
        self.assertEqual(in_order(names), [names[1], names[2], names[0]])

    def test_strangers(self) -> None:
        """Names that are not those of contenders are ignored."""
        strangers = [
            "lease",
            "__lock__",
            "a__lock__12",
            "a-lock-0000000000",
            "a__lock__0000000000x",
            "a_rlock__0000000000",
        ]
        beyond = ["a__lock__9999999999", "a__lock__4294967295", "a__lock__-9999999999"]
        self.assertEqual(in_order(strangers + beyond), [])
        self.assertIsNone(predecessor([*strangers, *beyond, alone(1)], alone(1)))

    def test_nobody(self) -> None:
        self.assertEqual(in_order([]), [])

    def test_round(self) -> None:
        """After the largest number comes the smallest, and the numbers grow from there (H5)."""
        numbers = [2**31 - 2, 2**31 - 1, -(2**31), -(2**31) + 1]
        line = [alone(number) for number in numbers]
        self.assertEqual([each[40:] for each in line[1:3]], ["2147483647", "-2147483648"])
        for shift in range(4):
            self.assertEqual(in_order(line[shift:] + line[:shift]), line)
        self.assertEqual([predecessor(line, each) for each in line], [None, *line[:-1]])

    def test_small_negatives(self) -> None:
        """Negative numbers come in ten places or eleven; from the last of them it goes on at zero."""
        line = [alone(number) for number in (-1_000_000_000, -999_999_999, -2, -1, 0, 1)]
        self.assertEqual([predecessor(line, each) for each in line], [None, *line[:-1]])


class PredecessorTests(SynchronousTestCase):
    def test_alone(self) -> None:
        """An exclusive contender waits for its predecessor of either kind."""
        self.assertEqual(predecessor([alone(1), reading(2), alone(3)], alone(3)), reading(2))
        self.assertEqual(predecessor([reading(2), alone(1), alone(3), alone(4)], alone(3)), reading(2))

    def test_reading(self) -> None:
        """A shared contender waits for the last exclusive one before it, and for nobody else."""
        names = [alone(1), alone(2), reading(3), reading(4), alone(5)]
        self.assertEqual(predecessor(names, reading(4)), alone(2))
        self.assertIsNone(predecessor(names[2:], reading(4)))

    def test_first(self) -> None:
        self.assertIsNone(predecessor([alone(2), alone(1)], alone(1)))
