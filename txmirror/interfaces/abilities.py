"""What some clients and servers can do beyond that; a program asks ``providedBy`` in place of guessing."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from zope.interface import Interface

from txmirror.errors import ZooKeeperException
from txmirror.interfaces.client import IZooKeeperClient
from txmirror.types import (
    ACL,
    OPEN_ACL,
    BatchReply,
    EnsembleConfig,
    Listener,
    SessionEvent,
    WatchedEvent,
    WatchKind,
    ZnodeStat,
)


class IServerAbilities(Interface):
    """A client that notes what its server can do."""

    def server_can(method: str) -> bool | None:
        """Tell whether the server that is connected to, or was last, can do what a method of the client's asks of it.

        :param method: the method's name, such as ``"add_watch"``.
        :returns: True if it has done it before; False if it does not know the operation or has it disabled; None if
            it was not asked.
        :raises ValueError: there is no such method.
        """


class IBackpressure(Interface):
    """A client that bounds how many of its requests wait, and has other forms of itself for callers that must not be refused.

    Beyond the bounds the client's own methods fail with :exc:`~txmirror.errors.TooManyRequestsException`, and nothing is sent.
    The forms are clients of the same session, with the same chroot and watches. They
    provide this interface too.
    """

    def waiting() -> IZooKeeperClient:
        """Return a client whose requests are never refused for their number: they wait, in order, until there is room.

        Each request that waits takes memory. A mirror, a registry and the recipes use this form.
        """

    def urgent() -> IZooKeeperClient:
        """Return a client whose requests go ahead of all that wait, for what releases a lock or withdraws a service."""


def waiting_form(client: IZooKeeperClient) -> IZooKeeperClient:
    """Return the form of a client whose requests wait for room, or the client itself if it has no other form."""
    backpressure: IBackpressure | None = IBackpressure(client, None)
    return client if backpressure is None else backpressure.waiting()


def urgent_form(client: IZooKeeperClient) -> IZooKeeperClient:
    """Return the form of a client whose requests go ahead of others, or the client itself if it has no other form."""
    backpressure: IBackpressure | None = IBackpressure(client, None)
    return client if backpressure is None else backpressure.urgent()


class ICreateModes(Interface):
    """A client that can make every kind of node that servers since 3.5 have.

    Servers that do not know a kind, or have it disabled (3.5 to 3.9 have nodes with a time to live disabled unless told
    otherwise), answer with :exc:`~txmirror.errors.UnimplementedException`; those that do not know it close the connection too, and
    are not asked for it again.
    """

    def create_and_stat(
        path: str,
        data: bytes = b"",
        acl: Sequence[ACL] = OPEN_ACL,
        *,
        ephemeral: bool = False,
        sequence: bool = False,
        protect: bool = False,
    ) -> Deferred[tuple[str, ZnodeStat]]:
        """Create a node, as :meth:`IZooKeeperClient.create`; fires with its stat too.

        On a server before 3.5 the stat is read as :meth:`IWatchFeed.write_create` does it.
        """

    def create_container(
        path: str, data: bytes = b"", acl: Sequence[ACL] = OPEN_ACL
    ) -> Deferred[tuple[str, ZnodeStat]]:
        """Create a node that the server deletes some time after its last child has gone."""

    def create_with_ttl(
        path: str, data: bytes = b"", acl: Sequence[ACL] = OPEN_ACL, *, ttl: float, sequence: bool = False
    ) -> Deferred[tuple[str, ZnodeStat]]:
        """Create a node that the server deletes when it was not changed, and had no children, for so long.

        :param ttl: the time in seconds, from a millisecond to some 34,000 years.
        :raises ValueError: it is out of this range.
        """


class IQueries(Interface):
    """A client that can ask more of a server.

    Servers before 3.6 (for :meth:`who_am_i`: 3.7) cannot answer all of it; see :class:`ICreateModes`.
    """

    def get_children_and_stat(path: str) -> Deferred[tuple[list[str], ZnodeStat]]:
        """Ask for the names of a node's children, and its stat as of then. Every server knows this."""

    def get_ephemerals(path: str = "/") -> Deferred[list[str]]:
        """Ask for the paths of this session's own ephemerals, at or below a node."""

    def count_below(path: str) -> Deferred[int]:
        """Ask how many nodes there are below one, at any depth."""

    def who_am_i() -> Deferred[list[tuple[str, str]]]:
        """Ask for the identities of this session: scheme and user of each, without secrets."""


class IPersistentWatches(Interface):
    """A client that can watch for good, and whole subtrees, as servers since 3.6 allow; others as :class:`ICreateModes`."""

    def add_watch(path: str, listener: Listener | None = None, *, recursive: bool = False) -> Deferred[None]:
        """Watch a node, existing or not, until the session ends.

        The client sets the watch again by itself after each reconnection, but a server tells nothing of what happened while
        there was none: whoever relies on it looks again whenever they are told that the session is
        :attr:`~txmirror.types.SessionState.CONNECTED`. What is read then is read after the watch was set again.

        :param listener: told of each event of this watch, from when it was set; and, as the feed, of each step of the
            session up to its end, which is the watch's end too. One that raises is logged, and goes on being called.
            None leaves it at the feed, which has all of that in any case.
        :param recursive: watch everything at or below the node. Then there are no events of the type
            ``EventType.CHILD``: that a child comes or goes is told of the child.
        :returns: fires when the server has set it. Cancelling leaves the watch in place; the listener is told nothing.
        :raises ValueError: there is a persistent watch of the other kind on this path: servers keep one.
        """

    def check_watches(path: str, kind: WatchKind) -> Deferred[bool]:
        """Ask the server whether this session has a watch of a kind on a path.

        Servers up to 3.8 at least say yes too where only other sessions have one.
        """


class ITransaction(Interface):
    """Writes that are done all together, or not at all. They are collected here, and sent by :meth:`commit`.

    Paths and data are checked at the call, as :class:`IZooKeeperClient` does it.
    """

    def create(
        path: str,
        data: bytes = b"",
        acl: Sequence[ACL] = OPEN_ACL,
        *,
        ephemeral: bool = False,
        sequence: bool = False,
    ) -> None:
        """Create a node; the result is the path that was made."""

    def delete(path: str, version: int = -1) -> None:
        """Delete a node; the result is None."""

    def set(path: str, data: bytes, version: int = -1) -> None:
        """Replace a node's data; the result is the new stat."""

    def check(path: str, version: int) -> None:
        """Let all of it fail unless a node is at a version (-1: exists); the result is None."""

    def commit() -> Deferred[list[str | ZnodeStat | None]]:
        """Send what was collected, in one request.

        :returns: fires with the result of each operation, in order. Fails with
            :exc:`~txmirror.errors.TransactionFailedException`, which says which operation was refused and why (nothing was
            done); otherwise as the methods of :class:`IZooKeeperClient`. Cancelling abandons the answer.
        :raises ValueError: it was called before.
        """


class ITransactions(Interface):
    """A client that can do several writes together."""

    def transaction() -> ITransaction:
        """Begin to collect writes."""


class IBatchedReads(Interface):
    """A client that can read many nodes in one request, as servers since 3.6 allow.

    With an older server a Deferred fails with :exc:`~txmirror.errors.UnimplementedException`, or the server closes the
    connection (3.4).
    """

    def get_many(paths: Sequence[str]) -> Deferred[list[tuple[bytes, ZnodeStat] | ZooKeeperException]]:
        """Read the data and stat of many nodes, leaving no watches.

        :returns: fires with what there is for each, in order: both, or why that node cannot be read. Fails as a whole only
            as any request of :class:`IZooKeeperClient` does.
        """

    def read_many(data: Sequence[str], children: Sequence[str] = ()) -> Deferred[BatchReply]:
        """Read the data and stat of some nodes and the children of others by one request, leaving no watches.

        :returns: fires with all of that, and as of when it is true. Fails as a whole only as any request of
            :class:`IZooKeeperClient` does.
        """

    def get_children_many(paths: Sequence[str]) -> Deferred[list[list[str] | ZooKeeperException]]:
        """Read the names of the children of many nodes, likewise."""


class ISessionLease(Interface):
    """Tells how long what a session holds (a lock, leadership) can be relied upon, without asking the server."""

    def when_lease_expires() -> Deferred[None]:
        """Be told when nothing may be held on the strength of this session any longer.

        That is two thirds of the session's timeout after the moment at which the latest request was *sent* whose answer has
        arrived, or the session's end: before any server can give the session up, and so before anybody else can be let
        in.

        :returns: fires once, at once if there is no session. Cancelling it unhooks it.
        """


class IEnsemble(Interface):
    """A client that can tell and change which servers the ensemble is made of, as servers since 3.5 allow."""

    def get_config() -> Deferred[tuple[EnsembleConfig, ZnodeStat]]:
        """Read the configuration, wherever the client's chroot is.

        :returns: fails as :meth:`IZooKeeperClient.get` does.
        """

    def get_config_and_watch() -> tuple[Deferred[tuple[EnsembleConfig, ZnodeStat]], Deferred[WatchedEvent]]:
        """Read the configuration, and be told once when it changes, as by :meth:`IZooKeeperClient.get_and_watch`."""

    def reconfig(
        *,
        joining: Sequence[str] = (),
        leaving: Sequence[int] = (),
        members: Sequence[str] = (),
        version: int = -1,
    ) -> Deferred[tuple[EnsembleConfig, ZnodeStat]]:
        """Change the configuration.

        Servers take it only where they were told to (``reconfigEnabled``), and from whom the ACL of ``/zookeeper/config``
        allows it: by default only the superuser.

        :param joining: servers that come or change, each ``server.ID=HOST:PORT:PORT;PORT``.
        :param leaving: the ids of servers that go.
        :param members: all servers that there are to be, in place of the other two.
        :param version: the version that the configuration must be at; -1 takes any.
        :returns: fires with the new configuration. Fails with :exc:`~txmirror.errors.ReconfigDisabledException`,
            :exc:`~txmirror.errors.BadVersionException`, :exc:`~txmirror.errors.NewConfigNoQuorumException`,
            :exc:`~txmirror.errors.ReconfigInProgressException`, :exc:`~txmirror.errors.BadArgumentsException`,
            :exc:`~txmirror.errors.NoAuthException`, or with :exc:`~txmirror.errors.UnimplementedException` where the server
            stands alone.
        :raises ValueError: nothing is to change, or both ways are used.
        """


class IMetrics(Interface):
    """What a program provides that wants to count and time a client's work. It is called in the reactor's thread.

    Times are in seconds, sizes in bytes with a frame's length; ``operation`` is a name such as ``"GET_DATA"``. What it raises
    is logged, and disturbs nothing.
    """

    def sent(operation: str, size: int) -> None:
        """A request was handed to the transport."""

    def answered(operation: str, seconds: float, error: int, size: int) -> None:
        """A request was answered.

        :param error: 0, or ZooKeeper's number of the failure.
        :param size: the reply's, or what was announced of one over the limit.
        """

    def lost(operation: str, seconds: float) -> None:
        """A request that was sent will not be answered: the connection is gone."""

    def received(size: int) -> None:
        """Bytes came: of replies, events, and all else."""

    def connected(event: SessionEvent) -> None:
        """A session stands, resumed if its session_number is the former one's."""

    def disconnected(event: SessionEvent) -> None:
        """The connection that served the session is gone."""
