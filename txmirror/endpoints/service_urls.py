"""URLs that name a service in place of a host, and the redirects of its instances."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urljoin, urlsplit, urlunsplit, uses_fragment, uses_netloc, uses_relative

import attrs
from hyperlink import register_scheme
from twisted.web.client import URI
from twisted.web.http_headers import Headers

from txmirror.paths import join, normalise, validate

#: The schemes of these URLs, and those for the instances.
_SCHEMES = {b"http+mirror": b"http", b"https+mirror": b"https"}
_PORTS = {b"http": 80, b"https": 443}

# Others resolve URLs and scope cookies too: ``urljoin`` in Twisted's ``RedirectAgent``, and hyperlink in treq.
for _scheme, _plain in _SCHEMES.items():
    register_scheme(_scheme.decode(), default_port=_PORTS[_plain])
    for _names in (uses_relative, uses_netloc, uses_fragment):
        if _scheme.decode() not in _names:
            _names.append(_scheme.decode())

#: A host name, in lower case. A port, a user and an address in brackets are none.
_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")


@attrs.frozen
class ServiceURL:
    """The parts of a URL that names a service."""

    scheme: bytes
    """The scheme for the instances: ``http`` or ``https``."""
    service: bytes
    """The name of the service, in lower case."""
    path: str
    """The path of the service in the registry."""
    target: bytes
    """The path and the query for an instance."""

    def at(self, authority: bytes) -> bytes:
        """Return the URL at a host in place of the service."""
        return b"%b://%b%b" % (self.scheme, authority, self.target)

    def resolve_redirect(self, headers: Headers, host: str, port: int) -> None:
        """Make a ``Location`` absolute, and let it name the service, if it names the host of the URL or the instance.

        :param headers: the headers of a response, which are changed.
        :param host: the address of the instance that has answered.
        :param port: its port.
        """
        locations = headers.getRawHeaders(b"Location")
        if locations:
            headers.setRawHeaders(b"Location", [self._of_service(each, host, port) for each in locations])

    def _of_service(self, location: bytes, host: str, port: int) -> bytes:
        try:
            parts = urlsplit(urljoin(self.at(self.service), location))
            named = parts.hostname == self.service or (
                parts.hostname == host.lower().encode() and (parts.port or _PORTS.get(parts.scheme)) == port
            )
        except ValueError:
            # It is no URL, or not in ASCII. The program gets it as it is.
            return location
        if not named or parts.scheme not in _PORTS:
            return urlunsplit(parts)
        return urlunsplit(parts._replace(scheme=parts.scheme + b"+mirror", netloc=self.service))


class ServiceURLs:
    """Reads URLs such as ``http+mirror://web/path``.

    :param root: the path above the services.
    :param services: the paths of further services, by their names in URLs.
    :raises ValueError: a path or a name is invalid; the message quotes it.
    """

    def __init__(self, root: str, services: Mapping[str, str]) -> None:
        self._root = validate(normalise(root))
        self._services = {}
        for name, path in services.items():
            if not _NAME.fullmatch(name.lower()):
                raise ValueError(f"{name!r} cannot be the name of a service in a URL")
            self._services[name.lower()] = validate(normalise(path))

    def read(self, uri: bytes) -> ServiceURL | None:
        """Return the parts of a URL; None if it has another scheme.

        :raises ValueError: it does not name a service, or has a user or a port; the message quotes it.
        """
        try:
            parts = URI.fromBytes(uri)
        except ValueError as error:
            raise ValueError(f"{uri!r:.200} is no URL: {error}") from None
        scheme = _SCHEMES.get(parts.scheme)
        if scheme is None:
            return None
        name = parts.netloc.decode("ascii", "replace").lower()
        if not _NAME.fullmatch(name):
            raise ValueError(f"{uri!r:.200}: the host must be the name of a service, without a user and a port")
        path = self._services.get(name) or join(self._root, name)
        return ServiceURL(scheme, name.encode(), path, parts.originForm)
