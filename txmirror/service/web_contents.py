"""The contents of the web application: the catalog and the events of a mirror, from the first request for them on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import Resource

from txmirror.catalog import Catalog
from txmirror.mirror import Mirror
from txmirror.service.catalogs import Catalogs, CatalogUse
from txmirror.service.mirrors import MirrorSource
from txmirror.timers import Timer
from txmirror.web import Application, Call, InvalidRequest
from txmirror.web.events import EventCounts, EventLog, EventStreams, mount_streams

#: The seconds without a request after which the mirror is no longer used. The catalog follows the services for as long.
_IDLE: Final = 900.0
_RETRY: Final = {"Retry-After": "1"}


@attrs.frozen
class _Contents:
    """The contents that belong to one catalog."""

    use: CatalogUse
    log: EventLog
    streams: EventStreams

    @property
    def in_use(self) -> bool:
        """True if somebody waits for a change, or follows the events."""
        return bool(len(self.streams)) or self.use.catalog.waiting > 0

    def close(self) -> None:
        """End all waits and streams, and leave the catalog."""
        self.streams.finish_all()
        self.log.close()
        self.use.catalog.end_waits()
        self.use.release()


class WebContents:
    """The catalog, the events and the mirror that the web application shows.

    They are made at the first request, and closed when there was none for 15 minutes, so that a mirror that nobody else needs can be
    closed, too. It is a :class:`~txmirror.web.api.Readers`.

    :param catalogs: the catalogs, which other readers share.
    :param reactor: the reactor.
    :ivar counts: counts the work of the event streams.
    :ivar stream_begins: called before a stream of events begins, so that the states in its snapshot can be set.
    """

    def __init__(self, catalogs: Catalogs, reactor: IReactorTime) -> None:
        self.stream_begins: Callable[[], object] = lambda: None
        self.counts: EventCounts = EventCounts()
        self._catalogs = catalogs
        self._reactor = reactor
        self._source: MirrorSource | None = None
        self._root = "/"
        self._most_streams = 1
        self._contents: _Contents | None = None
        self._finished = False
        self._used = 0.0
        self._idle = Timer(reactor, self._idle_over)

    def apply(self, source: MirrorSource, root: str, most_streams: int) -> None:
        """Show the services below ``root``, by the mirror of ``source``, from now on. If one of them has changed,
        all streams end, and their clients connect again.
        """
        if (source, root, most_streams) != (self._source, self._root, self._most_streams):
            self._source, self._root, self._most_streams = source, root, most_streams
            self._close()

    def finish(self) -> None:
        """End all streams and waits. The last known state can still be read."""
        if not self._finished:
            self._finished = True
            self._idle.stop()
            if self._contents is not None:
                self._contents.close()

    @property
    def catalog(self) -> Catalog | None:
        """The services; None if there is no mirror yet."""
        contents = self._use()
        return None if contents is None else contents.use.catalog

    @property
    def mirror(self) -> Mirror | None:
        """The mirror; None if there is none yet."""
        contents = self._use()
        return None if contents is None else contents.use.mirror

    @property
    def log(self) -> EventLog | None:
        """The events; None if nobody has asked for anything yet."""
        return None if self._contents is None else self._contents.log

    @property
    def streams(self) -> int:
        """The number of open streams."""
        return 0 if self._contents is None else len(self._contents.streams)

    @property
    def waiting(self) -> int:
        """The number of requests that wait for a change."""
        return 0 if self._contents is None else self._contents.use.catalog.waiting

    def mount(self, application: Application) -> None:
        """Add the route of the events to an application."""
        mount_streams(application, self._open_stream)

    def _open_stream(self, call: Call) -> Resource:
        contents = self._use()
        if contents is None:
            raise InvalidRequest("there is no session with ZooKeeper yet", status=503, headers=_RETRY)
        self.stream_begins()
        return contents.streams.open(call)

    def _use(self) -> _Contents | None:
        self._used = self._reactor.seconds()
        if self._contents is None and self._source is not None and not self._finished:
            self._open(self._source)
        return self._contents

    def _open(self, source: MirrorSource) -> None:
        use = self._catalogs.acquire(source, self._root)
        if use is None:
            return
        log = EventLog(use.catalog, counts=self.counts)
        self._contents = _Contents(use, log, EventStreams(log, most=self._most_streams))
        self._idle.start(_IDLE)

    def _close(self) -> None:
        self._idle.stop()
        contents, self._contents = self._contents, None
        if contents is not None:
            contents.close()

    def _idle_over(self) -> None:
        left = self._used + _IDLE - self._reactor.seconds()
        if self._contents is not None and self._contents.in_use:
            self._idle.start(_IDLE)
        elif left > 0:
            self._idle.start(left)
        else:
            self._close()
