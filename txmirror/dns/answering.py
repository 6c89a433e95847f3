"""Answer the questions about the domain: its names, and the codes for those that it does not have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain, tee
from random import Random

from twisted.internet.defer import CancelledError, Deferred
from twisted.names import dns
from twisted.python.failure import Failure

from txmirror.deferreds import Waiters
from txmirror.dns.directory import Directory
from txmirror.dns.records import (
    address_record,
    ns_record,
    parse_address,
    parse_label,
    server_name,
    service_records,
    soa_record,
    target_records,
    text_records,
)
from txmirror.dns.selection import Selection
from txmirror.dns.settings import DNSSettings
from txmirror.dns.wire import BAD_VERSION, Query, Reply

#: The class and the types that ask for any.
_ANY = 255
#: Transfers of whole domains.
_TRANSFERS = (251, dns.AXFR)
#: The labels of protocols in names of the form of RFC 2782; another one is a tag.
_PROTOCOLS = ("tcp", "udp")


class Answering:
    """Answers questions from the lists of a directory.

    :param settings: the settings.
    :param directory: the services.
    :param forward: asks other resolvers about names outside of the domain; None refuses them.
    :param random: shuffles the instances.
    """

    def __init__(
        self,
        settings: DNSSettings,
        directory: Directory,
        forward: Callable[[Query], Deferred[Reply]] | None,
        random: Random,
    ) -> None:
        self._settings = settings
        self._directory = directory
        self._forward = forward
        self._random = random
        #: The long lists that are looked at, and the questions about them.
        self._parts: dict[Selection, Waiters[None]] = {}
        self._domain = tuple(settings.domain.split("."))

    def answer(self, query: Query) -> Reply | Deferred[Reply]:
        """Return the reply to a query. A Deferred never fails; cancelling it ends the wait."""
        if query.edns is not None and query.edns.version:
            return Reply(BAD_VERSION)
        # Bytes that are not ASCII are in no name of ours.
        labels = tuple(each.decode("latin-1").lower() for each in query.labels)
        count = len(self._domain)
        if labels[-count:] != self._domain:
            if self._forward is not None and query.recurse and query.type not in _TRANSFERS:
                return self._forward(query)
            return Reply(dns.EREFUSED)
        if query.cls not in (dns.IN, _ANY) or query.type in _TRANSFERS:
            return Reply(dns.EREFUSED)
        return self._answer_ours(query, labels[:-count])

    def _answer_ours(self, query: Query, labels: Sequence[str]) -> Reply | Deferred[Reply]:
        if not labels:
            return self._answer_domain(query)
        if any("." in each for each in labels):
            return self._no_name()
        *rest, area = labels
        if area == "ns" and not rest:
            return self._found(self._own_addresses(query.name, query.type))
        if area == "addr":
            return self._answer_address(query, rest)
        if area != "service":
            return self._no_name()
        if self._directory.known:
            return self._answer_area(query, rest)
        # Clients ask again after five seconds, most of them: this is shorter.
        return self._directory.when_known().addCallbacks(lambda _: self._answer_area(query, rest), _cancelled)

    def _answer_area(self, query: Query, labels: Sequence[str]) -> Reply | Deferred[Reply]:
        if not self._directory.known or self._directory.age > self._settings.stale_for:
            return Reply(dns.ESERVER)
        return self._answer_service(query, labels) if labels else self._found([])

    def _answer_domain(self, query: Query) -> Reply:
        if query.type == dns.NS:
            domain, ttl = self._settings.domain, self._settings.ttl
            return self._found([ns_record(domain, ttl)], self._own_addresses(server_name(domain), _ANY))
        return self._found([self._soa()] if query.type in (dns.SOA, _ANY) else [])

    def _own_addresses(self, name: bytes, kind: int) -> list[dns.RRHeader]:
        """Return the address record of this server, if it is known and of this type."""
        address = parse_address(self._settings.address)
        if address is None or kind not in (dns.A if address.version == 4 else dns.AAAA, _ANY):
            return []
        return [address_record(name, address, self._settings.ttl)]

    def _answer_address(self, query: Query, labels: Sequence[str]) -> Reply:
        if not labels:
            return self._found([])
        address = parse_label(labels[0]) if len(labels) == 1 else None
        if address is None:
            return self._no_name()
        wanted = query.type in (dns.A if address.version == 4 else dns.AAAA, _ANY)
        return self._found([address_record(query.name, address, self._settings.ttl)] if wanted else [])

    def _answer_service(self, query: Query, labels: Sequence[str]) -> Reply | Deferred[Reply]:
        name, tag = ".".join(labels), None
        if labels[-1].startswith("_"):
            protocol = labels[-1][1:]
            if len(labels) == 1:
                return self._found([]) if protocol in _PROTOCOLS else self._no_name()
            if not labels[0].startswith("_"):
                return self._no_name()
            name, tag = ".".join(labels[:-1])[1:], None if protocol in _PROTOCOLS else protocol
        elif not self._directory.has(name) and len(labels) > 1:
            name, tag = ".".join(labels[1:]), labels[0]
        if not self._directory.has(name):
            # There may be names below it, if the name of a service has a dot.
            return self._found([]) if self._directory.has_below(".".join(labels)) else self._no_name()
        return self._answer_instances(query, name, tag)

    def _answer_instances(self, query: Query, service: str, tag: str | None) -> Reply | Deferred[Reply]:
        if not self._directory.is_readable(service):
            return Reply(dns.ESERVER)
        selection = self._directory.selection(service)
        parts = self._parts.get(selection)
        if parts is not None or not selection.update():
            # A long list is looked at in parts.
            if parts is None:
                parts = self._parts[selection] = Waiters()
                self._directory.reactor.callLater(0, self._next_part, selection)
            return parts.wait().addCallbacks(lambda _: self._answer_again(query, service, tag), _cancelled)
        group, random = selection.choose(tag), self._random
        name, ttl = query.name, self._settings.ttl
        if query.type in (dns.A, dns.AAAA):
            addresses = group.addresses[4 if query.type == dns.A else 6].shuffled(random)
            return self._found(address_record(name, each, ttl) for each in addresses)
        # The order is found out as far as the answer has room, and is the same for the additional records.
        instances, same = tee(group.instances.shuffled(random))
        if query.type == dns.SRV:
            domain = self._settings.domain
            targets = target_records(same, domain, ttl)
            return self._found(service_records(name, instances, domain, ttl), targets)
        if query.type == dns.TXT and self._settings.data:
            return self._found(text_records(name, instances, ttl))
        if query.type == _ANY:
            # A short answer, RFC 8482: all records of a service would be many times as long as the query.
            payload = dns.Record_HINFO(b"RFC8482", b"", ttl=ttl)
            return self._found([dns.RRHeader(name, dns.HINFO, dns.IN, ttl, payload, auth=True)])
        return self._found([])

    def _answer_again(self, query: Query, service: str, tag: str | None) -> Reply | Deferred[Reply]:
        """Answer when a long list was looked at. Meanwhile the directory may have been closed, and the service may be gone."""
        if not self._directory.known:
            return Reply(dns.ESERVER)
        return self._answer_instances(query, service, tag) if self._directory.has(service) else self._no_name()

    def _next_part(self, selection: Selection) -> None:
        if selection.update():
            self._parts.pop(selection).fire(None)
        else:
            self._directory.reactor.callLater(0, self._next_part, selection)

    def _found(self, answers: Iterable[dns.RRHeader], additional: Iterable[dns.RRHeader] = ()) -> Reply:
        """Return the reply for a name that exists. Without answers, the SOA record limits the caching of that."""
        answers = iter(answers)
        first = next(answers, None)
        if first is None:
            return Reply(dns.OK, authority=(self._soa(),), authoritative=True)
        return Reply(dns.OK, chain([first], answers), (), additional, authoritative=True)

    def _no_name(self) -> Reply:
        return Reply(dns.ENAME, authority=(self._soa(),), authoritative=True)

    def _soa(self) -> dns.RRHeader:
        serial = int(self._directory.reactor.seconds()) & 0xFFFFFFFF
        return soa_record(self._settings.domain, serial, self._settings.negative_ttl)


def _cancelled(failure: Failure) -> Reply:
    failure.trap(CancelledError)
    return Reply(dns.ESERVER)
