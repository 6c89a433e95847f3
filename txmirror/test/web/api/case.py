"""The API on a ZooKeeper in memory."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from txmirror.catalog import Catalog
from txmirror.mirror import Mirror
from txmirror.test.web.api.described import check_answer
from txmirror.test.web.exchange import Exchange, Response, begin
from txmirror.testing import World
from txmirror.web import make_application
from txmirror.web.api import API

WEB = "/v1/services/web"


@attrs.define
class Held:
    """What the API reads."""

    catalog: Catalog | None
    mirror: Mirror | None


class APITestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()
        self.addCleanup(self.world.close)
        self.other = self.world.client(session_timeout=40.0)
        self.world.result(self.other.create("/services"))
        self.mirror = self.world.mirror()
        self.readers = Held(None, self.mirror)
        self.use_catalog()
        self.api = API(self.readers, random=Random(0), reactor=self.world.reactor)
        self.resource = make_application(self.api.mount).resource()

    def use_catalog(self, **options: Any) -> Catalog:
        """Read from a new catalog from now on."""
        catalog = self.readers.catalog = Catalog(self.mirror, "/services", **options)
        self.addCleanup(catalog.close)
        return catalog

    def make(self, service: str, *nodes: str, **facts: object) -> None:
        """Register instances with these facts."""
        path = f"/services/{service}"
        if self.world.result(self.other.exists(path)) is None:
            self.world.result(self.other.create(path))
        for node in nodes:
            self.world.result(self.other.create(f"{path}/{node}", json.dumps(facts).encode()))
        self.world.pass_time(0.1)

    def remove(self, *parts: str) -> None:
        """Remove an instance or a service."""
        self.world.result(self.other.delete("/".join(("/services", *parts))))
        self.world.pass_time(0.1)

    def begin(self, path: str, method: str = "GET", body: object = None, **options: Any) -> Exchange:
        """Send a request."""
        exchange = begin(self.resource, method, path, body, reactor=self.world.reactor, **options)
        self.world.settle()
        return exchange

    def ask(self, path: str, method: str = "GET", body: object = None, **options: Any) -> Response:
        """Send a request, and return the answer, which comes at once and is as described."""
        exchange = self.begin(path, method, body, **options)
        self.assertTrue(exchange.answered, path)
        content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        check_answer(method, path, content, exchange.response)
        return exchange.response

    def refusal(self, path: str, status: int, **options: Any) -> str:
        """Return the one line with which a request is refused, with this status."""
        response = self.ask(path, **options)
        self.assertEqual(response.status, status, response.text)
        (line,) = response.errors
        self.assertNotIn("\n", line)
        return line

    def names(self, query: str = "", service: str = "web") -> list[str]:
        """Return the names of the instances of a service."""
        return [each["name"] for each in self.ask(f"/v1/services/{service}{query}").value["instances"]]
