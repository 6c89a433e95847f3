"""The latest events of services: their order, and their bounds."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txmirror.types import Instance
from txmirror.web.catalog import Entry, EntryState
from txmirror.web.catalog import history as history_module
from txmirror.web.catalog.history import History


class HistoryTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.history = History()
        self.history.begin(1000.0)

    def note(self, now: float, service: str, node: str = "a:1") -> None:
        """Note that an instance has appeared."""
        entry = Entry(node, f"/services/{service}/{node}", Instance(name=node), EntryState.PASSING)
        self.history.note(now, service, node, None, entry)

    def times(self, service: str) -> list[float]:
        return [each.time for each in self.history.of(service)]

    def test_one(self) -> None:
        """The oldest events of a service are forgotten, those of others are not."""
        self.patch(history_module, "_MOST_OF_ONE", 3)
        self.note(1, "other")
        for now in range(2, 7):
            self.note(now, "web")
        self.assertEqual((self.times("web"), self.times("other")), ([4, 5, 6], [1]))

    def test_all(self) -> None:
        """If there are too many in all, the service without events for the longest time loses its own."""
        self.patch(history_module, "_MOST_OF_ALL", 4)
        for now, service in enumerate(("a", "b", "a", "c")):
            self.note(now, service)
        self.assertEqual([self.times(each) for each in "abc"], [[0, 2], [1], [3]])
        self.note(4, "c")
        self.assertEqual([self.times(each) for each in "abc"], [[0, 2], [], [3, 4]])
        self.note(5, "d")
        self.assertEqual([self.times(each) for each in "abcd"], [[], [], [3, 4], [5]])

    def test_outages(self) -> None:
        """The outages are among the events of each service. Their number is bounded, too."""
        for now in range(0, 2000, 10):
            self.history.lost(now)
            # The connection can be lost again before everything is current.
            self.history.lost(now + 1)
            self.history.settled(now + 2)
            self.history.settled(now + 3)
        self.note(1995.0, "web")
        events = self.history.of("web")
        self.assertEqual([each.event for each in events[-3:]], ["stale", "settled", "appeared"])
        self.assertEqual((len(events), events[0].time, events[-2].time), (201, 1000, 1992))
        self.history.begin(3000.0)
        self.assertEqual((self.history.of("web"), self.history.since), ([], 3000.0))
