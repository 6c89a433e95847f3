"""Ask other resolvers about names outside of the domain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.names import client, dns

from txmirror.dns.wire import Query, Reply

#: The timeouts of the attempts by UDP, each for all servers, and that by TCP; in seconds.
_TIMEOUTS, _TCP_TIMEOUT = (1, 2), 3.0
#: The most questions at a time: fewer than may wait, so that slow resolvers do not stop the answers about the own domain.
_MOST_ASKED = 250


class Forwarder:
    """Asks other resolvers. Questions that they do not answer fail with SERVFAIL.

    :param servers: their addresses and ports.
    :param reactor: sends the questions.
    """

    def __init__(self, servers: Sequence[tuple[str, int]], reactor: Any) -> None:
        self._asked = 0
        self._resolver: Any = client.Resolver(servers=list(servers), timeout=_TIMEOUTS, reactor=reactor)

    def ask(self, query: Query) -> Deferred[Reply]:
        """Ask them. The Deferred never fails."""
        if self._asked >= _MOST_ASKED:
            return succeed(Reply(dns.ESERVER, can_recurse=True))
        self._asked += 1
        return Deferred.fromCoroutine(self._ask(query)).addBoth(self._end)

    def _end(self, reply: Reply) -> Reply:
        self._asked -= 1
        return reply

    async def _ask(self, query: Query) -> Reply:
        if any(b"." in label for label in query.labels):
            return Reply(dns.EREFUSED)
        queries = [dns.Query(query.name, query.type, query.cls)]
        try:
            message = await self._resolver.queryUDP(queries)
            if message.trunc:
                message = await self._resolver.queryTCP(queries, _TCP_TIMEOUT)
        except Exception:
            # Timeouts, connections that were refused, and replies that cannot be decoded.
            return Reply(dns.ESERVER, can_recurse=True)
        additional = [each for each in message.additional if each.type != dns.OPT]
        return Reply(message.rCode, message.answers, message.authority, additional, can_recurse=True)
