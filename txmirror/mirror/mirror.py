"""A mirror: keeps the nodes that a program uses current, over one client's sessions."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from random import Random
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime

from txmirror import paths
from txmirror.client import Limits, ZooKeeperClient
from txmirror.creating_paths import exists_although_refused
from txmirror.durations import check_seconds
from txmirror.errors import ClosingException, NoAuthException, NodeExistsException
from txmirror.interfaces import IChroot, IWatchFeed, IZooKeeperClient, urgent_client, waiting_client
from txmirror.mirror.branch import Selection
from txmirror.mirror.engine import Engine
from txmirror.mirror.json_node import JsonNode, encode
from txmirror.mirror.node import Node
from txmirror.mirror.state import MirrorState
from txmirror.mirror.tree import Tree
from txmirror.timers import reactor_or_global
from txmirror.types import SessionTicket


class Mirror(Service):
    """Keeps live objects equal to ZooKeeper's, through disconnections and expired sessions.

    It never blocks, and it never fails because no server can be reached. It begins to connect at :meth:`connect`, at
    :meth:`startService` or at the first :meth:`get`, whichever comes first, and retries without end.

    :param servers: as for :class:`txmirror.client.ZooKeeperClient`.
    :param session_timeout: as for :class:`txmirror.client.ZooKeeperClient`, in seconds.
    :param limits: as for :class:`txmirror.client.ZooKeeperClient`.
    :param session: as for :class:`txmirror.client.ZooKeeperClient`: a session to take over.
    :param client: a provider of :class:`~txmirror.interfaces.IZooKeeperClient` and :class:`~txmirror.interfaces.IWatchFeed`
        to use in place of one of its own; then the parameters before it are not used, and :meth:`close` leaves the client
        open.
    :param linger: how long an unreferenced node without watchers and waiters stays in memory, in seconds; up to a quarter
        longer. Then the mirror evicts it and removes its watches at the server, if that supports it (since 3.5).
    :param random: as for :class:`txmirror.client.ZooKeeperClient`.
    :param reactor: the reactor; the global one if None.
    :raises ValueError: an address is malformed, or ``linger`` is no time; the message quotes it.
    :raises TypeError: the client has no feed.
    """

    # More than 25 methods: fifteen are the ancestors' or a Service's, and four are for registrations. More than 7
    # parameters: they are those of a client, which a mirror makes by default.

    def __init__(
        self,
        servers: str | Sequence[str | tuple[str, int]] = "localhost:2181",
        *,
        session_timeout: float = 10.0,
        limits: Limits | None = None,
        session: SessionTicket | None = None,
        client: IZooKeeperClient | None = None,
        linger: float = 60.0,
        random: Random | None = None,
        reactor: IReactorTime | None = None,
    ) -> None:
        check_seconds("linger", linger, positive=True)
        reactor = reactor_or_global(reactor)
        self._owns_client = client is None
        if client is None:
            client = ZooKeeperClient(
                servers, session_timeout=session_timeout, limits=limits, session=session, random=random, reactor=reactor
            )
        self.reactor = reactor
        self.urgent: IZooKeeperClient = urgent_client(client)
        self.client: IZooKeeperClient = waiting_client(client)
        self.feed: IWatchFeed = IWatchFeed(self.client)
        self._linger = linger
        self._random = random = random or Random()
        self._engine = Engine(self.client, self.feed, reactor, linger, random.random)
        self._mirrors_of_client: list[Mirror] = [self]
        self._views: dict[str, Mirror] = {}
        self._started = False
        self._engine.start()

    def __repr__(self) -> str:
        return f"<Mirror {self.connstr()} {self.state.value}>"

    # The public API.

    def connect(self) -> Deferred[None]:
        """Begin to connect, unless that was done before.

        :returns: fires when a session is established. Fails with :exc:`~txmirror.errors.ConnectionLossException` if no listed
            server's name can be resolved; attempts go on all the same. Fails with :exc:`~txmirror.errors.ClosingException`
            when the mirror is closed. Cancelling ends the wait.
        """
        if self._engine.closing:
            return fail(ClosingException(applied=False))
        self._started = True
        return self.client.connect()

    def startService(self) -> None:
        """Begin to connect. It never fails."""
        super().startService()
        self._start()

    def stopService(self) -> Deferred[None]:
        """Close the mirror. See :meth:`close`."""
        super().stopService()
        return self.close()

    def close(self) -> Deferred[None]:
        """Stop mirroring, and close the session unless the client was an argument. The last known state stays readable.

        :returns: fires when everything is closed; it never fails. It may be called at any time, and twice.
        """
        if not self._engine.closing:
            self._engine.closing = True
            ended: Deferred[None] = succeed(None)
            if self._owns_client:
                # Nothing more is read, and no watch is removed one by one: the session is closed, and its watches with it.
                for mirror in self._mirrors_of_client:
                    mirror._engine.prepare_end()
            for view in list(self._views.values()):
                view.close()
            if self._owns_client:
                ended = self.client.close()
            ended.addBoth(self._end)
        return self._engine.when_closed()

    def get(self, path: str) -> Node:
        """Return the node at a path, at once, whether or not it exists and whether or not ZooKeeper can be reached.

        It is the same object each time.

        :param path: a missing leading slash is added; doubled and trailing ones are removed.
        :raises ValueError: it is no znode path; the message quotes it.
        """
        path = paths.normalise(path)
        node = self._engine.get(path)
        self._start()
        return node

    def get_json(self, path: str) -> JsonNode:
        """Return the node at a path as a :class:`JsonNode`; otherwise as :meth:`get`."""
        return JsonNode(self.get(path))

    def create(self, path: str, value: bytes = b"", flags: int = 0) -> Deferred[Node]:
        """Create a node, as :meth:`Node.create <txmirror.mirror.Node.create>`.

        :param flags: a sum of 1 for an ephemeral node and 2 for one in a sequence.
        :raises ValueError: it is another number, or ``path`` is no znode path.
        """
        return _create(self.get(path), value, flags, makepath=False)

    def create_r(self, path: str, value: bytes = b"", flags: int = 0) -> Deferred[Node]:
        """Create a node, and the missing ones above it; otherwise as :meth:`create`."""
        return _create(self.get(path), value, flags, makepath=True)

    def create_json(self, path: str, value: Any, flags: int = 0) -> Deferred[JsonNode]:
        """Create a node with JSON data; otherwise as :meth:`create`.

        :raises TypeError, ValueError: the value cannot be encoded as JSON.
        """
        return _create(self.get(path), encode(path, value), flags, makepath=False).addCallback(JsonNode)

    def create_r_json(self, path: str, value: Any, flags: int = 0) -> Deferred[JsonNode]:
        """Create a node with JSON data, and the missing ones above it; otherwise as :meth:`create_json`."""
        return _create(self.get(path), encode(path, value), flags, makepath=True).addCallback(JsonNode)

    def ensure_exists(self, path: str) -> Deferred[Node]:
        """Create a node, persistent and empty, and the missing ones above it, unless it exists.

        :returns: fires with the node, which exists by then. Fails as :meth:`Node.create <txmirror.mirror.Node.create>` does,
            but not because it exists, nor because we may not create nodes beside a node that exists.
        """
        return Deferred.fromCoroutine(_ensure_exists(self.client, self.get(path)))

    def chroot(self, path: str) -> Mirror:
        """Return a mirror of a node and everything below it, with paths relative to that node. The node need not exist.

        It uses the same session, and is closed with this mirror, or before. It is the same object each time, until it is
        closed.

        :param path: as for :meth:`get`.
        :raises ValueError: it is no znode path; the message quotes it.
        """
        path = paths.normalise(path)
        view = self._views.get(path)
        if view is not None and not view._engine.closing:
            return view
        client = IChroot(self.client).chroot(path)
        view = self._views[path] = Mirror(client=client, linger=self._linger, random=self._random, reactor=self.reactor)
        view._mirrors_of_client = self._mirrors_of_client
        self._mirrors_of_client.append(view)
        if self._engine.closing:
            view.close()
        return view

    def tree(self, path: str, *, depth: int | None = None, keep: Callable[[str], bool] | None = None) -> Tree:
        """Follow a node and everything below it, whether or not it exists and whether or not ZooKeeper can be reached.

        :param path: as for :meth:`get`.
        :param depth: how many levels below the node are followed; None for all.
        :param keep: called with a path; where it returns False, that node and all below it are left out. It is not called for
            the tree's own root.
        :returns: a new tree. Close it when it is no longer needed; the mirror closes it at its own end.
        :raises ValueError: ``path`` is no znode path, or ``depth`` is negative; the message quotes it.
        """
        path = paths.normalise(path)
        if depth is not None and depth < 0:
            raise ValueError(f"a tree has no depth of {depth!r}")
        tree = self._engine.tree(Selection(path, depth, keep))
        self._start()
        return tree

    def is_connected(self) -> bool:
        """Return whether there is a session with a server at this moment."""
        return self._engine.status.connected

    def time_disconnected(self) -> float:
        """Return for how many seconds there has been no connection; 0 if there is one."""
        since = self._engine.status.disconnected_since
        return 0.0 if since is None else self.reactor.seconds() - since

    def connstr(self) -> str:
        """Return the servers and the chroot, as in ``host:port,host:port/chroot``."""
        return self.client.connect_string

    def add_auth(self, scheme: str, credentials: bytes) -> Deferred[None]:
        """Add an identity to the session, and retry the reads that were refused without it.

        :returns: fires and fails as :meth:`~txmirror.interfaces.IZooKeeperClient.add_auth`.
        """

        def added(_: None) -> None:
            for mirror in list(self._mirrors_of_client):
                mirror._engine.retry()

        return self.client.add_auth(scheme, credentials).addCallback(added)

    def addStateWatcher(self, key: Hashable, function: Callable[[MirrorState], object]) -> None:
        """Call ``function`` with each new state of the connection from now on.

        After each (re)connection, :attr:`.MirrorState.CONNECTED` is followed by :attr:`.MirrorState.SETTLED` as soon as all
        nodes show the server's state. The same two states follow, without a reconnection, when a server could not answer a
        read. A watcher that raises is logged, and stays.

        :param key: removes the watcher again; a watcher with the same key is replaced.
        """
        self._engine.status.watchers.add(key, function)

    def delStateWatcher(self, key: Hashable) -> None:
        """Remove the state watcher with this key; silent if there is none."""
        self._engine.status.watchers.remove(key)

    @property
    def state(self) -> MirrorState:
        """The mirror's state, as state watchers get it."""
        return self._engine.status.state

    # For registrations.

    @property
    def recovered(self) -> bool:
        """True if all nodes that changed before this connection are known to have changed. They may still be read.

        :meta private:
        """
        return self._engine.status.recovered

    def watch_recovery(self, key: Hashable, function: Callable[[bool], object]) -> None:
        """Call ``function`` each time that :attr:`recovered` becomes true, with whether watches of the session may be lost.

        :meta private:
        """
        self._engine.status.watch_recovery(key, function)

    def unwatch_recovery(self, key: Hashable) -> None:
        """Remove the function with this key.

        :meta private:
        """
        self._engine.status.recovery_watchers.remove(key)

    def is_lost(self, error: BaseException | None) -> bool:
        """Return whether a request has failed with its connection, and has to wait for the next one.

        :meta private:
        """
        return self._engine.status.is_lost(error)

    # Implementation.

    def _start(self) -> None:
        if not self._started and not self._engine.closing:
            # The client logs a failure, and retries. A program that waits for the connection calls connect.
            self.connect().addErrback(lambda _: None)

    def _end(self, _: object) -> None:
        self._engine.end(session_stays=not self._owns_client)
        self._mirrors_of_client.remove(self)


def _create(node: Node, value: bytes, flags: int, *, makepath: bool) -> Deferred[Node]:
    if flags not in (0, 1, 2, 3):
        raise ValueError(f"the flags of a new node are a sum of 1 (ephemeral) and 2 (sequence), not {flags!r}")
    return node.create(value, ephemeral=bool(flags & 1), sequence=bool(flags & 2), makepath=makepath)


async def _ensure_exists(client: IZooKeeperClient, node: Node) -> Node:
    try:
        return await node.create(makepath=True)
    except NodeExistsException:
        pass
    except NoAuthException:
        if not await exists_although_refused(client, node.path):
            raise
    return node
