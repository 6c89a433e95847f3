"""Instances as JSON, and the bounds of histories."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from txmirror.catalog import Entry, EntryState
from txmirror.catalog.history import History
from txmirror.test.catalog.case import ROOT, CatalogTestCase
from txmirror.types import Endpoint, Instance, InstanceStatus, ZnodeStat
from txmirror.web.instances import encode_entry, instance_to_json

_STAT = ZnodeStat(1, 2, 1_000, 2_500, 3, 0, 0, -2, 4, 0, 1)


class InstanceTests(SynchronousTestCase):
    def test_all(self) -> None:
        instance = Instance(
            name="a:1",
            address="a",
            port=1,
            status=InstanceStatus.WARNING,
            labels={"zone": "b"},
            endpoints={"admin": Endpoint("c", 2)},
            data={"k": [1]},
            created=5.5,
        )
        value = instance_to_json(Entry("a:1", "/s/a:1", instance, EntryState.WARNING, None, _STAT))
        self.assertEqual((value["state"], value["status"], value["registered"]), ("warning", "warning", 5.5))
        self.assertEqual((value["labels"], value["data"]), ({"zone": "b"}, {"k": [1]}))
        self.assertEqual(value["endpoints"], {"admin": {"address": "c", "port": 2}})
        self.assertEqual((value["owner"], value["created"], value["changed"]), ("0xfffffffffffffffe", 1.0, 2.5))

    def test_unreadable(self) -> None:
        """An unreadable instance has all keys too."""
        entry = Entry("a:1", "/s/a:1", None, EntryState.UNREADABLE, "why", None)
        value = instance_to_json(entry)
        self.assertEqual(set(value), set(instance_to_json(Entry("b", "/s/b", Instance(name="b"), EntryState.PASSING))))
        self.assertEqual((value["reason"], value["address"], value["codec"], value["owner"]), ("why", None, None, None))

    def test_encoded_once(self) -> None:
        entry = Entry("a \N{SNOWMAN}\n", "/s/a", Instance(name="a"), EntryState.PASSING)
        text = encode_entry(entry)
        self.assertIs(encode_entry(entry), text)
        self.assertTrue(text.isascii())
        self.assertNotIn(b"\n", text)
        self.assertEqual(json.loads(text)["name"], entry.name)

    def test_no_json(self) -> None:
        """Data that JSON does not have is left out."""
        entry = Entry("a", "/s/a", Instance(name="a", data={"a": b"bytes"}), EntryState.PASSING)
        self.assertEqual(json.loads(encode_entry(entry))["data"], {})


class HistoryTests(CatalogTestCase):
    def test_bounds(self) -> None:
        """A history has the latest 1,000 events of a service, and 50,000 in all: the services without events for longest go first."""
        history = History()
        entry = Entry("a", f"{ROOT}/a", None, EntryState.UNREADABLE)
        for time in range(1_500):
            history.note(time, "first", "a", None, entry)
        events = history.of("first")
        self.assertEqual((len(events), events[0].time), (1_000, 500))
        for service in range(60):
            for time in range(1_000):
                history.note(time, f"service-{service}", "a", entry, None)
        self.assertEqual(history.of("first"), [])
        self.assertEqual(sum(len(history.of(f"service-{service}")) for service in range(60)), 50_000)

    def test_kept(self) -> None:
        """The history of a service that was deleted and created again goes on."""
        self.make("web", "a:1")
        self.use()
        self.delete("web/a:1", "web")
        self.make("web", "a:1")
        events = [(each.instance, each.event) for each in self.catalog.events("web")]
        self.assertEqual(events, [("a:1", "gone"), ("a:1", "appeared")])
