"""The ordered feed of session events and watch events, and the requests for its watches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import TypeVar

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from txmirror.client import replies
from txmirror.client.arguments import check_acl, check_bytes, check_paths, check_version, check_zxid
from txmirror.client.connection.calls import decode_nothing
from txmirror.client.creating import create_with_stat
from txmirror.client.one_shots import OneShots
from txmirror.client.request_sender import RequestSender
from txmirror.client.session.watches import WatchSet
from txmirror.errors import NoWatcherException
from txmirror.interfaces import IPersistentWatches, IWatchFeed
from txmirror.types import (
    ACL,
    ChildrenReply,
    CreateReply,
    DataReply,
    Listener,
    SessionEvent,
    StatReply,
    WatchKind,
)
from txmirror.wire import (
    AddWatchRequest,
    AddWatchResponse,
    CheckWatchesRequest,
    Cursor,
    DeleteRequest,
    ExistsRequest,
    GetChildren2Request,
    GetDataRequest,
    RemoveWatchesRequest,
    SetDataRequest,
)

_T = TypeVar("_T")


@implementer(IWatchFeed, IPersistentWatches)
class Feed:
    """All of :class:`~txmirror.interfaces.IWatchFeed` and :class:`~txmirror.interfaces.IPersistentWatches`.

    :param sender: sends the requests.
    :param one_shots: makes one-shot watches.
    """

    def __init__(self, sender: RequestSender, one_shots: OneShots) -> None:
        self._sender = sender
        self._one_shots = one_shots
        self._sessions = sender.sessions
        self._listeners: dict[Listener, Listener] = {}

    @property
    def session(self) -> SessionEvent:
        """The latest event of the session."""
        return self._sessions.session

    def add_listener(self, listener: Listener, needs: Callable[[str], bool] | None = None) -> None:
        """Call ``listener`` with every event. See :meth:`~txmirror.interfaces.IWatchFeed.add_listener`."""
        if listener not in self._listeners:
            self._listeners[listener] = below = self._sender.listener_below(listener)
            self._sessions.dispatcher.add(below, None if needs is None else self._sender.predicate_below(needs))

    def remove_listener(self, listener: Listener) -> None:
        """Stop calling ``listener``. See :meth:`~txmirror.interfaces.IWatchFeed.remove_listener`."""
        below = self._listeners.pop(listener, None)
        if below is not None:
            self._sessions.dispatcher.remove(below)

    def read_data(self, path: str) -> Deferred[DataReply]:
        """Read a node's data and stat, and leave a watch. See :meth:`~txmirror.interfaces.IWatchFeed.read_data`."""
        full = self._sender.valid(path)
        watch, on_reply = self._one_shots.data(full)
        return self._sender.send(GetDataRequest(full, watch), path, replies.decode_data_reply, on_reply=on_reply)

    def read_children(self, path: str) -> Deferred[ChildrenReply]:
        """Read the names of a node's children, and leave a watch. See :meth:`.IWatchFeed.read_children`."""
        full = self._sender.valid(path)
        watch, on_reply = self._one_shots.children(full)
        return self._sender.send(
            GetChildren2Request(full, watch), path, replies.decode_children_reply, on_reply=on_reply
        )

    def read_existence(self, path: str) -> Deferred[StatReply]:
        """Read a node's stat, if it exists, and leave a watch. See :meth:`.IWatchFeed.read_existence`."""
        full = self._sender.valid(path)
        watch, on_reply = self._one_shots.existence(full)
        request = ExistsRequest(full, watch)
        return self._sender.send(request, path, replies.decode_stat_reply, replies.missing_reply, on_reply)

    def write_create(self, path: str, data: bytes, acl: Sequence[ACL], flags: int) -> Deferred[CreateReply]:
        """Create a node. See :meth:`~txmirror.interfaces.IWatchFeed.write_create`."""
        if not 0 <= flags < 4:
            raise ValueError(
                f"a node is made persistent or ephemeral here, with or without a sequence, not by the flags {flags!r}"
            )
        return create_with_stat(self._sender, path, check_bytes(data), check_acl(acl), flags)

    def write_data(self, path: str, data: bytes, version: int) -> Deferred[StatReply]:
        """Replace a node's data. See :meth:`~txmirror.interfaces.IWatchFeed.write_data`."""
        return self._sender.send(
            SetDataRequest(self._sender.valid(path), check_bytes(data), check_version(version)),
            path,
            replies.decode_stat_reply,
        )

    def write_delete(self, path: str, version: int) -> Deferred[int]:
        """Delete a node. See :meth:`~txmirror.interfaces.IWatchFeed.write_delete`."""
        return self._sender.send(
            DeleteRequest(self._sender.valid(path), check_version(version)), path, replies.decode_zxid
        )

    def set_watches(
        self, zxid: int, data: Iterable[str] = (), exist: Iterable[str] = (), children: Iterable[str] = ()
    ) -> Deferred[None]:
        """Set watches as of a zxid. See :meth:`~txmirror.interfaces.IWatchFeed.set_watches`."""
        groups = check_paths(data), check_paths(exist), check_paths(children)
        full = {path: self._sender.valid(path) for path in dict.fromkeys(chain(*groups))}
        watches = WatchSet()
        watches.data, watches.exist, watches.child = (dict.fromkeys(map(full.__getitem__, group)) for group in groups)
        return self._sessions.set_watches(check_zxid(zxid), watches)

    def remove_watches(self, path: str, kind: WatchKind) -> Deferred[None]:
        """Remove the watches of a kind on a path. See :meth:`~txmirror.interfaces.IWatchFeed.remove_watches`."""
        kind = WatchKind(kind)
        full = self._sender.valid(path)
        watches = self._sessions.watches
        if full in watches.persistent and kind is not WatchKind.ANY:
            # The server has only the persistent watch, and would remove half of it.
            removed = watches.established.remove(full, kind)
            return succeed(None) if removed else fail(NoWatcherException(path=path))

        def answered(err: int, zxid: int) -> None:
            if err in (0, NoWatcherException.code):
                self._sessions.watches.established.remove(full, kind)
                if kind is WatchKind.ANY:
                    watch = self._sessions.watches.persistent.remove(full)
                    if watch is not None:
                        watch.forget_observers()

        return self._sender.send(RemoveWatchesRequest(full, kind), path, decode_nothing, on_reply=answered)

    def release(self, path: str) -> Deferred[None]:
        """Remove all watches on a path that nothing needs. See :meth:`~txmirror.interfaces.IWatchFeed.release`."""
        full = self._sender.valid(path)
        if self._sessions.dispatcher.needed(full) or self._sessions.watches.waited_for(full):
            return succeed(None)
        return self.remove_watches(path, WatchKind.ANY)

    def add_watch(self, path: str, listener: Listener | None = None, *, recursive: bool = False) -> Deferred[None]:
        """Add a persistent watch. See :meth:`~txmirror.interfaces.IPersistentWatches.add_watch`."""
        if listener is not None and not callable(listener):
            raise TypeError(f"a listener is a callable, not {listener!r:.60}")
        hash(listener)
        full = self._sender.valid(path)
        recursive = bool(recursive)
        persistent = self._sessions.watches.persistent
        watch = persistent.request(full, recursive)
        expecting = listener is not None
        watch.expected += expecting

        def answered(err: int, zxid: int) -> None:
            watch.established = watch.established or not err
            if call.deferred is None:
                watch.abandoned -= 1
                persistent.answered(watch)
            elif not err and listener is not None:
                watch.observers.add(listener, self._sender.listener_below(listener))

        def done(result: _T) -> _T:
            watch.expected -= expecting
            if call.xid and isinstance(result, Failure) and isinstance(result.value, CancelledError):
                watch.abandoned += 1
            else:
                persistent.answered(watch)
            return result

        call = self._sender.call(AddWatchRequest(full, recursive), path, _decode_added, on_reply=answered)
        answer = call.waited_for()
        answer.addBoth(done)
        self._sender.submit(call)
        return answer

    def check_watches(self, path: str, kind: WatchKind) -> Deferred[bool]:
        """Return whether the server has a watch of a kind on a path. See :meth:`.IPersistentWatches.check_watches`."""
        full = self._sender.valid(path)
        answer = self._sender.send(CheckWatchesRequest(full, WatchKind(kind)), path, _decode_yes)
        return answer.addErrback(_decode_no)


def _decode_added(cursor: Cursor, zxid: int) -> None:
    AddWatchResponse.decode(cursor)


def _decode_no(failure: Failure) -> bool:
    failure.trap(NoWatcherException)
    return False


def _decode_yes(cursor: Cursor, zxid: int) -> bool:
    return True
