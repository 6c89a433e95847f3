"""Wrap endpoints in TLS with Twisted and pyOpenSSL. It needs the packages of the extra ``tls``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from OpenSSL import SSL
from service_identity.hazmat import DNS_ID, IPAddress_ID, verify_service_identity
from service_identity.pyopenssl import extract_patterns
from twisted.internet import ssl
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IStreamClientEndpoint
from twisted.python.failure import Failure
from zope.interface import implementer

from txmirror.pem import read_certificates, read_key


class OpenSSLWrapper:
    """Wraps endpoints in TLS. For the arguments see :class:`~txmirror.client.TLS`.

    :raises ValueError: a file cannot be read, or is invalid; the message quotes its name.
    """

    def __init__(
        self,
        authority: str | Path | None,
        certificate: str | Path | None,
        key: str | Path | None,
        check_names: bool,
    ) -> None:
        if certificate is None and key is not None:
            raise ValueError(f"there is a key, {str(key)!r}, and no certificate")
        self._check_names = check_names
        self._trusted = ssl.platformTrust()
        if authority is not None:
            self._trusted = ssl.trustRootFromCertificates(read_certificates(authority))
        self._options: dict[str, Any] = {}
        if certificate is not None:
            own, *chain = read_certificates(certificate)
            self._options["certificate"] = own.original
            self._options["extraCertChain"] = [each.original for each in chain]
            self._options["privateKey"] = read_key(key or certificate)
            try:
                ssl.CertificateOptions(**self._options).getContext()
            except Exception as error:
                # Each part of OpenSSL has its own exceptions.
                raise ValueError(f"{str(certificate)!r} and its key do not belong together: {error}") from None

    def __call__(self, host: str, endpoint: IStreamClientEndpoint) -> IStreamClientEndpoint:
        """Return an endpoint that connects to ``host`` by TLS over another endpoint."""
        creator: Any = ssl.CertificateOptions(trustRoot=self._trusted, **self._options)
        if self._check_names:
            # A fully qualified name may end in a dot; names in certificates do not.
            host = host.rstrip(".")
            creator = _NameChecker(
                ssl.optionsForClientTLS(host, self._trusted, extraCertificateOptions=self._options), host
            )
        wrapped: IStreamClientEndpoint = wrapClientTLS(creator, endpoint)
        return wrapped


class WrongNameError(Exception):
    """A server's certificate does not contain the server's name."""

    def __init__(self, host: str) -> None:
        super().__init__(f"the server's certificate does not name {host!r}")


@implementer(IOpenSSLClientConnectionCreator)
class _NameChecker:
    """Refuses connections to a server whose certificate does not contain its name.

    Twisted checks that too, but some of its versions accept certificates without any name, or with a malformed one.

    :param creator: makes the connections.
    :param host: the server's name or address.
    """

    def __init__(self, creator: Any, host: str) -> None:
        self._creator = creator
        self._host = host
        self._wanted = (IPAddress_ID if isIPAddress(host) or isIPv6Address(host) else DNS_ID)(host)

    def clientConnectionForTLS(self, tlsProtocol: Any) -> Any:
        """Make a connection that checks the name. See ``IOpenSSLClientConnectionCreator``."""
        connection = self._creator.clientConnectionForTLS(tlsProtocol)

        def verify(_: object, certificate: Any, error: int, depth: int, trusted: int) -> bool:
            if not trusted or depth:
                return bool(trusted)
            try:
                verify_service_identity(extract_patterns(certificate), [self._wanted], [])
            except Exception:
                # A malformed certificate may raise any exception. It does not contain the right name in any case.
                tlsProtocol.failVerification(Failure(WrongNameError(self._host)))
                return False
            return True

        connection.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, verify)
        return connection
