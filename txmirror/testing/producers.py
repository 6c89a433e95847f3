"""The producer of a connection in memory."""

from __future__ import annotations

from twisted.internet.interfaces import IProducer, IPushProducer

#: A push producer is paused when more bytes than this wait to be delivered: as on a socket.
_BUFFER_SIZE = 2**16


class RegisteredProducer:
    """The producer that a protocol has registered; False if there is none. It is paused while much data waits."""

    def __init__(self) -> None:
        self._producer: IProducer | None = None
        self._streaming = False
        self._paused = False

    def __bool__(self) -> bool:
        return self._producer is not None

    def register(self, producer: IProducer, streaming: bool) -> None:
        """Register a producer, and ask it for data if it is a pull producer.

        :raises RuntimeError: another one is registered.
        """
        if self._producer is not None:
            raise RuntimeError(f"{self._producer!r} is registered, and was not unregistered")
        self._producer = producer
        self._streaming = streaming
        self._paused = False
        if not streaming:
            self._push_producer().resumeProducing()

    def unregister(self) -> None:
        """Forget the producer."""
        self._producer = None
        self._streaming = False

    def throttle(self, waiting: int) -> None:
        """Pause a push producer if too many bytes wait.

        It is done at each write, as on a socket: the producer may go on in spite of the pause.
        """
        if self._streaming and waiting > _BUFFER_SIZE:
            self._paused = True
            self._push_producer().pauseProducing()

    @property
    def wants_more(self) -> bool:
        """True if the producer is to be resumed when no data waits."""
        return self._producer is not None and (self._paused or not self._streaming)

    def resume(self) -> None:
        """Resume the producer."""
        self._paused = False
        self._push_producer().resumeProducing()

    def stop(self) -> None:
        """Forget the producer, and stop it: the connection is lost."""
        producer = self._producer
        self.unregister()
        if producer is not None:
            producer.stopProducing()

    def _push_producer(self) -> IPushProducer:
        assert self._producer is not None
        # A pull producer has the one method that is called, resumeProducing.
        return self._producer  # type: ignore[return-value]
