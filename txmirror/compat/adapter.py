"""An adapter from txzookeeper's client to :class:`~txmirror.interfaces.IZooKeeperClient`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure
from zope.interface import implementer

from txmirror import errors
from txmirror.compat.feed import SingleWatchFeed
from txmirror.compat.reconnecting import ReconnectingClient
from txmirror.compat.requests import RequestSender
from txmirror.compat.values import acl_of, bytes_of, entries_of, text_of
from txmirror.interfaces import IChroot, IWatchFeed, IZooKeeperClient
from txmirror.types import (
    ACL,
    OPEN_ACL,
    ChildrenReply,
    CreateReply,
    DataReply,
    Listener,
    SessionEvent,
    StatReply,
    WatchedEvent,
    WatchKind,
    ZnodeStat,
)


@implementer(IZooKeeperClient, IWatchFeed, IChroot)
class TxZooKeeperClient:  # More than 25 methods: the three interfaces require them, and each is one call.
    """An :class:`~txmirror.interfaces.IZooKeeperClient` with an :class:`~txmirror.interfaces.IWatchFeed`, over a client of txzookeeper.

    It retries to connect, and opens a new session when one has expired, with a plain and with a managed client. Otherwise
    txzookeeper behaves in its own way: requests that wait for a connection fail with the next attempt that fails; a request
    over the server's limit fails with :exc:`~txmirror.errors.BadArgumentsException`; refused credentials end the client;
    without a connection, a close leaves the session to its timeout. It does not support ``protect``. The feed is built from
    single watches: a new session does not restore them, and they stay at the server until they fire.

    The adapter owns the client: connect and close it here, and set no session callback.

    :param client: a ``txzookeeper.client.ZookeeperClient``, or a ``SessionClient``, ``RetryClient`` or ``ManagedClient``;
        connected or not.
    :raises TypeError: it is something else.
    """

    def __init__(self, client: Any) -> None:
        if isinstance(client, RequestSender):
            # A client with a deeper chroot: see chroot().
            self._sender = client
        elif hasattr(getattr(client, "client", client), "set_session_callback"):
            self._sender = RequestSender(ReconnectingClient(client))
        else:
            raise TypeError(f"{client!r:.80} is not a client of txzookeeper")
        self._reconnecting = self._sender.session
        self._feed = SingleWatchFeed(self, self._reconnecting)

    def __repr__(self) -> str:
        return f"<TxZooKeeperClient {self.connect_string} {self.session.state.value}>"

    @property
    def connect_string(self) -> str:
        """The servers and the chroot, as in ``host:port,host:port/chroot``."""
        return self._sender.connect_string

    @property
    def session(self) -> SessionEvent:
        """The latest event of the session. Its data generation and its zxid are unknown, and always 0."""
        return self._reconnecting.session

    @property
    def session_key(self) -> object:
        """An object that is the same for all clients of one session. See :class:`~txmirror.interfaces.IChroot`."""
        return self._reconnecting

    @property
    def session_id(self) -> int:
        """The id of the session, as in ``ephemeralOwner``; 0 while there is none."""
        session_id: int = self._reconnecting.session_id
        return session_id

    @property
    def session_timeout(self) -> float:
        """The session timeout in seconds: negotiated, or requested before that."""
        return self._reconnecting.session_timeout

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
        return TxZooKeeperClient(self._sender.below(path))

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
        full, text = self._sender.full(path, sequence=sequence), _text(data)
        if protect:
            return fail(errors.UnimplementedException("txzookeeper does not put GUIDs into names", path=path))
        flags = (1 if ephemeral else 0) | (2 if sequence else 0)
        return self._sender.send(
            path, lambda client: client.create(full, text, entries_of(acl), flags), self._sender.relative, creating=True
        )

    def delete(self, path: str, version: int = -1) -> Deferred[None]:
        """Delete a node. See :meth:`~txmirror.interfaces.IZooKeeperClient.delete`."""
        full = self._sender.full(path)
        return self._sender.send(path, lambda client: client.delete(full, version), lambda _: None)

    def exists(self, path: str) -> Deferred[ZnodeStat | None]:
        """Read a node's stat. See :meth:`~txmirror.interfaces.IZooKeeperClient.exists`."""
        full = self._sender.full(path)
        return self._sender.send(path, lambda client: client.exists(full), _maybe_stat)

    def exists_and_watch(self, path: str) -> tuple[Deferred[ZnodeStat | None], Deferred[WatchedEvent]]:
        """Read a node's stat, and set a watch. See :meth:`~txmirror.interfaces.IZooKeeperClient.exists_and_watch`."""
        full = self._sender.full(path)
        return self._sender.send_and_watch(path, lambda client: client.exists_and_watch(full), _maybe_stat)

    def get(self, path: str) -> Deferred[tuple[bytes, ZnodeStat]]:
        """Read a node's data and stat. See :meth:`~txmirror.interfaces.IZooKeeperClient.get`."""
        full = self._sender.full(path)
        return self._sender.send(path, lambda client: client.get(full), _data)

    def get_and_watch(self, path: str) -> tuple[Deferred[tuple[bytes, ZnodeStat]], Deferred[WatchedEvent]]:
        """Read a node's data and stat, and set a watch. See :meth:`~txmirror.interfaces.IZooKeeperClient.get_and_watch`."""
        full = self._sender.full(path)
        return self._sender.send_and_watch(path, lambda client: client.get_and_watch(full), _data)

    def get_children(self, path: str) -> Deferred[list[str]]:
        """Read the names of a node's children. See :meth:`~txmirror.interfaces.IZooKeeperClient.get_children`."""
        full = self._sender.full(path)
        return self._sender.send(path, lambda client: client.get_children(full), _names)

    def get_children_and_watch(self, path: str) -> tuple[Deferred[list[str]], Deferred[WatchedEvent]]:
        """Read the names of a node's children, and set a watch. See :meth:`~txmirror.interfaces.IZooKeeperClient.get_children_and_watch`."""
        full = self._sender.full(path)
        return self._sender.send_and_watch(path, lambda client: client.get_children_and_watch(full), _names)

    def set(self, path: str, data: bytes, version: int = -1) -> Deferred[ZnodeStat]:
        """Replace a node's data. See :meth:`~txmirror.interfaces.IZooKeeperClient.set`."""
        full, text = self._sender.full(path), _text(data)
        return self._sender.send(path, lambda client: client.set(full, text, version), _stat)

    def get_acl(self, path: str) -> Deferred[tuple[list[ACL], ZnodeStat]]:
        """Read a node's ACL and stat. See :meth:`~txmirror.interfaces.IZooKeeperClient.get_acl`."""
        full = self._sender.full(path)
        return self._sender.send(path, lambda client: client.get_acl(full), _acl)

    def set_acl(self, path: str, acl: Sequence[ACL], version: int = -1) -> Deferred[ZnodeStat]:
        """Replace a node's ACL. See :meth:`~txmirror.interfaces.IZooKeeperClient.set_acl`.

        The stat is read afterwards, and may be of a later change.
        """
        full, entries = self._sender.full(path), entries_of(acl)
        done = self._sender.send(path, lambda client: client.set_acl(full, entries, version), lambda _: None)
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
        full = self._sender.full(path)
        return self._sender.send(path, lambda client: client.sync(full), lambda _: path)

    def add_auth(self, scheme: str, credentials: bytes) -> Deferred[None]:
        """Add an identity to the session. See :meth:`~txmirror.interfaces.IZooKeeperClient.add_auth`.

        Refused credentials end the client.
        """
        if not isinstance(scheme, str):
            raise TypeError(f"a scheme is a str, not {scheme!r:.60}")
        identity = _text(credentials)
        taken = self._sender.send(None, lambda client: client.add_auth(scheme, identity), lambda _: None)

        def accepted(_: None) -> None:
            self._reconnecting.keep_identity(scheme, identity)

        return taken.addCallback(accepted)

    # The feed.

    def add_listener(self, listener: Listener, needs: Callable[[str], bool] | None = None) -> None:
        """Call ``listener`` with every event. See :meth:`~txmirror.interfaces.IWatchFeed.add_listener`."""
        self._feed.add_listener(listener, needs)

    def remove_listener(self, listener: Listener) -> None:
        """Stop calling ``listener``. See :meth:`~txmirror.interfaces.IWatchFeed.remove_listener`."""
        self._feed.remove_listener(listener)

    def read_data(self, path: str) -> Deferred[DataReply]:
        """Read a node's data and stat, and leave a watch. See :meth:`~txmirror.interfaces.IWatchFeed.read_data`."""
        return self._feed.read_data(path)

    def read_existence(self, path: str) -> Deferred[StatReply]:
        """Read a node's stat, and leave a watch. See :meth:`~txmirror.interfaces.IWatchFeed.read_existence`."""
        return self._feed.read_existence(path)

    def read_children(self, path: str) -> Deferred[ChildrenReply]:
        """Read a node's children, and leave a watch. See :meth:`~txmirror.interfaces.IWatchFeed.read_children`.

        It takes two requests.
        """
        return self._feed.read_children(path)

    def write_create(self, path: str, data: bytes, acl: Sequence[ACL], flags: int) -> Deferred[CreateReply]:
        """Create a node, and read it back. See :meth:`~txmirror.interfaces.IWatchFeed.write_create`."""
        return self._feed.write_create(path, data, acl, flags)

    def write_data(self, path: str, data: bytes, version: int) -> Deferred[StatReply]:
        """Replace a node's data. See :meth:`~txmirror.interfaces.IWatchFeed.write_data`."""
        return self._feed.write_data(path, data, version)

    def write_delete(self, path: str, version: int) -> Deferred[int]:
        """Delete a node. See :meth:`~txmirror.interfaces.IWatchFeed.write_delete`."""
        return self._feed.write_delete(path, version)

    def set_watches(
        self, zxid: int, data: Iterable[str] = (), exist: Iterable[str] = (), children: Iterable[str] = ()
    ) -> Deferred[None]:
        """Fail with :exc:`~txmirror.errors.UnimplementedException`, unless there is no path. See :meth:`~txmirror.interfaces.IWatchFeed.set_watches`."""
        return self._feed.set_watches(zxid, data, exist, children)

    def remove_watches(self, path: str, kind: WatchKind) -> Deferred[None]:
        """Fail with :exc:`~txmirror.errors.UnimplementedException`. See :meth:`~txmirror.interfaces.IWatchFeed.remove_watches`."""
        return self._feed.remove_watches(path, kind)

    def release(self, path: str) -> Deferred[None]:
        """Leave all watches at the server until they fire, or the session ends. See :meth:`~txmirror.interfaces.IWatchFeed.release`."""
        return self._feed.release(path)


def _text(data: bytes) -> str:
    if not isinstance(data, bytes):
        raise TypeError(f"data are bytes, not {type(data).__name__}")
    return text_of(data)


def _stat(stat: dict[str, int]) -> ZnodeStat:
    return ZnodeStat(**stat)


def _maybe_stat(stat: dict[str, int] | None) -> ZnodeStat | None:
    return None if stat is None else ZnodeStat(**stat)


def _data(answer: tuple[str, dict[str, int]]) -> tuple[bytes, ZnodeStat]:
    return bytes_of(answer[0]), ZnodeStat(**answer[1])


def _names(names: list[str]) -> list[str]:
    return names


def _acl(answer: tuple[list[dict[str, Any]], dict[str, int]]) -> tuple[list[ACL], ZnodeStat]:
    return acl_of(answer[0]), ZnodeStat(**answer[1])
