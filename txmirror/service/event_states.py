"""The states in the stream of events: "daemon" and "zookeeper", as /v1/daemon describes them, without its counters."""

from __future__ import annotations

from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from txmirror.service.daemon import Daemon
from txmirror.service.report import describe_daemon
from txmirror.timers import Timer
from txmirror.web.events import EventLog

#: The shortest and the longest interval of two descriptions, in seconds.
_INTERVAL, _LONGEST = 1.0, 60.0
#: The number of services that may be described in a second; and the same, times the number of streams, that may be sent.
_DESCRIBED: Final = 200
_SENT: Final = 2000
#: The shortest interval of two events with nothing new but the results of checks that state the same; for each stream; and the longest.
_MEASURED, _MEASURED_OF_EACH, _MEASURED_LONGEST = 5.0, 0.06, 60.0
#: The values of a check that differ after each of its runs.
_RESULTS: Final = ("passed", "failed", "time", "seconds", "output")
#: A latency below this, in seconds, and any change of one by less than this factor, is not of interest.
_LATENCY, _FACTOR = 0.01, 2.0


@attrs.frozen
class _Sent:
    """The states that all streams of a log have."""

    log: EventLog
    """The log."""
    time: float
    """When the daemon's was sent."""
    daemon: dict[str, Any]
    """The daemon's, without the results of its checks."""
    zookeeper: dict[str, Any]
    """That of the connection."""


class EventStates:
    """Describes the daemon for the streams of events: once a second, or less often if there is much to send, and only while there are
    streams.

    An event is sent at once if something of interest has changed: neither counters, which events do not have, nor measured values. The
    results of checks that state the same as before follow every 5 seconds, with many streams less often, up to once a minute.

    :param daemon: the daemon.
    :param reactor: the reactor.
    """

    _log = Logger()

    def __init__(self, daemon: Daemon, reactor: IReactorTime) -> None:
        self._daemon = daemon
        self._timer = Timer(reactor, self._again)
        self._describing = self._stopped = False
        self._reactor = reactor
        self._sent: _Sent | None = None

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
        describing.addErrback(
            lambda failure: self._log.failure(
                "The states for the event streams could not be read because of a bug.", failure=failure
            )
        )
        describing.addCallback(lambda _: self._described())

    async def _describe(self) -> None:
        described: dict[str, Any] = await describe_daemon(self._daemon)
        log = self._daemon.readers.web.log
        if log is not None:
            self._set(log, described, described.pop("zookeeper"))

    def _set(self, log: EventLog, daemon: dict[str, Any], zookeeper: dict[str, Any]) -> None:
        _remove_counters(daemon)
        lasting, now = _without_results(daemon), self._reactor.seconds()
        sent = self._sent if self._sent is not None and self._sent.log is log else None
        pause = min(max(_MEASURED, _MEASURED_OF_EACH * self._daemon.readers.web.streams), _MEASURED_LONGEST)
        same_daemon = sent is not None and sent.daemon == lasting and now - sent.time < pause
        same_zookeeper = sent is not None and _is_same_connection(sent.zookeeper, zookeeper)
        log.set_state("zookeeper", zookeeper, quiet=same_zookeeper)
        log.set_state("daemon", daemon, quiet=same_daemon)
        self._sent = _Sent(
            log,
            sent.time if sent is not None and same_daemon else now,
            lasting,
            sent.zookeeper if sent is not None and same_zookeeper else zookeeper,
        )

    def _described(self) -> None:
        self._describing = False
        if not self._stopped:
            services, streams = len(self._daemon.supervisor.services), self._daemon.readers.web.streams
            pause = max(_INTERVAL, services / _DESCRIBED, services * streams / _SENT)
            self._timer.start(min(pause, _LONGEST))


def _remove_counters(daemon: dict[str, Any]) -> None:
    """Remove the values that change with each request and each write, and of which nobody needs to be notified."""
    for each in (daemon["readers"]["http"], daemon["readers"]["dns"]):
        if each is not None:
            each.pop("replies", None)
            each.pop("streams", None)
    for each in daemon["output_files"]:
        each.pop("writes", None)


def _without_results(daemon: dict[str, Any]) -> dict[str, Any]:
    """Return a state of the daemon without the values that differ after each run of a check, and the time that is left of a hold."""
    services = []
    for service in daemon["services"]:
        checks = [{key: check[key] for key in check if key not in _RESULTS} for check in service["checks"]]
        lasting = {**service, "checks": checks}
        if lasting["held_for"] is not None:
            # The reason has the same seconds.
            lasting["held_for"] = lasting["why"] = ""
        services.append(lasting)
    return {**daemon, "services": services}


def _is_same_connection(sent: dict[str, Any], now: dict[str, Any]) -> bool:
    """Return whether nothing of interest has changed: clients add to the age themselves, and a latency always differs a little."""
    if {**sent, "age": 0, "latency": 0} != {**now, "age": 0, "latency": 0}:
        return False
    before, after = sent["latency"], now["latency"]
    if before is None or after is None:
        return before is after
    before, after = max(before, _LATENCY), max(after, _LATENCY)
    return bool(before < after * _FACTOR and after < before * _FACTOR)
