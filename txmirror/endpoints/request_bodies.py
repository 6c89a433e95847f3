"""The bodies of requests that may be sent more than once."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IConsumer, IProducer
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer
from zope.interface import implementer


@implementer(IBodyProducer)
class RepeatableBody:
    """A body in memory, for any number of attempts one after another.

    :param data: its bytes.
    :param length: the length that its own producer has stated.
    """

    def __init__(self, data: bytes, length: int) -> None:
        self._data = data
        self.length = length

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        consumer.write(self._data)
        return succeed(None)

    def pauseProducing(self) -> None:
        """Do nothing: all is written at once."""

    def resumeProducing(self) -> None:
        """Do nothing, likewise."""

    def stopProducing(self) -> None:
        """Do nothing, likewise."""


@implementer(IConsumer)
class _Collector:
    """Collects a body, and at most one byte more than its length."""

    def __init__(self, length: int) -> None:
        self._length = length
        self.data = bytearray()

    def write(self, data: bytes) -> None:
        self.data += data[: self._length + 1 - len(self.data)]

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """Do nothing: a body producer is not registered."""

    def unregisterProducer(self) -> None:
        """Do nothing, likewise."""


def can_collect(body: IBodyProducer, limit: int) -> bool:
    """Return whether a body is known to be no longer than a limit in bytes."""
    return body.length is not UNKNOWN_LENGTH and body.length <= limit


async def collect_body(body: IBodyProducer) -> RepeatableBody:
    """Read a body into memory.

    A body that is shorter or longer than its stated length stays so: the request that sends it fails, as it would have before.
    Cancelling stops the producer. It fails as the producer fails.
    """
    collector = _Collector(int(body.length))
    produced = body.startProducing(collector)
    try:
        await produced
    except CancelledError:
        body.stopProducing()
        raise
    return RepeatableBody(bytes(collector.data), int(body.length))
