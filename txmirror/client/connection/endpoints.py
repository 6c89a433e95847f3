"""Connect to a server, with TLS if it is configured: resolve its name anew each time, and try all its addresses.

Twisted's ``HostnameEndpoint`` does much the same, but takes 0.3 seconds to report a refused connection, and rejects names with
an underscore, which containers have.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import ConnectingCancelledError, ConnectionDone, ConnectionLost, DNSLookupError
from twisted.internet.interfaces import (
    IAddress,
    IHostResolution,
    IProtocol,
    IProtocolFactory,
    IResolutionReceiver,
    IStreamClientEndpoint,
)
from zope.interface import implementer

from txmirror.client.connection.settings import Server


@implementer(IResolutionReceiver)
class _Addresses:
    """Collects the addresses of a name.

    :ivar found: fires with the addresses. Cancelling it ends the resolution.
    """

    def __init__(self) -> None:
        self.found: Deferred[list[IAddress]] = Deferred(self._cancel)
        self._addresses: list[IAddress] = []
        self._resolution: IHostResolution | None = None
        self._over = False

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """Keep the resolution, to cancel it. See ``IResolutionReceiver``."""
        self._resolution = resolutionInProgress

    def addressResolved(self, address: IAddress) -> None:
        """Add an address. See ``IResolutionReceiver``."""
        self._addresses.append(address)

    def resolutionComplete(self) -> None:
        """Fire with the addresses. See ``IResolutionReceiver``."""
        if not self._over:
            self._over = True
            self.found.callback(self._addresses)

    def _cancel(self, _: Deferred[list[IAddress]]) -> None:
        self._over = True
        if self._resolution is not None:
            # Twisted's threaded resolver cannot be cancelled: the addresses that it still finds are dropped.
            with suppress(NotImplementedError):
                self._resolution.cancel()


#: Wraps an endpoint in TLS. The arguments are the server's name or address, and the endpoint.
TLSWrapper = Callable[[str, IStreamClientEndpoint], IStreamClientEndpoint]


async def connect_to_server(
    reactor: Any, server: Server, factory: IProtocolFactory, limit: float, wrap: TLSWrapper | None = None
) -> IProtocol:
    """Connect to a server.

    :param reactor: connects, and resolves names.
    :param limit: the timeout in seconds, without the resolution; the addresses share it.
    :param wrap: wraps the connection in TLS; None connects without TLS.
    :returns: the protocol that ``factory`` made.
    :raises DNSLookupError: the name has no address.
    :raises Exception: the failure of the last address.
    """
    addresses = await resolve(reactor, server)
    if not addresses:
        raise DNSLookupError(f"no address for {server.host!r}")
    for address in addresses[:-1]:
        try:
            return await _connect(reactor, server, address, factory, limit / len(addresses), wrap)
        except (CancelledError, ConnectingCancelledError):
            raise
        except Exception:  # noqa: S112 - only the failure of the last address is reported
            continue
    return await _connect(reactor, server, addresses[-1], factory, limit / len(addresses), wrap)


async def resolve(reactor: Any, server: Server) -> Sequence[IAddress]:
    """Return the addresses of a server; none if its name has none. Cancelling ends the resolution."""
    if isIPAddress(server.host):
        return [IPv4Address("TCP", server.host, server.port)]
    if isIPv6Address(server.host):
        return [IPv6Address("TCP", server.host, server.port)]
    receiver = _Addresses()
    reactor.nameResolver.resolveHostName(receiver, server.host, server.port, transportSemantics="TCP")
    return await receiver.found


def _connect(
    reactor: Any, server: Server, address: IAddress, factory: IProtocolFactory, limit: float, wrap: TLSWrapper | None
) -> Deferred[IProtocol]:
    kind = TCP6ClientEndpoint if isinstance(address, IPv6Address) else TCP4ClientEndpoint
    assert isinstance(address, (IPv4Address, IPv6Address))
    endpoint: IStreamClientEndpoint = kind(reactor, address.host, address.port, timeout=limit)
    if wrap is not None:
        endpoint = wrap(server.host, endpoint)
    connected: Deferred[IProtocol] = endpoint.connect(factory)
    return connected


@attrs.frozen
class TLS:
    """The settings for TLS. It needs ``pip install txmirror[tls]``.

    Files are in PEM, and are read once, when a client is made.
    """

    authority: str | Path | None = None
    """The certificates of the authorities that the client trusts; None trusts the platform's."""
    certificate: str | Path | None = None
    """The client's certificate, followed by any intermediate certificates, and optionally its key; None if the servers do not
    request one."""
    key: str | Path | None = None
    """The unencrypted key of the certificate; None if it is in the same file."""
    check_names: bool = True
    """True if a server's certificate must contain the name (or the address) with which the client connects."""

    def prepare(self) -> TLSWrapper:
        """Read the files, and return a function that wraps endpoints in TLS.

        :raises ValueError: one of them cannot be read, or is invalid; the message quotes its name.
        :raises ImportError: the packages for TLS are missing.
        """
        try:
            from txmirror.client.connection.tls_wrapper import OpenSSLWrapper  # noqa: PLC0415 - the packages it needs are an extra
        except ImportError:
            raise ImportError("TLS needs more packages: pip install 'txmirror[tls]'") from None
        return OpenSSLWrapper(self.authority, self.certificate, self.key, self.check_names)


class Loss(enum.Enum):
    """The way in which the other side ended a connection."""

    CLOSED = "closed"
    """The server closed it in order."""
    BROKEN = "broken"
    """The server or the network broke it."""


def explain_loss(reason: BaseException | None) -> tuple[Loss | None, str]:
    """Return the way in which the other side ended a connection, and an explanation.

    :param reason: as the transport reports it.
    :returns: an error of TLS has no :class:`Loss`.
    """
    if isinstance(reason, ConnectionDone):
        return Loss.CLOSED, "the server closed the connection"
    text = _describe(reason).rstrip(".")
    loss = Loss.BROKEN if isinstance(reason, ConnectionLost) else None
    return loss, f"the connection broke: {text:.200}"


def _describe(error: BaseException | None) -> str:
    """Return why a connection broke, as text. OpenSSL's errors hold a list of tuples: library, function and reason each."""
    details = error.args[0] if error is not None and error.args else None
    if isinstance(details, list) and all(isinstance(each, tuple) and each for each in details):
        return ", ".join(str(each[-1]) for each in details) or str(error)
    return str(error)
