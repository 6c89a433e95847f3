"""Pending requests: one :class:`Call` for each, from the caller's method until its Deferred fires."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, ParamSpec, Protocol, TypeVar

from twisted.internet.defer import Deferred

from txmirror import paths
from txmirror.errors import (
    NoNodeException,
    ProtocolError,
    ZooKeeperException,
    exception_for,
    missing_node,
)
from txmirror.types import Listener, News, WatchedEvent
from txmirror.wire import Cursor, Operation, Request

_P = ParamSpec("_P")
_T = TypeVar("_T")
_T_co = TypeVar("_T_co", covariant=True)
_ResultT = TypeVar("_ResultT")
#: Called with a reply's error code and zxid.
OnReply = Callable[[int, int], None]

#: If one of these fails with NoNode, it is the parent that is missing.
_CREATIONS = frozenset((Operation.CREATE, Operation.CREATE2, Operation.CREATE_CONTAINER, Operation.CREATE_TTL))


class RecordClass(Protocol[_P]):
    """The class of a request's record."""

    @property
    def operation(self) -> Operation:
        """The operation code."""

    def __call__(self, *arguments: _P.args, **named: _P.kwargs) -> Request:
        """Make a record."""


class RequestKind(Generic[_P, _T]):
    """One kind of request: the record that is sent, and the value of the reply to it.

    :param record: makes the request's record.
    :param decode: reads the value from the reply's record. It may raise a ``ZooKeeperException``, which is the request's
        failure. A ``ProtocolError`` ends the connection too.
    :param or_none: whether a node that does not exist is a valid result, with the value None.
    :param keeps_record: whether ``decode`` reads the request's record. Others are not kept: a record may hold much data.
    """

    __slots__ = ("decode", "keeps_record", "operation", "or_none", "record")

    def __init__(
        self,
        record: RecordClass[_P],
        decode: Callable[[Cursor, Call[Any]], _T],
        *,
        or_none: bool = False,
        keeps_record: bool = False,
    ) -> None:
        self.record: Final = record
        self.operation: Operation = record.operation
        self.decode: Final = decode
        self.or_none: bool = or_none
        self.keeps_record: bool = keeps_record


def decode_nothing(cursor: Cursor, call: Call[Any]) -> None:
    """Read an empty reply."""


class Reply(Generic[_T_co]):
    """The answer to a request.

    :ivar zxid: the zxid in the reply's header.
    :ivar value: the value, by the kind of request.
    """

    __slots__ = ("value", "zxid")

    def __init__(self, zxid: int, value: _T_co) -> None:
        self.zxid: int = zxid
        self.value: Final = value


class Chroot:
    """The node that all paths of a client are below: adds it to paths on the way out, and removes it from replies and events.

    :param path: the node's path, without a trailing slash; empty for the root.
    :param connect_string: the servers and the chroot, for the error if the chroot is missing.
    """

    __slots__ = ("connect_string", "path")

    def __init__(self, path: str = "", connect_string: str = "") -> None:
        self.path: str = path
        self.connect_string: str = connect_string if path else ""

    def full(self, path: str, *, sequence: bool = False) -> str:
        """Check a path, and return it with the chroot before it.

        :param sequence: whether the server will append digits to it.
        :raises PathError: the path is invalid.
        """
        paths.validate(path, sequence=sequence)
        if not self.path:
            return path
        return self.path if path == "/" and not sequence else self.path + path

    def full_each(self, each: Sequence[str]) -> list[str]:
        """Check several paths, and return them with the chroot before each.

        :raises PathError: a path is invalid.
        """
        paths.validate_each(each)
        chroot = self.path
        return [chroot if path == "/" else chroot + path for path in each] if chroot else list(each)

    def below(self, path: str) -> str:
        """Return a path that a server sent without the chroot.

        :raises ProtocolError: the path is not below the chroot, or is invalid.
        """
        if not self.contains(path):
            raise ProtocolError(f"{path!r:.200} is not below {self.path!r}")
        if not paths.is_path(path):
            raise ProtocolError(f"the server names the path {path!r:.200}, which no znode can have")
        return path[len(self.path) :] or "/"

    def strip(self, path: str) -> str:
        """Return a path of :meth:`full` as the caller spelt it."""
        return path[len(self.path) :] or "/"

    def contains(self, path: str) -> bool:
        """Return whether a server's path is the chroot or below it."""
        return not self.path or path == self.path or path.startswith(self.path + "/")

    def event_below(self, event: WatchedEvent) -> WatchedEvent:
        """Return an event with the chroot removed from its path."""
        return event._replace(path=self.below(event.path))

    def predicate_below(self, predicate: Callable[[str], bool]) -> Callable[[str], bool]:
        """Return ``predicate`` for paths with the chroot; it is false for paths that are not below the chroot."""
        if not self.path:
            return predicate
        return lambda path: self.contains(path) and predicate(self.below(path))

    def listener_below(self, listener: Listener) -> Listener:
        """Return a listener that removes the chroot from paths, and drops events that are not below it."""
        if not self.path:
            return listener

        def below_chroot(news: News) -> None:
            if not isinstance(news, WatchedEvent):
                listener(news)
            elif self.contains(news.path):
                listener(self.event_below(news))

        return below_chroot


_ROOT = Chroot()


class CallQueue(Protocol):
    """A queue that a cancelled request leaves."""

    def discard(self, call: Call[Any]) -> None:
        """Remove a request."""


class Call(Generic[_T]):
    """One pending request.

    It has more than 12 attributes, in slots, because a call is the one object that each request allocates.

    :param kind: the kind of request.
    :param record: its record, made by ``kind.record``.
    :param path: the path as the caller spelt it, for errors.
    :param chroot: the chroot of the record's paths.
    :param on_reply: called with the error code and zxid of the reply, before the Deferred fires: keeps the table of watches.
    :ivar record: the record, if its kind keeps it.
    :ivar deferred: the Deferred that the caller waits for; None after it has fired or was cancelled.
    :ivar make_result: makes the Deferred's result from the reply's zxid and value; None if it is the value alone.
    :ivar sent: the time at which it was written to the transport.
    :ivar zxid: the zxid of its reply.
    :ivar queue: the queue that it waits in, if it was not sent yet.
    :ivar bounded: whether it counts against the bounds of its queue.
    """

    __slots__ = (
        "body",
        "bounded",
        "chroot",
        "deferred",
        "kind",
        "make_result",
        "on_reply",
        "operation",
        "path",
        "queue",
        "record",
        "sent",
        "xid",
        "zxid",
    )

    def __init__(
        self,
        kind: RequestKind[Any, _T],
        record: Request,
        path: str | None = None,
        chroot: Chroot = _ROOT,
        on_reply: OnReply | None = None,
    ) -> None:
        self.kind: Final = kind
        self.operation: Operation = kind.operation
        self.record: Any = record if kind.keeps_record else None
        self.body: bytes = record.encode()
        self.path: str | None = path
        self.chroot: Chroot = chroot
        self.on_reply: OnReply | None = on_reply
        self.deferred: Deferred[Any] | None = Deferred(self._abandon)
        self.make_result: Callable[[int, Any], Any] | None = None
        self.bounded: bool = False
        self.queue: CallQueue | None = None
        self.sent: float = 0.0
        self.xid: int = 0
        self.zxid: int = 0

    def result(self) -> Deferred[_T]:
        """Return the Deferred of the reply's value. Call this before the request is submitted.

        Cancelling it abandons the reply. A request that was not sent leaves its queue.
        """
        assert self.deferred is not None
        return self.deferred

    def result_as(self, make_result: Callable[[int, _T], _ResultT]) -> Deferred[_ResultT]:
        """Return the Deferred, likewise, for a result from the whole reply.

        :param make_result: makes the result from the zxid and the value, as :class:`Reply` does.
        """
        assert self.deferred is not None
        self.make_result = make_result
        return self.deferred

    def read(self, cursor: Cursor) -> tuple[_T | None, ZooKeeperException | None]:
        """Decode the record of a reply that reports success.

        :returns: the value, or the error that the record reports, as in the reply to a transaction.
        :raises ProtocolError: the record is invalid.
        """
        try:
            value = self.kind.decode(cursor, self)
            cursor.finish()
        except ProtocolError:
            raise
        except ZooKeeperException as error:
            return None, error
        return value, None

    def succeed(self, value: _T | None) -> None:
        """Fire the Deferred with the reply, unless it was cancelled."""
        deferred, self.deferred = self.deferred, None
        if deferred is not None:
            deferred.callback(value if self.make_result is None else self.make_result(self.zxid, value))

    def fail(self, error: ZooKeeperException) -> None:
        """Fail the Deferred, unless it was cancelled."""
        deferred, self.deferred = self.deferred, None
        if deferred is not None:
            deferred.errback(error)

    def refuse(self, code: int, zxid: int) -> None:
        """Fail the Deferred with the server's error code, or fire it if a missing node is a valid result."""
        self.zxid = zxid
        if code != NoNodeException.code:
            self.fail(exception_for(code, path=self.path, zxid=zxid))
        elif self.kind.or_none:
            self.succeed(None)
        else:
            creating = self.operation in _CREATIONS
            self.fail(missing_node(self.path, self.chroot.connect_string, creating=creating, zxid=zxid))

    def _abandon(self, _: object) -> None:
        self.deferred = None
        if self.queue is not None:
            self.queue.discard(self)
