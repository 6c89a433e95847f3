"""A DNS server that answers from the lists of instances."""

from txmirror.dns.service import DNSService
from txmirror.dns.settings import DNSSettings

__all__ = ["DNSService", "DNSSettings"]
