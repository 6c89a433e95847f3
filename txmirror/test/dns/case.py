"""A ZooKeeper in memory with services, and a DNS server that answers from it."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from twisted.names import dns
from twisted.trial.unittest import SynchronousTestCase

from txmirror.catalog import Catalog
from txmirror.dns.answering import Answering
from txmirror.dns.directory import Directory
from txmirror.dns.responding import Responder
from txmirror.dns.settings import DNSSettings
from txmirror.testing import World


def ask(name: str | bytes, kind: int = dns.A, *, size: int | None = None, cls: int = dns.IN, **flags: Any) -> bytes:
    """Return a query, as Twisted encodes it.

    :param size: the size for EDNS; None for none.
    """
    message = dns._EDNSMessage(
        id=7,
        queries=[dns.Query(name, kind, cls)],
        ednsVersion=None if size is None else 0,
        maxSize=size or 512,
        **flags,
    )
    data: bytes = message.toStr()
    return data


def decode(data: bytes) -> dns.Message:
    """Return a reply, as Twisted decodes it, after a check that it is whole."""
    message = dns.Message()
    message.fromStr(data)
    sections = (message.queries, message.answers, message.authority, message.additional)
    counts = [int.from_bytes(data[place : place + 2], "big") for place in (4, 6, 8, 10)]
    assert [len(each) for each in sections] == counts, (counts, message)
    return message


def show(records: list[dns.RRHeader]) -> list[str]:
    """Return short texts for records, in order."""
    texts = []
    for each in records:
        payload: Any = each.payload
        if isinstance(payload, (dns.Record_A, dns.Record_AAAA)):
            text = payload.dottedQuad() if isinstance(payload, dns.Record_A) else payload._address
        elif isinstance(payload, dns.Record_SRV):
            text = f"{payload.priority} {payload.weight} {payload.port} {payload.target}"
        elif isinstance(payload, dns.Record_TXT):
            text = b" ".join(payload.data).decode()
        else:
            text = dns.QUERY_TYPES[each.type]
        texts.append(f"{each.name} {text}")
    return sorted(texts)


class DNSTestCase(SynchronousTestCase):
    """Services in a ZooKeeper in memory, and the answers about them."""

    def setUp(self) -> None:
        self.world = World()
        self.addCleanup(self.world.close)
        self.other = self.world.client(session_timeout=40.0)
        self.world.result(self.other.create("/services"))
        self.mirror = self.world.mirror()
        self.serve()

    def serve(self, *, read: bool = True, **settings: Any) -> None:
        """Answer with these settings from now on.

        :param read: whether to wait until the services were read.
        """
        forward = settings.pop("forward_by", None)
        self.catalog = Catalog(self.mirror, "/services")
        self.addCleanup(self.catalog.close)
        self.directory = directory = Directory(self.catalog, settings.get("zone"))
        self.addCleanup(directory.close)
        self.responder = Responder(Answering(DNSSettings(**settings), directory, forward, Random(0)).answer)
        if read:
            self.show()

    def make(self, service: str, *nodes: str, **facts: object) -> None:
        """Register instances with these facts."""
        path = f"/services/{service}"
        if self.world.result(self.other.exists(path)) is None:
            self.world.result(self.other.create(path))
        for node in nodes:
            self.world.result(self.other.create(f"{path}/{node}", json.dumps(facts).encode()))
        self.show()

    def show(self) -> None:
        """Let the catalog show all changes, which it does in batches."""
        self.world.settle()
        self.world.pass_time(0.1)

    def reply(self, name: str | bytes, kind: int = dns.A, **options: Any) -> dns.Message:
        """Return the reply to a question by UDP."""
        return self.respond(ask(name, kind, **options))

    def respond(self, data: bytes, *, by_tcp: bool = False) -> dns.Message:
        """Return the reply to a query."""
        waiting = self.responder.respond(data, by_tcp=by_tcp)
        self.world.settle()
        reply = self.successResultOf(waiting)
        assert reply is not None
        return decode(reply)

    def answers(self, name: str, kind: int = dns.A, **options: Any) -> list[str]:
        """Return the answers to a question, in order."""
        reply = self.reply(name, kind, **options)
        self.assertEqual(reply.rCode, dns.OK)
        return show(reply.answers)

    def assert_no_data(self, name: str, kind: int = dns.A) -> None:
        """Assert that a name exists, and has no such records: the reply has the SOA record."""
        reply = self.reply(name, kind)
        self.assertEqual((reply.rCode, reply.auth, reply.answers), (dns.OK, True, []))
        self.assertEqual([each.type for each in reply.authority], [dns.SOA])

    def assert_no_name(self, name: str | bytes, kind: int = dns.A) -> None:
        """Assert that a name does not exist."""
        reply = self.reply(name, kind)
        self.assertEqual((reply.rCode, reply.auth, reply.answers), (dns.ENAME, True, []))
        self.assertEqual([each.type for each in reply.authority], [dns.SOA])
