"""The endpoint for a host, and the messages of failed connections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.python.failure import Failure


def make_endpoint(reactor: Any, host: str, port: int) -> IStreamClientEndpoint:
    """Return the endpoint for a host: a name or an IP address."""
    # An endpoint for names fails only some time after the last address has refused the connection.
    if isIPv6Address(host):
        return TCP6ClientEndpoint(reactor, host, port)
    return TCP4ClientEndpoint(reactor, host, port) if isIPAddress(host) else HostnameEndpoint(reactor, host, port)


def describe(error: BaseException) -> str:
    """Return the message of an exception, or of its causes, without a period."""
    causes = [describe(cause) for cause in _causes(error)]
    if causes:
        return "; ".join(dict.fromkeys(causes))
    return str(error).rstrip(".") or type(error).__name__


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the exceptions that caused one of ``twisted.web``."""
    for reason in getattr(error, "reasons", None) or ():
        cause = reason.value if isinstance(reason, Failure) else reason
        if isinstance(cause, BaseException):
            yield cause
