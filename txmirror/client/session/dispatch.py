"""Dispatch session events and watch events, in a fixed order.

A watch event goes to the Deferreds of one-shot watches first, then to the observers of persistent watches, then to the feed. A
session event goes to the metrics first, then to the feed, then to the observers of persistent watches.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

from txmirror.client.session.persistent_watches import PersistentWatch
from txmirror.client.session.waiting import fire_all
from txmirror.client.session.watches import SessionWatches
from txmirror.interfaces import IMetrics
from txmirror.observers import Observers
from txmirror.types import EventType, Listener, News, SessionEvent, SessionState, WatchedEvent


class EventDispatcher:
    """Notifies all observers of events. It keeps the listeners of the feed itself.

    :param metrics: called with each connection that is established or lost; may be None.
    """

    _log = Logger()

    def __init__(self, metrics: IMetrics | None) -> None:
        self._metrics = metrics
        self._needs: dict[Listener, Callable[[str], bool]] = {}
        self._listeners: Observers[News] = Observers(
            lambda listener, news: self._log.failure(
                "The listener {listener} failed on {news}.", listener=listener, news=news
            )
        )

    def add(self, listener: Listener, needs: Callable[[str], bool] | None = None) -> None:
        """Call ``listener`` with every session event and watch event from now on.

        :param needs: returns whether the listener relies on watches on a path, with the chroot.
        """
        self._listeners.add(listener, listener)
        if needs is not None:
            self._needs[listener] = needs

    def remove(self, listener: Listener) -> None:
        """Stop calling ``listener``."""
        self._listeners.remove(listener)
        self._needs.pop(listener, None)

    def needed(self, path: str) -> bool:
        """Return whether a listener relies on watches on a path."""
        return any(needs(path) for needs in self._needs.values())

    def dispatch_session_event(self, step: SessionEvent, watches: SessionWatches) -> None:
        """Dispatch an event of the session that owns, or owned, these watches."""
        if self._metrics is not None and step.state is SessionState.CONNECTED:
            self._metrics.connected(step)
        elif self._metrics is not None and step.state is SessionState.SUSPENDED:
            self._metrics.disconnected(step)
        self._listeners.notify(step)
        watches.persistent.notify(step)

    def dispatch_watch_event(self, event: WatchedEvent, watches: SessionWatches) -> None:
        """Dispatch an event of one of these watches, or one that they imply."""
        waiters = watches.fire(event)
        persistent = watches.persistent
        fire_all(waiters, event)
        persistent.fire(event)
        self._listeners.notify(event)

    def dispatch_removed(self, ended: list[PersistentWatch], watches: SessionWatches) -> None:
        """Remove persistent watches that the server does not support, and dispatch their removal."""
        for watch in ended:
            self._log.warn(
                "The server does not support persistent watches: that on {path} is removed.", path=watch.path
            )
            watches.persistent.remove(watch.path)
            event = WatchedEvent(EventType.PERSISTENT_WATCH_REMOVED, watch.path)
            watch.observers.notify(event)
            self._listeners.notify(event)
