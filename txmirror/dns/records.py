"""Make the records of a service from its instances: one after another, as far as the reply has room for them."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

from twisted.names import dns

from txmirror.types import Instance

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: A name that can be the target of an SRV record.
_HOST = re.compile(r"(?=.{1,253}\.?$)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")
_HEX = re.compile(r"[0-9a-f]{8}|[0-9a-f]{32}")
#: The priority of all SRV records, their weight without another one, and the highest weight.
_PRIORITY, _WEIGHT, _MOST_WEIGHT = 1, 1, 65535
#: The longest string in a TXT record, and the most of them in one record.
_LONGEST_TEXT, _MOST_TEXTS = 255, 64


def address_label(address: Address) -> str:
    """Return the label of an address: its digits in hexadecimal, 8 or 32 of them."""
    return address.packed.hex()


def parse_label(label: str) -> Address | None:
    """Return the address of a label; None if it is none."""
    return ipaddress.ip_address(bytes.fromhex(label)) if _HEX.fullmatch(label) else None


@lru_cache(maxsize=10_000)
def parse_address(text: str | None) -> Address | None:
    """Return an IP address, without a scope; None if it is a host name."""
    try:
        found = ipaddress.ip_address(text or "")
    except ValueError:
        return None
    # Only one of IPv6 can have a scope.
    return found if found.version == 4 else ipaddress.ip_address(found.packed)


def address_record(name: bytes, address: Address, ttl: int) -> dns.RRHeader:
    """Return the A or AAAA record of an address."""
    payload = (dns.Record_A if address.version == 4 else dns.Record_AAAA)(str(address), ttl)
    return dns.RRHeader(name, payload.TYPE, dns.IN, ttl, payload, auth=True)


def target_records(instances: Iterable[Instance], domain: str, ttl: int) -> Iterator[dns.RRHeader]:
    """Yield the address records of the targets of SRV records."""
    for address in _addresses(instances):
        yield address_record(_target(address, domain).encode(), address, ttl)


def _addresses(instances: Iterable[Instance]) -> Iterator[Address]:
    seen: set[Address] = set()
    for instance in instances:
        address = parse_address(instance.address)
        if address is not None and address not in seen:
            seen.add(address)
            yield address


def _target(address: Address, domain: str) -> str:
    return f"{address_label(address)}.addr.{domain}"


def service_records(name: bytes, instances: Iterable[Instance], domain: str, ttl: int) -> Iterator[dns.RRHeader]:
    """Yield the SRV records of instances.

    The target of an instance with an IP address is ``HEX.addr.DOMAIN``, otherwise its host name.
    """
    for instance in instances:
        port = instance.tls_port if instance.port is None else instance.port
        address = parse_address(instance.address)
        host = instance.address or "" if address is None else _target(address, domain)
        if port is None or not 0 < port < 65536 or not _HOST.fullmatch(host):
            continue
        weight = _WEIGHT if instance.weight is None else min(max(instance.weight, 0), _MOST_WEIGHT)
        payload = dns.Record_SRV(_PRIORITY, weight, port, host.rstrip(".").encode(), ttl)
        yield dns.RRHeader(name, dns.SRV, dns.IN, ttl, payload, auth=True)


def text_records(name: bytes, instances: Iterable[Instance], ttl: int) -> Iterator[dns.RRHeader]:
    """Yield a TXT record for each instance: ``KEY=VALUE`` for its name, its address, its labels and the simple values of its data.

    A text of more than 255 bytes is omitted.
    """
    for instance in instances:
        texts = [each.encode("utf-8", "replace") for each in _texts(instance)]
        payload = dns.Record_TXT(*[each for each in texts if len(each) <= _LONGEST_TEXT][:_MOST_TEXTS], ttl=ttl)
        if payload.data:
            yield dns.RRHeader(name, dns.TXT, dns.IN, ttl, payload, auth=True)


def _texts(instance: Instance) -> Iterator[str]:
    yield f"node={instance.name}"
    for key, value in sorted(instance.labels.items()):
        yield f"{key}={value}"
    if isinstance(instance.data, Mapping):
        for key, fact in instance.data.items():
            if isinstance(fact, bool):
                yield f"{key}={str(fact).lower()}"
            elif isinstance(fact, (str, int, float)):
                yield f"{key}={fact}"
    elif instance.data:
        yield f"data={instance.data}"


def tags_of(instance: Instance) -> set[str]:
    """Return the tags of an instance in lower case: the values of its labels, the names of those with the value ``true`` or none, and
    the texts of ``tags`` in its data.
    """
    found = {value.lower() for value in instance.labels.values()}
    found.update(key.lower() for key, value in instance.labels.items() if value.lower() in ("", "true"))
    tags = instance.data.get("tags") if isinstance(instance.data, Mapping) else None
    if isinstance(tags, (list, tuple)):
        found.update(each.lower() for each in tags if isinstance(each, str))
    return found


def zone_of(instance: Instance) -> object:
    """Return the zone of an instance: that of its labels, or of its data; None for none."""
    zone: object = instance.labels.get("zone")
    if zone is None and isinstance(instance.data, Mapping):
        zone = instance.data.get("zone")
    return zone


def server_name(domain: str) -> bytes:
    """Return the name of this server, in the SOA and NS records."""
    return f"ns.{domain}".encode()


def ns_record(domain: str, ttl: int) -> dns.RRHeader:
    """Return the NS record of the domain."""
    return dns.RRHeader(domain.encode(), dns.NS, dns.IN, ttl, dns.Record_NS(server_name(domain), ttl), auth=True)


def soa_record(domain: str, serial: int, ttl: int) -> dns.RRHeader:
    """Return the SOA record of the domain. A negative answer may be cached for ``ttl`` seconds (RFC 2308)."""
    name = domain.encode()
    payload = dns.Record_SOA(server_name(domain), b"hostmaster." + name, serial, 3600, 600, 86400, ttl, ttl)
    return dns.RRHeader(name, dns.SOA, dns.IN, ttl, payload, auth=True)
