"""Choose how to ask the servers: by words, or by HTTP."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from txmirror.cli.servers.admin import AdminAsker
from txmirror.cli.servers.answers import Asker
from txmirror.cli.servers.words import WordAsker
from txmirror.cli.settings import Settings


def make_asker(reactor: IReactorTime, settings: Settings) -> Asker:
    """Return the asker that the settings choose."""
    if settings.admin_port is not None:
        return AdminAsker(reactor, settings.timeout, settings.admin_port)
    return WordAsker(reactor, settings.timeout, None if settings.access.tls is None else settings.access.tls.prepare())
