"""Set and remove watches: the one-shot watches that reads leave, and persistent watches.

A watch is established once the reply shows it, and the reply determines its kind. The table for it is looked up only then, because
the session may be another one by that time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.python.failure import Failure

from txmirror.client.arguments import check_paths, check_zxid
from txmirror.client.connection.calls import Call, OnReply, RequestKind
from txmirror.client.operations import (
    ADD_WATCH,
    CHECK_WATCHES,
    EXISTS,
    GET_CHILDREN,
    GET_CONFIG,
    GET_DATA,
    REMOVE_WATCHES,
)
from txmirror.client.requests import Requests
from txmirror.client.session.pending import Priority
from txmirror.client.session.watch_tables import Table, WatchSet, enter
from txmirror.errors import ConnectionLossException, NoNodeException, NoWatcherException
from txmirror.types import EventType, Listener, SessionState, WatchedEvent, WatchKind, ZnodeStat

_T = TypeVar("_T")
_ResultT = TypeVar("_ResultT")
_Choice = Callable[[WatchSet], Table]
_Waiter = Deferred[WatchedEvent] | None
_Read = RequestKind[[str, bool], _T]


def _data(watches: WatchSet) -> Table:
    return watches.data


def _exist(watches: WatchSet) -> Table:
    return watches.exist


def _child(watches: WatchSet) -> Table:
    return watches.child


#: The tables for the watch that a read leaves: on a node that exists, and on one that does not.
_LEFT_BY: dict[RequestKind[[str, bool], Any], tuple[_Choice, _Choice | None]] = {
    GET_DATA: (_data, None),
    GET_CONFIG: (_data, None),
    GET_CHILDREN: (_child, None),
    EXISTS: (_data, _exist),
}


class Watching:
    """Sets and removes the watches of one client.

    :param requests: sends the requests; the watches are those of its session.
    """

    def __init__(self, requests: Requests) -> None:
        self._requests = requests
        self._session = requests.session
        self._chroot = requests.chroot
        #: The numbers of reads on their way whose watches a Deferred waits for, by path.
        self._expected: dict[str, int] = {}

    def read_and_watch(
        self, kind: _Read[_T], path: str, full: str | None = None
    ) -> tuple[Deferred[_T], Deferred[WatchedEvent]]:
        """Read, and set a watch.

        :param full: the path with the chroot, of a node that need not be below the chroot; that of ``path`` if None.
        :returns: the reply's value; and a Deferred that fires with the next event of the node. Cancelling the latter ends the
            wait; the watch stays.
        """
        target = self._chroot.full(path) if full is None else full
        waiter: Deferred[WatchedEvent] = Deferred(lambda cancelled: self._session.watches.forget(target, cancelled))
        if self._chroot.path and self._chroot.contains(target):
            waiter.addCallback(self._chroot.event_below)
        call = self._reading(kind, target, path, waiter)
        answer = self._expect(target, call.result())
        self._requests.submit(call)
        return answer, waiter

    def _expect(self, path: str, answer: Deferred[_T]) -> Deferred[_T]:
        """Count a read with a watch as on its way until its Deferred fires."""
        self._expected[path] = self._expected.get(path, 0) + 1

        def arrived(result: _T) -> _T:
            left = self._expected[path] - 1
            if left:
                self._expected[path] = left
            else:
                del self._expected[path]
            return result

        return answer.addBoth(arrived)

    def read_for_feed(
        self, make_result: Callable[[int, _T], _ResultT], kind: _Read[_T], path: str
    ) -> Deferred[_ResultT]:
        """Read, and leave a watch on the feed.

        :param make_result: makes the result from the reply's zxid and value.
        """
        call = self._reading(kind, self._chroot.full(path), path, None)
        answer = call.result_as(make_result)
        self._requests.submit(call)
        return answer

    def set_watches(
        self, zxid: int, data: Iterable[str] = (), exist: Iterable[str] = (), children: Iterable[str] = ()
    ) -> Deferred[None]:
        """Set watches as of a zxid. See :meth:`~txmirror.interfaces.IWatchFeed.set_watches`."""
        return self._session.set_watches(check_zxid(zxid), self._watch_set(data, exist, children))

    def report_changes(
        self, zxid: int, listener: Listener, data: Iterable[str], exist: Iterable[str], children: Iterable[str]
    ) -> Deferred[None]:
        """Ask which nodes have changed since a zxid. See :meth:`~txmirror.interfaces.ISideSessions.report_changes`."""
        below = self._chroot.listener_below(listener)
        return self._session.missed_changes.ask(check_zxid(zxid), self._watch_set(data, exist, children), below)

    def _watch_set(self, data: Iterable[str], exist: Iterable[str], children: Iterable[str]) -> WatchSet:
        groups = check_paths(data), check_paths(exist), check_paths(children)
        full = {path: self._chroot.full(path) for path in dict.fromkeys(chain(*groups))}
        watches = WatchSet()
        watches.data, watches.exist, watches.child = (dict.fromkeys(map(full.__getitem__, group)) for group in groups)
        return watches

    def remove_watches(self, path: str, kind: WatchKind) -> Deferred[None]:
        """Remove the watches of a kind on a path. See :meth:`~txmirror.interfaces.IWatchFeed.remove_watches`."""
        kind = WatchKind(kind)
        full = self._chroot.full(path)
        watches = self._session.watches
        if kind is not WatchKind.ANY and watches.persistent.stands(full):
            # The server has only the persistent watch, and would remove half of it.
            removed = watches.established.remove(full, kind)
            return succeed(None) if removed else fail(NoWatcherException(path=path))

        def answered(err: int, zxid: int) -> None:
            watches = self._session.watches
            watches.persistent.removal_answered(full, call)
            if err in (0, NoWatcherException.code):
                watches.established.remove(full, kind)
                if kind is WatchKind.ANY:
                    watch = watches.persistent.remove(full)
                    if watch is not None:
                        watch.forget_observers()

        call = self._requests.call(REMOVE_WATCHES, REMOVE_WATCHES.record(full, kind), path, answered)
        if kind is WatchKind.ANY:
            watches.persistent.removing(full, call)
        answer = call.result()
        self._requests.submit(call)
        return answer

    def release(self, path: str) -> Deferred[None]:
        """Remove all watches on a path that nothing needs. See :meth:`~txmirror.interfaces.IWatchFeed.release`."""
        full = self._chroot.full(path)
        expected = full in self._expected
        if expected or self._session.dispatcher.needed(full) or self._session.watches.has_waiters(full):
            return succeed(None)
        return self.remove_watches(path, WatchKind.ANY)

    def add_watch(self, path: str, listener: Listener | None = None, *, recursive: bool = False) -> Deferred[None]:
        """Add a persistent watch. See :meth:`~txmirror.interfaces.IPersistentWatches.add_watch`."""
        if listener is not None and not callable(listener):
            raise TypeError(f"a listener is a callable, not {listener!r:.60}")
        hash(listener)
        full = self._chroot.full(path)
        recursive = bool(recursive)
        persistent = self._session.watches.persistent
        watch = persistent.request(full, recursive)
        expecting = listener is not None
        watch.expected += expecting

        def answered(err: int, zxid: int) -> None:
            watch.established = watch.established or not err
            if call.deferred is None:
                watch.abandoned -= 1
                persistent.answered(watch)
            elif not err and listener is not None:
                watch.observers.add(listener, self._chroot.listener_below(listener))

        def done(result: _T) -> _T:
            watch.expected -= expecting
            if call.xid and isinstance(result, Failure) and isinstance(result.value, CancelledError):
                watch.abandoned += 1
            else:
                persistent.answered(watch)
            return result

        call = self._requests.call(ADD_WATCH, ADD_WATCH.record(full, recursive), path, answered)
        answer = call.result()
        answer.addBoth(done)
        self._requests.submit(call)
        return answer

    def check_watches(self, path: str, kind: WatchKind) -> Deferred[bool]:
        """Return whether the server has a watch of a kind on a path. See :meth:`.IPersistentWatches.check_watches`."""
        answer = self._requests.send(CHECK_WATCHES, path, WatchKind(kind))
        return answer.addCallbacks(lambda _: True, _no_watcher)

    def _reading(self, kind: _Read[_T], full: str, path: str, waiter: _Waiter) -> Call[_T]:
        """Make the call of a read that leaves a watch.

        The server must not set one where there is a persistent watch on the same path, which the one-shot watch would destroy,
        and which takes its place.
        """
        present, missing = _LEFT_BY[kind]
        covered = self._session.watches.persistent.stands(full)

        def answered(err: int, zxid: int) -> None:
            table = present if not err else missing if err == NoNodeException.code else None
            if table is None:
                return
            watches = self._session.watches
            if covered and full not in watches.persistent:
                # The persistent watch that was to take its place was not established.
                self._set_later(full, waiter, table, zxid)
                return
            enter(table(watches.established), full, _waiting(waiter))

        on_reply: OnReply = answered
        return self._requests.call(kind, kind.record(full, not covered), path, on_reply)

    def _set_later(self, path: str, waiter: _Waiter, table: _Choice, zxid: int) -> None:
        """Set a watch as of an earlier reply; a change since then fires it at once."""
        if table is _child and self._session.abilities.keeper:
            self._read_children_again(path, waiter, zxid)
            return
        watches = WatchSet()
        enter(table(watches), path, _waiting(waiter))

        def failed(failure: Failure) -> None:
            self._not_set(failure, path, waiter, table, zxid)

        self._session.set_watches(zxid, watches).addErrback(failed)

    def _read_children_again(self, path: str, waiter: _Waiter, zxid: int) -> None:
        """Set a watch on a node's children as of an earlier reply, at ClickHouse Keeper.

        For ``setWatches`` it reports changed children as changed data. So another read sets the watch, and the zxid of the node's
        children shows whether they have changed.
        """
        persistent = self._session.watches.persistent
        covered = persistent.stands(path)

        def answered(value: tuple[list[str], ZnodeStat]) -> None:
            if covered and path not in persistent:
                self._read_children_again(path, waiter, zxid)
                return
            changed = value[1].pzxid > zxid
            enter(self._session.watches.established.child, path, [] if changed else _waiting(waiter))
            if changed:
                self._missed(WatchedEvent(EventType.CHILD, path), waiter)

        def failed(failure: Failure) -> None:
            if isinstance(failure.value, NoNodeException):
                self._missed(WatchedEvent(EventType.DELETED, path), waiter)
            else:
                self._not_set(failure, path, waiter, _child, zxid)

        # Behind the requests of persistent watches that wait to be sent.
        call = self._requests.call(GET_CHILDREN, GET_CHILDREN.record(path, not covered), self._chroot.strip(path))
        self._expect(path, call.result()).addCallbacks(answered, failed)
        self._session.outbox.submit(call, Priority.WAITING)

    def _missed(self, event: WatchedEvent, waiter: _Waiter) -> None:
        """Dispatch an event that the server has not sent. Other watches on the path may be later than the change."""
        self._session.dispatcher.dispatch_missed_event(event, _waiting(waiter))

    def _not_set(self, failure: Failure, path: str, waiter: _Waiter, table: _Choice, zxid: int) -> None:
        """Set a watch on the next connection, or notify those who rely on it that it could not be set."""
        error = failure.value
        connected = self._session.event.state is SessionState.CONNECTED
        if isinstance(error, ConnectionLossException) and error.applied is None and not connected:
            # In the same session the watch must still be set as of that reply.
            self._set_later(path, waiter, table, zxid)
        elif waiter is None and error is not None:
            self._session.watches.refuse(error)
        elif waiter is not None and not waiter.called:
            waiter.errback(failure)


def _waiting(waiter: _Waiter) -> list[Deferred[WatchedEvent]]:
    return [] if waiter is None or waiter.called else [waiter]


def _no_watcher(failure: Failure) -> bool | Failure:
    return False if isinstance(failure.value, NoWatcherException) else failure
