"""Questions that are passed to other resolvers."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.names import dns
from twisted.names.error import DNSQueryTimeoutError
from twisted.trial.unittest import SynchronousTestCase

from txmirror.dns import forwarding
from txmirror.dns.forwarding import Forwarder
from txmirror.dns.wire import Query, Reply, decode_query
from txmirror.test.dns.case import ask
from txmirror.testing import MemoryReactor


class _Resolver:
    """Twisted's resolver, with prepared answers."""

    def __init__(self, udp: Deferred[Any], tcp: Deferred[Any] | None = None) -> None:
        self.udp, self.tcp = udp, tcp
        self.asked: list[dns.Query] = []

    def queryUDP(self, queries: list[dns.Query], timeout: object = None) -> Deferred[Any]:
        self.asked += queries
        return self.udp

    def queryTCP(self, queries: list[dns.Query], timeout: float) -> Deferred[Any]:
        assert self.tcp is not None
        return self.tcp


def _message(code: int = dns.OK, *, truncated: bool = False) -> dns.Message:
    message = dns.Message(rCode=code, trunc=truncated)
    message.answers = [] if truncated else [dns.RRHeader("example.com", payload=dns.Record_A("192.0.2.1"))]
    message.additional = [dns._OPTHeader()]  # type: ignore[list-item]
    return message


class ForwardingTests(SynchronousTestCase):
    def forward(self, resolver: _Resolver, query: Query | None = None) -> Reply:
        """Return the reply that comes of the resolver's."""
        forwarder = Forwarder([("192.0.2.53", 53)], MemoryReactor())
        forwarder._resolver = resolver
        return self.successResultOf(forwarder.ask(decode_query(ask("example.com")) if query is None else query))

    def test_answer(self) -> None:
        """The code and the records are passed on, without EDNS: that is between two neighbours only."""
        resolver = _Resolver(succeed(_message(dns.ENAME)))
        reply = self.forward(resolver)
        self.assertEqual((reply.code, len(list(reply.answers)), reply.additional), (dns.ENAME, 1, []))
        self.assertEqual((reply.can_recurse, reply.authoritative), (True, False))
        self.assertEqual(resolver.asked, [dns.Query("example.com")])

    def test_truncated(self) -> None:
        """A truncated answer is asked for by TCP."""
        reply = self.forward(_Resolver(succeed(_message(truncated=True)), succeed(_message())))
        self.assertEqual(len(list(reply.answers)), 1)

    def test_failed(self) -> None:
        """No answer is a code."""
        self.assertEqual(self.forward(_Resolver(fail(DNSQueryTimeoutError(7)))).code, dns.ESERVER)

    def test_most(self) -> None:
        """Only so many questions are asked at a time, so that resolvers that do not answer leave room for others."""
        self.patch(forwarding, "_MOST_ASKED", 2)
        forwarder = Forwarder([("192.0.2.53", 53)], MemoryReactor())
        answer: Deferred[Any] = Deferred()
        forwarder._resolver = _Resolver(answer)
        query = decode_query(ask("example.com"))
        asked = [forwarder.ask(query) for _ in range(2)]
        self.assertEqual(self.successResultOf(forwarder.ask(query)).code, dns.ESERVER)
        asked[0].cancel()
        self.assertEqual(self.successResultOf(asked[0]).code, dns.ESERVER)
        forwarder._resolver = _Resolver(succeed(_message()))
        self.assertEqual(self.successResultOf(forwarder.ask(query)).code, dns.OK)

    def test_dots(self) -> None:
        """A label with a dot would become two."""
        query = decode_query(b"\0\x07\0\0\0\x01\0\0\0\0\0\0\x03a.b\0\0\x01\0\x01")
        self.assertEqual(self.forward(_Resolver(succeed(None)), query).code, dns.EREFUSED)
