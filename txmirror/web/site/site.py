"""A site: a resource, its rules of access, and the limits of its connections."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.interfaces import IProtocolFactory
from twisted.web.resource import IResource
from twisted.web.server import Site
from zope.interface import implementer_only

from txmirror.web.site.requests import SiteChannel, SiteRequest
from txmirror.web.site.rules import AccessRules
from txmirror.web.site.sending import WaitingAnswers
from txmirror.web.site.turns import RequestTurns

#: The time limit for a request to be complete, and for the next one to begin, in seconds.
IDLE: Final = 30


# TLS negotiates no protocol: there is only one. Older Twisted would change OpenSSL's context for each connection, which pyOpenSSL refuses.
@implementer_only(IProtocolFactory)
class AccessSite(Site):
    """Answers requests by HTTP/1.1, as far as the rules allow.

    :param resource: answers the requests.
    :param rules: the rules of access.
    :param reactor: measures the time.
    :ivar turns: spreads requests over several turns of the reactor.
    :ivar large_bodies: the number of bodies of more than 64 KiB that are in memory.
    :ivar waiting_answers: the long answers that wait for their clients.
    """

    noisy = False
    # In place of a protocol that can also be HTTP/2.
    protocol: Any = SiteChannel

    def __init__(self, resource: IResource, rules: AccessRules, *, reactor: Any) -> None:
        super().__init__(resource, SiteRequest, timeout=IDLE, reactor=reactor)
        self.rules = rules
        self.turns: RequestTurns = RequestTurns(reactor)
        self.large_bodies = 0
        self.waiting_answers: WaitingAnswers = WaitingAnswers()

    def log(self, request: Any) -> None:
        """Log nothing: the part that a request changes logs the change."""

    def startFactory(self) -> None:
        """Do nothing: there is no log of requests."""

    def stopFactory(self) -> None:
        """Do nothing. See :meth:`startFactory`."""
