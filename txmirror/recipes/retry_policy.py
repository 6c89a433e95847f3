"""Asks again where the way to the servers, or a server itself, was the trouble."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.application.internet import backoffPolicy
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from txmirror.errors import (
    AuthFailedException,
    ClosingException,
    InvalidStateException,
    SessionExpiredException,
    ZooServerProblem,
)
from txmirror.interfaces import IWatchFeed, IZooKeeperClient
from txmirror.types import News, SessionEvent, WatchedEvent

_T = TypeVar("_T")

#: With these all is over that the session had.
SESSION_OVER = (SessionExpiredException, ClosingException, AuthFailedException, InvalidStateException)
#: The pauses from the second failure running on, in seconds.
_PAUSE = backoffPolicy(initialDelay=0.1, maxDelay=1.0, factor=2.0, jitter=lambda: 0.0)


class RetryPolicy:
    """Asks a client until there is an answer.

    The first failure is followed by another try at once: a client lets that wait until it is connected. For the case that one
    does not, or that a server is in trouble, there are pauses between further ones.

    :param client: who is asked.
    :param clock: runs the pauses.
    """

    def __init__(self, client: IZooKeeperClient, clock: IReactorTime) -> None:
        self._clock = clock
        self._feed: IWatchFeed | None = IWatchFeed(client, None)

    async def send(self, request: Callable[[], Deferred[_T]]) -> _T:
        """Ask until there is an answer. What is asked must do no harm when it is done twice.

        :param request: asks.
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
        """Ask likewise, with a watch, which is the caller's to cancel."""
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

        :param failures: how many there were, this one among them.
        """
        if isinstance(error, SESSION_OVER):
            raise error
        await self.pause(failures)

    async def pause(self, failures: int) -> None:
        """Pause, if this is not the first failure. With any step of the client's session the pause is over."""
        if failures < 2:
            return
        over: Deferred[None] = Deferred()
        timer = self._clock.callLater(_PAUSE(failures - 2), over.callback, None)

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
    """Wait for a watch no more, and take what comes of it."""
    for watch in watches:
        watch.addErrback(lambda _: None)
        watch.cancel()
