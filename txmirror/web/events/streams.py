"""All streams of events: their number, and the order in which they write."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from txmirror.timers import Timer
from txmirror.web.application import Application, Handler
from txmirror.web.calls import Call, InvalidRequest, quoted
from txmirror.web.events.log import EventLog
from txmirror.web.events.stream import Stream

#: The most streams, unless another number is set.
_MOST: Final = 2_000
#: The shortest time between two rounds of all streams, and the same for each stream, in seconds: many streams are written to less often.
_PAUSE: Final = 0.05
_PAUSE_OF_EACH: Final = 0.0002
#: The most streams, and the number of bytes after which no further one, are written to in one turn of the reactor.
_STREAMS_IN_TURN: Final = 100
_BYTES_IN_TURN: Final = 512 * 1024
#: The seconds between comments, and those after which a stream ends whose client does not read.
_COMMENTS: Final = 15.0
_STALLED: Final = 60.0


class EventStreams:
    """Serves ``/v1/events``: a snapshot, and then changes, to any number of clients.

    :param log: the events.
    :param most: the most streams at a time.
    """

    _log = Logger()

    def __init__(self, log: EventLog, *, most: int = _MOST) -> None:
        self._events = log
        self._most = most
        self._reactor: IReactorTime = log.catalog.reactor
        self._streams: dict[Stream, None] = {}
        self._writable: dict[Stream, None] = {}
        self._finishing = False
        self._last_round = -_PAUSE
        self._round = Timer(self._reactor, self._begin_round)
        self._turn = Timer(self._reactor, self._write)
        self._comments = Timer(self._reactor, self._comment)

    def __len__(self) -> int:
        return len(self._streams)

    def mount(self, application: Application) -> None:
        """Add the route."""
        mount_streams(application, self.open)

    def open(self, call: Call) -> Resource:
        """Return the resource that writes a stream.

        :raises InvalidRequest: the query is invalid, or there are too many streams.
        """
        after = _read_index(call)
        if self._finishing:
            raise InvalidRequest("the daemon is stopping", status=503)
        if len(self._streams) >= self._most:
            raise InvalidRequest(f"there are {self._most} streams already", status=503, headers={"Retry-After": "10"})
        services = call.query.get("service")
        return _StreamResource(self, frozenset(services) if services else None, after)

    def finish_all(self) -> None:
        """End all streams, and refuse new ones."""
        self._finishing = True
        for each in list(self._streams):
            each.finish()

    # For the resource.

    def begin(self, request: Request, services: Collection[str] | None, after: int | None) -> None:
        """Begin a stream."""
        self._events.counts.streams += 1
        self._events.begin()
        if not self._streams:
            self._events.watch(self, self._news)
            self._comments.start(_COMMENTS)
        self._streams[Stream(self._events, request, services, after, self._ready, self._ended)] = None

    # Streams.

    def _ready(self, stream: Stream) -> None:
        self._writable[stream] = None
        if not self._turn.running:
            self._turn.start(0)

    def _ended(self, stream: Stream) -> None:
        self._streams.pop(stream, None)
        self._writable.pop(stream, None)
        self._events.end_reader()
        if not self._streams:
            self._events.unwatch(self)
            for timer in (self._round, self._turn, self._comments):
                timer.stop()

    def _news(self) -> None:
        if not self._round.running:
            pause = max(_PAUSE, _PAUSE_OF_EACH * len(self._streams))
            # The clock may have been set back.
            self._round.start(min(pause, self._last_round + pause - self._reactor.seconds()))

    def _begin_round(self) -> None:
        self._last_round = self._reactor.seconds()
        self._writable.update(self._streams)
        if not self._turn.running:
            self._write()

    def _write(self) -> None:
        count = size = 0
        while self._writable and count < _STREAMS_IN_TURN and size < _BYTES_IN_TURN:
            stream = next(iter(self._writable))
            del self._writable[stream]
            count += 1
            try:
                written = stream.step()
            except Exception:
                # The others must go on.
                self._log.failure("A stream of events failed because of a bug. It is closed.")
                stream.abort()
                continue
            size += written
            if written and stream in self._streams:
                # There may be more.
                self._writable[stream] = None
        if self._writable:
            self._turn.start(0)

    def _comment(self) -> None:
        now = self._reactor.seconds()
        for stream in list(self._streams):
            if stream.paused_since is not None and now - stream.paused_since >= _STALLED:
                stream.abort()
            else:
                stream.comment()
        if self._streams:
            self._comments.start(_COMMENTS)


def mount_streams(application: Application, handler: Handler) -> None:
    """Add the route of the events to an application.

    :param handler: opens a stream: :meth:`EventStreams.open`, or a function that calls it.
    """
    application.get("/v1/events", handler, query=("service", "after"))


class _StreamResource(Resource):
    """Writes one stream."""

    isLeaf = True

    def __init__(self, streams: EventStreams, services: Collection[str] | None, after: int | None) -> None:
        super().__init__()
        self._streams = streams
        self._services = services
        self._after = after

    def render(self, request: Request) -> bytes | int:
        """Begin the stream. HEAD is answered with the headers."""
        request.setHeader("Content-Type", "text/event-stream")
        request.setHeader("Cache-Control", "no-store")
        # Some proxies collect an answer before they pass it on.
        request.setHeader("X-Accel-Buffering", "no")
        if request.method == b"HEAD":
            return b""
        self._streams.begin(request, self._services, self._after)
        return NOT_DONE_YET


def _read_index(call: Call) -> int | None:
    """Return the index after which a stream resumes; None for none. The header of a client that connects again takes precedence."""
    header = call.header("last-event-id")
    text = call.one("after")
    if text is not None and not _is_index(text):
        raise InvalidRequest(f"'after' is no index: {quoted(text)}")
    if header is not None:
        return int(header) if _is_index(header) else None
    return None if text is None else int(text)


def _is_index(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 16
