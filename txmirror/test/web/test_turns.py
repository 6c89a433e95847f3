"""Requests that arrive at once are answered in several turns of the reactor."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txmirror.test.web.exchange import Exchange
from txmirror.web import Application
from txmirror.web.site import AccessRules, AccessSite

_GET = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n"


class TurnTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock: Any = Clock()
        self.answered = 0
        application = Application()
        application.get("/a", self.answer)
        self.site = AccessSite(application.resource(), AccessRules(hosts=None), reactor=self.clock)

    def answer(self, call: object) -> object:
        self.answered += 1
        return {}

    def test_at_once(self) -> None:
        """At most 20 are answered in one turn, in order; those whose clients have gone meanwhile are not."""
        exchanges = [Exchange(self.site, _GET) for _ in range(50)]
        self.assertEqual((self.answered, len(self.site.turns)), (20, 30))
        exchanges[25].leave(ConnectionLost())
        counts: list[tuple[int, int]] = []

        def count() -> None:
            counts.append((self.answered, len(self.site.turns)))
            if len(counts) == 1:
                # Another one waits for its turn, too.
                exchanges.append(Exchange(self.site, _GET))
            if len(counts) < 3:
                self.clock.callLater(0, count)

        self.clock.callLater(0, count)
        self.clock.advance(0)
        self.assertEqual(counts, [(39, 10), (50, 0), (50, 0)])
        self.assertEqual([each.response.status for each in exchanges[26:]], [200] * 25)

    def test_one_by_one(self) -> None:
        """A request that comes alone is answered at once, and leaves no timer behind."""
        for _ in range(100):
            exchange = Exchange(self.site, _GET)
            self.assertEqual(exchange.response.status, 200)
            exchange.leave(ConnectionLost())
            self.clock.advance(0)
            self.clock.advance(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
