"""The plugins: ``twistd txmirror``, and endpoints by strings that begin with ``mirror:``.

Every ``twistd --help`` imports this module, so it only names the service's module, and imports the endpoints when a string is parsed.
"""

from __future__ import annotations

from typing import Any

from twisted.application.service import ServiceMaker
from twisted.internet.interfaces import IStreamServerEndpoint, IStreamServerEndpointStringParser
from twisted.plugin import IPlugin
from zope.interface import implementer

txmirror = ServiceMaker(
    "txmirror",
    "txmirror.service",
    "Keep services registered in ZooKeeper.",
    "txmirror",
)


@implementer(IPlugin, IStreamServerEndpointStringParser)
class ServerParser:
    r"""Parses the strings of servers, such as ``mirror:/services/web:listen=tcp\:8080``."""

    prefix = "mirror"

    def parseStreamServer(  # type: ignore[override]  # the interface's has a self
        self, reactor: Any, *args: str, **kwargs: str
    ) -> IStreamServerEndpoint:
        """Return the endpoint of a string."""
        from txmirror.endpoints.server_string import parse_server  # noqa: PLC0415 - it takes long

        return parse_server(reactor, args, kwargs)


mirror_server = ServerParser()
