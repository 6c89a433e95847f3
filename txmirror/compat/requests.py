"""Send requests to txzookeeper's client, with paths below a chroot, and convert its failures and its watch events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from txmirror import errors, paths
from txmirror.compat import zookeeper
from txmirror.compat.codes import EXCEPTIONS
from txmirror.compat.reconnecting import ReconnectingClient
from txmirror.types import EventType, SessionState, WatchedEvent

_T = TypeVar("_T")
_R = TypeVar("_R")

_CODES: dict[type[BaseException], int] = {exception: code for code, exception in EXCEPTIONS.items()}


class RequestSender:
    """Sends the requests of a client with a chroot.

    :param session: keeps txzookeeper's client connected.
    :param chroot: the path that goes before all others; empty for none.
    """

    def __init__(self, session: ReconnectingClient, chroot: str = "") -> None:
        self.session = session
        self._chroot = chroot

    @property
    def connect_string(self) -> str:
        """The servers and the chroot, as in ``host:port,host:port/chroot``."""
        return self.session.connect_string + self._chroot

    def below(self, path: str) -> RequestSender:
        """Return a sender on the same session with a deeper chroot."""
        return RequestSender(self.session, self.full(path).rstrip("/"))

    def full(self, path: str, *, sequence: bool = False) -> str:
        """Return a path with the chroot.

        :raises PathError: it is not a znode path.
        """
        paths.validate(path, sequence=sequence)
        if not self._chroot:
            return path
        return self._chroot if path == "/" and not sequence else self._chroot + path

    def relative(self, path: str) -> str:
        """Return a path without the chroot."""
        return path[len(self._chroot) :] or "/"

    def send(
        self,
        path: str | None,
        request: Callable[[Any], Deferred[_T]],
        render: Callable[[_T], _R],
        *,
        creating: bool = False,
    ) -> Deferred[_R]:
        """Send a request, when there is a session.

        :param request: called with txzookeeper's client.
        :param render: converts the result.
        :param creating: whether the request creates a node.
        """
        refusal = self.session.refusal(path)
        if refusal is not None:
            return fail(refusal)

        def sending(_: None = None) -> Deferred[_T]:
            try:
                return request(self.session.client)
            except Exception:
                # txzookeeper raises some of its exceptions, and others fail the Deferred.
                return fail(Failure())

        waiting = self.session.when_established(path)
        answer: Deferred[_T] = sending() if waiting is None else waiting.addCallback(sending)

        def failed(failure: Failure) -> Failure:
            # txzookeeper's own exceptions are subclasses.
            if not isinstance(failure.value, zookeeper.ZooKeeperException):
                return failure
            error = self._error(failure.value, path)
            if isinstance(error, errors.NoNodeException):
                error = errors.missing_node(
                    path, self.connect_string if "/" in self.connect_string else "", creating=creating
                )
            return Failure(error)

        return answer.addCallbacks(render, failed)

    def send_and_watch(
        self,
        path: str,
        request: Callable[[Any], tuple[Deferred[_T], Deferred[Any]]],
        render: Callable[[_T], _R],
    ) -> tuple[Deferred[_R], Deferred[WatchedEvent]]:
        """Send a request that sets a watch, when there is a session.

        :returns: the answer and the watch.
        """
        watches = self.session.watches
        watch: Deferred[WatchedEvent] = Deferred(lambda watch: watches.pop(watch, None))
        watches[watch] = None

        def fired(event: Any) -> None:
            # A session event is not an event of the watch.
            if event.type > 0 and watch in watches:
                del watches[watch]
                watch.callback(WatchedEvent(EventType(event.type), self.relative(event.path)))

        def sending(client: Any) -> Deferred[_T]:
            answer, event = request(client)
            # The watch fails when the session is over.
            event.addCallbacks(fired, lambda _: None)
            return answer

        def failed(failure: Failure) -> Failure:
            watches.pop(watch, None)
            return failure

        return self.send(path, sending, render).addErrback(failed), watch

    def _error(self, theirs: Exception, path: str | None) -> errors.ZooKeeperException:
        code = _CODES.get(type(theirs))
        if code == errors.InvalidStateException.code:
            return errors.SessionExpiredException(path=path)
        if code is not None:
            return errors.exception_for(code, path=path)
        # The client was not connected.
        refusal = self.session.refusal(path)
        if refusal is not None:
            return refusal
        if self.session.session.state is SessionState.EXPIRED:
            return errors.SessionExpiredException(path=path)
        return errors.ConnectionLossException(f"not sent: {theirs}", path=path, applied=False)
