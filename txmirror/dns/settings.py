"""The settings of the DNS server."""

from __future__ import annotations

import attrs


# More than 7 parameters: each is a key of the daemon's configuration, and most are optional.
@attrs.frozen(kw_only=True)
class DNSSettings:
    """The names that are served, and how."""

    address: str | None = None
    """The IP address of this server, for its own name, ``ns.DOMAIN``; None if it has several."""
    domain: str = "mirror"
    """The domain, in lower case, without a dot at the end."""
    ttl: int = 1
    """The time to live of records, in seconds; that of negative answers is at most 5."""
    zone: str | None = None
    """The preferred zone: if a service has instances in it, the answer has only those. None for none."""
    stale_for: float = 600.0
    """The seconds for which answers are given after the connection to ZooKeeper was lost."""
    data: bool = False
    """True if TXT records have the labels and the data of the instances."""
    forward: tuple[tuple[str, int], ...] = ()
    """The resolvers for names outside of the domain: addresses and ports. Without any, such questions are refused."""

    @property
    def negative_ttl(self) -> int:
        """The time for which a negative answer may be cached, in seconds."""
        return min(self.ttl, 5)
