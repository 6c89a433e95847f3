"""The servers for readers, HTTP and DNS: each with its settings, and the mirror that its readers may see."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from txmirror.configuration import Configuration, HTTPServer
from txmirror.dns import DNSService
from txmirror.interfaces import IZooKeeperClient
from txmirror.mirror import Mirror
from txmirror.service.catalogs import Catalogs, CatalogUse
from txmirror.service.counts import ReplyCounts
from txmirror.service.http import HTTPService
from txmirror.service.mirrors import MirrorSource, OwnMirror, ReadingSession
from txmirror.service.naming import apply_dns
from txmirror.service.web_contents import WebContents


class Readers:
    """Serves readers by HTTP and DNS.

    If the daemon has credentials, they read by a session without them, unless ``credentials = true`` is set for one of the servers.

    :param make_client: makes a client without credentials.
    :param counts: counts the replies of DNS.
    :param random: the random numbers of the mirror, and of the order of answers by DNS.
    :param reactor: the reactor.
    :ivar web: the contents of the web application.
    :ivar http: the HTTP server, a service.
    :ivar dns: the DNS server, a service.
    :ivar session: the session without credentials.
    """

    def __init__(
        self, make_client: Callable[[], IZooKeeperClient], counts: ReplyCounts, random: Random, reactor: Any
    ) -> None:
        self._own = OwnMirror()
        self.session: ReadingSession = ReadingSession(make_client, self._is_connected, random, reactor)
        self._catalogs = Catalogs()
        self.web: WebContents = WebContents(self._catalogs, reactor)
        self.http: HTTPService = HTTPService(reactor)
        self.dns: DNSService = DNSService(random=random, replied=counts.dns_replied, reactor=reactor)
        self._dns_source: tuple[MirrorSource, str] | None = None
        self._dns_catalog: CatalogUse | None = None

    def apply(self, configuration: Configuration) -> None:
        """Serve by this configuration from now on."""
        # Without [http], the control socket shows the same.
        http, dns = configuration.http or HTTPServer(), configuration.dns
        identifies = configuration.zookeeper.access.identifies

        def choose(*, credentials: bool) -> MirrorSource:
            return self.session if identifies and not credentials else self._own

        self.web.apply(choose(credentials=http.credentials), http.root, http.streams)
        self.http.apply(configuration.http)
        self._let_dns_read(None if dns is None else (choose(credentials=dns.credentials), dns.root))
        apply_dns(dns, self.dns)

    def use(self, mirror: Mirror) -> None:
        """Read by this mirror, the daemon's own, from now on."""
        self._own.mirror = mirror
        source = self._dns_source
        if source is not None and source[0] is self._own:
            self._use_for_dns(source)

    def start(self) -> None:
        """Begin to listen. It never fails."""
        self.http.startService()
        self.dns.startService()

    def stop(self) -> Deferred[Any]:
        """End all answers, and stop listening.

        :returns: fires then, in a bounded time; it never fails.
        """
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        # Streams end before their port, so that their clients see the end.
        self.web.finish()
        stopped = [self.http.stopService(), self.dns.stopService()]
        # Before any wait: this one may be cancelled.
        self._let_dns_read(None)
        await gatherResults([*stopped, self.session.when_closed()])

    def _let_dns_read(self, source: tuple[MirrorSource, str] | None) -> None:
        if source != self._dns_source:
            self._dns_source = source
            self._use_for_dns(source)

    def _use_for_dns(self, source: tuple[MirrorSource, str] | None) -> None:
        former = self._dns_catalog
        self._dns_catalog = use = None if source is None else self._catalogs.acquire(*source)
        self.dns.use(None if use is None else use.catalog)
        if former is not None:
            former.release()

    def _is_connected(self) -> bool:
        return self._own.mirror is not None and self._own.mirror.is_connected()
