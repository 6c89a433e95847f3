"""``[dns]`` in a configuration: the DNS server."""

# Not with "from __future__ import annotations": see probes.py.

from typing import Annotated

import attrs

from txmirror.configuration.addresses import AddressAndPort, SocketAddress
from txmirror.configuration.rules import ArrayOf, Duration, Flag, Text, ZnodePath

_LISTEN = SocketAddress("127.0.0.1", 8600)


# More than 7 parameters: the class has a field for each key of its table.
@attrs.frozen(kw_only=True)
class DNS:
    """``[dns]``: names for the services, for programs that ask DNS. The daemon serves them if there is this table."""

    listen: Annotated[SocketAddress, AddressAndPort()] = attrs.field(
        default=_LISTEN, metadata={"default": f'``"{_LISTEN}"``'}
    )
    """The IP address and port, for UDP and TCP. Everybody who reaches the port may ask."""
    domain: Annotated[
        str,
        Text(
            kind="domain",
            form=r"(?=.{1,180}\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*",
            form_text="a domain in lower case, such as 'mirror' or 'sd.example.com'",
        ),
    ] = "mirror"
    """The domain of the names."""
    root: Annotated[str, ZnodePath()] = "/services"
    """The znode whose children are the services."""
    ttl: Annotated[float, Duration(0.0, 3600.0)] = 1.0
    """The time for which others may cache an answer, in whole seconds. A negative answer may be cached for five seconds at most."""
    zone: Annotated[str | None, Text()] = None
    """The preferred zone. If a service has instances with this ``zone`` among their labels or data, the answers have only those.
    Default: none."""
    stale_for: Annotated[float, Duration(0.0, 86400.0)] = 600.0
    """The time after the loss of the connection to ZooKeeper for which the last known answers are given."""
    credentials: Annotated[bool, Flag()] = False
    """If true, the answers have all instances that the daemon may read. Otherwise, if ``[zookeeper.access]`` has a user or a certificate,
    they have those that everybody may read, by a session of their own without these."""
    data: Annotated[bool, Flag()] = False
    """If true, TXT records have the labels and the data of the instances."""
    forward: Annotated[tuple[SocketAddress, ...], ArrayOf(AddressAndPort())] = ()
    """The resolvers to ask about names outside of the domain, for example ``["192.0.2.53:53"]``. Default: none, such questions are
    refused."""
