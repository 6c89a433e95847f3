"""The web application of a daemon: the registered services, its own state, the metrics and the page."""

from __future__ import annotations

from twisted.web.resource import IResource

from txmirror.service.daemon import Daemon
from txmirror.service.daemon_routes import mount_daemon
from txmirror.service.metrics import mount_metrics
from txmirror.web import make_application
from txmirror.web.api import API
from txmirror.web.page import mount_page


def make_root(daemon: Daemon) -> IResource:
    """Return the web application of a daemon, for a site of another program too.

    It answers all requests alike: the site's rules decide which ones reach it.
    """
    reactor = daemon.registrations.reactor
    web = daemon.readers.web
    return make_application(
        API(web, random=daemon.random, reactor=reactor).mount,
        web.mount,
        mount_daemon(daemon),
        mount_metrics(daemon),
        mount_page(lambda: web.catalog, reactor),
        replied=daemon.counts.http.http_replied,
        seconds=reactor.seconds,
    ).resource()
