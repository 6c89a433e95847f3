"""The states in the stream of events: "daemon" and "zookeeper", as /v1/daemon describes them."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.interfaces import IReactorTime

from txmirror.service.daemon import Daemon
from txmirror.service.report import describe_daemon
from txmirror.timers import Timer

#: The shortest and the longest interval of two descriptions, in seconds.
_INTERVAL, _LONGEST = 1.0, 60.0
#: The number of services, times that of streams, that may be described and sent in a second.
_PER_SECOND: Final = 2000


class EventStates:
    """Describes the daemon for the streams of events: once a second, or less often if there is much to send, and only while there are
    streams.

    :param daemon: the daemon.
    :param reactor: the reactor.
    """

    def __init__(self, daemon: Daemon, reactor: IReactorTime) -> None:
        self._daemon = daemon
        self._reactor = reactor
        self._timer = Timer(reactor, self._again)

    def start(self) -> None:
        """Begin."""
        self._daemon.readers.web.stream_begins = self._stream_begins

    def stop(self) -> None:
        """Describe the daemon no more."""
        self._daemon.readers.web.stream_begins = lambda: None
        self._timer.stop()

    def _stream_begins(self) -> None:
        # While the timer runs, the states are not older than its interval.
        if not self._timer.running:
            self._refresh()

    def _again(self) -> None:
        if self._daemon.readers.web.streams:
            self._refresh()

    def _refresh(self) -> None:
        web, services = self._daemon.readers.web, len(self._daemon.supervisor.services)
        log = web.log
        if log is not None:
            described: dict[str, Any] = describe_daemon(self._daemon)
            zookeeper = described.pop("zookeeper")
            log.set_state("zookeeper", zookeeper)
            log.set_state("daemon", described)
        self._timer.start(min(max(_INTERVAL, services * web.streams / _PER_SECOND), _LONGEST))
