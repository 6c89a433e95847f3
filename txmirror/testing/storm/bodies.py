"""The bodies of requests in a storm."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IConsumer, IReactorTime
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer
from zope.interface import implementer

from txmirror.timers import Timer


@implementer(IBodyProducer)
class StormBody:
    """A body that is produced at once, or in two parts. An agent must begin it at most once.

    :param data: its bytes.
    :param pause: the time between the parts in seconds; 0 for one part.
    :param known: whether its length is stated.
    :param began_again: called when it is begun for the second time.
    :param reactor: runs the timer.
    """

    def __init__(
        self, data: bytes, pause: float, *, known: bool, began_again: Callable[[], object], reactor: IReactorTime
    ) -> None:
        self.length: int = len(data) if known else UNKNOWN_LENGTH  # type: ignore[assignment]
        self._data = data
        self._pause = pause
        self._began_again = began_again
        self._timer = Timer(reactor, self._write_rest)
        self._begun = False
        self._paused = self._late = False
        self._consumer: IConsumer | None = None
        self._done: Deferred[None] = Deferred(lambda _: self.stopProducing())

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        if self._begun:
            self._began_again()
        self._begun = True
        if not self._pause or len(self._data) < 2:
            # An empty chunk would end a body of unknown length.
            if self._data:
                consumer.write(self._data)
            return succeed(None)
        self._consumer = consumer
        consumer.write(self._data[: len(self._data) // 2])
        self._timer.start(self._pause)
        return self._done

    def _write_rest(self) -> None:
        self._late = self._paused
        if not self._paused and self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            consumer.write(self._data[len(self._data) // 2 :])
            self._done.callback(None)

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        if self._late:
            self._write_rest()

    def stopProducing(self) -> None:
        self._consumer = None
        self._timer.stop()
