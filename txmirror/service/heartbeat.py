"""A file that is touched while the daemon makes progress, for a supervisor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from txmirror.threads import run_in_thread
from txmirror.timers import Timer

#: The interval in seconds.
_INTERVAL = 10.0


class Heartbeat:
    """Touches a file every ten seconds, unless a check is stuck. An outage of ZooKeeper does not stop it.

    :param path: the file.
    :param stuck: returns the names of the checks that make no progress.
    :param reactor: the reactor.
    """

    _log = Logger()

    def __init__(self, path: str, stuck: Callable[[], Sequence[str]], reactor: IReactorTime) -> None:
        self._path = Path(path)
        self._stuck = stuck
        self._reactor = reactor
        self._timer = Timer(reactor, self.start)
        self._said = ""

    def start(self) -> None:
        """Touch the file, and go on."""
        self._timer.start(_INTERVAL)
        stuck = self._stuck()
        if stuck:
            self._say(f"the checks {', '.join(stuck)} make no progress")
        else:
            Deferred.fromCoroutine(self._touch()).addErrback(
                lambda failure: self._log.failure("The heartbeat failed because of a bug.", failure=failure)
            )

    def stop(self) -> None:
        """Stop; the file stays."""
        self._timer.stop()

    async def _touch(self) -> None:
        try:
            await run_in_thread(self._reactor, self._path.touch)
        except OSError as error:
            self._say(str(error))
        else:
            self._said = ""

    def _say(self, reason: str) -> None:
        if reason != self._said:
            self._said = reason
            self._log.error("The heartbeat file {path} is not touched: {reason}.", path=str(self._path), reason=reason)
