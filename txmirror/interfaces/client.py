"""A client, its session, and what live objects need of it."""

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
    """A connection to an ensemble, whichever of its servers that takes: Deferreds in, Deferreds out.

    Requests reach ZooKeeper in the order in which the methods were called. What is asked while there is no connection
    waits for one. Where too many requests wait, the next one fails with
    :exc:`~txmirror.errors.TooManyRequestsException`. Every Deferred may fail with :exc:`~txmirror.errors.ConnectionLossException` (no answer; for a write
    ``applied`` says whether it may have happened), :exc:`~txmirror.errors.SessionExpiredException` (the session that it
    was asked in has ended first), :exc:`~txmirror.errors.ClosingException`, :exc:`~txmirror.errors.AuthFailedException`
    (the servers do not let this client in) or, in a forked child, :exc:`~txmirror.errors.InvalidStateException`.
    Cancelling one abandons the answer: what was not sent yet never is; what was sent happens all the same, and disturbs
    no other's answer.

    Paths are checked at the call: :exc:`~txmirror.errors.PathError`, a ``ValueError``.
    """

    connect_string: str = Attribute("The servers and the chroot, as in ``host:port,host:port/chroot``.")
    session_id: int = Attribute("The id of the session, as ``ephemeralOwner`` has it; 0 while there is none.")
    session_timeout: float = Attribute("The session's timeout in seconds: as negotiated, or as asked for before that.")

    def connect() -> Deferred[None]:
        """Begin to connect, if that was not done yet.

        :returns: fires when a session stands. Fails if no listed server's name can be resolved; attempts go on all the
            same.
        """

    def close() -> Deferred[None]:
        """End the session at the server, so that its ephemerals go at once, and then the connection.

        It may be called at any time, and twice.

        :returns: fires when all is gone: socket, timers, waiting Deferreds. It never fails, and takes a bounded time.
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

        :param ephemeral: it goes away with the session.
        :param sequence: the server appends ten digits to its name, counted per parent.
        :param protect: put ``_c_``, a GUID and a hyphen before its name, so that it can be told whether it was made when
            the answer is lost. Then the node is looked for by that name, and made if it is not there: the Deferred fires
            with its path after all, however many connections that takes. Only if it cannot be found out in this session
            does it fail with :exc:`~txmirror.errors.ConnectionLossException`; the node is then deleted as soon as it
            can be, and so it is when the Deferred is cancelled. Whoever uses this may list the parent's children. (The
            name is as Curator makes it.)
        :returns: fires with the path that was made. Fails with :exc:`~txmirror.errors.NodeExistsException`,
            :exc:`~txmirror.errors.NoNodeException` (no parent, as its message says), :exc:`~txmirror.errors.NoAuthException`,
            :exc:`~txmirror.errors.NoChildrenForEphemeralsException`, :exc:`~txmirror.errors.InvalidACLException` or
            :exc:`~txmirror.errors.RequestTooLargeException` (nothing was sent).
        """

    def delete(path: str, version: int = -1) -> Deferred[None]:
        """Delete a node.

        :param version: the version that it must be at; -1 takes any.
        :returns: fires when it is gone. Fails with :exc:`~txmirror.errors.NoNodeException`,
            :exc:`~txmirror.errors.BadVersionException`, :exc:`~txmirror.errors.NotEmptyException` or
            :exc:`~txmirror.errors.NoAuthException`.
        """

    def exists(path: str) -> Deferred[ZnodeStat | None]:
        """Ask for a node's stat.

        :returns: fires with it, or with None if there is no such node.
        """

    def exists_and_watch(path: str) -> tuple[Deferred[ZnodeStat | None], Deferred[WatchedEvent]]:
        """Ask for a node's stat, and to be told once when it is created, changed or deleted next.

        :returns: the answer, as of :meth:`exists`, and the watch. The watch survives reconnections; it fails with
            :exc:`~txmirror.errors.SessionExpiredException` when the session ends, and never fires if the request
            failed (but with :exc:`~txmirror.errors.ReplyTooLargeException`: then it was set). Cancelling it leaves the
            server's watch in place, and nobody is told.
        """

    def get(path: str) -> Deferred[tuple[bytes, ZnodeStat]]:
        """Ask for a node's data and stat.

        :returns: fires with both. Fails with :exc:`~txmirror.errors.NoNodeException`,
            :exc:`~txmirror.errors.NoAuthException` or :exc:`~txmirror.errors.ReplyTooLargeException`.
        """

    def get_and_watch(path: str) -> tuple[Deferred[tuple[bytes, ZnodeStat]], Deferred[WatchedEvent]]:
        """Ask for a node's data and stat, and to be told once when it is changed or deleted next.

        :returns: the answer, as of :meth:`get`, and the watch, as of :meth:`exists_and_watch`; but no watch is left on a
            node that does not exist.
        """

    def get_children(path: str) -> Deferred[list[str]]:
        """Ask for the names of a node's children.

        :returns: fires with them, in no order. Fails as :meth:`get` does.
        """

    def get_children_and_watch(path: str) -> tuple[Deferred[list[str]], Deferred[WatchedEvent]]:
        """Ask for the names of a node's children, and to be told once when one comes or goes, or the node is deleted.

        :returns: the answer, as of :meth:`get_children`, and the watch, as of :meth:`get_and_watch`.
        """

    def set(path: str, data: bytes, version: int = -1) -> Deferred[ZnodeStat]:
        """Replace a node's data.

        :param version: the version that it must be at; -1 takes any.
        :returns: fires with the new stat. Fails with :exc:`~txmirror.errors.NoNodeException`,
            :exc:`~txmirror.errors.BadVersionException`, :exc:`~txmirror.errors.NoAuthException` or
            :exc:`~txmirror.errors.RequestTooLargeException` (nothing was sent).
        """

    def get_acl(path: str) -> Deferred[tuple[list[ACL], ZnodeStat]]:
        """Ask for a node's access control list and stat.

        :returns: fires with both. Fails as :meth:`get` does.
        """

    def set_acl(path: str, acl: Sequence[ACL], version: int = -1) -> Deferred[ZnodeStat]:
        """Replace a node's access control list.

        :param version: the ACL's version (``aversion``) that it must be at; -1 takes any.
        :returns: fires with the new stat. Fails as :meth:`set` does, or with
            :exc:`~txmirror.errors.InvalidACLException`.
        """

    def sync(path: str = "/") -> Deferred[str]:
        """Wait until the server has caught up with its leader, so that reads that follow see all that others did.

        :returns: fires with the path.
        """

    def add_auth(scheme: str, credentials: bytes) -> Deferred[None]:
        """Add an identity to the session, now and after each reconnection.

        :param scheme: ``digest``, or another that the server knows.
        :param credentials: in the scheme's own form; ``user:password`` for ``digest``.
        :returns: fires when the server has taken it. Fails with :exc:`~txmirror.errors.AuthFailedException`.
        """


class ISessionHolder(Interface):
    """A client whose session can be told of, and handed over to another client."""

    session_ticket: SessionTicket | None = Attribute(
        "What another client can take the session over with, at this moment; None while there is no session. A secret."
    )

    def when_connected() -> Deferred[None]:
        """Wait for the next time that a session stands and a server serves it: at once, if that is so now.

        Unlike :meth:`IZooKeeperClient.connect` it begins nothing.

        :returns: fails with :exc:`~txmirror.errors.ClosingException` or :exc:`~txmirror.errors.AuthFailedException`, where
            that cannot be any more. Cancelling ends the wait.
        """

    def leave() -> Deferred[SessionTicket | None]:
        """Let go of the session without ending it, so that another client, in another process too, can take it over.

        With a connection, what was asked before is answered first, for as long as a close may take; without one, what waits
        fails. Then the client is closed as by :meth:`IZooKeeperClient.close`, but that ephemerals and the session stay, until
        its timeout is over.

        :returns: fires with what ``ZooKeeperClient(session=...)`` takes; with None if there was no session, or only one with a
            read-only server, or if the client was told to close before. Cancelling ends the wait, and nothing else.
        """


class ISessionSteps(Interface):
    """A client that tells each step of its session. Whoever provides :class:`IWatchFeed` tells of watch events too."""

    session: SessionEvent = Attribute("The latest step of the session.")

    def add_listener(listener: Listener) -> None:
        """Call ``listener`` with each step (:class:`~txmirror.types.SessionEvent`) from now on.

        It is called in the reactor's thread, with everything consistent, and may call anything. One that raises is logged,
        and goes on being called.
        """

    def remove_listener(listener: Listener) -> None:
        """Call ``listener`` no more; silent if it was not being called."""


class IWatchFeed(Interface):
    """What live objects need beyond a client: one ordered feed, and replies that say as of when they are true.

    The feed carries each step of the session (:class:`~txmirror.types.SessionEvent`) and each watch event
    (:class:`~txmirror.types.WatchedEvent`) in the order in which they happened, between the replies that arrived before
    and after them. Watches that the reads here leave are the feed's: in one session the client sets them again by itself
    after each reconnection. With a session they end; :meth:`set_watches` brings them over to the next.
    """

    session: SessionEvent = Attribute("The latest step of the session.")

    def add_listener(listener: Listener, needs: Callable[[str], bool] | None = None) -> None:
        """Call ``listener`` with everything that the feed carries from now on.

        It is called in the reactor's thread, with everything consistent, and may call anything. One that raises is logged,
        and goes on being called.

        :param needs: tells whether the listener relies on the feed's watches on a path: then :meth:`let_go` leaves them.
        """

    def remove_listener(listener: Listener) -> None:
        """Call ``listener`` no more; silent if it was not being called."""

    def read_data(path: str) -> Deferred[DataReply]:
        """Ask for a node's data, leaving a watch on the feed if there is such a node.

        :returns: fires and fails as :meth:`~txmirror.interfaces.IZooKeeperClient.get`; a failure that the server answered
            has its ``zxid``.
        """

    def read_children(path: str) -> Deferred[ChildrenReply]:
        """Ask for a node's children, leaving a watch on the feed if there is such a node.

        :returns: fires and fails as :meth:`~txmirror.interfaces.IZooKeeperClient.get`; a failure that the server answered
            has its ``zxid``.
        """

    def read_existence(path: str) -> Deferred[StatReply]:
        """Ask for a node's stat, leaving a watch on the feed whether or not there is such a node.

        :returns: fires with the stat, or with None for it if there is no such node.
        """

    def write_create(path: str, data: bytes, acl: Sequence[ACL], flags: int) -> Deferred[CreateReply]:
        """Create a node, as :meth:`~txmirror.interfaces.IZooKeeperClient.create`.

        On a server before 3.5 its stat is read after that: where the node has changed or gone meanwhile, or cannot be read, the
        stat is zeros but for the owner and the length.

        :param flags: a sum of ``txmirror.wire.CreateFlag``.
        """

    def write_data(path: str, data: bytes, version: int) -> Deferred[StatReply]:
        """Replace a node's data, as :meth:`~txmirror.interfaces.IZooKeeperClient.set`."""

    def write_delete(path: str, version: int) -> Deferred[int]:
        """Delete a node, as :meth:`~txmirror.interfaces.IZooKeeperClient.delete`.

        :returns: fires with the zxid as of which it is gone.
        """

    def set_watches(
        zxid: int, data: Iterable[str] = (), exist: Iterable[str] = (), children: Iterable[str] = ()
    ) -> Deferred[None]:
        """Set watches on the feed as they stood at ``zxid``, in a session that does not have them.

        For what changed since then, events come at once.

        :param data: nodes that existed, for changes of their data and their deletion.
        :param exist: nodes that did not exist, for their creation.
        :param children: nodes that existed, for children that come or go, and their own deletion.
        :returns: fires when every event that the server owes, for these and for watches that the client has set again
            by itself, has been delivered. With nothing to set it is only that. Fails with
            :exc:`~txmirror.errors.UnimplementedException` where the server has no such operation.
        """

    def remove_watches(path: str, kind: WatchKind) -> Deferred[None]:
        """Take this session's watches of a kind from a path, at the server too. Nobody is told.

        Persistent watches (:class:`~txmirror.interfaces.IPersistentWatches`) go with ``WatchKind.ANY`` alone.

        :returns: fires when they are gone. Fails with :exc:`~txmirror.errors.NoWatcherException`, or with
            :exc:`~txmirror.errors.UnimplementedException` by servers before 3.5.
        """

    def let_go(path: str) -> Deferred[None]:
        """Take all of this session's watches from a path, at the server too, unless somebody needs them.

        That is a listener of the feed that says so, whoever waits for one of them, and who listens to a persistent one.

        :returns: fires when they are gone, or are left. Fails as :meth:`remove_watches`.
        """


class IChroot(Interface):
    """A client that can be had once more, as it looks from a node further down."""

    session_key: object = Attribute(
        "An opaque object that is the same for all clients that share one session, for comparison."
    )

    def chroot(path: str) -> IZooKeeperClient:
        """Give a client all of whose paths are below a node, which need not exist.

        It is in the same session: what is done to that by one of them is done to both. It provides all that this one does.

        :raises ValueError: ``path`` is no znode path.
        """
