"""The DNS server by its table in the configuration."""

from __future__ import annotations

from ipaddress import ip_address

from txmirror.configuration import DNS
from txmirror.dns import DNSService, DNSSettings


def apply_dns(table: DNS | None, service: DNSService) -> None:
    """Let the DNS server have the settings of ``[dns]`` from now on. Without the table it listens nowhere."""
    if table is None:
        service.apply(None, None)
        return
    settings = DNSSettings(
        # One that stands for all is not to be reached.
        address=None if ip_address(table.listen.host).is_unspecified else table.listen.host,
        domain=table.domain,
        ttl=int(table.ttl),
        zone=table.zone,
        stale_for=table.stale_for,
        data=table.data,
        forward=tuple((each.host, each.port) for each in table.forward),
    )
    service.apply(settings, (table.listen.host, table.listen.port))
