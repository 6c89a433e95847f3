"""A check whose results the service itself pushes, within a time limit."""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from txmirror.checks.interfaces import ICheck
from txmirror.checks.results import Result, Status
from txmirror.durations import check_seconds
from txmirror.timers import Timer


@implementer(ICheck)
class TTLCheck:
    """A check that fails unless the service pushes a result in time, again and again.

    It knows nothing before the first push. The time limit begins with the first :meth:`run`, and again with each push. If several
    results are pushed before the next :meth:`run`, the latest one counts.

    :param ttl: the time limit in seconds.
    :param clock: measures it.
    :raises TypeError: ``ttl`` is no number.
    :raises ValueError: ``ttl`` is out of range.
    """

    kind = "ttl"
    pushed = True

    def __init__(self, ttl: float, *, clock: IReactorTime) -> None:
        check_seconds("ttl", ttl, positive=True)
        self.description: str = f"ttl {ttl:g} s"
        self._ttl = ttl
        self._clock = clock
        self._timer = Timer(clock, self._expired)
        self._pushed: Result | None = None
        self._expires: float | None = None
        self._waiting: Deferred[Result] | None = None

    def push(self, status: Status, note: str = "", *, age: float = 0.0) -> None:
        """Push a result.

        :param status: the verdict.
        :param note: an explanation for people.
        :param age: the seconds since it was pushed, for one from before a restart.
        """
        self._expires = self._clock.seconds() + self._ttl - age
        self._pushed = Result(status, note)
        self._fire()

    def run(self) -> Deferred[Result]:
        """Wait for the next push, or for the end of the time limit, which is a failure. Cancelling ends the wait."""
        if self._pushed is not None:
            result, self._pushed = self._pushed, None
            return succeed(result)
        now = self._clock.seconds()
        if self._expires is None:
            self._expires = now + self._ttl
        self._timer.start(self._expires - now)
        self._waiting = Deferred(self._cancelled)
        return self._waiting

    def _expired(self) -> None:
        self._expires = None
        self._pushed = Result(Status.FAIL, f"nothing was pushed for {self._ttl:g} s")
        self._fire()

    def _fire(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self._timer.stop()
            assert self._pushed is not None
            result, self._pushed = self._pushed, None
            waiting.callback(result)

    def _cancelled(self, waiting: Deferred[Result]) -> None:
        self._waiting = None
        self._timer.stop()
