"""Who is told of a session's steps and of watch events, and in which order.

Of an event first those who wait for a watch, then those whose watch lasts, then the feed; of a step first the metrics, then
the feed, then those whose watch lasts.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

from txmirror.client.persistent_watches import PersistentWatch
from txmirror.client.waiters import fire_all
from txmirror.client.watches import SessionWatches
from txmirror.interfaces import IMetrics
from txmirror.observers import Observers
from txmirror.types import EventType, Listener, News, SessionEvent, SessionState, WatchedEvent


class EventDispatcher:
    """Tells everybody, the listeners of the feed among them.

    :param metrics: who counts connections, if anybody does.
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
        """Tell ``listener`` every step and event from now on.

        :param needs: tells whether it relies on watches on a path, with the chroot.
        """
        self._listeners.add(listener, listener)
        if needs is not None:
            self._needs[listener] = needs

    def remove(self, listener: Listener) -> None:
        """Tell ``listener`` nothing more."""
        self._listeners.remove(listener)
        self._needs.pop(listener, None)

    def needed(self, path: str) -> bool:
        """Tell whether a listener relies on watches on a path."""
        return any(needs(path) for needs in self._needs.values())

    def dispatch_session_event(self, step: SessionEvent, watches: SessionWatches) -> None:
        """Tell a step of the session that these watches are, or were, in."""
        if self._metrics is not None and step.state is SessionState.CONNECTED:
            self._metrics.connected(step)
        elif self._metrics is not None and step.state is SessionState.SUSPENDED:
            self._metrics.disconnected(step)
        self._listeners.notify(step)
        watches.persistent.notify(step)

    def dispatch_watch_event(self, event: WatchedEvent, watches: SessionWatches) -> None:
        """Tell an event of one of these watches, or of what they imply."""
        waiters = watches.fire(event)
        persistent = watches.persistent
        fire_all(waiters, event)
        persistent.fire(event)
        self._listeners.notify(event)

    def dispatch_removed(self, ended: list[PersistentWatch], watches: SessionWatches) -> None:
        """Tell of persistent watches that the server does not keep, and forget them."""
        for watch in ended:
            self._log.warn("The server does not keep persistent watches: that on {path} has ended.", path=watch.path)
            watches.persistent.remove(watch.path)
            event = WatchedEvent(EventType.PERSISTENT_WATCH_REMOVED, watch.path)
            watch.observers.notify(event)
            self._listeners.notify(event)
