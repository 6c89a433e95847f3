"""The watches that a session has at the server, and the dispatch of events.

Servers up to 3.8 keep one mode for each connection and path: of a one-shot and a persistent watch on the same path, the later
one destroys the other (ZOOKEEPER-4466). A path with a persistent watch therefore gets no one-shot watch at the server: the
events of the persistent watch fire the Deferreds of one-shot watches too.

A watch event goes to the Deferreds of one-shot watches first, then to the observers of persistent watches, then to the feed. A
session event goes to the metrics first, then to the feed, then to the observers of persistent watches.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror import paths
from txmirror.client.connection.calls import Call
from txmirror.client.session.persistent_watches import PersistentWatch, PersistentWatches
from txmirror.client.session.watch_tables import LONGEST_PACKET, SetWatchesPacket, Waiters, WatchSet, kind_of, packets
from txmirror.deferreds import fail_all, fire_all
from txmirror.errors import ClosingException, ConnectionLossException, exception_for
from txmirror.interfaces import IMetrics
from txmirror.observers import Observers
from txmirror.types import EventType, Listener, News, SessionEvent, SessionState, WatchedEvent
from txmirror.wire import LAST_XID, SetWatches2Request, SetWatchesRequest

_T = TypeVar("_T")


class SessionWatches:
    """The watches of one session, established and pending.

    :param notify_ended: called with persistent watches that the server does not support: removes them, and notifies observers.
    :param limit: the longest request in bytes.
    :ivar established: the one-shot watches that the server has, or had when the connection was lost, and those whose place a
        persistent watch takes.
    :ivar persistent: the persistent watches.
    :ivar rearming: the number of setWatches packets of :meth:`rearm` on this connection that are still unanswered.
    """

    _log = Logger()

    def __init__(self, notify_ended: Callable[[list[PersistentWatch]], None], limit: int = LONGEST_PACKET) -> None:
        self._notify_ended = notify_ended
        self._limit = limit
        self.established: WatchSet = WatchSet()
        self.persistent: PersistentWatches = PersistentWatches()
        self._arming: dict[Call[None], WatchSet] = {}
        self.rearming: int = 0
        self._rearmed: int | None = None
        self._refused: BaseException | None = None

    @property
    def count(self) -> int:
        """The number of established watches."""
        return len(self.established) + sum(1 for _ in self.persistent)

    def with_implied(self, event: WatchedEvent) -> list[WatchedEvent]:
        """Return an event, and the event that it implies and that the server does not send.

        A recursive watch has no events of the type CHILD, and there is no one-shot watch for children on its path at the server.
        So the creation or deletion of a child implies such an event for the one-shot watch.
        """
        if event.type in (EventType.CREATED, EventType.DELETED):
            parent = paths.parent_of(event.path)
            if parent is not None and self.persistent.is_recursive(parent) and parent in self.established.child:
                return [event, WatchedEvent(EventType.CHILD, parent, event.zxid)]
        return [event]

    def fire(self, event: WatchedEvent) -> Waiters:
        """Remove the watches that ``event`` triggers, and return their Deferreds.

        A server processes one packet after another, and sends the events of a setWatches packet before its reply. So of the
        packets in flight only the one that is answered next can have caused this event.
        """
        arming = self._answered_next()
        waiters = arming.fire(event) if arming is not None else []
        return waiters + self.established.fire(event)

    def refuse(self, error: BaseException) -> None:
        """Note that a watch of the feed was lost: the next ``set_watches`` fails with ``error``."""
        self._refused = error

    def has_waiters(self, path: str) -> bool:
        """Return whether a Deferred waits for a watch on a path, or a persistent watch on it has observers."""
        tables = [table for watches in (self.established, *self._arming.values()) for table in watches.tables()]
        return any(table.get(path) for table in tables) or self.persistent.has_observers(path)

    def forget(self, path: str, waiter: Deferred[WatchedEvent]) -> None:
        """Remove a Deferred that was cancelled. The watch on ``path``, established or pending, stays."""
        for watches in (self.established, *self._arming.values()):
            watches.forget(path, waiter)

    def connection_lost(self) -> None:
        """Note that the connection was lost, before anybody is notified of it."""
        self.persistent.forget_removals()

    def rearm(self, send: Callable[[Call[None]], None], zxid: int, persistent_too: bool) -> list[PersistentWatch]:
        """Set all watches again on a new connection.

        :param zxid: the zxid as of which they were established.
        :param persistent_too: whether the server may support persistent watches; if not, this removes them.
        :returns: the persistent watches that were removed, and whose observers the caller must notify.
        """
        self.rearming = 0
        self._refused = None
        # Cancelled requests did not fail with their connection.
        self._arming = {call: arming for call, arming in self._arming.items() if not call.xid}
        self.persistent.disconnected()
        ended = [] if persistent_too else list(self.persistent)
        for watch in ended:
            self.persistent.remove(watch.path)
        for packet in packets(zxid, self.established, self.persistent, self._limit):
            self.rearming += 1
            call = Call(kind_of(packet), packet, on_reply=self._rearmed_by(packet))
            call.result().addErrback(self._log_rearming)
            send(call)
        self._rearmed = zxid if self.rearming else None
        return ended

    def bring_over(
        self, zxid: int, watches: WatchSet, submit: Callable[[Call[None]], None], *, barrier: bool = False
    ) -> Deferred[None]:
        """Set the watches of another session. They are established in this one when the replies arrive.

        Without watches it is a barrier behind :meth:`rearm`. A watch that is being set again on this connection, as of the same
        zxid, is not sent twice.

        :param zxid: the zxid as of which they were established.
        :param submit: sends a request.
        :param barrier: whether the server, like ClickHouse Keeper, replies before it sends the events: then one more request
            makes sure that all events have arrived.
        :returns: fires with the last reply. Fails with the first failure, which may be one of :meth:`rearm` on this connection.
            Cancelling abandons all requests.
        """
        if zxid == self._rearmed:
            watches = watches.without(self.established)
        mixed = self.persistent.subset(watches.data, watches.exist, watches.child)
        requests = packets(zxid, watches, mixed, self._limit)
        if barrier or not requests:
            requests.append(SetWatchesRequest(zxid, (), (), ()))
        calls = [self._bring_over(packet, watches.part(packet)) for packet in requests]

        def cancel(_: Deferred[None]) -> None:
            for call in calls:
                if call.deferred is not None:
                    call.deferred.cancel()

        done: Deferred[None] = Deferred(cancel)
        failures: list[Failure | BaseException] = []

        def answered(result: Failure | None, call: Call[None]) -> None:
            if isinstance(result, Failure):
                failures.append(result)
            if call is calls[-1]:
                if self._refused is not None:
                    failures.append(self._refused)
                    self._refused = None
                if failures:
                    done.errback(failures[0])
                else:
                    done.callback(None)

        for call in calls:
            call.result().addBoth(answered, call)
            submit(call)
        return done

    def _bring_over(self, packet: SetWatchesPacket, arming: WatchSet) -> Call[None]:
        def answered(err: int, zxid: int) -> None:
            del self._arming[call]
            if not err:
                self.established.merge(arming)

        def done(result: _T) -> _T:
            # A request that is cancelled after it was sent is established all the same, and events may trigger it before.
            if not (call.xid and isinstance(result, Failure) and isinstance(result.value, CancelledError)):
                self._arming.pop(call, None)
            return result

        call = Call(kind_of(packet), packet, on_reply=answered)
        self._arming[call] = arming
        call.result().addBoth(done)
        return call

    def _answered_next(self) -> WatchSet | None:
        """Return the watches of the packet that the server answers next, if it is one of :meth:`bring_over`."""
        sent = [call for call in self._arming if call.xid]
        if self.rearming or not sent:
            return None
        # xids wrap around. The number of requests in flight is far too small for this to be ambiguous.
        somewhere = sent[0].xid + LAST_XID // 2
        return self._arming[min(sent, key=lambda call: (call.xid - somewhere) % LAST_XID)]

    def _rearmed_by(self, packet: SetWatchesPacket) -> Callable[[int, int], None]:
        def answered(err: int, zxid: int) -> None:
            self.rearming -= 1
            # From now on other watches may be established, as of later zxids.
            self._rearmed = None
            if err:
                self.refuse(exception_for(err))
                fail_all(self.established.take(self.established.part(packet)), lambda: exception_for(err))
                if isinstance(packet, SetWatches2Request):
                    lost = {*packet.persistentWatches, *packet.persistentRecursiveWatches}
                    self._notify_ended([watch for watch in self.persistent if watch.path in lost])

        return answered

    def _log_rearming(self, failure: Failure) -> None:
        if not isinstance(failure.value, (ConnectionLossException, ClosingException)):
            self._log.warn(
                "The watches could not be set again after the reconnection: {reason}. Programs that wait for them get this error.",
                reason=failure.getErrorMessage(),
            )


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

    def dispatch_session_event(self, event: SessionEvent, watches: SessionWatches) -> None:
        """Dispatch an event of the session that owns, or owned, these watches."""
        if self._metrics is not None and event.state is SessionState.CONNECTED:
            self._metrics.connected(event)
        elif self._metrics is not None and event.state is SessionState.SUSPENDED:
            self._metrics.disconnected(event)
        self._listeners.notify(event)
        watches.persistent.notify(event)

    def dispatch_watch_event(self, event: WatchedEvent, watches: SessionWatches) -> None:
        """Dispatch an event of one of these watches, or one that they imply."""
        waiters = watches.fire(event)
        persistent = watches.persistent
        fire_all(waiters, event)
        persistent.fire(event)
        self._listeners.notify(event)

    def dispatch_missed_event(self, event: WatchedEvent, waiters: Waiters) -> None:
        """Dispatch an event to the Deferreds of one watch, and to the feed."""
        fire_all(waiters, event)
        self._listeners.notify(event)

    def dispatch_removed(self, ended: list[PersistentWatch], watches: SessionWatches) -> None:
        """Remove persistent watches that the server does not support, and dispatch their removal."""
        for watch in ended:
            self._log.warn(
                "The server does not support persistent watches: the one on {path} is removed.", path=watch.path
            )
            watches.persistent.remove(watch.path)
            event = WatchedEvent(EventType.PERSISTENT_WATCH_REMOVED, watch.path)
            watch.observers.notify(event)
            self._listeners.notify(event)
