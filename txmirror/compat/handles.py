"""One connection of the binding: a native client, with the watchers of the C library.

The C library sends each session event to the connection's own watcher and to the watcher of every pending watch. Only a
watch event ends a watch. The library never opens a new session after one has expired.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorCore
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror.client import Limits, ZooKeeperClient
from txmirror.compat.codes import CONSTANTS, code_of, refusal
from txmirror.compat.values import Entries, acl_of, bytes_of, entries_of, text_of
from txmirror.deferreds import follow
from txmirror.errors import AuthFailedException, NoNodeException, PathError, ReplyTooLargeException
from txmirror.types import ACL, News, SessionState, SessionTicket, WatchedEvent, ZnodeStat

_T = TypeVar("_T")
#: Called with the connection's number and the result or event.
Callback = Callable[..., object]

_CONNECTING = CONSTANTS["CONNECTING_STATE"]
_CONNECTED = CONSTANTS["CONNECTED_STATE"]
_EXPIRED = CONSTANTS["EXPIRED_SESSION_STATE"]
_AUTH_FAILED = CONSTANTS["AUTH_FAILED_STATE"]
_SESSION_EVENT = CONSTANTS["SESSION_EVENT"]

#: The states of the C library. It has none for a session that has probably expired.
_STATES = {
    SessionState.CONNECTED: _CONNECTED,
    SessionState.SUSPENDED: _CONNECTING,
    SessionState.EXPIRED: _EXPIRED,
    SessionState.AUTH_FAILED: _AUTH_FAILED,
}


#: The timeout for a close, in seconds: as long as the C library waits for the server.
CLOSE_TIME = 3.0


class _InOrder(Random):
    """A random generator that does not shuffle servers."""

    def shuffle(self, x: Any, *_: Any) -> None:
        """Leave the order as it is."""


class Handle:
    """The connection behind a handle of the binding.

    :param number: the handle's number.
    :param hosts: the servers and the chroot.
    :param watcher: called with each session event; None for no watcher.
    :param timeout: the session timeout, in milliseconds.
    :param client_id: id and password of a session to take over.
    :param in_order: whether to try the servers in the order of ``hosts``.
    :param reactor: the reactor.
    :raises ValueError: an argument is invalid.
    """

    _log = Logger()

    def __init__(
        self,
        number: int,
        hosts: str,
        watcher: Callback | None,
        timeout: int,
        client_id: tuple[int, str] | None,
        in_order: bool,
        reactor: Any,
    ) -> None:
        ticket = None
        if client_id is not None and client_id[0]:
            ticket = SessionTicket(client_id[0], bytes_of(client_id[1]), 0)
        # The C library has no limits. Its requests that wait for a connection fail when an attempt to connect fails: at once
        # if a server refuses it, after a third of the session timeout if no server answers.
        limits = Limits(
            in_flight_requests=10**9,
            in_flight_bytes=2**40,
            queued_requests=10**9,
            queued_bytes=2**40,
            queued_time=timeout / 3000,
            queued_attempts=1,
            close_time=CLOSE_TIME,
        )
        self._number = number
        self._reactor = reactor
        self.client: ZooKeeperClient = ZooKeeperClient(
            hosts,
            session_timeout=timeout / 1000,
            session=ticket,
            limits=limits,
            random=_InOrder() if in_order else None,
            reactor=reactor,
        )
        self.watcher = watcher
        self.state: int = _CONNECTING
        self._client_id = (0, "")
        self._watchers: dict[Deferred[WatchedEvent], Callback] = {}
        self._closed: Deferred[None] | None = None
        self.client.add_listener(self._on_event)
        # The client retries, and a session event follows when it has connected.
        self.client.connect().addErrback(lambda _: None)

    @property
    def unrecoverable(self) -> bool:
        """True if the session has expired, or its credentials were refused."""
        return self.state < 0

    @property
    def client_id(self) -> tuple[int, str]:
        """The session's id and password; those of the latest session, if it has expired; ``(0, "")`` before the first."""
        self._note_session()
        return self._client_id

    def close(self) -> Deferred[None]:
        """End the session, if there is a connection; without one, leave it to its timeout, as the C library does.

        :returns: fires when all is closed. The reactor does not stop before.
        """
        if self._closed is None:
            self._closed = closed = Deferred[None]()
            self._watchers.clear()
            self.watcher = None
            self.client.remove_listener(self._on_event)
            ended: Deferred[Any] = self.client.close() if self.state == _CONNECTED else self.client.leave()
            core: IReactorCore | None = IReactorCore(self._reactor, None)
            trigger = None if core is None else core.addSystemEventTrigger("before", "shutdown", self.close)

            def gone(_: object) -> None:
                if core is not None:
                    core.removeSystemEventTrigger(trigger)
                closed.callback(None)

            ended.addBoth(gone)
        return follow(self._closed)

    # Requests. They return the number of the C library's calls. If they raise, no request was sent.

    def get(self, path: str, watcher: Callback | None, callback: Callback) -> int:
        """Read a node's data and stat."""
        return self._read(
            path,
            watcher,
            self.client.get,
            self.client.get_and_watch,
            callback,
            (None, None),
            lambda answer: (text_of(answer[0]), answer[1]._asdict()),
        )

    def exists(self, path: str, watcher: Callback | None, callback: Callback) -> int:
        """Read a node's stat. If the node does not exist, the callback gets the number of a failure."""

        def present(stat: ZnodeStat | None) -> ZnodeStat:
            if stat is None:
                raise NoNodeException(path=path)
            return stat

        return self._read(
            path,
            watcher,
            self.client.exists,
            self.client.exists_and_watch,
            callback,
            (None,),
            lambda answer: (present(answer)._asdict(),),
        )

    def get_children(self, path: str, watcher: Callback | None, callback: Callback) -> int:
        """Read the names of a node's children."""
        return self._read(
            path,
            watcher,
            self.client.get_children,
            self.client.get_children_and_watch,
            callback,
            ([],),
            lambda names: (names,),
        )

    def create(self, path: str, value: str | None, acl: Entries, flags: int, callback: Callback) -> int:
        """Create a node."""
        if flags not in (0, 1, 2, 3):
            raise refusal(CONSTANTS["BADARGUMENTS"], f"the flags of a new node are a sum of 1 and 2, not {flags!r}")
        data, entries = bytes_of(value), _entries(acl)
        return self._send(
            lambda: self.client.create(path, data, entries, ephemeral=bool(flags & 1), sequence=bool(flags & 2)),
            callback,
            (None,),
            lambda path: (path,),
        )

    def delete(self, path: str, version: int, callback: Callback) -> int:
        """Delete a node."""
        return self._send(lambda: self.client.delete(path, version), callback, (), lambda _: ())

    def set(self, path: str, value: str | None, version: int, callback: Callback) -> int:
        """Replace a node's data."""
        data = bytes_of(value)
        return self._send(
            lambda: self.client.set(path, data, version), callback, (None,), lambda stat: (stat._asdict(),)
        )

    def get_acl(self, path: str, callback: Callback) -> int:
        """Read a node's ACL."""
        return self._send(
            lambda: self.client.get_acl(path),
            callback,
            (None, None),
            lambda answer: (entries_of(answer[0]), answer[1]._asdict()),
        )

    def set_acl(self, path: str, version: int, acl: Entries, callback: Callback) -> int:
        """Replace a node's ACL."""
        entries = _entries(acl)
        return self._send(lambda: self.client.set_acl(path, entries, version), callback, (), lambda _: ())

    def sync(self, path: str, callback: Callback) -> int:
        """Wait until the server has caught up with its leader."""
        return self._send(lambda: self.client.sync(path), callback, (None,), lambda path: (path,))

    def add_auth(self, scheme: str, cert: str | None, callback: Callback) -> int:
        """Add an identity. Refused credentials end the connection."""

        def refused(failure: Failure) -> Failure:
            if failure.check(AuthFailedException):
                self._enter(_AUTH_FAILED)
            return failure

        credentials = bytes_of(cert)
        return self._send(
            lambda: self.client.add_auth(scheme, credentials).addErrback(refused), callback, (), lambda _: ()
        )

    # Results and events.

    def _read(
        self,
        path: str,
        watcher: Callback | None,
        read: Callable[[str], Deferred[_T]],
        read_and_watch: Callable[[str], tuple[Deferred[_T], Deferred[WatchedEvent]]],
        callback: Callback,
        failed_result: tuple[object, ...],
        render: Callable[[_T], tuple[object, ...]],
    ) -> int:
        if watcher is None:
            return self._send(lambda: read(path), callback, failed_result, render)

        def reading() -> Deferred[_T]:
            answer, watch = read_and_watch(path)
            watch.addCallbacks(self._fired, self._ended, callbackArgs=(watch,), errbackArgs=(watch,))

            def watched(result: _T | Failure) -> _T | Failure:
                # The server has set the watch even if its reply was too large.
                if self._closed is None and (not isinstance(result, Failure) or result.check(ReplyTooLargeException)):
                    self._watchers[watch] = watcher
                return result

            return answer.addBoth(watched)

        return self._send(reading, callback, failed_result, render)

    def _send(
        self,
        request: Callable[[], Deferred[_T]],
        callback: Callback,
        failed_result: tuple[object, ...],
        render: Callable[[_T], tuple[object, ...]],
    ) -> int:
        """Send a request.

        :param failed_result: the callback's further arguments for a failure.
        :param render: makes its further arguments for a result.
        """
        if self.unrecoverable:
            raise refusal(CONSTANTS["INVALIDSTATE"])
        try:
            answer = request()
        except PathError as error:
            raise refusal(CONSTANTS["BADARGUMENTS"], str(error)) from None
        if answer.called:
            # The callback must not be called before this call has returned.
            known, answer = answer, Deferred()
            self._reactor.callLater(0, known.chainDeferred, answer)

        def failed(failure: Failure) -> None:
            self._call(callback, code_of(failure.value), *failed_result)

        answer.addCallback(render)
        answer.addCallbacks(lambda results: self._call(callback, 0, *results), failed)
        return 0

    def _fired(self, event: WatchedEvent, watch: Deferred[WatchedEvent]) -> None:
        watcher = self._watchers.pop(watch, None)
        if watcher is not None:
            self._call(watcher, int(event.type), self.state, event.path)

    def _ended(self, _: Failure, watch: Deferred[WatchedEvent]) -> None:
        # The watcher was called with the event that ended the session.
        self._watchers.pop(watch, None)

    def _on_event(self, news: News) -> None:
        if not isinstance(news, WatchedEvent) and news.state in _STATES:
            self._enter(_STATES[news.state])

    def _enter(self, state: int) -> None:
        self._note_session()
        self.state = state
        watchers = [self.watcher, *self._watchers.values()]
        if state < 0:
            self.client.remove_listener(self._on_event)
            # The native client would open a new session.
            self.client.close()
        for watcher in watchers:
            if watcher is not None and self._closed is None:
                self._call(watcher, _SESSION_EVENT, state, "")

    def _note_session(self) -> None:
        ticket = self.client.session_ticket
        if ticket is not None:
            self._client_id = ticket.session_id, text_of(ticket.password)

    def _call(self, callback: Callback, *arguments: object) -> None:
        try:
            callback(self._number, *arguments)
        except Exception:
            # It is txzookeeper's, or the program's.
            self._log.failure("A callback of a ZooKeeper connection failed.")


def _entries(acl: Entries) -> list[ACL]:
    try:
        return acl_of(acl)
    except (KeyError, TypeError, ValueError):
        raise refusal(
            CONSTANTS["INVALIDACL"], f"an ACL is a list of dicts of perms, scheme and id, not {acl!r:.200}"
        ) from None
