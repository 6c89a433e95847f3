"""The plugins: ``twistd txmirror``, and endpoints by strings that begin with ``mirror:``.

Every ``twistd --help`` and every program with an endpoint string imports this module. So it only names the service's module, and
imports the endpoints when a string is parsed.
"""

from __future__ import annotations

from typing import Any

from twisted.application.service import ServiceMaker
from twisted.internet.interfaces import (
    IStreamClientEndpoint,
    IStreamClientEndpointStringParserWithReactor,
    IStreamServerEndpoint,
    IStreamServerEndpointStringParser,
)
from twisted.plugin import IPlugin
from zope.interface import implementer

txmirror = ServiceMaker(
    "txmirror",
    "txmirror.service",
    "Keep services registered in ZooKeeper.",
    "txmirror",
)

# Any name may be a key of a string, also that of a parameter. So these have none.


@implementer(IPlugin, IStreamClientEndpointStringParserWithReactor)
class ClientParser:
    """Parses the strings of clients, such as ``mirror:/services/web:pick=random``."""

    prefix = "mirror"

    def parseStreamClient(self, reactor: Any, /, *args: Any, **kwargs: Any) -> IStreamClientEndpoint:  # type: ignore[override]
        """Return the endpoint of a string."""
        from txmirror.endpoints import parse_client  # noqa: PLC0415 - it takes long

        return parse_client(reactor, args, kwargs)


@implementer(IPlugin, IStreamServerEndpointStringParser)
class ServerParser:
    r"""Parses the strings of servers, such as ``mirror:/services/web:listen=tcp\:8080``."""

    prefix = "mirror"

    def parseStreamServer(self, reactor: Any, /, *args: Any, **kwargs: Any) -> IStreamServerEndpoint:  # type: ignore[override]
        """Return the endpoint of a string."""
        from txmirror.endpoints import parse_server  # noqa: PLC0415 - it takes long

        return parse_server(reactor, args, kwargs)


mirror_client = ClientParser()
mirror_server = ServerParser()
