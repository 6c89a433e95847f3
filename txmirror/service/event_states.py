"""The states in the stream of events: "daemon" and "zookeeper", as /v1/daemon describes them."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from txmirror.service.daemon import Daemon
from txmirror.service.report import describe_daemon
from txmirror.timers import Timer

#: The shortest and the longest interval of two descriptions, in seconds.
_INTERVAL, _LONGEST = 1.0, 60.0
#: The number of services that may be described in a second; and the same, times the number of streams, that may be sent.
_DESCRIBED: Final = 200
_SENT: Final = 2000


class EventStates:
    """Describes the daemon for the streams of events: once a second, or less often if there is much to send, and only while there are
    streams.

    :param daemon: the daemon.
    :param reactor: the reactor.
    """

    _log = Logger()

    def __init__(self, daemon: Daemon, reactor: IReactorTime) -> None:
        self._daemon = daemon
        self._timer = Timer(reactor, self._again)
        self._describing = self._stopped = False

    def start(self) -> None:
        """Begin."""
        self._daemon.readers.web.stream_begins = self._stream_begins

    def stop(self) -> None:
        """Describe the daemon no more."""
        self._daemon.readers.web.stream_begins = lambda: None
        self._stopped = True
        self._timer.stop()

    def _stream_begins(self) -> None:
        # While the timer runs, the states are not older than its interval.
        if not self._timer.running and not self._describing:
            self._refresh()

    def _again(self) -> None:
        if self._daemon.readers.web.streams:
            self._refresh()

    def _refresh(self) -> None:
        self._describing = True
        # With few services it is done at once.
        describing = Deferred.fromCoroutine(self._describe())
        describing.addErrback(lambda failure: self._log.failure("The daemon could not be described.", failure=failure))
        describing.addCallback(lambda _: self._described())

    async def _describe(self) -> None:
        described: dict[str, Any] = await describe_daemon(self._daemon)
        log = self._daemon.readers.web.log
        if log is not None:
            log.set_state("zookeeper", described.pop("zookeeper"))
            log.set_state("daemon", described)

    def _described(self) -> None:
        self._describing = False
        if not self._stopped:
            services, streams = len(self._daemon.supervisor.services), self._daemon.readers.web.streams
            pause = max(_INTERVAL, services / _DESCRIBED, services * streams / _SENT)
            self._timer.start(min(pause, _LONGEST))
