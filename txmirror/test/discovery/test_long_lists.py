"""Long lists are decoded in parts, and shown when they are complete."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txmirror.discovery import Listed, ServiceProvider
from txmirror.discovery.reading_ahead import MOST_IN_TURN, ReadingAhead
from txmirror.test.discovery.case import PATH, ProviderTestCase
from txmirror.types import Instance


class ReadingAheadTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.done = 0

    def read(self, names: list[str], length: int = 10) -> ReadingAhead[str]:
        def note() -> None:
            self.done += 1

        return ReadingAhead(names, lambda name: (name.upper(), length), note, self.clock)

    def test_parts(self) -> None:
        """Each turn decodes a part."""
        names = [f"a{number}" for number in range(2 * MOST_IN_TURN + 1)]
        reading = self.read(names)
        self.assertEqual((len(reading.results), self.done), (MOST_IN_TURN, 0))
        turns: list[int] = []
        # Each turn is due before what it schedules itself.
        for delay in (0, 0):
            self.clock.callLater(delay, lambda: turns.append(len(reading.results)))
        self.clock.advance(0)
        self.assertEqual(turns, [2 * MOST_IN_TURN] * 2)
        self.assertEqual((list(reading.results), self.done), (names, 1))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_large_nodes(self) -> None:
        """Of large nodes, fewer are decoded in one turn."""
        reading = self.read(["a", "b", "c", "d"], 100_000)
        self.assertEqual(list(reading.results), ["a", "b"])

    def test_stopped(self) -> None:
        reading = self.read(["a", "b"], 200_000)
        reading.stop()
        self.clock.advance(1)
        self.assertEqual((list(reading.results), self.done), (["a"], 0))


class LongListTests(ProviderTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.make("")
        self.count = 3 * MOST_IN_TURN
        for number in range(self.count):
            self.other.create(f"{PATH}/{number:04}:1", b"first")
        self.world.settle()
        self.most = self.decoded = 0

    def note(self, instance: Instance) -> bool:
        """Count the instances that are decoded in one turn of the reactor."""
        if not self.decoded:
            self.world.reactor.callLater(0, self.count_turn)
        self.decoded += 1
        return True

    def count_turn(self) -> None:
        self.most = max(self.most, self.decoded)
        self.decoded = 0

    def test_first_list(self) -> None:
        """The instances are in order, and the reactor had other turns meanwhile."""
        provider = self.provider(where=self.note)
        names = [each.name for each in provider.instances()]
        self.assertEqual(names, [f"{number:04}:1" for number in range(self.count)])
        self.assertLessEqual(self.most, MOST_IN_TURN)

    def test_asked_before(self) -> None:
        """A provider that is asked while the first list is decoded has all of it afterwards; unreadable nodes are omitted."""
        self.world.result(self.other.set(f"{PATH}/0003:1", b'{"port": "x"}'))
        provider = ServiceProvider(self.registry, PATH)
        self.providers.append(provider)
        while not provider.known:
            self.assertEqual(provider.instances(), [])
            self.world.reactor.advance(0)
            self.world.pass_time(0.001)
        self.assertEqual(len(provider.instances()) + len(provider.omitted), self.count)

    def test_change(self) -> None:
        """After a change, only the nodes that have changed are looked at, and by a provider without watchers not before it is asked."""
        provider = self.provider()
        first = provider.instances()
        looked: list[str] = []

        class Nodes(dict[str, Listed]):
            def __getitem__(self, name: str) -> Listed:
                looked.append(name)
                return super().__getitem__(name)

            def get(self, name: str, default: Any = None) -> Any:
                looked.append(name)
                return super().get(name, default)

        provider._list._current = Nodes(provider._list._current)
        changed = ["0001:1", "0300:1", "9999:1"]
        self.world.result(self.other.set(f"{PATH}/0001:1", b"second"))
        self.world.result(self.other.delete(f"{PATH}/0300:1"))
        self.world.result(self.other.create(f"{PATH}/9999:1"))
        self.world.settle()
        looked.clear()
        found = provider.instances()
        self.assertEqual(sorted(looked), changed)
        names = [each.name for each in first if each.name != "0300:1"]
        self.assertEqual([each.name for each in found], [*names, "9999:1"])
        self.assertEqual(found[1].data, "second")
        looked.clear()
        self.assertEqual(provider.instances(), found)
        self.assertEqual(looked, [])
        notified: list[int] = []
        provider.watch(lambda instances: notified.append(len(instances)))
        self.world.settle()
        self.assertEqual(notified, [])
        self.world.result(self.other.delete(f"{PATH}/9999:1"))
        self.world.settle()
        self.assertEqual(notified, [self.count - 1])

    def test_changed_meanwhile(self) -> None:
        """What has changed while the list is decoded is shown."""
        changed: list[str] = []

        def change(instance: Instance) -> bool:
            if not changed:
                changed.append(instance.name)
                self.other.set(f"{PATH}/0000:1", b"second")
                self.other.delete(f"{PATH}/0001:1")
                self.other.create(f"{PATH}/9999:1", b"third")
            return True

        provider = self.provider(where=change)
        found = {each.name: each.data for each in provider.instances()}
        self.assertEqual((found["0000:1"], "0001:1" in found), ("second", False))
        self.assertEqual((len(found), found["9999:1"]), (self.count, "third"))

    def test_closed_meanwhile(self) -> None:
        """A provider that is closed while its list is decoded leaves nothing."""

        def close(_: Instance) -> bool:
            self.providers[0].close()
            return True

        provider = ServiceProvider(self.registry, PATH, where=close)
        self.providers.append(provider)
        self.world.settle()
        self.assertEqual(provider.instances(), [])

    def test_connection_lost_meanwhile(self) -> None:
        """The list is shown when the connection is back."""
        cut: list[str] = []

        def lose(instance: Instance) -> bool:
            if not cut:
                cut.append(instance.name)
                self.world.reactor.callLater(0, self.world.server.drop_connections)
            return True

        provider = self.provider(where=lose)
        self.world.pass_time(10.0)
        self.assertEqual(len(provider.instances()), self.count)
