"""One-shot watches: request one with a read, and enter it in the right table once the reply shows that it is established."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txmirror.client.connection.calls import OnReply
from txmirror.client.request_sender import RequestSender
from txmirror.client.session.watches import Table, WatchSet, enter
from txmirror.errors import ConnectionLossException, NoNodeException
from txmirror.types import SessionState, WatchedEvent

_Choice = Callable[[WatchSet], Table]


class OneShot(NamedTuple):
    """The watch flag and the reply callback of a read that leaves a watch."""

    watch: bool
    """Whether the server must set a watch. It must not where there is a persistent watch on the same path, which the one-shot
    watch would destroy, and which takes its place."""
    on_reply: OnReply
    """The callback for the reply's error code and zxid."""


class OneShots:
    """Makes the watches that reads leave.

    A watch is established once the reply shows it, and the reply determines its kind. The table for it is looked up only then,
    because the session may be another one by that time.

    :param sender: the sender of the reads; the watches are in its sessions.
    """

    def __init__(self, sender: RequestSender) -> None:
        self._sender = sender
        self._sessions = sender.sessions

    def waiter(self, path: str) -> Deferred[WatchedEvent]:
        """Return a Deferred that fires with the next event of a node. Cancelling it ends the wait; the watch stays.

        :param path: the node's, with the chroot.
        """
        waiter: Deferred[WatchedEvent] = Deferred(lambda cancelled: self._sessions.watches.forget(path, cancelled))
        if self._sender.chroot and self._sender.is_below(path):
            waiter.addCallback(self._sender.event_below)
        return waiter

    def data(self, path: str, waiter: Deferred[WatchedEvent] | None = None) -> OneShot:
        """Watch a node's data, if there is a node."""
        return self._watch(path, waiter, _data, None)

    def children(self, path: str, waiter: Deferred[WatchedEvent] | None = None) -> OneShot:
        """Watch a node's children, if there is a node."""
        return self._watch(path, waiter, _child, None)

    def existence(self, path: str, waiter: Deferred[WatchedEvent] | None = None) -> OneShot:
        """Watch a node's data, or its creation if there is no node."""
        return self._watch(path, waiter, _data, _exist)

    def _watch(
        self, path: str, waiter: Deferred[WatchedEvent] | None, present: _Choice, missing: _Choice | None
    ) -> OneShot:
        served = path in self._sessions.watches.persistent

        def answered(err: int, zxid: int) -> None:
            table = present if not err else missing if err == NoNodeException.code else None
            if table is None:
                return
            watches = self._sessions.watches
            if served and path not in watches.persistent:
                # The persistent watch that was to take its place was not established.
                self._set_later(path, waiter, table, zxid)
                return
            enter(table(watches.established), path, _waiting(waiter))

        return OneShot(not served, answered)

    def _set_later(self, path: str, waiter: Deferred[WatchedEvent] | None, table: _Choice, zxid: int) -> None:
        """Set a watch as of an earlier reply; a change since then fires it at once."""
        watches = WatchSet()
        enter(table(watches), path, _waiting(waiter))

        def failed(failure: Failure) -> None:
            error = failure.value
            connected = self._sessions.session.state is SessionState.CONNECTED
            if isinstance(error, ConnectionLossException) and error.applied is None and not connected:
                # In the same session the watch must still be set as of that reply.
                self._set_later(path, waiter, table, zxid)
            elif waiter is None and error is not None:
                self._sessions.watches.refuse(error)
            elif waiter is not None and not waiter.called:
                waiter.errback(failure)

        self._sessions.set_watches(zxid, watches).addErrback(failed)


def _waiting(waiter: Deferred[WatchedEvent] | None) -> list[Deferred[WatchedEvent]]:
    return [] if waiter is None or waiter.called else [waiter]


def _data(watches: WatchSet) -> Table:
    return watches.data


def _exist(watches: WatchSet) -> Table:
    return watches.exist


def _child(watches: WatchSet) -> Table:
    return watches.child
