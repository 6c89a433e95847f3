"""Look at a server's certificate. It needs the packages of the extra ``tls``."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.interfaces import IHandshakeListener, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from txmirror.cli.servers.answers import NoAnswer
from txmirror.cli.servers.exchange import explain_failure
from txmirror.client import Server
from txmirror.client.connection.endpoints import TLSWrapper, connect_to_server, explain_loss


@attrs.frozen
class Certificate:
    """A server's certificate, which was accepted."""

    names: tuple[str, ...]
    """The names and addresses that it is for."""
    begins: datetime
    """The time from which it is valid."""
    expires: datetime
    """The time until which it is valid."""


@implementer(IHandshakeListener)
class _Handshake(Protocol):
    """A handshake.

    :ivar completed: fires with the server's certificate.
    """

    def __init__(self) -> None:
        self.completed: Deferred[Any] = Deferred()

    def handshakeCompleted(self) -> None:
        transport: Any = self.transport
        self.completed.callback(transport.getPeerCertificate())
        transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.completed.called:
            self.completed.errback(NoAnswer(explain_loss(reason.value)[1]))


def accept_any(_: str, endpoint: IStreamClientEndpoint) -> IStreamClientEndpoint:
    """Wrap an endpoint in TLS that accepts every certificate: only to look at it, and to send nothing."""
    from twisted.internet.ssl import CertificateOptions  # noqa: PLC0415 - the packages it needs are an extra

    wrapped: IStreamClientEndpoint = wrapClientTLS(CertificateOptions(), endpoint)
    return wrapped


def certificate_of(reactor: IReactorTime, server: Server, wrap: TLSWrapper, limit: float) -> Deferred[Certificate]:
    """Return a server's certificate.

    :param limit: the timeout, in seconds.
    :returns: fails with :exc:`~txmirror.cli.servers.words.NoAnswer` if the handshake fails, also because of the certificate.
    """

    async def look() -> Certificate:
        handshake = _Handshake()

        class _Factory(Factory):
            noisy = False

            def buildProtocol(self, _: object) -> Protocol:
                return handshake

        try:
            await connect_to_server(reactor, server, _Factory(), limit, wrap)
        except CancelledError:
            raise
        except Exception as error:
            raise NoAnswer(explain_failure(error)) from None
        return _read((await handshake.completed).to_cryptography())

    def fail(_: object, seconds: float) -> Certificate:
        raise NoAnswer(f"no handshake within {seconds:g} s: the port may not be one for TLS")

    return Deferred.fromCoroutine(look()).addTimeout(limit, reactor, fail)


def _read(certificate: Any) -> Certificate:
    from cryptography import x509  # noqa: PLC0415 - it is an extra

    try:
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = tuple(str(each.value) for each in alternative)
    except x509.ExtensionNotFound:
        names = ()
    return Certificate(names, *(_time(certificate, name) for name in ("not_valid_before", "not_valid_after")))


def _time(certificate: Any, name: str) -> datetime:
    # Older releases of cryptography have only times without a zone.
    time: datetime = getattr(certificate, f"{name}_utc", None) or getattr(certificate, name).replace(
        tzinfo=timezone.utc
    )
    return time
