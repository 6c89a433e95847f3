"""The latest events of services: their order, and their bounds."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txmirror.catalog import Entry, EntryState
from txmirror.catalog import history as history_module
from txmirror.catalog.history import History
from txmirror.types import Instance, ZnodeStat


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

    def test_kinds(self) -> None:
        """An event says what has happened to the instance. Another node of the same session is a change, not a new session."""

        def entry(state: EntryState = EntryState.PASSING, czxid: int = 1, owner: int = 7, version: int = 0) -> Entry:
            stat = ZnodeStat(czxid, czxid, 0, 0, version, 0, 0, owner, 0, 0, 0)
            return Entry("a:1", "/services/web/a:1", Instance(name="a:1"), state, None, stat)

        down = EntryState.DOWN
        again = "it was registered again"
        for before, after, expected in (
            (None, entry(), ("appeared", "passing", 7, None)),
            (entry(), None, ("gone", None, 7, None)),
            (entry(), entry(version=1), ("changed", "passing", 7, None)),
            (entry(), entry(down, version=1), ("status", "down", 7, None)),
            (entry(), entry(EntryState.HELD), ("status", "held", 7, "gone from ZooKeeper just after an outage")),
            (entry(), entry(czxid=2), ("changed", "passing", 7, again)),
            (entry(), entry(czxid=2, owner=8), ("session", "passing", 8, again)),
            (entry(owner=0), entry(czxid=2, owner=0), ("changed", "passing", None, again)),
        ):
            self.history.begin(1000.0)
            self.history.note(1001.0, "web", "a:1", before, after)
            (event,) = self.history.of("web")
            self.assertEqual((event.event, event.status, event.owner, event.detail), expected)
            self.assertEqual((event.instance, event.time), ("a:1", 1001.0))

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
