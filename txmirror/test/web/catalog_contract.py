"""The catalog and its event streams on every server over a real connection, which can be cut off."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import deferLater

from txmirror.catalog import Catalog
from txmirror.test.client.contract import PATIENCE, run
from txmirror.test.mirror.contract import TreeCase
from txmirror.test.web.sse import EventClient
from txmirror.web import make_application
from txmirror.web.events import EventLog, EventStreams
from txmirror.web.instances import instance_to_json


class CatalogContract(TreeCase):
    """A catalog of the services below the test's node, with one client of its events."""

    async def _set_up(self) -> None:
        await super()._set_up()
        self.catalog = Catalog(self.mirror, self.root, hold_for=0.0)
        self.log = EventLog(self.catalog)
        self.streams = EventStreams(self.log)
        self.events = EventClient(make_application(self.streams.mount), reactor=self.reactor)

    async def _clean_up(self) -> None:
        self.events.disconnect()
        self.log.close()
        await self.within(self.catalog.close())
        await super()._clean_up()

    async def assert_shown(self, **expected: list[str]) -> None:
        """Wait until the catalog and the client of the events have these services with these instances."""
        deadline = self.reactor.seconds() + PATIENCE
        while {name: sorted(nodes) for name, nodes in self.events.services.items()} != expected:
            self.assertLess(self.reactor.seconds(), deadline, f"{expected} but {self.events.services}")
            await deferLater(self.reactor, 0.01)
            self.events.read()
        shown: dict[str, dict[str, Any]] = {
            name: {each.name: instance_to_json(each) for each in service.entries.values()}
            for name, service in self.catalog.services.items()
        }
        self.assertEqual(self.events.services, shown)

    @run
    async def test_changes(self) -> None:
        """Services and instances that come, change and go are shown."""
        await self.assert_shown(a=["x"], b=[])
        await self.other.create(f"{self.root}/b/y:1")
        await self.other.delete(f"{self.root}/a/x")
        await self.assert_shown(a=[], b=["y:1"])
        await self.other.delete(f"{self.root}/a")
        await self.other.create(f"{self.root}/c")
        await self.other.create(f"{self.root}/c/z:1")
        await self.assert_shown(b=["y:1"], c=["z:1"])

    @run
    async def test_cut_off(self) -> None:
        """After an outage the changes of the time between are shown."""
        await self.assert_shown(a=["x"], b=[])

        async def change() -> None:
            await self.other.create(f"{self.root}/b/y:1")
            await self.other.delete(f"{self.root}/a/x")

        await self.cut_off(change)
        await self.assert_shown(a=[], b=["y:1"])
        self.assertFalse(self.catalog.stale)

    @run
    async def test_session_ended(self) -> None:
        await self.assert_shown(a=["x"], b=[])

        async def change() -> None:
            await self.other.create(f"{self.root}/c")
            await self.other.delete(f"{self.root}/a/x")

        await self.session_ended(change)
        await self.assert_shown(a=[], b=[], c=[])

    @run
    async def test_waiting(self) -> None:
        """A blocking query ends with the change."""
        await self.assert_shown(a=["x"], b=[])
        waiting = self.catalog.wait_for_change("b", self.catalog.index_of("b"), 60.0)
        await self.other.create(f"{self.root}/b/y:1")
        await self.within(waiting)
        self.assertEqual(list(self.catalog.services["b"].entries), ["y:1"])
