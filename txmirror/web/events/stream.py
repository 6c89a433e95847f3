"""One stream of events to one client."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.web.server import Request
from zope.interface import implementer

from txmirror.web.events.encoding import COMMENT, encode_live, encode_reset
from txmirror.web.events.log import EventLog
from txmirror.web.events.snapshot import Snapshot

#: The number of bytes after which a stream writes no further event at a time.
_MOST: Final = 64 * 1024


@implementer(IPushProducer)
class Stream:
    """Writes events to a client as fast as the client reads: a position in the log, and in a snapshot.

    :param log: the log.
    :param request: the client's request.
    :param services: the services that are wanted; None for all.
    :param after: the index after which to resume; None to begin with a snapshot.
    :param ready: called with this object when it can write.
    :param ended: called with this object when the client is gone.
    :ivar paused_since: when the client has stopped to read, in the reactor's seconds; None while it reads.
    """

    def __init__(
        self,
        log: EventLog,
        request: Request,
        services: Collection[str] | None,
        after: int | None,
        ready: Callable[[Stream], object],
        ended: Callable[[Stream], object],
    ) -> None:
        self.paused_since: float | None = None
        self._log = log
        self._request: Request | None = request
        self._services = services
        self._after = after
        self._ready = ready
        self._ended = ended
        self._snapshot: Snapshot | None = None
        #: The position in the log; None before the beginning. During a snapshot, that from which to read afterwards.
        self._position: int | None = None
        self._begun_at = 0
        #: Whether something was written since the last comment.
        self._wrote = True
        request.notifyFinish().addBoth(lambda _: self._finished())
        request.registerProducer(self, True)
        # The headers, and how long a client waits before it connects again, in milliseconds.
        request.write(b"retry: 2000\n\n")
        self._waiting: Deferred[None] = log.catalog.use()
        self._waiting.addCallbacks(lambda _: self._begin(), lambda _: None)

    def step(self) -> int:
        """Write events, unless the client does not read.

        :returns: the number of bytes. Call it again if there were some.
        """
        if self._position is None or self.paused_since is not None or self._request is None:
            return 0
        data = self._next(self._position)
        if data:
            self._wrote = True
            self._log.counts.sent_bytes += len(data)
            self._request.write(data)
        return len(data)

    def comment(self) -> None:
        """Write a comment, if nothing else was written since the last call."""
        if not self._wrote and self.paused_since is None and self._request is not None:
            self._request.write(COMMENT)
        self._wrote = False

    def finish(self) -> None:
        """End the stream."""
        request = self._finished()
        if request is not None:
            request.unregisterProducer()
            request.finish()

    def abort(self) -> None:
        """Close the connection, without a wait for the client."""
        request = self._request
        if request is not None and request.channel is not None:
            transport: Any = request.channel.transport
            transport.abortConnection()

    # A push producer.

    def pauseProducing(self) -> None:
        """Write nothing: the client does not read."""
        if self.paused_since is None:
            self.paused_since = self._log.catalog.reactor.seconds()

    def resumeProducing(self) -> None:
        """Write again."""
        self.paused_since = None
        self._ready(self)

    def stopProducing(self) -> None:
        """Write nothing any more: the client is gone."""
        self._finished()

    # Implementation.

    def _begin(self) -> None:
        if self._request is None:
            return
        found = None if self._after is None else self._log.find(self._after)
        if found is None:
            self._reset()
        else:
            self._position = found
        self._ready(self)

    def _reset(self) -> None:
        self._log.counts.snapshots += 1
        self._snapshot = Snapshot(self._log.catalog, self._services)
        self._position, self._begun_at = self._log.end, self._log.index
        assert self._request is not None
        self._request.write(encode_reset(self._begun_at) + self._log.states)

    def _next(self, position: int) -> bytes:
        if position < self._log.first:
            # The client was too slow.
            self._reset()
        if self._snapshot is not None:
            data = self._snapshot.read(_MOST)
            if data:
                return data
            self._snapshot = None
            return encode_live(self._begun_at)
        data, self._position = self._log.read(position, self._services, _MOST)
        return data

    def _finished(self) -> Request | None:
        """Note that nothing is written any more.

        :returns: the request; None if that was noted before.
        """
        request, self._request = self._request, None
        if request is not None:
            self._waiting.cancel()
            self._ended(self)
        return request
