"""The daemon's messages to systemd: its start, reload and stop, its status, its watchdog, and more time for the stop."""

from __future__ import annotations

import time
from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from txmirror.service.daemon import Daemon, Phase
from txmirror.service.summary import summarise
from txmirror.service.systemd import Notifier, SystemdVariables
from txmirror.service.watchdog import Watchdog, find_standstill
from txmirror.timers import Timer

#: The shortest interval of two statuses, in seconds.
_STATUS_INTERVAL = 1.0
#: With more services than this, a status is made less often: for 1000 services it takes some 10 ms.
_QUICK_SERVICES = 200
#: The longest status, in characters. systemd ignores a message of more than 4096 bytes.
_LONGEST_STATUS = 900
#: The interval at which a stop asks for more time, and the time that it asks for, in seconds.
_EXTENSION_INTERVAL, _EXTENSION = 5.0, 15.0
#: The time for the end of the process, after ``stop_timeout``, in seconds.
_LEEWAY = 5.0


class Notifications:
    """Notifies systemd of what the daemon does, from its start to the end of its stop. Without systemd it does nothing.

    :param daemon: the daemon.
    :param variables: the variables that systemd has set.
    :param clock: runs the timers. Jumps of the wall clock must not affect it.
    :param monotonic_ns: returns the time of ``CLOCK_MONOTONIC``, in nanoseconds.
    """

    def __init__(
        self,
        daemon: Daemon,
        variables: SystemdVariables,
        clock: IReactorTime,
        *,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._daemon = daemon
        self._clock = clock
        self._monotonic_ns = monotonic_ns
        self._notifier = None if variables.address is None else Notifier(variables.address, clock)
        self._watchdog: Watchdog | None = None
        if variables.watchdog is not None:
            self._watchdog = Watchdog(
                variables.watchdog, lambda: find_standstill(daemon), lambda: self._send("WATCHDOG=1"), clock
            )
        self._ready = Timer(clock, self._started)
        self._status_timer = Timer(clock, self._refresh_status)
        self._status = ""
        self._reloads = 0
        self._reload_failed = False
        self._extension = Timer(clock, self._extend)
        self._stop_by = 0.0

    def start(self) -> None:
        """Notify systemd that the daemon has started, as soon as the reactor runs and the signal handlers are installed."""
        if self._notifier is not None:
            self._daemon.watch(self, self._phase_changed)
            self._ready.start(0)

    def stop(self) -> None:
        """Notify systemd of nothing more: the daemon has stopped."""
        self._daemon.unwatch(self)
        for timer in (self._ready, self._status_timer, self._extension):
            timer.stop()
        if self._watchdog is not None:
            self._watchdog.stop()
        if self._notifier is not None:
            self._notifier.close()

    def _send(self, *assignments: str, keep: bool = False) -> None:
        assert self._notifier is not None
        self._notifier.send(*assignments, keep=keep)

    def _started(self) -> None:
        self._send("READY=1", self._new_status(), keep=True)
        if self._watchdog is not None:
            self._watchdog.start()

    def _phase_changed(self, phase: Phase) -> None:
        if phase is Phase.STOPPING:
            self._stopping()
            return
        self._reloads += 1 if phase is Phase.RELOADING else -1
        if phase is not Phase.RELOADING:
            self._reload_failed = phase is Phase.NOT_RELOADED
        if self._ready.running or self._daemon.stopping:
            # A message would contradict the last one, or the next one.
            return
        if phase is Phase.RELOADING:
            self._send("RELOADING=1", f"MONOTONIC_USEC={self._monotonic_ns() // 1000}", keep=True)
        elif self._reloads == 0:
            self._send("READY=1", self._new_status(), keep=True)

    def _stopping(self) -> None:
        self._ready.stop()
        self._status_timer.stop()
        timeout = self._daemon.configuration.daemon.stop_timeout
        self._stop_by = self._clock.seconds() + timeout + _LEEWAY
        self._send("STOPPING=1", f"STATUS=Stopping, which takes {timeout:g} s at the most.", keep=True)
        self._extend()

    def _extend(self) -> None:
        left = self._stop_by - self._clock.seconds()
        if left > 0:
            self._send(f"EXTEND_TIMEOUT_USEC={round(min(left, _EXTENSION) * 1e6)}")
            self._extension.start(_EXTENSION_INTERVAL)

    # The status.

    def _refresh_status(self) -> None:
        status = self._summarise()
        if status != self._status:
            self._send(self._new_status(status))
        else:
            self._start_status_timer()

    def _new_status(self, status: str | None = None) -> str:
        """Return the status for a message that is sent now."""
        self._status = self._summarise() if status is None else status
        self._start_status_timer()
        return f"STATUS={self._status[:_LONGEST_STATUS]}"

    def _start_status_timer(self) -> None:
        factor = max(1.0, len(self._daemon.supervisor.services) / _QUICK_SERVICES)
        self._status_timer.start(_STATUS_INTERVAL * factor)

    def _summarise(self) -> str:
        parts = [summarise(self._daemon)]
        if self._reload_failed:
            parts.append("the last reload has failed")
        if self._watchdog is not None and self._watchdog.reason:
            parts.append(self._watchdog.reason)
        return f"{'; '.join(parts)}."
