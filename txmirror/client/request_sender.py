"""Send requests below a chroot: check paths, add the chroot on the way out, and remove it from replies and events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

from txmirror import paths
from txmirror.client.connection.calls import Call, OnReply, Priority
from txmirror.client.session.session import Sessions
from txmirror.errors import ProtocolError, UnimplementedException
from txmirror.types import Listener, News, WatchedEvent
from txmirror.wire import Cursor, Request

_T = TypeVar("_T")


class RequestSender:
    """Sends the requests of one client, below its chroot.

    :param sessions: the sessions that requests are sent in.
    :param chroot: the node that all paths are below, without a trailing slash; empty for the root.
    :param priority: the priority of the requests.
    :param connect_string: the servers and the chroot.
    """

    def __init__(self, sessions: Sessions, chroot: str, priority: Priority, connect_string: str) -> None:
        self.sessions = sessions
        self.chroot = chroot
        self.priority = priority
        self._connect_string = connect_string if chroot else ""

    def send(
        self,
        request: Request,
        path: str | None,
        decode: Callable[[Cursor, int], _T],
        on_missing: Callable[[int], _T] | None = None,
        on_reply: OnReply | None = None,
    ) -> Deferred[_T]:
        """Send a request, and return a Deferred of its result. See :class:`~txmirror.client.calls.Call` for the arguments."""
        call = self.call(request, path, decode, on_missing, on_reply)
        answer = call.waited_for()
        self.submit(call)
        return answer

    def call(
        self,
        request: Request,
        path: str | None,
        decode: Callable[[Cursor, int], _T],
        on_missing: Callable[[int], _T] | None = None,
        on_reply: OnReply | None = None,
    ) -> Call[_T]:
        """Make a request, for :meth:`submit`."""
        noting = self.sessions.abilities.noting(request.operation, on_reply)
        return Call(request, path, decode, on_missing, noting, self._connect_string)

    def submit(self, call: Call[Any]) -> None:
        """Send a request, or fail it if the server is known to close the connection on its operation."""
        if self.sessions.abilities.hangs_up(call.operation):
            call.fail(UnimplementedException(path=call.path))
        else:
            self.sessions.outbox.submit(call, self.priority)

    def send_urgently(self, request: Request, path: str | None, decode: Callable[[Cursor, int], _T]) -> Deferred[_T]:
        """Send a request ahead of the queue, and return a Deferred of its result."""
        call = Call(request, path, decode)
        answer = call.waited_for()
        self.sessions.outbox.submit(call, Priority.URGENT)
        return answer

    def valid(self, path: str, *, sequence: bool = False) -> str:
        """Check a path, and return it with the chroot before it.

        :param sequence: whether the server will append digits to it.
        :raises PathError: the path is invalid.
        """
        paths.validate(path, sequence=sequence)
        if not self.chroot:
            return path
        return self.chroot if path == "/" and not sequence else self.chroot + path

    def below(self, path: str) -> str:
        """Return a path that a server sent without the chroot.

        :raises ProtocolError: the path is not below the chroot, or is invalid.
        """
        if not self.is_below(path):
            raise ProtocolError(f"{path!r:.200} is not below {self.chroot!r}")
        if not paths.is_path(path):
            raise ProtocolError(f"the server names the path {path!r:.200}, which no znode can have")
        return path[len(self.chroot) :] or "/"

    def is_below(self, path: str) -> bool:
        """Return whether a server's path is the chroot or below it."""
        return not self.chroot or path == self.chroot or path.startswith(self.chroot + "/")

    def event_below(self, event: WatchedEvent) -> WatchedEvent:
        """Return an event with the chroot removed from its path."""
        return event._replace(path=self.below(event.path))

    def predicate_below(self, predicate: Callable[[str], bool]) -> Callable[[str], bool]:
        """Return ``predicate`` for paths with the chroot; it is false for paths that are not below the chroot."""
        if not self.chroot:
            return predicate
        return lambda path: self.is_below(path) and predicate(self.below(path))

    def listener_below(self, listener: Listener) -> Listener:
        """Return a listener that removes the chroot from paths, and drops events that are not below it."""
        if not self.chroot:
            return listener

        def below_chroot(news: News) -> None:
            if not isinstance(news, WatchedEvent):
                listener(news)
            elif self.is_below(news.path):
                listener(self.event_below(news))

        return below_chroot
