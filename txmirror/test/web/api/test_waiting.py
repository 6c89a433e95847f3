"""Queries that wait for a change."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionLost

from txmirror.test.web.api.case import WEB, APITestCase
from txmirror.test.web.exchange import Exchange


class WaitingTests(APITestCase):
    def setUp(self) -> None:
        super().setUp()
        self.make("web", "10.0.0.1:80")
        self.index = self.ask(WEB).value["index"]

    def wait(self, path: str = WEB, *, index: int | None = None, wait: str = "30s", more: str = "") -> Exchange:
        """Send a query that waits."""
        return self.begin(f"{path}?index={self.index if index is None else index}&wait={wait}{more}")

    def value(self, exchange: Exchange) -> Any:
        """Return the answer of a query, which is there."""
        self.assertTrue(exchange.answered)
        self.assertEqual(exchange.response.status, 200, exchange.response.text)
        return exchange.response.value

    def test_change_before(self) -> None:
        """A change before the query is answered at once."""
        self.make("web", "10.0.0.2:80")
        value = self.value(self.wait())
        self.assertEqual(len(value["instances"]), 2)
        self.assertNotEqual(value["index"], self.index)

    def test_change_during(self) -> None:
        """A change during the wait is answered at once, with the new index."""
        waiting = self.wait()
        self.world.pass_time(10.0)
        self.assertFalse(waiting.answered)
        self.make("web", "10.0.0.2:80")
        value = self.value(waiting)
        self.assertEqual([each["name"] for each in value["instances"]], ["10.0.0.1:80", "10.0.0.2:80"])
        self.assertEqual(waiting.response.headers["x-txmirror-index"], str(value["index"]))
        again = self.wait(index=value["index"])
        self.world.pass_time(10.0)
        self.assertFalse(again.answered)

    def test_change_after(self) -> None:
        """Without a change, the same list is answered after the time, and up to a sixteenth more; a later change is in the next answer."""
        waiting = self.wait(wait="32s")
        self.world.pass_time(32.0)
        self.assertFalse(waiting.answered)
        self.world.pass_time(2.1)
        self.assertEqual(self.value(waiting)["index"], self.index)
        self.make("web", "10.0.0.2:80")
        self.assertEqual(len(self.value(self.wait())["instances"]), 2)

    def test_default(self) -> None:
        """Without a time the wait is five minutes."""
        waiting = self.begin(f"{WEB}?index={self.index}")
        self.world.pass_time(299.0)
        self.assertFalse(waiting.answered)
        self.world.pass_time(20.0)
        self.assertTrue(waiting.answered)

    def test_no_time(self) -> None:
        """A wait of no time is answered at once."""
        self.assertEqual(self.value(self.wait(wait="0s"))["index"], self.index)

    def test_other_service(self) -> None:
        """A change of another service ends no wait, but that for all services."""
        index = self.ask("/v1/services").value["index"]
        one, every = self.wait(), self.wait("/v1/services", index=index)
        self.make("db", "10.0.0.1:80")
        self.assertFalse(one.answered)
        self.assertEqual([each["name"] for each in self.value(every)["services"]], ["db", "web"])

    def test_selection(self) -> None:
        """A query waits for changes of the whole service, and answers with what it chooses."""
        waiting = self.wait(more="&zone=b")
        self.make("web", "10.0.0.2:80", zone="a")
        self.assertEqual(self.value(waiting)["instances"], [])

    def test_invalid_while_waiting(self) -> None:
        """An invalid query does not wait."""
        self.assertEqual(self.wait(more="&status=x").response.status, 400)

    def test_appears(self) -> None:
        """A service that does not exist is waited for, with the index of the 404."""
        index = int(self.ask("/v1/services/db").headers["x-txmirror-index"])
        waiting = self.wait("/v1/services/db", index=index)
        self.make("web", "10.0.0.2:80")
        self.world.pass_time(5.0)
        self.assertFalse(waiting.answered)
        self.make("db", "10.0.0.1:80")
        self.assertEqual(self.value(waiting)["service"], "db")

    def test_does_not_appear(self) -> None:
        """A service that does not appear is a 404 after the time."""
        index = int(self.ask("/v1/services/db").headers["x-txmirror-index"])
        waiting = self.wait("/v1/services/db", index=index)
        self.world.pass_time(32.0)
        self.assertEqual((waiting.response.status, waiting.response.headers["x-txmirror-index"]), (404, str(index)))

    def test_disappears(self) -> None:
        """A service that goes during the wait is a 404 at once, and its return is waited for."""
        self.make("db")
        waiting = self.wait("/v1/services/db", index=self.ask("/v1/services/db").value["index"])
        self.remove("db")
        self.assertEqual(waiting.response.status, 404)
        index = int(waiting.response.headers["x-txmirror-index"])
        again = self.wait("/v1/services/db", index=index)
        self.assertFalse(again.answered)
        self.make("db")
        self.assertEqual(self.value(again)["service"], "db")

    def test_restarted(self) -> None:
        """An index of an earlier process is answered at once, of a service that does not exist too."""
        missing = int(self.ask("/v1/services/db").headers["x-txmirror-index"])
        assert self.readers.catalog is not None
        self.readers.catalog.close()
        self.world.pass_time(1.0)
        self.use_catalog()
        self.assertNotEqual(self.value(self.wait())["index"], self.index)
        self.assertEqual(self.wait("/v1/services/db", index=missing).response.status, 404)
        self.assertNotEqual(
            self.wait("/v1/services/db", index=missing).response.headers["x-txmirror-index"], str(missing)
        )

    def test_replaced(self) -> None:
        """If another catalog takes the place of the one that is waited for, its list is the answer."""
        waiting = self.wait()
        former = self.readers.catalog
        assert former is not None
        self.use_catalog()
        self.world.pass_time(1.0)
        self.assertFalse(waiting.answered)
        former.close()
        self.world.pass_time(1.0)
        self.assertEqual(self.value(waiting)["stale"], False)

    def test_closed(self) -> None:
        """The end of the catalog ends all waits."""
        waiting = self.wait()
        assert self.readers.catalog is not None
        self.readers.catalog.close()
        self.world.settle()
        self.assertEqual((self.value(waiting)["stale"], self.value(waiting)["index"]), (True, self.index))

    def test_outage(self) -> None:
        """An outage ends no wait; a change afterwards does."""
        waiting = self.wait(wait="5m")
        self.world.disconnect(self.mirror)
        self.world.pass_time(30.0)
        self.assertFalse(waiting.answered)
        self.make("web", "10.0.0.2:80")
        self.world.reconnect(self.mirror)
        self.world.pass_time(15.0)
        self.assertEqual(len(self.value(waiting)["instances"]), 2)

    def test_client_goes(self) -> None:
        """A client that goes leaves nothing behind."""
        catalog = self.use_catalog(most_waiting=1)
        self.index = self.ask(WEB).value["index"]
        waiting = self.wait()
        self.assertEqual(self.wait().response.status, 503)
        waiting.leave(ConnectionLost())
        self.world.settle()
        self.assertEqual(waiting.transport.value(), b"")
        again = self.wait()
        self.assertFalse(again.answered)
        self.make("web", "10.0.0.2:80")
        self.assertTrue(again.answered)
        self.assertEqual(catalog.index_of("web"), self.value(again)["index"])

    def test_most(self) -> None:
        """A thousand queries wait, one more is refused, and one change answers all."""
        many = [self.wait(wait="5m") for _ in range(1000)]
        refused = self.wait().response
        self.assertEqual((refused.status, refused.errors), (503, ["too many queries are waiting"]))
        self.assertEqual(refused.headers["retry-after"], "1")
        self.assertEqual(self.ask(WEB).status, 200)
        self.make("web", "10.0.0.2:80")
        self.world.pass_time(1.0)
        answers = {each.response.content for each in many}
        self.assertEqual(len(answers), 1)
        self.assertFalse(self.wait(index=self.ask(WEB).value["index"]).answered)
