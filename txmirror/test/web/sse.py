"""A client of event streams, in memory: it reads as fast or as slowly as a test wants."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.error import ConnectionLost
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.server import Site

from txmirror.web import Application

#: The number of bytes that are written after which a transport asks its producer to pause.
_BUFFER = 64 * 1024


class SlowTransport(StringTransport):
    """A transport whose peer reads only when a test says so. It asks its producer to pause, as Twisted's do."""

    paused = False

    def __init__(self) -> None:
        super().__init__()
        self.most = 0

    def write(self, data: bytes) -> None:
        """Keep bytes for the peer."""
        super().write(data)
        self._note()

    def writeSequence(self, data: Any) -> None:
        """Likewise."""
        super().writeSequence(data)
        self._note()

    def _note(self) -> None:
        size = self.io.tell()
        self.most = max(self.most, size)
        if size > _BUFFER:
            self.pause_now()

    def pause_now(self) -> None:
        """Let the producer pause."""
        if not self.paused and self.producer is not None:
            self.paused = True
            self.producer.pauseProducing()

    def resume_now(self) -> None:
        """Let the producer go on."""
        if self.paused and self.producer is not None:
            self.paused = False
            self.producer.resumeProducing()

    def take(self, most: int | None = None) -> bytes:
        """Return and remove bytes."""
        data: bytes = self.value()
        taken = data[:most]
        self.clear()
        self.io.write(data[len(taken) :])
        if not self.io.tell():
            self.resume_now()
        return taken


class EventClient:
    """An event source as in browsers: it keeps the last id, and applies the events of the services.

    :param application: the application.
    :param query: the query of the request.
    :ivar states: the latest state of each topic.
    :ivar events: the names of the events that came.
    :ivar comments: the number of comments.
    """

    def __init__(self, application: Application, query: str = "", *, reactor: Any) -> None:
        self.services: dict[str, dict[str, Any]] = {}
        self.states: dict[str, Any] = {}
        self.events: list[str] = []
        self.comments = 0
        self.last_id = ""
        self.closed = False
        self._site = Site(application.resource(), reactor=reactor, timeout=None)
        self._query = query
        self.connect()

    def connect(self) -> None:
        """Begin a new connection."""
        self._buffer = b""
        self.head: bytes | None = None
        self.transport = SlowTransport()
        self.protocol = self._site.buildProtocol(None)
        self.protocol.makeConnection(self.transport)
        header = f"Last-Event-ID: {self.last_id}\r\n" if self.last_id else ""
        self.protocol.dataReceived(f"GET /v1/events{self._query} HTTP/1.0\r\n{header}\r\n".encode())

    def disconnect(self) -> None:
        """Lose the connection. What was not read is lost."""
        self.protocol.connectionLost(Failure(ConnectionLost()))

    def read(self, most: int | None = None) -> None:
        """Read bytes, and apply the events that are complete."""
        self._buffer += self.transport.take(most)
        if self.head is None:
            head, end, rest = self._buffer.partition(b"\r\n\r\n")
            if not end:
                return
            self.head, self._buffer = head, rest
        *blocks, self._buffer = self._buffer.split(b"\n\n")
        for block in blocks:
            self._apply(block.decode())

    def _apply(self, block: str) -> None:
        if block.startswith(":"):
            self.comments += 1
            return
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        if "retry" in fields:
            return
        self.last_id, event = fields["id"], fields["event"]
        data = json.loads(fields["data"])
        self.events.append(event)
        getattr(self, f"_apply_{event}")(data)

    def _apply_reset(self, data: dict[str, Any]) -> None:
        self.services.clear()

    def _apply_services(self, data: dict[str, Any]) -> None:
        instances = self.services.setdefault(data["service"], {})
        instances.update({each["name"]: each for each in data["instances"]})

    def _apply_live(self, data: dict[str, Any]) -> None:
        assert self.last_id == str(data["index"])

    def _apply_change(self, data: dict[str, Any]) -> None:
        if data.get("gone"):
            self.services.pop(data["service"], None)
            return
        instances = self.services.setdefault(data["service"], {})
        for name, instance in data["changes"].items():
            if instance is None:
                instances.pop(name, None)
            else:
                instances[name] = instance

    def _apply_state(self, data: dict[str, Any]) -> None:
        self.states[data["topic"]] = data["value"]
