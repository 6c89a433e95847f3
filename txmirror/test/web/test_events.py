"""Event streams: the snapshot, changes, states, and clients that connect again."""

from __future__ import annotations

from typing import Any

from txmirror.test.catalog.case import ROOT, CatalogTestCase
from txmirror.test.web.exchange import begin
from txmirror.test.web.sse import EventClient
from txmirror.web import make_application
from txmirror.web.events import EventLog, EventStreams
from txmirror.web.events import streams as streams_module
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

    def test_clock_set_back(self) -> None:
        """A change is shown at once also after the wall clock, by which the reactor measures time, was set back."""
        self.make("web", "a:1")
        client = self.client()
        self.world.reactor.rightNow -= 3600
        self.make("web", "b:1")
        self.pass_on()
        self.assertEqual(sorted(client.services["web"]), ["a:1", "b:1"])

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

    def test_quiet_state(self) -> None:
        """A quiet state is part of later snapshots only, until it is set again in the usual way."""
        self.log.set_state("daemon", {"a": 1})
        client = self.client()
        client.events.clear()
        self.log.set_state("daemon", {"a": 2}, quiet=True)
        self.pass_on()
        self.assertEqual((client.events, client.states["daemon"]), ([], {"a": 1}))
        self.assertEqual(self.client().states["daemon"], {"a": 2})
        self.log.set_state("daemon", {"a": 2})
        self.pass_on()
        self.assertEqual((client.events, client.states["daemon"]), (["state"], {"a": 2}))

    def test_paced(self) -> None:
        """The first change is sent at once. With many streams, the next ones wait together for the next round."""
        self.patch(streams_module, "_PAUSE_OF_EACH", 2.5)
        self.make("web", "a:1")
        first, second = self.client(), self.client()
        # The rounds of the beginning are over.
        self.world.pass_time(12.0)
        self.make("web", "b:1")
        self.pass_on()
        self.assert_equal()
        self.make("web", "c:1")
        self.make("web", "d:1")
        self.pass_on()
        self.assertEqual(sorted(first.services["web"]), ["a:1", "b:1"])
        self.world.pass_time(5.0)
        self.pass_on()
        self.assertEqual(sorted(second.services["web"]), ["a:1", "b:1", "c:1", "d:1"])
        self.assert_equal()

    def test_invalid_state(self) -> None:
        """A state that is no JSON is refused, and not sent."""
        self.assertRaises(TypeError, self.log.set_state, "daemon", {"a": object()})
        self.assertRaises(ValueError, self.log.set_state, "daemon", float("nan"))
        self.assertEqual(list(self.client().states), ["catalog"])

    def test_catalog_closed(self) -> None:
        """After the end of the catalog, clients know that nothing is current."""
        client = self.client()
        self.successResultOf(self.catalog.close())
        self.pass_on()
        self.assertTrue(client.states["catalog"]["stale"])

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


class BoundTests(EventTestCase):
    """Clients that are slow, many, or gone."""

    def test_slow(self) -> None:
        """A client that does not read costs a buffer of bounded size, whatever happens meanwhile."""
        for number in range(30):
            self.make(f"service-{number:02}", *(f"{host}:1" for host in range(30)), text="x" * 300)
        client = self.client()
        self.assert_equal(client)
        client.transport.most = 0
        big = b'{"text": "' + b"y" * 20_000 + b'"}'
        for _ in range(3):
            for host in range(20):
                self.world.result(self.other.set(f"{ROOT}/service-00/{host}:1", big))
                self.flush()
        self.assertTrue(client.transport.paused)
        self.assertLess(client.transport.most, 3 * 64 * 1024)
        self.pass_on()
        self.assert_equal()

    def test_too_slow(self) -> None:
        """A client that is slower than the log begins again with a snapshot."""
        self.log.close()
        self.serve(most_bytes=50_000)
        self.make("web", *(f"{host}:1" for host in range(10)))
        client = self.client()
        client.transport.pause_now()
        for number in range(200):
            self.world.result(self.other.set(f"{ROOT}/web/{number % 10}:1", b'{"number": %d}' % number))
            self.flush()
        self.assertGreater(self.log.first, 0)
        client.events.clear()
        client.transport.resume_now()
        self.pass_on()
        self.assertEqual(client.events[0], "reset")
        self.assert_equal()

    def test_stalled(self) -> None:
        """The connection of a client that does not read for a minute is closed."""
        client = self.client()
        client.transport.pause_now()
        self.world.pass_time(50.0)
        self.assertEqual(len(self.streams), 1)
        self.world.pass_time(30.0)
        self.assertTrue(client.transport.disconnecting)

    def test_too_many(self) -> None:
        """More streams than allowed are refused, until one ends."""
        self.log.close()
        self.serve(most=2)
        clients = [self.client(), self.client()]
        refused = begin(self.application.resource(), "GET", "/v1/events").response
        self.assertEqual((refused.status, refused.errors), (503, ["there are 2 streams already"]))
        self.assertEqual(refused.headers["retry-after"], "10")
        clients[0].disconnect()
        self.assertEqual(self.client().events[-1], "live")

    def test_comments(self) -> None:
        """A comment is written after 15 seconds in which nothing else was."""
        client = self.client()
        self.world.pass_time(30.1)
        self.pass_on()
        self.assertEqual(client.comments, 1)
        self.world.pass_time(15.0)
        self.pass_on()
        self.assertEqual(client.comments, 2)

    def test_finished(self) -> None:
        """All streams end at the stop, and new ones are refused."""
        clients = [self.client(), self.client()]
        self.streams.finish_all()
        self.assertEqual([each.transport.disconnecting for each in clients], [True, True])
        self.assertEqual(len(self.streams), 0)
        self.assertEqual(begin(self.application.resource(), "GET", "/v1/events").response.status, 503)
        self.clients.clear()

    def test_gone_while_waiting(self) -> None:
        """A client that goes before the first lists were read leaves nothing."""
        self.world.disconnect()
        client = EventClient(self.application, reactor=self.world.reactor)
        self.assertEqual(len(self.streams), 1)
        client.disconnect()
        self.assertEqual(len(self.streams), 0)
        self.world.pass_time(5.0)
        self.world.reconnect()

    def test_log_ends(self) -> None:
        """A minute after the last stream, no events are kept. A client that comes later begins with a snapshot."""
        self.make("web", "a:1")
        client = self.client()
        client.disconnect()
        self.world.pass_time(61.0)
        self.make("web", "b:1")
        client.events.clear()
        client.connect()
        self.pass_on()
        self.assertEqual(client.events[0], "reset")
        self.assert_equal()

    def test_queries(self) -> None:
        """An index that is none is refused; one of another process begins with a snapshot."""
        answer = begin(self.application.resource(), "GET", "/v1/events?after=-1").response
        self.assertEqual((answer.status, answer.errors), (400, ["'after' is no index: '-1'"]))
        for text in ("0", "9999999999999999", "12"):
            self.assertEqual(self.client(f"?after={text}").events[0], "reset")
        known = self.client().last_id
        self.make("web", "a:1")
        self.assertEqual(self.client(f"?after={known}").events, ["change"])

    def test_ended_in_snapshot(self) -> None:
        """A client that has read a part of a snapshot begins again."""
        for number in range(20):
            self.make(f"service-{number:02}", *(f"{host}:1" for host in range(20)))
        client = EventClient(self.application, reactor=self.world.reactor)
        self.clients.append(client)
        self.flush()
        client.read(50_000)
        self.assertNotIn("live", client.events)
        self.assertNotEqual(client.services, {})
        client.disconnect()
        client.connect()
        self.pass_on()
        self.assertEqual(client.events.count("reset"), 2)
        self.assert_equal()


class OutageTests(EventTestCase):
    def test_stale(self) -> None:
        """Clients are notified when what they know may be old, and when it is current again."""
        self.make("web", "a:1")
        client = self.client()
        self.world.disconnect(self.mirror)
        self.pass_on()
        self.assertEqual((client.states["catalog"]["stale"], client.states["catalog"]["known"]), (True, True))
        self.world.reconnect(self.mirror)
        self.world.pass_time(12.0)
        self.pass_on()
        self.assertFalse(client.states["catalog"]["stale"])
        self.assert_equal()

    def test_before_the_first_list(self) -> None:
        """While nothing was read yet, a client learns so, and gets the services when they are read."""
        self.make("web", "a:1")
        self.world.disconnect(self.mirror)
        client = self.client()
        self.world.pass_time(3.0)
        self.pass_on()
        self.assertEqual((client.events[-1], client.services), ("live", {}))
        self.assertEqual(client.states["catalog"]["known"], False)
        self.world.reconnect(self.mirror)
        self.world.pass_time(12.0)
        self.pass_on()
        self.assertEqual(client.states["catalog"]["known"], True)
        self.assert_equal()
