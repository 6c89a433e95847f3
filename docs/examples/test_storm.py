"""Tests in storms: random actions of a program, and random faults, all of which a seed decides."""

import unittest
from random import Random

from counter import Counter
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txmirror.errors import ConnectionLossException, ZooKeeperException
from txmirror.testing import World, storm


class CounterProgram:
    """Two clients that add to one number."""

    counter = Counter

    def __init__(self, world: World) -> None:
        self.client = world.client(session_timeout=4.0)
        world.result(self.client.create("/counter", b"0"))
        other = world.client(session_timeout=6.0)
        self.counters = [self.counter(client, "/counter") for client in (self.client, other)]
        self.waiting = self.added = self.unsure = 0

    def act(self, random: Random) -> None:
        self.waiting += 1
        adding = Deferred.fromCoroutine(random.choice(self.counters).add(1))
        adding.addBoth(self.done)

    def done(self, result: int | Failure) -> None:
        self.waiting -= 1
        if not isinstance(result, Failure):
            self.added += 1
        elif not isinstance(result.value, ZooKeeperException):
            result.raiseException()
        elif result.value.applied is not False:
            self.unsure += 1

    def check(self) -> None:
        """Nothing must hold while faults happen."""

    async def check_settled(self) -> None:
        assert not self.waiting, f"{self.waiting} additions are not done"
        data, _ = await self.client.get("/counter")
        least, most = self.added, self.added + self.unsure
        assert least <= int(data) <= most, f"the counter is {int(data)}, and {least} to {most} were added"


class CarelessCounter(Counter):
    """Adds again after a lost connection, although the first addition may have been done."""

    async def add(self, number: int) -> int:
        try:
            return await super().add(number)
        except ConnectionLossException:
            return await super().add(number)


class CarelessProgram(CounterProgram):
    counter = CarelessCounter


class StormTests(unittest.TestCase):
    def test_counter(self) -> None:
        storm.check(lambda: World(servers=3), CounterProgram, seeds=range(5), steps=60)

    def test_careless(self) -> None:
        with self.assertRaises(AssertionError) as caught:
            storm.check(lambda: World(servers=3), CarelessProgram, seeds=range(100), steps=60)
        self.assertIn("The shortest prefix that fails has", str(caught.exception))


if __name__ == "__main__":
    unittest.main()
