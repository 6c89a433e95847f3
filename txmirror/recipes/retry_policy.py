"""Send requests again after connection failures and server failures, with a backoff."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from twisted.application.internet import backoffPolicy
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from txmirror.errors import SessionExpiredException, ZooServerProblem
from txmirror.interfaces import IWatchFeed, IZooKeeperClient
from txmirror.types import News, SessionEvent, WatchedEvent

_T = TypeVar("_T")

#: The pauses from the second failure in a row on, in seconds.
_PAUSE = backoffPolicy(initialDelay=0.1, maxDelay=1.0, factor=2.0, jitter=lambda: 0.0)


class RetryPolicy:
    """Sends a request until it is answered.

    The first retry is sent at once: a client lets it wait until it is connected. The client may not do that, or the server
    may be in trouble, so there are pauses before further retries.

    :param client: the client of the requests; a step of its session ends a pause.
    :param clock: runs the pauses.
    :param through_sessions: whether to send a request again in a new session after the session has expired, too.
    """

    def __init__(self, client: IZooKeeperClient, clock: IReactorTime, *, through_sessions: bool = False) -> None:
        self._clock = clock
        self._through_sessions = through_sessions
        self._feed: IWatchFeed | None = IWatchFeed(client, None)

    async def send(self, request: Callable[[], Deferred[_T]]) -> _T:
        """Send a request until it is answered. It must do no harm when it is done twice.

        :param request: sends it.
        :raises ZooKeeperException: it was refused, or the session is over.
        """
        failures = 0
        while True:
            try:
                return await request()
            except ZooServerProblem as error:
                failures += 1
                await self.retry(error, failures)

    async def send_and_watch(
        self, request: Callable[[], tuple[Deferred[_T], Deferred[WatchedEvent]]]
    ) -> tuple[_T, Deferred[WatchedEvent]]:
        """Send a request that leaves a watch until it is answered. The caller has to cancel the watch."""
        watches: list[Deferred[WatchedEvent]] = []

        def send() -> Deferred[_T]:
            answer, watch = request()
            watches.append(watch)
            return answer

        try:
            answer = await self.send(send)
        except BaseException:
            discard(*watches)
            raise
        discard(*watches[:-1])
        return answer, watches[-1]

    async def retry(self, error: ZooServerProblem, failures: int) -> None:
        """Pause after a failure, if another try may help; else raise it again.

        :param failures: the number of failures so far, with this one.
        """
        if error.session_over and not (self._through_sessions and isinstance(error, SessionExpiredException)):
            raise error
        await self.pause(failures)

    async def pause(self, failures: int) -> None:
        """Pause, unless this is the first failure. Any step of the client's session ends the pause."""
        if failures >= 2:
            await self.pause_for(_PAUSE(failures - 2))

    async def pause_for(self, seconds: float) -> None:
        """Pause. Any step of the client's session ends the pause, so that a closed client leaves no timer."""
        over: Deferred[None] = Deferred()
        timer = self._clock.callLater(seconds, over.callback, None)

        def notified(news: News) -> None:
            if isinstance(news, SessionEvent) and not over.called:
                over.callback(None)

        if self._feed is not None:
            self._feed.add_listener(notified)
        try:
            await over
        finally:
            if self._feed is not None:
                self._feed.remove_listener(notified)
            if timer.active():
                timer.cancel()


def discard(*watches: Deferred[Any]) -> None:
    """Cancel watches, and ignore their errors."""
    for watch in watches:
        watch.addErrback(lambda _: None)
        watch.cancel()


async def first_of(watches: Iterable[Deferred[Any]]) -> None:
    """Wait until one of several watches fires or fails. They keep their results, and are not cancelled."""
    fired: Deferred[None] = Deferred()

    def fire(outcome: _T) -> _T:
        if not fired.called:
            fired.callback(None)
        return outcome

    for watch in watches:
        watch.addBoth(fire)
    await fired
