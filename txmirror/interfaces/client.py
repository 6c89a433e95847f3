"""The client, its session, and the feed that mirrors and recipes run on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from txmirror.types import (
    ACL,
    OPEN_ACL,
    ChildrenReply,
    CreateReply,
    DataReply,
    Listener,
    SessionEvent,
    SessionTicket,
    StatReply,
    WatchedEvent,
    WatchKind,
    ZnodeStat,
)


class IZooKeeperClient(Interface):
    """A ZooKeeper client: one session with an ensemble, through whichever of its servers can be reached.

    Requests reach ZooKeeper in the order in which the methods were called. Requests that are made without a connection wait
    for one. If too many requests are pending, the next one fails with :exc:`~txmirror.errors.TooManyRequestsException`.

    Every Deferred can fail with

    - :exc:`~txmirror.errors.ConnectionLossException`: no answer came; for a write, ``applied`` says whether the server may
      have done it,
    - :exc:`~txmirror.errors.SessionExpiredException`: the session in which the request was made expired first,
    - :exc:`~txmirror.errors.ClosingException`,
    - :exc:`~txmirror.errors.AuthFailedException`: the servers refused this client's credentials,
    - :exc:`~txmirror.errors.InvalidStateException`: in a forked child.

    Cancelling a Deferred abandons the answer. A request that was not sent is dropped; a request that was sent still takes
    effect. Other requests are not affected.

    Methods check paths when they are called, and raise :exc:`~txmirror.errors.PathError`, a ``ValueError``.
    """

    connect_string: str = Attribute("The servers and the chroot, as in ``host:port,host:port/chroot``.")
    session_id: int = Attribute("The id of the session, as in ``ephemeralOwner``; 0 while there is none.")
    session_timeout: float = Attribute("The session timeout in seconds: negotiated, or requested before that.")

    def connect() -> Deferred[None]:
        """Start to connect, unless that was done before.

        :returns: fires when a session is established. Fails if no server's name can be resolved; the client goes on
            trying even then.
        """

    def close() -> Deferred[None]:
        """End the session at the server, which deletes its ephemeral nodes at once, and close the connection.

        It can be called at any time, and again.

        :returns: fires when socket, timers and pending Deferreds are gone. It never fails, and takes a bounded time.
            Cancelling ends the wait, and nothing else.
        """

    def create(
        path: str,
        data: bytes = b"",
        acl: Sequence[ACL] = OPEN_ACL,
        *,
        ephemeral: bool = False,
        sequence: bool = False,
        protect: bool = False,
    ) -> Deferred[str]:
        """Create a node.

        :param ephemeral: the server deletes the node when the session ends.
        :param sequence: the server appends ten digits to the name, counted per parent.
        :param protect: put ``_c_``, a GUID and a hyphen before the name, as Curator does. If the answer is lost, the client
            looks for the node by this name, and creates it if it is not there. So the Deferred fires with the path
            however many connections that takes. It fails with :exc:`~txmirror.errors.ConnectionLossException` only if the
            outcome cannot be found out in this session. Then, and when the Deferred is cancelled, the client deletes the
            node as soon as it can. The session must be allowed to list the parent's children.
        :returns: fires with the path of the node. Fails with :exc:`~txmirror.errors.NodeExistsException`,
            :exc:`~txmirror.errors.NoNodeException` (no parent; the message says so), :exc:`~txmirror.errors.NoAuthException`,
            :exc:`~txmirror.errors.NoChildrenForEphemeralsException`, :exc:`~txmirror.errors.InvalidACLException` or
            :exc:`~txmirror.errors.RequestTooLargeException` (nothing was sent).
        """

    def delete(path: str, version: int = -1) -> Deferred[None]:
        """Delete a node.

        :param version: the version that the node must be at; -1 matches any.
        :returns: fires when the node is deleted. Fails with :exc:`~txmirror.errors.NoNodeException`,
            :exc:`~txmirror.errors.BadVersionException`, :exc:`~txmirror.errors.NotEmptyException` or
            :exc:`~txmirror.errors.NoAuthException`.
        """

    def exists(path: str) -> Deferred[ZnodeStat | None]:
        """Read a node's stat.

        :returns: fires with the stat, or with None if the node does not exist.
        """

    def exists_and_watch(path: str) -> tuple[Deferred[ZnodeStat | None], Deferred[WatchedEvent]]:
        """Read a node's stat, and set a watch for its next creation, change or deletion.

        :returns: the answer, as of :meth:`exists`, and the watch. The watch fires once, and survives reconnections. It fails
            with :exc:`~txmirror.errors.SessionExpiredException` when the session ends, and with the error of a server that
            refuses to set it again after a reconnection. It never fires if the request failed, except with
            :exc:`~txmirror.errors.ReplyTooLargeException`, where the server did set it. Cancelling it leaves the server's
            watch in place; its event is dropped.
        """

    def get(path: str) -> Deferred[tuple[bytes, ZnodeStat]]:
        """Read a node's data and stat.

        :returns: fires with both. Fails with :exc:`~txmirror.errors.NoNodeException`,
            :exc:`~txmirror.errors.NoAuthException` or :exc:`~txmirror.errors.ReplyTooLargeException`.
        """

    def get_and_watch(path: str) -> tuple[Deferred[tuple[bytes, ZnodeStat]], Deferred[WatchedEvent]]:
        """Read a node's data and stat, and set a watch for its next change or deletion.

        :returns: the answer, as of :meth:`get`, and the watch, as of :meth:`exists_and_watch`; but no watch is set on a
            node that does not exist.
        """

    def get_children(path: str) -> Deferred[list[str]]:
        """Read the names of a node's children.

        :returns: fires with the names, in no order. Fails as :meth:`get` does.
        """

    def get_children_and_watch(path: str) -> tuple[Deferred[list[str]], Deferred[WatchedEvent]]:
        """Read the names of a node's children, and set a watch for the next child created or deleted, or the node's deletion.

        :returns: the answer, as of :meth:`get_children`, and the watch, as of :meth:`get_and_watch`.
        """

    def set(path: str, data: bytes, version: int = -1) -> Deferred[ZnodeStat]:
        """Replace a node's data.

        :param version: the version that the node must be at; -1 matches any.
        :returns: fires with the new stat. Fails with :exc:`~txmirror.errors.NoNodeException`,
            :exc:`~txmirror.errors.BadVersionException`, :exc:`~txmirror.errors.NoAuthException` or
            :exc:`~txmirror.errors.RequestTooLargeException` (nothing was sent).
        """

    def get_acl(path: str) -> Deferred[tuple[list[ACL], ZnodeStat]]:
        """Read a node's access control list and stat.

        :returns: fires with both. Fails as :meth:`get` does.
        """

    def set_acl(path: str, acl: Sequence[ACL], version: int = -1) -> Deferred[ZnodeStat]:
        """Replace a node's access control list.

        :param version: the version of the ACL (``aversion``) that the node must be at; -1 matches any.
        :returns: fires with the new stat. Fails as :meth:`set` does, or with
            :exc:`~txmirror.errors.InvalidACLException`.
        """

    def sync(path: str = "/") -> Deferred[str]:
        """Wait until the server has caught up with its leader. Reads that follow see every write that finished before.

        :returns: fires with the path.
        """

    def add_auth(scheme: str, credentials: bytes) -> Deferred[None]:
        """Add an identity to the session, now and after each reconnection.

        :param scheme: ``digest``, or another scheme that the server supports.
        :param credentials: in the scheme's own form; ``user:password`` for ``digest``.
        :returns: fires when the server has accepted it. Fails with :exc:`~txmirror.errors.AuthFailedException`.
        """


class ISessionHolder(Interface):
    """A client that can wait for its session, and hand it over to another client."""

    session_ticket: SessionTicket | None = Attribute(
        "The ticket by which another client can take over the session; None while there is no session. It is a secret."
    )

    def when_connected() -> Deferred[None]:
        """Wait until a session is established and connected. Unlike :meth:`IZooKeeperClient.connect` it does not start to connect.

        :returns: fires at once if the session is connected. Fails with :exc:`~txmirror.errors.ClosingException` or
            :exc:`~txmirror.errors.AuthFailedException`, if it never can be. Cancelling ends the wait.
        """

    def leave() -> Deferred[SessionTicket | None]:
        """Close the client without ending the session, so that another client, in another process too, can take it over.

        With a connection, requests that were made before are answered first, for at most the time that a close may take.
        Without one, pending requests fail. Then the client is closed as by :meth:`IZooKeeperClient.close`; the session and
        its ephemeral nodes stay until the session timeout is over.

        :returns: fires with the ticket for ``ZooKeeperClient(session=...)``; with None if there was no session, or only one
            with a read-only server, or if the client was closed before. Cancelling ends the wait, and nothing else.
        """


class IWatchFeed(Interface):
    """A client with one ordered feed of events, and with replies that carry their zxid.

    The feed carries each step of the session (:class:`~txmirror.types.SessionEvent`) and each watch event
    (:class:`~txmirror.types.WatchedEvent`) in the order in which they happened, between the replies that arrived before
    and after them. The reads here leave watches on the feed: within one session the client sets them again by itself after
    each reconnection. They end with the session; :meth:`set_watches` sets them in the next.
    """

    session: SessionEvent = Attribute("The latest step of the session.")

    def add_listener(listener: Listener, needs: Callable[[str], bool] | None = None) -> None:
        """Call ``listener`` with every event of the feed from now on.

        The client calls it in the reactor's thread, in a consistent state; the listener can call any method. An exception
        of the listener is logged, and the listener stays.

        :param needs: returns whether the listener relies on the feed's watches on a path: then :meth:`release` leaves them.
        """

    def remove_listener(listener: Listener) -> None:
        """Stop calling ``listener``; silent if it was not added."""

    def read_data(path: str) -> Deferred[DataReply]:
        """Read a node's data, and leave a watch on the feed if the node exists.

        :returns: fires and fails as :meth:`~txmirror.interfaces.IZooKeeperClient.get`; a failure that the server answered
            has its ``zxid``.
        """

    def read_children(path: str) -> Deferred[ChildrenReply]:
        """Read the names of a node's children, and leave a watch on the feed if the node exists.

        :returns: fires and fails as :meth:`~txmirror.interfaces.IZooKeeperClient.get`; a failure that the server answered
            has its ``zxid``.
        """

    def read_existence(path: str) -> Deferred[StatReply]:
        """Read a node's stat, and leave a watch on the feed whether or not the node exists.

        :returns: fires with the stat, or with None in its place if the node does not exist.
        """

    def write_create(path: str, data: bytes, acl: Sequence[ACL], flags: int) -> Deferred[CreateReply]:
        """Create a node, as :meth:`~txmirror.interfaces.IZooKeeperClient.create`.

        On a server before 3.5 the client reads the stat afterwards. If the node was changed or deleted meanwhile, or cannot
        be read, the stat is zeros except for the owner and the length.

        :param flags: a sum of ``txmirror.wire.CreateFlag``.
        """

    def write_data(path: str, data: bytes, version: int) -> Deferred[StatReply]:
        """Replace a node's data, as :meth:`~txmirror.interfaces.IZooKeeperClient.set`."""

    def write_delete(path: str, version: int) -> Deferred[int]:
        """Delete a node, as :meth:`~txmirror.interfaces.IZooKeeperClient.delete`.

        :returns: fires with the zxid of the deletion.
        """

    def set_watches(
        zxid: int, data: Iterable[str] = (), exist: Iterable[str] = (), children: Iterable[str] = ()
    ) -> Deferred[None]:
        """Set watches on the feed as they were at ``zxid``, in a session that does not have them.

        The server sends events at once for changes since then.

        :param data: nodes that existed: watch their data and their deletion.
        :param exist: nodes that did not exist: watch their creation.
        :param children: nodes that existed: watch their children and their deletion.
        :returns: fires when every event that is due, for these watches and for those that the client has set again by
            itself, has been delivered; with no paths it only waits for that. Fails with
            :exc:`~txmirror.errors.UnimplementedException` if the server does not have the operation.
        """

    def remove_watches(path: str, kind: WatchKind) -> Deferred[None]:
        """Remove this session's watches of a kind from a path, at the server too. No observer is notified.

        Persistent watches (:class:`~txmirror.interfaces.IPersistentWatches`) are removed by ``WatchKind.ANY`` only.

        :returns: fires when they are removed. Fails with :exc:`~txmirror.errors.NoWatcherException`, or with
            :exc:`~txmirror.errors.UnimplementedException` on servers before 3.5.
        """

    def release(path: str) -> Deferred[None]:
        """Remove all of this session's watches from a path, at the server too, unless they are needed.

        They are needed by a listener with a ``needs`` that returns True, by a watch Deferred that is pending, and by a listener of
        a persistent watch.

        :returns: fires when they are removed, or left. Fails as :meth:`remove_watches`.
        """


class IChroot(Interface):
    """A client from which clients of the same session with a deeper chroot can be made."""

    session_key: object = Attribute("An opaque object, equal for all clients that share one session, for comparison.")

    def chroot(path: str) -> IZooKeeperClient:
        """Return a client with all its paths below a node, which need not exist.

        Both clients share one session: closing one closes both. The new client provides all interfaces that this one does.

        :raises ValueError: ``path`` is not a znode path.
        """
