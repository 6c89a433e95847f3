"""The rules of access: which requests are answered, and which are refused before their resource is asked."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Collection
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import ISSLTransport
from twisted.logger import Logger
from twisted.web.server import Request

from txmirror.web.calls import InvalidRequest, quoted
from txmirror.web.site.tokens import TokenFile

#: These change nothing. POST asks too: the one of Envoy has its question in the body.
_READING: Final = ("GET", "HEAD", "POST", "OPTIONS")
_HOST: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9_.-]+))(?::[0-9]{0,5})?")
#: A browser sends these to other sites without asking.
_FORMS: Final = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data")
_CHALLENGE: Final = {"WWW-Authenticate": 'Basic realm="txmirror", charset="UTF-8"'}
#: The interval between two log lines about wrong tokens, in seconds.
_INTERVAL: Final = 60.0


@attrs.define(eq=False)
class AccessRules:
    """The rules of one listener.

    A request that a browser sends for another site's page is refused in any case, except for a link that the user follows.

    :param hosts: the names in the header ``Host`` that are accepted, besides ``localhost`` and IP addresses, which no other site's name
        can become; None accepts any name.
    :param reading: whether everybody may read.
    :param changing: whether everybody may change something, by PUT or DELETE.
    :param token: the token that allows both; None if there is none.
    :param certificates: whether a client's certificate allows both. The listener has verified it.
    """

    hosts: Collection[str] | None = ()
    reading: bool = True
    changing: bool = False
    token: TokenFile | None = None
    certificates: bool = False

    _log = Logger()
    _next_line: float = attrs.field(default=float("-inf"), init=False)
    _wrong: int = attrs.field(default=0, init=False)

    def judge(self, request: Request) -> Deferred[None]:
        """Decide about a request.

        :returns: fires when the request may be answered. Fails with :exc:`~txmirror.web.InvalidRequest` if it is refused. Cancelling it
            ends the wait for the token.
        """
        try:
            given = self._examine(request)
        except InvalidRequest:
            return fail()
        if given is None or self.token is None:
            return succeed(None)
        return self.token.check(given).addCallback(self._judge_token, request)

    def _examine(self, request: Request) -> bytes | None:
        """Return the token that has to be compared; None if the request is allowed without.

        :raises InvalidRequest: it is refused.
        """
        self._check_origin(request, self._check_host(request))
        free = self.reading if request.method.decode("latin-1") in _READING else self.changing
        if free or (self.certificates and _has_certificate(request)):
            return None
        if self.token is None:
            raise InvalidRequest(self._refusal(), status=403)
        given = _given_token(request)
        if given is None:
            raise InvalidRequest("a token is needed", status=401, headers=_CHALLENGE)
        return given

    def _refusal(self) -> str:
        if self.certificates:
            return "a client's certificate is needed"
        return "changes are allowed at the control socket, or with a token or a client's certificate if the server has them"

    def _judge_token(self, right: bool | None, request: Request) -> None:
        if right is None:
            raise InvalidRequest("no token is accepted at the moment; the log of the server has the reason", status=503)
        if not right:
            self._note_wrong_token(request)
            raise InvalidRequest("the token is wrong", status=401, headers=_CHALLENGE)

    def _note_wrong_token(self, request: Request) -> None:
        """Log wrong tokens, now and then."""
        site: Any = request.site
        now = site.reactor.seconds()
        self._wrong += 1
        if now >= self._next_line:
            self._log.warn(
                "{count} {requests} with a wrong token: the last one is from {peer}.",
                count=self._wrong,
                requests="request" if self._wrong == 1 else "requests",
                peer=getattr(request.getClientAddress(), "host", "this machine"),
            )
            self._wrong, self._next_line = 0, now + _INTERVAL

    def _check_host(self, request: Request) -> str | None:
        """Return the header ``Host``, and refuse names of other sites: they may have been made to lead to this address."""
        found = _headers(request, b"host")
        if len(found) > 1:
            raise InvalidRequest("there is more than one Host header")
        if self.hosts is None:
            return found[0] if found else None
        if not found:
            raise InvalidRequest("there is no Host header")
        match = _HOST.fullmatch(found[0])
        if match is None:
            raise InvalidRequest(f"the Host header {quoted(found[0])} is invalid")
        if match[1] is None and not self._is_known(match[2]):
            raise InvalidRequest(f"the host {quoted(match[2])} is not one of the server's hosts", status=403)
        return found[0]

    def _is_known(self, name: str) -> bool:
        name = name.lower().rstrip(".")
        if name == "localhost" or name in {each.lower().rstrip(".") for each in self.hosts or ()}:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _check_origin(self, request: Request, host: str | None) -> None:
        """Refuse requests that a browser sends for another site."""
        line = "requests from other sites are refused"
        for origin in _headers(request, b"origin"):
            # A proxy in front of a listener without TLS may have it.
            scheme, _, authority = origin.partition("://")
            schemes = ("https",) if request.isSecure() else ("http", "https")
            if scheme.lower() not in schemes or host is None or authority.lower() != host.lower():
                raise InvalidRequest(f"{line}: the origin is {quoted(origin)}", status=403)
        for site in _headers(request, b"sec-fetch-site"):
            if site not in ("same-origin", "none") and not _follows_link(request):
                raise InvalidRequest(f"{line}: Sec-Fetch-Site is {quoted(site)}", status=403)
        for header in _headers(request, b"content-type"):
            kind = header.partition(";")[0].strip().lower()
            if self.hosts is not None and kind in _FORMS and request.method not in (b"GET", b"HEAD"):
                raise InvalidRequest(
                    f"the body is not JSON: its Content-Type is {quoted(kind)}, and must be application/json",
                    status=415,
                )


def _follows_link(request: Request) -> bool:
    """Return True if the user follows a link: the answer becomes a page of its own, which the other site cannot read."""
    return (
        request.method in (b"GET", b"HEAD")
        and _headers(request, b"sec-fetch-mode") == ["navigate"]
        and _headers(request, b"sec-fetch-dest") == ["document"]
    )


def _headers(request: Request, name: bytes) -> list[str]:
    """Return the values of a header, which need not be UTF-8."""
    return [value.decode("latin-1") for value in request.requestHeaders.getRawHeaders(name) or ()]


def _given_token(request: Request) -> bytes | None:
    """Return the token of a request: ``Bearer``, or the password of ``Basic``; None if there is none."""
    found: Any = request.requestHeaders.getRawHeaders(b"authorization") or []
    if len(found) > 1:
        raise InvalidRequest("there is more than one Authorization header")
    scheme, _, rest = (found[0] if found else b"").partition(b" ")
    if scheme.lower() == b"bearer":
        return bytes(rest.strip())
    if scheme.lower() != b"basic":
        return None
    try:
        _, colon, password = base64.b64decode(rest.strip(), validate=True).partition(b":")
    except binascii.Error:
        raise InvalidRequest("the Authorization header is invalid: it is not in base64") from None
    return password if colon else None


def _has_certificate(request: Request) -> bool:
    transport: Any = getattr(request.channel, "transport", None)
    return ISSLTransport.providedBy(transport) and transport.getPeerCertificate() is not None
