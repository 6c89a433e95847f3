"""Event streams: the snapshot, changes, states, and clients that connect again."""

from __future__ import annotations

from typing import Any

from txmirror.test.web.case import ROOT, CatalogTestCase
from txmirror.test.web.exchange import begin
from txmirror.test.web.sse import EventClient
from txmirror.web import make_application
from txmirror.web.events import EventLog, EventStreams
from txmirror.web.instances import instance_to_json


class EventTestCase(CatalogTestCase):
    """A catalog, and clients of its event streams."""

    def setUp(self) -> None:
        super().setUp()
        self.clients: list[EventClient] = []
        self.serve()

    def end(self) -> None:
        for each in self.clients:
            each.disconnect()
        self.log.close()
        super().end()

    def serve(self, *, most: int = 2_000, **options: Any) -> None:
        """Serve events with these options."""
        self.log = EventLog(self.catalog, **options)
        self.streams = EventStreams(self.log, most=most)
        self.application = make_application(self.streams.mount)

    def client(self, query: str = "") -> EventClient:
        """Return a client, which has read what there is."""
        client = EventClient(self.application, query, reactor=self.world.reactor)
        self.clients.append(client)
        self.pass_on(client)
        return client

    def pass_on(self, *clients: EventClient) -> None:
        """Let clients read all that there is."""
        self.flush()
        self.flush()
        for each in clients or self.clients:
            while each.transport.value():
                each.read()
                self.world.settle()

    def expected(self) -> dict[str, dict[str, Any]]:
        """Return what a client must know."""
        return {
            name: {each.name: instance_to_json(each) for each in service.entries.values()}
            for name, service in self.catalog.services.items()
        }

    def assert_equal(self, *clients: EventClient) -> None:
        """Assert that clients know all that the catalog has."""
        for each in clients or self.clients:
            self.assertEqual(each.services, self.expected())


class EventTests(EventTestCase):
    def test_snapshot_and_changes(self) -> None:
        """A client gets all services first, and then each change."""
        self.make("web", "a:1", "b:1")
        self.make("empty")
        client = self.client()
        self.assertEqual(client.events, ["reset", "state", "services", "services", "live"])
        self.assertEqual(client.states["catalog"]["root"], ROOT)
        self.assertEqual(sorted(client.services), ["empty", "web"])
        self.assert_equal()
        self.make("web", "c:1")
        self.delete("web/a:1", "empty")
        self.pass_on()
        self.assertEqual(sorted(client.services["web"]), ["b:1", "c:1"])
        self.assert_equal()

    def test_headers(self) -> None:
        client = self.client()
        assert client.head is not None
        self.assertIn(b"Content-Type: text/event-stream", client.head)
        self.assertIn(b"Cache-Control: no-store", client.head)
        head = begin(self.application.resource(), "HEAD", "/v1/events").response
        self.assertEqual((head.status, head.content, len(self.streams)), (200, b"", 1))

    def test_resumed(self) -> None:
        """A client that connects again gets the changes after the last event that it has."""
        self.make("web", "a:1")
        client = self.client()
        client.disconnect()
        self.make("web", "b:1")
        client.events.clear()
        client.connect()
        self.pass_on()
        self.assertEqual(client.events, ["change"])
        self.assert_equal()

    def test_states(self) -> None:
        """States are part of the snapshot, and are sent when they change."""
        self.log.set_state("daemon", {"a": 1})
        client = self.client()
        self.assertEqual(client.states["daemon"], {"a": 1})
        client.events.clear()
        self.log.set_state("daemon", {"a": 1})
        self.log.set_state("daemon", {"a": 2})
        self.pass_on()
        self.assertEqual((client.events, client.states["daemon"]), (["state"], {"a": 2}))

    def test_some_services(self) -> None:
        self.make("web", "a:1")
        self.make("db", "b:1")
        client = self.client("?service=web&service=later")
        self.assertEqual(sorted(client.services), ["web"])
        self.make("db", "c:1")
        self.make("web", "d:1")
        self.make("later", "e:1")
        self.pass_on()
        self.assertEqual(
            {name: sorted(each) for name, each in client.services.items()}, {"web": ["a:1", "d:1"], "later": ["e:1"]}
        )
