"""Optional interfaces of clients, and of programs that work with one: check for each with ``providedBy``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from txmirror.errors import ZooKeeperException
from txmirror.interfaces.client import IZooKeeperClient
from txmirror.types import (
    ACL,
    OPEN_ACL,
    BatchReply,
    EnsembleConfig,
    Listener,
    WatchedEvent,
    WatchKind,
    ZnodeStat,
)


class IServerAbilities(Interface):
    """A client that notes which operations its server supports."""

    def server_can(method: str) -> bool | None:
        """Return whether the current or latest server supports the operation of a client's method.

        :param method: the method's name, such as ``"add_watch"``.
        :returns: True if the server has done the operation before; False if it does not know the operation or has it
            disabled; None if no request for it was made.
        :raises ValueError: there is no such method.
        """

    def may_cost_session(method: str) -> bool:
        """Return whether a request might end the session, because the current server may not know the operation of a
        client's method: ClickHouse Keeper, which has not shown that it does.

        :param method: the method's name, such as ``"add_watch"``.
        :raises ValueError: there is no such method.
        """


class IBackpressure(Interface):
    """A client that limits its pending requests, and has two other forms for callers that must not be refused.

    Beyond the limit the client's own methods fail with :exc:`~txmirror.errors.TooManyRequestsException`, and nothing is sent.
    The other forms are clients of the same session, with the same chroot and watches. They provide this interface too.
    """

    def waiting() -> IZooKeeperClient:
        """Return a client that never refuses a request for their number: each waits, in order, until the limit allows it.

        Each pending request takes memory. A mirror, a registry and the recipes use such clients.
        """

    def urgent() -> IZooKeeperClient:
        """Return a client with requests that go ahead of all pending ones: for releasing locks and withdrawing services."""


def waiting_client(client: IZooKeeperClient) -> IZooKeeperClient:
    """Return :meth:`IBackpressure.waiting` of a client, or the client itself if it has no such method."""
    backpressure: IBackpressure | None = IBackpressure(client, None)
    return client if backpressure is None else backpressure.waiting()


def urgent_client(client: IZooKeeperClient) -> IZooKeeperClient:
    """Return :meth:`IBackpressure.urgent` of a client, or the client itself if it has no such method."""
    backpressure: IBackpressure | None = IBackpressure(client, None)
    return client if backpressure is None else backpressure.urgent()


class ICreateModes(Interface):
    """A client that can create every kind of node that servers since 3.5 have.

    Servers that do not know a kind, or have it disabled (TTL nodes are disabled by default from 3.5 to 3.9), answer with
    :exc:`~txmirror.errors.UnimplementedException`. Servers that do not know it close the connection too; the client does
    not request it from them again.
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
        """Create a node, as :meth:`IZooKeeperClient.create`, and return its stat too.

        On a server before 3.5 the stat is read as by :meth:`IWatchFeed.write_create`.
        """

    def create_container(
        path: str, data: bytes = b"", acl: Sequence[ACL] = OPEN_ACL
    ) -> Deferred[tuple[str, ZnodeStat]]:
        """Create a container node: the server deletes it some time after its last child was deleted."""

    def create_with_ttl(
        path: str, data: bytes = b"", acl: Sequence[ACL] = OPEN_ACL, *, ttl: float, sequence: bool = False
    ) -> Deferred[tuple[str, ZnodeStat]]:
        """Create a TTL node: the server deletes it when it had no change and no children for ``ttl`` seconds.

        :param ttl: the time in seconds, from a millisecond to some 34,000 years.
        :raises ValueError: ``ttl`` is out of this range.
        """


class IQueries(Interface):
    """A client with further queries.

    Servers before 3.6 (for :meth:`who_am_i`: 3.7) do not support all of them; see :class:`ICreateModes`.
    """

    def get_children_and_stat(path: str) -> Deferred[tuple[list[str], ZnodeStat]]:
        """Read the names of a node's children, and its stat at the same moment. Every server supports this."""

    def get_ephemerals(path: str = "/") -> Deferred[list[str]]:
        """Read the paths of this session's ephemeral nodes at or below a node."""

    def count_below(path: str) -> Deferred[int]:
        """Count the nodes below a node, at any depth."""

    def who_am_i() -> Deferred[list[tuple[str, str]]]:
        """Read the identities of this session: scheme and user of each, without secrets."""


class IPersistentWatches(Interface):
    """A client with persistent watches, of nodes and of subtrees. Servers before 3.6 fail as with :class:`ICreateModes`."""

    def add_watch(path: str, listener: Listener | None = None, *, recursive: bool = False) -> Deferred[None]:
        """Set a persistent watch on a node, existing or not. It stays until the session ends.

        The client sets the watch again by itself after each reconnection, but a server sends no events for changes in
        between. So read again at each :attr:`~txmirror.types.SessionState.CONNECTED`: those reads reach the server after the
        watch was set again.

        :param listener: called with each event of this watch, once it is set, and, like the feed, with each step of the
            session up to its end, with which the watch ends. An exception of the listener is logged, and the listener stays.
            None: only the feed carries the events, as it does in any case.
        :param recursive: watch the node and everything below it. Then there are no events of the type
            ``EventType.CHILD``: a child has its own events when it is created or deleted.
        :returns: fires when the server has set it. Cancelling leaves the watch in place, without the listener.
        :raises ValueError: there is a persistent watch of the other kind on this path: servers keep one.
        """

    def check_watches(path: str, kind: WatchKind) -> Deferred[bool]:
        """Return whether the server has a watch of this session of a kind on a path.

        Servers up to 3.8 at least answer True also if only other sessions have one.
        """


class IWatchCount(Interface):
    """A client that counts its session's watches."""

    watch_count: int = Attribute(
        "The number of watches that the server has for this session, one-shot and persistent ones. While the connection is lost: of "
        "those that are set again on the next one."
    )


class ISideSessions(Interface):
    """A client that can ask which nodes have changed since a zxid, in a *side session*. This is a short session beside its own, with
    the same identities, that leaves no watches behind. It costs two transactions, for any number of nodes.
    """

    def report_changes(
        zxid: int,
        listener: Listener,
        data: Iterable[str] = (),
        exist: Iterable[str] = (),
        children: Iterable[str] = (),
    ) -> Deferred[None]:
        """Ask which nodes have changed between ``zxid`` and the last zxid that the client has seen.

        A server whose data is older than that refuses the side session. It begins after a random pause of up to a quarter of a
        second, and includes all calls of this method on the same session until then. One side session is open at a time.

        :param listener: called with a :class:`~txmirror.types.WatchedEvent` for each change, as :meth:`IWatchFeed.set_watches`
            would cause, and perhaps for later changes. The session's server may not have applied them yet.
        :param data: nodes that existed: their data and their deletion.
        :param exist: nodes that did not exist: their creation.
        :param children: nodes that existed: their children and their deletion.
        :returns: fires when every event that is due has been delivered. Fails with
            :exc:`~txmirror.errors.ConnectionLossException` if no server opens a side session, or if it ends early; with
            :exc:`~txmirror.errors.UnimplementedException` at ClickHouse Keeper; with
            :exc:`~txmirror.errors.ClosingException` when the client is closed. Cancelling ends the wait.
        """


class ITransaction(Interface):
    """A transaction: writes that are collected here, sent by :meth:`commit`, and done all together or not at all.

    Methods check paths and data when they are called, as those of :class:`IZooKeeperClient`.
    """

    def create(
        path: str,
        data: bytes = b"",
        acl: Sequence[ACL] = OPEN_ACL,
        *,
        ephemeral: bool = False,
        sequence: bool = False,
    ) -> None:
        """Create a node; the result is its path."""

    def delete(path: str, version: int = -1) -> None:
        """Delete a node; the result is None."""

    def set(path: str, data: bytes, version: int = -1) -> None:
        """Replace a node's data; the result is the new stat."""

    def check(path: str, version: int) -> None:
        """Fail the transaction unless a node is at a version (-1: exists); the result is None."""

    def commit() -> Deferred[list[str | ZnodeStat | None]]:
        """Send the collected operations, in one request.

        :returns: fires with the result of each operation, in order. Fails with
            :exc:`~txmirror.errors.TransactionFailedException`, which says which operation was refused and why (nothing was
            done); otherwise as the methods of :class:`IZooKeeperClient`. Cancelling abandons the answer.
        :raises ValueError: the transaction was committed before.
        """


class ITransactions(Interface):
    """A client with transactions."""

    def transaction() -> ITransaction:
        """Return a new, empty transaction."""


class IBatchedReads(Interface):
    """A client that can read many nodes in one request, as servers since 3.6 allow.

    On an older server the Deferred fails with :exc:`~txmirror.errors.UnimplementedException`, or the server closes the
    connection (3.4).
    """

    def get_many(paths: Sequence[str]) -> Deferred[list[tuple[bytes, ZnodeStat] | ZooKeeperException]]:
        """Read the data and stat of many nodes, without watches.

        :returns: fires with data and stat of each node, in order, or with the exception if it cannot be read. Fails as a whole
            only as any request of :class:`IZooKeeperClient` does.
        """

    def read_many(data: Sequence[str], children: Sequence[str] = ()) -> Deferred[BatchReply]:
        """Read the data and stat of some nodes and the children of others in one request, without watches.

        :returns: fires with all of that, and the zxid as of which it was read. Fails as a whole only as any request of
            :class:`IZooKeeperClient` does.
        """

    def get_children_many(paths: Sequence[str]) -> Deferred[list[list[str] | ZooKeeperException]]:
        """Read the names of the children of many nodes, as :meth:`get_many`."""


class ISessionLease(Interface):
    """A client with a session lease: how long locks and leadership held by the session are safe, without asking the server."""

    def when_lease_expires() -> Deferred[None]:
        """Wait until the lease expires: from then on nothing that this session holds is safe.

        The lease lasts two thirds of the session timeout, counted from the moment at which the latest answered request was
        *sent*, and ends with the session. So it expires before any server can expire the session, and before another
        session can acquire the lock.

        :returns: fires once; at once if there is no session. Cancelling ends the wait.
        """


class IProgress(Interface):
    """A client that notices when it makes no progress, for the watchdog of a supervisor."""

    stuck: bool = Attribute(
        """True if the client neither has a connection that it watches, nor tries to connect, although it should. It is a bug: only
        a restart helps. An outage of ZooKeeper does not make it true."""
    )


class IEnsemble(Interface):
    """A client that can read and change the ensemble's configuration, as servers since 3.5 allow."""

    def get_config() -> Deferred[tuple[EnsembleConfig, ZnodeStat]]:
        """Read the configuration, which is outside every chroot.

        :returns: fires with the configuration and its node's stat. Fails as :meth:`IZooKeeperClient.get` does.
        """

    def get_config_and_watch() -> tuple[Deferred[tuple[EnsembleConfig, ZnodeStat]], Deferred[WatchedEvent]]:
        """Read the configuration and set a watch for its next change, as by :meth:`IZooKeeperClient.get_and_watch`."""

    def reconfig(
        *,
        joining: Sequence[str] = (),
        leaving: Sequence[int] = (),
        members: Sequence[str] = (),
        version: int = -1,
    ) -> Deferred[tuple[EnsembleConfig, ZnodeStat]]:
        """Change the configuration.

        Servers accept it only if it is enabled (``reconfigEnabled``), and only from identities that the ACL of
        ``/zookeeper/config`` allows: by default only the superuser.

        :param joining: servers to add or change, each ``server.ID=HOST:PORT:PORT;PORT``.
        :param leaving: the ids of servers to remove.
        :param members: all servers of the new configuration, in place of the other two.
        :param version: the version that the configuration must be at; -1 matches any.
        :returns: fires with the new configuration. Fails with :exc:`~txmirror.errors.ReconfigDisabledException`,
            :exc:`~txmirror.errors.BadVersionException`, :exc:`~txmirror.errors.NewConfigNoQuorumException`,
            :exc:`~txmirror.errors.ReconfigInProgressException`, :exc:`~txmirror.errors.BadArgumentsException`,
            :exc:`~txmirror.errors.NoAuthException`, or with :exc:`~txmirror.errors.UnimplementedException` if the server
            is standalone.
        :raises ValueError: the call changes nothing, or combines ``members`` with the other two.
        """
