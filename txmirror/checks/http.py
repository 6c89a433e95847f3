"""A check by an HTTP request. This module needs the packages of the extra ``daemon``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from hyperlink import EncodedURL
from OpenSSL import SSL
from treq.client import HTTPClient
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    optionsForClientTLS,
    platformTrust,
    trustRootFromCertificates,
)
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.client import URI, Agent, HTTPConnectionPool, ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory, IResponse
from zope.interface import implementer

from txmirror.checks.interfaces import ICheck
from txmirror.checks.results import Result, Status
from txmirror.deferreds import Waiters
from txmirror.network import describe, make_endpoint

#: The most bytes of a body that are read.
BODY_SIZE: Final = 65536

_STATUS_PATTERN: Final = re.compile(r"[1-5](?:xx|[0-9]{2})", re.IGNORECASE)
_CERTIFICATE: Final = re.compile(b"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


# More than 7 parameters: programs make it, and all but the URL and the reactor are optional.
@implementer(ICheck)
class HTTPCheck:
    """A check that sends an HTTP request. It needs ``pip install 'txmirror[daemon]'``.

    An expected status is ok, 429 (too many requests) is a warning unless it is expected, and any other is a failure. Each probe
    makes a connection of its own.

    :param url: an ``http`` or ``https`` URL.
    :param method: the method.
    :param headers: further headers of the request.
    :param expect_status: the statuses that are ok, as in ``200`` or ``2xx``.
    :param expect_body: a text that must occur in the body.
    :param expect_body_regex: a regular expression that must match somewhere in the body.
    :param follow: whether to follow redirects. Otherwise the status of a redirect counts like any other.
    :param verify: whether to verify the certificate of the server, and its name.
    :param ca_file: a PEM file with the certificates to trust in place of the system's.
    :param reactor: makes the connections.
    :param description: the description of the check, where ``url`` has a secret.
    :raises ValueError: an argument is invalid, or ``ca_file`` cannot be read; the message names it.
    """

    kind = "http"
    pushed = False

    def __init__(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        expect_status: Sequence[str] = ("2xx",),
        expect_body: str | None = None,
        expect_body_regex: str | None = None,
        follow: bool = False,
        verify: bool = True,
        ca_file: str | None = None,
        reactor: Any,
        description: str | None = None,
    ) -> None:
        _check_url(url)
        if isinstance(expect_status, str) or not expect_status:
            raise ValueError(f"expect_status is {expect_status!r}: not a list of statuses")
        for pattern in expect_status:
            if not _STATUS_PATTERN.fullmatch(pattern):
                raise ValueError(
                    f"expect_status has {pattern!r}: neither a status, as in '200', nor a class, as in '2xx'"
                )
        try:
            self._regex = None if expect_body_regex is None else re.compile(expect_body_regex)
        except re.error as error:
            raise ValueError(f"expect_body_regex is {expect_body_regex!r}: {error}") from None
        self.description: str = f"http {method} {url}" if description is None else description
        self._url = url
        self._method = method
        self._headers = Headers({name: [value] for name, value in (headers or {}).items()})
        self._statuses = tuple(pattern.lower() for pattern in expect_status)
        self._text = expect_body
        self._follow = follow
        self._verify = verify
        # Reading the system's certificates takes long, and redirects may lead to other hosts.
        self._creator = lru_cache(8)(self._make_creator)
        self._trusted = platformTrust() if ca_file is None else trustRootFromCertificates(_read_certificates(ca_file))
        self._reactor = reactor

    def run(self) -> Deferred[Result]:
        """Send the request and read the response. Cancelling aborts the connection."""
        return Deferred.fromCoroutine(self._run())

    async def _run(self) -> Result:
        connections = _Connections(self._reactor, self._creator)
        try:
            return await self._request(connections)
        except Exception as error:
            # OpenSSL, the parser of responses and the resolver of names have exceptions of their own.
            return Result(Status.FAIL, f"no response: {describe(error)}")
        finally:
            await connections.abort()

    async def _request(self, connections: _Connections) -> Result:
        pool = HTTPConnectionPool(self._reactor, persistent=False)
        client = HTTPClient(Agent.usingEndpointFactory(self._reactor, connections, pool))
        response = await client.request(
            self._method,
            _URL.from_text(self._url),
            headers=self._headers,
            allow_redirects=self._follow,
            unbuffered=True,
            reactor=self._reactor,
        )
        summary = f"status {response.code}"
        is_expected = self._is_expected(response.code)
        if response.code == 429 and not is_expected:
            return Result(Status.WARN, f"{summary}: too many requests")
        body = await _read(response)
        text = body.decode("utf-8", "backslashreplace")
        if not is_expected:
            return Result(Status.FAIL, f"{summary}\n{text}")
        if self._text is not None and self._text not in text:
            return Result(Status.FAIL, f"{summary}, but the body has no {self._text!r}\n{text}")
        if self._regex is not None and not self._regex.search(text):
            return Result(Status.FAIL, f"{summary}, but the body does not match {self._regex.pattern!r}\n{text}")
        return Result(Status.OK, f"{summary}\n{text}")

    def _is_expected(self, code: int) -> bool:
        return str(code) in self._statuses or f"{code // 100}xx" in self._statuses

    def _make_creator(self, host: str) -> IOpenSSLClientConnectionCreator:
        """Return the TLS settings for connections to a host."""
        return optionsForClientTLS(host, self._trusted) if self._verify else _Unverified(host)


@implementer(IOpenSSLClientConnectionCreator)
class _Unverified:
    """Makes TLS connections to a host without verifying its certificate."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._context = CertificateOptions(verify=False).getContext()

    def clientConnectionForTLS(self, tlsProtocol: object) -> SSL.Connection:
        connection = SSL.Connection(self._context, None)
        if not (isIPAddress(self._host) or isIPv6Address(self._host)):
            connection.set_tlsext_host_name(self._host.encode("idna"))
        return connection


class _URL(EncodedURL):
    """A URL as it is written. hyperlink takes an IPv6 address for a name, and fails to encode it (its issue 188)."""

    def to_uri(self) -> EncodedURL:
        return self if isIPv6Address(self.host) else super().to_uri()


class _Connection(ProtocolWrapper):
    """A connection of a probe."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        self.factory.closed()


class _ConnectionFactory(WrappingFactory):
    """Makes connections, and keeps them until they are closed."""

    protocol = _Connection
    noisy = False

    def __init__(self, factory: IProtocolFactory, closed: Any) -> None:
        super().__init__(factory)
        self.closed = closed


@implementer(IStreamClientEndpoint)
class _Endpoint:
    """An endpoint whose connections are kept.

    :param inner: makes the connections.
    :param connections: keeps them.
    """

    def __init__(self, inner: IStreamClientEndpoint, connections: _Connections) -> None:
        self._inner = inner
        self._connections = connections

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        connecting: Deferred[Any] = self._inner.connect(self._connections.wrap(protocolFactory))
        return connecting.addCallback(lambda connection: connection.wrappedProtocol)


@implementer(IAgentEndpointFactory)
class _Connections:
    """The connections of one probe: one, and one more for each redirect.

    :param reactor: makes them.
    :param creator: returns the TLS settings for a host.
    """

    def __init__(self, reactor: Any, creator: Any) -> None:
        self._reactor = reactor
        self._creator = creator
        self._factories: list[_ConnectionFactory] = []
        self._closed: Waiters[None] = Waiters()

    def endpointForURI(self, uri: URI) -> _Endpoint:
        host = uri.host.decode("ascii").strip("[]")
        endpoint = make_endpoint(self._reactor, host, uri.port)
        if uri.scheme == b"https":
            endpoint = wrapClientTLS(self._creator(host), endpoint)
        return _Endpoint(endpoint, self)

    def wrap(self, factory: IProtocolFactory) -> IProtocolFactory:
        """Return a factory whose connections are kept."""
        if isinstance(factory, Factory):
            # It would log each connection.
            factory.noisy = False
        wrapping = _ConnectionFactory(factory, lambda: self._closed.fire(None))
        self._factories.append(wrapping)
        return wrapping

    async def abort(self) -> None:
        """Abort the connections that are open, and wait until they are closed."""
        while connections := [each for factory in self._factories for each in factory.protocols]:
            closed = self._closed.wait()
            for connection in connections:
                connection.transport.abortConnection()
            await closed


class _Body(Protocol):
    """Reads the beginning of a body."""

    def __init__(self) -> None:
        self._data = bytearray()
        self.result: Deferred[bytes] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self._data += data
        if len(self._data) >= BODY_SIZE and not self.result.called:
            self.result.callback(bytes(self._data[:BODY_SIZE]))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.result.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.result.callback(bytes(self._data))
        else:
            self.result.errback(reason)


def _read(response: IResponse) -> Deferred[bytes]:
    body = _Body()
    response.deliverBody(body)
    return body.result


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise ValueError(f"{url!r} is no URL: {error}") from None
    if not valid or not url.isprintable() or " " in url:
        raise ValueError(f"{url!r} is no http or https URL")
    if "@" in parts.netloc:
        raise ValueError(f"the URL for {parts.hostname} has a user name: write an Authorization header")


def _read_certificates(path: str) -> list[Certificate]:
    try:
        found = _CERTIFICATE.findall(Path(path).read_bytes())
        certificates = [Certificate.loadPEM(each) for each in found]
    except Exception as error:
        # OpenSSL's own exceptions among them.
        raise ValueError(f"ca_file {path!r} cannot be read: {error}") from None
    if not certificates:
        raise ValueError(f"ca_file {path!r} has no certificate")
    return certificates
