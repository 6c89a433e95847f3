"""An adapter from txzookeeper's client to :class:`~txmirror.interfaces.IZooKeeperClient`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure
from zope.interface import implementer

from txmirror import errors, paths
from txmirror.compat import zookeeper
from txmirror.compat.codes import EXCEPTIONS
from txmirror.compat.handles import bytes_of, text_of
from txmirror.compat.reconnecting import ReconnectingClient
from txmirror.interfaces import IChroot, ISessionSteps, IZooKeeperClient
from txmirror.types import ACL, OPEN_ACL, EventType, Listener, SessionEvent, SessionState, WatchedEvent, ZnodeStat

_T = TypeVar("_T")
_R = TypeVar("_R")

_CODES: dict[type[BaseException], int] = {exception: code for code, exception in EXCEPTIONS.items()}


@implementer(IZooKeeperClient, ISessionSteps, IChroot)
class TxZooKeeperClient:
    """An :class:`~txmirror.interfaces.IZooKeeperClient` over a client of txzookeeper.

    It retries to connect, and opens a new session when one has expired, with a plain and with a managed client. Otherwise
    txzookeeper behaves in its own way: requests that wait for a connection fail with the next attempt that fails; a request
    over the server's limit fails with :exc:`~txmirror.errors.BadArgumentsException`; refused credentials end the client;
    without a connection, a close leaves the session to its timeout. It does not support ``protect``.

    The adapter owns the client: connect and close it here, and set no session callback.

    :param client: a ``txzookeeper.client.ZookeeperClient``, or a ``SessionClient``, ``RetryClient`` or ``ManagedClient``;
        connected or not.
    :raises TypeError: it is something else.
    """

    def __init__(self, client: Any) -> None:
        if not hasattr(getattr(client, "client", client), "set_session_callback"):
            raise TypeError(f"{client!r:.80} is not a client of txzookeeper")
        self._reconnecting = ReconnectingClient(client)
        self._watches: dict[Deferred[WatchedEvent], None] = {}
        self._reconnecting.session_over = self._end_watches
        self._chroot = ""

    def __repr__(self) -> str:
        return f"<TxZooKeeperClient {self.connect_string} {self.session.state.value}>"

    @property
    def connect_string(self) -> str:
        """The servers and the chroot, as in ``host:port,host:port/chroot``."""
        return self._reconnecting.connect_string + self._chroot

    @property
    def session(self) -> SessionEvent:
        """The latest step of the session. Its data generation and its zxid are unknown, and always 0."""
        return self._reconnecting.session

    @property
    def session_key(self) -> object:
        """An object that is the same for all clients of one session. See :class:`~txmirror.interfaces.IChroot`."""
        return self._reconnecting

    @property
    def session_id(self) -> int:
        """The id of the session, as in ``ephemeralOwner``; 0 while there is none."""
        return self._reconnecting.session_id

    @property
    def session_timeout(self) -> float:
        """The session timeout in seconds: negotiated, or requested before that."""
        return self._reconnecting.session_timeout

    def add_listener(self, listener: Listener) -> None:
        """Call ``listener`` with each step of the session. See :meth:`~txmirror.interfaces.ISessionSteps.add_listener`."""
        self._reconnecting.add_listener(listener)

    def remove_listener(self, listener: Listener) -> None:
        """Stop calling ``listener``. See :meth:`~txmirror.interfaces.ISessionSteps.remove_listener`."""
        self._reconnecting.remove_listener(listener)

    def connect(self) -> Deferred[None]:
        """Start to connect. See :meth:`~txmirror.interfaces.IZooKeeperClient.connect`.

        It does not fail if names cannot be resolved.
        """
        return self._reconnecting.connect()

    def close(self) -> Deferred[None]:
        """End the session, and close the connection. See :meth:`~txmirror.interfaces.IZooKeeperClient.close`.

        Without a connection the session is left to its timeout.
        """
        return self._reconnecting.close()

    def chroot(self, path: str) -> TxZooKeeperClient:
        """Return a client with all its paths below a node. See :meth:`~txmirror.interfaces.IChroot.chroot`."""
        below = TxZooKeeperClient.__new__(TxZooKeeperClient)
        below._reconnecting, below._watches = self._reconnecting, self._watches
        below._chroot = self._full(path).rstrip("/")
        return below

    # Nodes.

    def create(
        self,
        path: str,
        data: bytes = b"",
        acl: Sequence[ACL] = OPEN_ACL,
        *,
        ephemeral: bool = False,
        sequence: bool = False,
        protect: bool = False,
    ) -> Deferred[str]:
        """Create a node. See :meth:`~txmirror.interfaces.IZooKeeperClient.create`.

        With ``protect`` it fails with :exc:`~txmirror.errors.UnimplementedException`.
        """
        full, text = self._full(path, sequence=sequence), _text(data)
        if protect:
            return fail(errors.UnimplementedException("txzookeeper does not put GUIDs into names", path=path))
        flags = (1 if ephemeral else 0) | (2 if sequence else 0)
        return self._send(
            path, lambda client: client.create(full, text, _dicts(acl), flags), self._below, creating=True
        )

    def delete(self, path: str, version: int = -1) -> Deferred[None]:
        """Delete a node. See :meth:`~txmirror.interfaces.IZooKeeperClient.delete`."""
        full = self._full(path)
        return self._send(path, lambda client: client.delete(full, version), lambda _: None)

    def exists(self, path: str) -> Deferred[ZnodeStat | None]:
        """Read a node's stat. See :meth:`~txmirror.interfaces.IZooKeeperClient.exists`."""
        full = self._full(path)
        return self._send(path, lambda client: client.exists(full), _maybe_stat)

    def exists_and_watch(self, path: str) -> tuple[Deferred[ZnodeStat | None], Deferred[WatchedEvent]]:
        """Read a node's stat, and set a watch. See :meth:`~txmirror.interfaces.IZooKeeperClient.exists_and_watch`."""
        full = self._full(path)
        return self._watch(path, lambda client: client.exists_and_watch(full), _maybe_stat)

    def get(self, path: str) -> Deferred[tuple[bytes, ZnodeStat]]:
        """Read a node's data and stat. See :meth:`~txmirror.interfaces.IZooKeeperClient.get`."""
        full = self._full(path)
        return self._send(path, lambda client: client.get(full), _data)

    def get_and_watch(self, path: str) -> tuple[Deferred[tuple[bytes, ZnodeStat]], Deferred[WatchedEvent]]:
        """Read a node's data and stat, and set a watch. See :meth:`~txmirror.interfaces.IZooKeeperClient.get_and_watch`."""
        full = self._full(path)
        return self._watch(path, lambda client: client.get_and_watch(full), _data)

    def get_children(self, path: str) -> Deferred[list[str]]:
        """Read the names of a node's children. See :meth:`~txmirror.interfaces.IZooKeeperClient.get_children`."""
        full = self._full(path)
        return self._send(path, lambda client: client.get_children(full), _names)

    def get_children_and_watch(self, path: str) -> tuple[Deferred[list[str]], Deferred[WatchedEvent]]:
        """Read the names of a node's children, and set a watch. See :meth:`~txmirror.interfaces.IZooKeeperClient.get_children_and_watch`."""
        full = self._full(path)
        return self._watch(path, lambda client: client.get_children_and_watch(full), _names)

    def set(self, path: str, data: bytes, version: int = -1) -> Deferred[ZnodeStat]:
        """Replace a node's data. See :meth:`~txmirror.interfaces.IZooKeeperClient.set`."""
        full, text = self._full(path), _text(data)
        return self._send(path, lambda client: client.set(full, text, version), _stat)

    def get_acl(self, path: str) -> Deferred[tuple[list[ACL], ZnodeStat]]:
        """Read a node's ACL and stat. See :meth:`~txmirror.interfaces.IZooKeeperClient.get_acl`."""
        full = self._full(path)
        return self._send(path, lambda client: client.get_acl(full), _acl)

    def set_acl(self, path: str, acl: Sequence[ACL], version: int = -1) -> Deferred[ZnodeStat]:
        """Replace a node's ACL. See :meth:`~txmirror.interfaces.IZooKeeperClient.set_acl`.

        The stat is read afterwards, and may be of a later change.
        """
        full, entries = self._full(path), _dicts(acl)
        done = self._send(path, lambda client: client.set_acl(full, entries, version), lambda _: None)
        read = self.exists(path)

        def stat_of(stat: ZnodeStat | None) -> ZnodeStat:
            if stat is None:
                raise errors.NoNodeException(path=path, applied=None)
            return stat

        def failed(failure: Failure) -> Failure:
            read.addErrback(lambda _: None)
            return failure

        return done.addCallbacks(lambda _: read.addCallback(stat_of), failed)

    def sync(self, path: str = "/") -> Deferred[str]:
        """Wait until the server has caught up with its leader. See :meth:`~txmirror.interfaces.IZooKeeperClient.sync`."""
        full = self._full(path)
        return self._send(path, lambda client: client.sync(full), lambda _: path)

    def add_auth(self, scheme: str, credentials: bytes) -> Deferred[None]:
        """Add an identity to the session. See :meth:`~txmirror.interfaces.IZooKeeperClient.add_auth`.

        Refused credentials end the client.
        """
        if not isinstance(scheme, str):
            raise TypeError(f"a scheme is a str, not {scheme!r:.60}")
        identity = _text(credentials)
        taken = self._send(None, lambda client: client.add_auth(scheme, identity), lambda _: None)

        def accepted(_: None) -> None:
            self._reconnecting.keep_identity(scheme, identity)

        return taken.addCallback(accepted)

    # Requests and watches.

    def _full(self, path: str, *, sequence: bool = False) -> str:
        paths.validate(path, sequence=sequence)
        if not self._chroot:
            return path
        return self._chroot if path == "/" and not sequence else self._chroot + path

    def _below(self, path: str) -> str:
        return path[len(self._chroot) :] or "/"

    def _send(
        self,
        path: str | None,
        request: Callable[[Any], Deferred[_T]],
        render: Callable[[_T], _R],
        *,
        creating: bool = False,
    ) -> Deferred[_R]:
        """Send a request, when there is a session.

        :param render: converts the result.
        :param creating: whether the request creates a node.
        """
        refusal = self._reconnecting.refusal(path)
        if refusal is not None:
            return fail(refusal)

        def sending(_: None = None) -> Deferred[_T]:
            try:
                return request(self._reconnecting.client)
            except Exception:
                return fail(Failure())

        waiting = self._reconnecting.when_established(path)
        answer: Deferred[_T] = sending() if waiting is None else waiting.addCallback(sending)

        def failed(failure: Failure) -> Failure:
            if not isinstance(failure.value, _THEIRS):
                return failure
            error = self._error(failure.value, path)
            if isinstance(error, errors.NoNodeException):
                error = errors.missing_node(
                    path, self.connect_string if "/" in self.connect_string else "", creating=creating
                )
            return Failure(error)

        return answer.addCallbacks(render, failed)

    def _watch(
        self,
        path: str,
        request: Callable[[Any], tuple[Deferred[_T], Deferred[Any]]],
        render: Callable[[_T], _R],
    ) -> tuple[Deferred[_R], Deferred[WatchedEvent]]:
        watch: Deferred[WatchedEvent] = Deferred(lambda watch: self._watches.pop(watch, None))

        def sending(client: Any) -> Deferred[_T]:
            answer, fired = request(client)
            # _end_watches fails the watch at the session's end, and a session event is not an event of the watch.
            fired.addCallbacks(lambda event: self._fired(watch, event), lambda _: None)
            return answer

        self._watches[watch] = None

        def failed(failure: Failure) -> Failure:
            self._watches.pop(watch, None)
            return failure

        return self._send(path, sending, render).addErrback(failed), watch

    def _fired(self, watch: Deferred[WatchedEvent], event: Any) -> None:
        if event.type > 0 and watch in self._watches:
            del self._watches[watch]
            watch.callback(WatchedEvent(EventType(event.type), self._below(event.path)))

    def _end_watches(self, make_error: Callable[[], errors.ZooKeeperException]) -> None:
        watches = list(self._watches)
        self._watches.clear()
        for watch in watches:
            if not watch.called:
                watch.errback(make_error())

    def _error(self, theirs: Exception, path: str | None) -> errors.ZooKeeperException:
        code = _CODES.get(type(theirs))
        if code == errors.InvalidStateException.code:
            return errors.SessionExpiredException(path=path)
        if code is not None:
            return errors.exception_for(code, path=path)
        # The client was not connected.
        refusal = self._reconnecting.refusal(path)
        if refusal is not None:
            return refusal
        if self.session.state is SessionState.EXPIRED:
            return errors.SessionExpiredException(path=path)
        return errors.ConnectionLossException(f"not sent: {theirs}", path=path, applied=False)


#: The failures of txzookeeper. Its own exceptions are subclasses.
_THEIRS = (zookeeper.ZooKeeperException,)


def _text(data: bytes) -> str:
    if not isinstance(data, bytes):
        raise TypeError(f"data are bytes, not {type(data).__name__}")
    return text_of(data)


def _dicts(acl: Sequence[ACL]) -> list[dict[str, Any]]:
    return [{"perms": int(perms), "scheme": scheme, "id": identity} for perms, scheme, identity in acl]


def _stat(stat: dict[str, int]) -> ZnodeStat:
    return ZnodeStat(**stat)


def _maybe_stat(stat: dict[str, int] | None) -> ZnodeStat | None:
    return None if stat is None else ZnodeStat(**stat)


def _data(answer: tuple[str, dict[str, int]]) -> tuple[bytes, ZnodeStat]:
    return bytes_of(answer[0]), ZnodeStat(**answer[1])


def _names(names: list[str]) -> list[str]:
    return names


def _acl(answer: tuple[list[dict[str, Any]], dict[str, int]]) -> tuple[list[ACL], ZnodeStat]:
    return [ACL(entry["perms"], entry["scheme"], entry["id"]) for entry in answer[0]], ZnodeStat(**answer[1])
