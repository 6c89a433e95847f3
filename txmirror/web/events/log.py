"""The log of events that all streams read, each from a position of its own."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Hashable
from typing import Any, Final

import attrs
from twisted.logger import Logger

from txmirror.catalog import Catalog, CatalogChange
from txmirror.observers import Observers
from txmirror.timers import Timer
from txmirror.web.events.counts import EventCounts
from txmirror.web.events.encoding import encode_change, encode_event
from txmirror.web.instances import encode_value

#: The most bytes of events that are kept.
_MOST_BYTES: Final = 16 * 2**20
#: The seconds for which events are kept after the last stream has ended: its client may connect again.
_LINGER: Final = 60.0


@attrs.frozen
class LogEvent:
    """An event of the log."""

    index: int
    """Its index."""
    service: str | None
    """The service; None for a state."""
    data: bytes
    """The event as text."""


class EventLog:
    """Keeps the latest events of a catalog, encoded, while there are readers and for a minute after.

    A reader is a position in the log, and costs nothing more. One that is slower than the changes finds that its position is no
    longer in the log.

    :param catalog: the catalog.
    :param most_bytes: the most bytes of events to keep.
    :param counts: counts the work of the streams; None for counts of its own.
    :ivar first: the position of the oldest event.
    """

    # It has more than 12 attributes: five are for reading one text for all streams.

    _log = Logger()

    def __init__(self, catalog: Catalog, *, most_bytes: int = _MOST_BYTES, counts: EventCounts | None = None) -> None:
        self.catalog = catalog
        self.counts: EventCounts = EventCounts() if counts is None else counts
        self.first: int = 0
        self._most_bytes = most_bytes
        self._events: list[LogEvent] = []
        self._bytes = 0
        #: The index before the oldest event.
        self._since = 0
        self._readers = 0
        #: The latest state of each topic, as JSON; and the one that was sent last.
        self._states: dict[str, bytes] = {}
        self._sent_states: dict[str, bytes] = {}
        self._linger = Timer(catalog.reactor, self._end)
        self._active = False
        #: The latest text that was read, with its positions: most streams read the same.
        self._read: tuple[int, int, bytes] = (-1, -1, b"")
        self._observers: Observers[None] = Observers(
            lambda key, _: self._log.failure("A reader of events, {key}, failed.", key=key)
        )

    @property
    def index(self) -> int:
        """The index of the latest event."""
        return self._events[-1].index if self._events else self._since

    @property
    def end(self) -> int:
        """The position after the latest event."""
        return self.first + len(self._events)

    @property
    def states(self) -> bytes:
        """The events with the latest state of each topic, for a snapshot. That of the catalog, as of now, is among them."""
        return b"".join(encode_event("state", each) for each in (self._catalog_state(), *self._states.values()))

    def set_state(self, topic: str, value: Any, *, quiet: bool = False) -> None:
        """Replace the state of a topic: streams get it at the next opportunity, and new ones within their snapshots.

        :param value: a value of JSON.
        :param quiet: whether only new streams get it: the others can do with the former one.
        :raises TypeError: JSON has no such type.
        :raises ValueError: a number is not finite.
        """
        text = encode_value({"topic": topic, "value": value})
        self._states[topic] = text
        if not quiet and self._sent_states.get(topic) != text:
            self._sent_states[topic] = text
            if self._active:
                self._append_state(text)

    # For streams.

    def begin(self) -> None:
        """Note a reader: events are kept until it calls :meth:`end_reader`."""
        self._readers += 1
        self._linger.stop()
        if not self._active:
            self._active = True
            self.catalog.hold()
            self._clear()
            self.catalog.watch(self, self._changed)
            self.catalog.watch_state(self, self._state_changed)

    def end_reader(self) -> None:
        """Note that a reader has ended."""
        self._readers -= 1
        if not self._readers:
            self._linger.start(_LINGER)

    def close(self) -> None:
        """Keep no events any longer."""
        self._linger.stop()
        if self._active:
            self._end()

    def watch(self, key: Hashable, function: Callable[[], object]) -> None:
        """Call a function when there are new events."""
        self._observers.add(key, lambda _: function())

    def unwatch(self, key: Hashable) -> None:
        """Remove the function with this key; silent if there is none."""
        self._observers.remove(key)

    def find(self, index: int) -> int | None:
        """Return the position after the event with an index; None if later events are missing, or there is no such index."""
        if not self._active or not self._since <= index <= self.index:
            return None
        return self.first + bisect_right(self._events, index, key=lambda event: event.index)

    def read(self, position: int, services: Collection[str] | None, most: int) -> tuple[bytes, int]:
        """Return events from a position on, and the position after them.

        :param services: the services whose events are wanted; None for all. States are always among them.
        :param most: the number of bytes after which no further event is returned.
        """
        if position == self.end:
            return b"", position
        if services is None and self._read[0] == position and self._read[1] == self.end:
            return self._read[2], self._read[1]
        found: list[bytes] = []
        size, place = 0, position - self.first
        while place < len(self._events) and size < most:
            event = self._events[place]
            place += 1
            if services is None or event.service is None or event.service in services:
                found.append(event.data)
                size += len(event.data)
        text, after = b"".join(found), self.first + place
        if services is None:
            self._read = position, after, text
        return text, after

    # Changes.

    def _changed(self, change: CatalogChange) -> None:
        service = self.catalog.services.get(change.service)
        self._append(LogEvent(change.index, change.service, encode_change(service, change)))

    def _state_changed(self) -> None:
        self._append_state(self._catalog_state())

    def _catalog_state(self) -> bytes:
        catalog = self.catalog
        value = {
            "root": catalog.root,
            "known": catalog.known,
            "stale": catalog.stale,
            "age": round(catalog.age, 3),
            "reason": catalog.reason,
        }
        return encode_value({"topic": "catalog", "value": value})

    def _append_state(self, text: bytes) -> None:
        index = self.catalog.next_index()
        self._append(LogEvent(index, None, encode_event("state", text, index)))

    def _append(self, event: LogEvent) -> None:
        self._events.append(event)
        self._bytes += len(event.data)
        if self._bytes > self._most_bytes:
            self._trim()
        self._observers.notify(None)

    def _trim(self) -> None:
        """Remove the oldest events, down to seven eighths of the bound. The latest stays."""
        count = 0
        while self._bytes > self._most_bytes * 7 // 8 and count < len(self._events) - 1:
            self._bytes -= len(self._events[count].data)
            count += 1
        if count:
            self._since = self._events[count - 1].index
            self.first += count
            del self._events[:count]

    def _clear(self) -> None:
        self.first = self.end
        self._events.clear()
        self._bytes = 0
        self._since = self.catalog.next_index()

    def _end(self) -> None:
        self._active = False
        self.catalog.unwatch(self)
        self.catalog.unwatch_state(self)
        self._clear()
        self.catalog.release()
