"""The latest events of each service, for timelines."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final

import attrs

from txmirror.catalog.entries import Entry, EntryState
from txmirror.types import InstanceStatus

#: The most events of one service, of all services, and the most outages of ZooKeeper.
_MOST_OF_ONE: Final = 1_000
_MOST_OF_ALL: Final = 50_000
_MOST_OUTAGES: Final = 100


@attrs.frozen
class ServiceEvent:
    """An event of a service."""

    time: float
    """When it was seen, in seconds since the Unix epoch."""
    instance: str | None
    """The node's name; None for an event of the connection to ZooKeeper."""
    event: str
    """``appeared``, ``gone``, ``changed``, ``status``, ``session``; ``stale`` and ``settled`` for the connection."""
    status: str | None = None
    """The entry's state afterwards; None if it is gone."""
    owner: int | None = None
    """The session that owns the node afterwards; None if no session does."""
    detail: str | None = None
    """More about it, in one line."""


@attrs.frozen
class Outage:
    """A time without a connection to ZooKeeper."""

    began: float
    """When it began, in seconds since the Unix epoch."""
    ended: float | None
    """When everything was current again; None if it lasts."""


class History:
    """Keeps the latest events of all services, also of those that are gone: at most 1,000 of each, and 50,000 in all."""

    def __init__(self) -> None:
        self.since: float = 0.0
        self.outages: deque[Outage] = deque(maxlen=_MOST_OUTAGES)
        #: The service whose latest event is the oldest is first.
        self._events: OrderedDict[str, deque[ServiceEvent]] = OrderedDict()
        self._count = 0

    def begin(self, now: float) -> None:
        """Forget all, and observe from now on."""
        self.since = now
        self.outages.clear()
        self._events.clear()
        self._count = 0

    def lost(self, now: float) -> None:
        """Note that the connection was lost."""
        if not self.outages or self.outages[-1].ended is not None:
            self.outages.append(Outage(now, None))

    def settled(self, now: float) -> None:
        """Note that everything is current again."""
        if self.outages and self.outages[-1].ended is None:
            self.outages[-1] = attrs.evolve(self.outages[-1], ended=now)

    def of(self, service: str) -> list[ServiceEvent]:
        """Return the events of a service and of the connection, in order of time."""
        events = list(self._events.get(service, ()))
        for each in self.outages:
            events.append(ServiceEvent(each.began, None, "stale"))
            if each.ended is not None:
                events.append(ServiceEvent(each.ended, None, "settled"))
        events.sort(key=lambda event: event.time)
        return events[-_MOST_OF_ONE:]

    def note(self, now: float, service: str, name: str, before: Entry | None, after: Entry | None) -> None:
        """Note a change of an entry."""
        event = _describe(now, name, before, after)
        events = self._events.get(service)
        if events is None:
            events = self._events[service] = deque()
        self._events.move_to_end(service)
        events.append(event)
        self._count += 1
        if len(events) > _MOST_OF_ONE:
            events.popleft()
            self._count -= 1
        while self._count > _MOST_OF_ALL:
            _, oldest = self._events.popitem(last=False)
            self._count -= len(oldest)


def owner_of(entry: Entry | None) -> int | None:
    """Return the session that owns an entry's node; None if no session does, or that is not known."""
    if entry is None or entry.stat is None:
        return None
    return entry.stat.ephemeralOwner or None


def _describe(now: float, name: str, before: Entry | None, after: Entry | None) -> ServiceEvent:
    if after is None:
        return ServiceEvent(now, name, "gone", None, owner_of(before))
    state, owner = after.state.value, owner_of(after)
    if before is None:
        return ServiceEvent(now, name, "appeared", state, owner, after.reason)
    if _is_another_node(before, after):
        event = "changed" if owner == owner_of(before) else "session"
        return ServiceEvent(now, name, event, state, owner, "it was registered again")
    if before.state is not after.state:
        return ServiceEvent(now, name, "status", state, owner, after.reason or _message(after))
    return ServiceEvent(now, name, "changed", state, owner, after.reason)


def _is_another_node(before: Entry, after: Entry) -> bool:
    return before.stat is not None and after.stat is not None and before.stat.czxid != after.stat.czxid


def _message(entry: Entry) -> str | None:
    if entry.state is EntryState.HELD:
        return "gone from ZooKeeper just after an outage"
    instance = entry.instance
    if instance is not None and instance.status is InstanceStatus.DOWN:
        return "registered as down"
    return None
