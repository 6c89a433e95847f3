"""A mirror: keeps the nodes that a program uses current, over one client's sessions."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from random import Random
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, gatherResults, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror import paths
from txmirror.client import Limits, ZooKeeperClient
from txmirror.creating_paths import exists_although_refused
from txmirror.deferreds import Waiters
from txmirror.durations import check_seconds
from txmirror.errors import (
    ClosingException,
    NoAuthException,
    NoChrootException,
    NodeExistsException,
    NoNodeException,
    NotEmptyException,
    ZooKeeperException,
)
from txmirror.interfaces import (
    IBatchedReads,
    IChroot,
    IServerAbilities,
    IWatchFeed,
    IZooKeeperClient,
    urgent_form,
    waiting_form,
)
from txmirror.mirror.admission import AdmissionQueue
from txmirror.mirror.cached_node import CachedNode, NodeReference
from txmirror.mirror.cached_value import CachedValue
from txmirror.mirror.eviction import Eviction
from txmirror.mirror.json_node import JsonNode, encode
from txmirror.mirror.node import Node
from txmirror.mirror.refresher import LOST
from txmirror.mirror.state import MirrorState
from txmirror.mirror.tree import Tree
from txmirror.mirror.watch_removal import WatchRemoval
from txmirror.observers import Observers
from txmirror.types import EventType, SessionEvent, SessionState, SessionTicket, WatchedEvent

#: How many reads of nodes are pending at most. More would not make a server answer sooner.
_READS = 2_000
#: How many registrations look at their nodes and write them at a time, at most.
_STEPS = 500
#: How many nodes below one are deleted at a time.
_DELETIONS = 256


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

    _log = Logger()

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
        if reactor is None:
            from twisted.internet import reactor as global_reactor

            reactor = IReactorTime(global_reactor)
        self._owns_client = client is None
        if client is None:
            client = ZooKeeperClient(
                servers, session_timeout=session_timeout, limits=limits, session=session, random=random, reactor=reactor
            )
        self.reactor = reactor
        self.urgent = urgent_form(client)
        self.client = waiting_form(client)
        self.feed = IWatchFeed(self.client)
        self._urgent_feed = self.feed if self.urgent is self.client else IWatchFeed(self.urgent)
        self.refreshes = AdmissionQueue(_READS)
        self.steps = AdmissionQueue(_STEPS)
        self._cached_nodes: dict[str, CachedNode] = {}
        self._trees: dict[Tree, None] = {}
        #: The same trees by the paths of their roots: an event concerns few of a thousand trees.
        self._trees_at: dict[str, list[Tree]] = {}
        #: Some of the trees that are not settled. As long as one of them is not, the others are not checked.
        self._unsettled_trees: dict[Tree, None] = {}
        self._release_later: dict[str, None] = {}
        self._batches: IBatchedReads | None = IBatchedReads(client, None)
        self._watch_removal = WatchRemoval(self.feed.release, self._can_remove_watches)
        self._linger = linger
        self._eviction = eviction = Eviction(reactor, linger, self._evict)
        #: One function for all nodes.
        self._note_unreferenced: Callable[[NodeReference], None] = lambda reference: eviction.note_unreferenced(
            reference.path
        )
        self._mirrors_of_client: list[Mirror] = [self]
        self._views: dict[str, Mirror] = {}
        self._close_waiters: Waiters[None] = Waiters()
        self._unsettled: set[CachedValue[Any]] = set()
        self._state_watchers: Observers[MirrorState] = Observers(
            lambda key, _: self._log.failure("The state watcher {key} failed.", key=key)
        )
        self.state = MirrorState.DISCONNECTED
        self._session = self.feed.session
        self._restore_zxid: int | None = None
        self._child_watches_set: frozenset[str] = frozenset()
        self._recovered = False
        self._recovery_watchers: Observers[None] = Observers(
            lambda key, _: self._log.failure("The recovery watcher {key} failed.", key=key)
        )
        self._troubles: set[type[BaseException]] = set()
        self._started = False
        self._closed: Deferred[None] | None = None
        self._session_ends = False
        self.disconnected_since: float | None = reactor.seconds()
        self.feed.add_listener(self._dispatch, self._needs_watches)
        if self._session.state is SessionState.CONNECTED:
            self._connected(self._session)

    def __repr__(self) -> str:
        return f"<Mirror {self.connstr()} {self.state.value}>"

    # The public API.

    def connect(self) -> Deferred[None]:
        """Begin to connect, unless that was done before.

        :returns: fires when a session is established. Fails with :exc:`~txmirror.errors.ConnectionLossException` if no listed
            server's name can be resolved; attempts go on all the same. Fails with :exc:`~txmirror.errors.ClosingException`
            when the mirror is closed. Cancelling ends the wait.
        """
        if self._closed is not None:
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
        if self._closed is None:
            closed: Deferred[None] = Deferred()
            self._closed = closed
            ended: Deferred[None] = succeed(None)
            if self._owns_client:
                # Nothing more is read, and no watch is removed one by one: the session is closed, and its watches with it.
                for mirror in self._mirrors_of_client:
                    mirror._prepare_end()
            for view in list(self._views.values()):
                view.close()
            if self._owns_client:
                ended = self.client.close()
            ended.addBoth(self._close_nodes)
        closed, waiter = self._closed, Deferred[None]()

        def done(result: None) -> None:
            waiter.callback(None)

        closed.addCallback(done)
        return waiter

    def get(self, path: str) -> Node:
        """Return the node at a path, at once, whether or not it exists and whether or not ZooKeeper can be reached.

        It is the same object each time.

        :param path: a missing leading slash is added; doubled and trailing ones are removed.
        :raises ValueError: it is no znode path; the message quotes it.
        """
        path = paths.normalise(path)
        cached = self._cached_nodes.get(path)
        if cached is None:
            cached = self._cached_nodes[path] = CachedNode(self, path, self._unsettled)
        node = cached.node
        if node is None:
            node = Node(self, cached)
            cached.attach(node, self._note_unreferenced)
            if self._closed is not None:
                cached.close()
            else:
                self._start()
                self._eviction.start()
                cached.refresh()
        return node

    def get_json(self, path: str) -> JsonNode:
        """Return the node at a path as a :class:`JsonNode`; otherwise as :meth:`get`."""
        return JsonNode(self.get(path))

    def create(self, path: str, value: bytes = b"", flags: int = 0) -> Deferred[Node]:
        """Create a node, as :meth:`Node.create <txmirror.mirror.Node.create>`.

        :param flags: a sum of 1 for an ephemeral node and 2 for one in a sequence.
        :raises ValueError: it is another number, or ``path`` is no znode path.
        """
        return self._create(self.get(path), value, flags, makepath=False)

    def create_r(self, path: str, value: bytes = b"", flags: int = 0) -> Deferred[Node]:
        """Create a node, and the missing ones above it; otherwise as :meth:`create`."""
        return self._create(self.get(path), value, flags, makepath=True)

    def create_json(self, path: str, value: Any, flags: int = 0) -> Deferred[JsonNode]:
        """Create a node with JSON data; otherwise as :meth:`create`.

        :raises TypeError, ValueError: the value cannot be encoded as JSON.
        """
        return self._create(self.get(path), encode(path, value), flags, makepath=False).addCallback(JsonNode)

    def create_r_json(self, path: str, value: Any, flags: int = 0) -> Deferred[JsonNode]:
        """Create a node with JSON data, and the missing ones above it; otherwise as :meth:`create_json`."""
        return self._create(self.get(path), encode(path, value), flags, makepath=True).addCallback(JsonNode)

    def ensure_exists(self, path: str) -> Deferred[Node]:
        """Create a node, persistent and empty, and the missing ones above it, unless it exists.

        :returns: fires with the node, which exists by then. Fails as :meth:`Node.create <txmirror.mirror.Node.create>` does,
            but not because it exists, nor because we may not create nodes beside a node that exists.
        """
        return Deferred.fromCoroutine(self._ensure_exists(self.get(path)))

    async def _ensure_exists(self, node: Node) -> Node:
        try:
            return await node.create(makepath=True)
        except NodeExistsException:
            pass
        except NoAuthException:
            if not await exists_although_refused(self.client, node.path):
                raise
        return node

    def chroot(self, path: str) -> Mirror:
        """Return a mirror of a node and everything below it, with paths relative to that node. The node need not exist.

        It uses the same session, and is closed with this mirror, or before. It is the same object each time, until it is
        closed.

        :param path: as for :meth:`get`.
        :raises ValueError: it is no znode path; the message quotes it.
        """
        path = paths.normalise(path)
        view = self._views.get(path)
        if view is not None and view._closed is None:
            return view
        client = IChroot(self.client).chroot(path)
        view = self._views[path] = Mirror(client=client, linger=self._linger, reactor=self.reactor)
        view._mirrors_of_client = self._mirrors_of_client
        self._mirrors_of_client.append(view)
        if self._closed is not None:
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
        tree = Tree(self, path, depth, keep)
        if self._closed is not None:
            tree.end()
        else:
            self._trees[tree] = None
            self._trees_at.setdefault(path, []).append(tree)
            self._start()
            if self.is_connected():
                tree.connected(self._session)
        return tree

    def is_connected(self) -> bool:
        """Return whether there is a session with a server at this moment."""
        return self.disconnected_since is None

    def time_disconnected(self) -> float:
        """Return for how many seconds there has been no connection; 0 if there is one."""
        return 0.0 if self.disconnected_since is None else self.reactor.seconds() - self.disconnected_since

    def connstr(self) -> str:
        """Return the servers and the chroot, as in ``host:port,host:port/chroot``."""
        return self.client.connect_string

    def add_auth(self, scheme: str, credentials: bytes) -> Deferred[None]:
        """Add an identity to the session, and retry the reads that were refused without it.

        :returns: fires and fails as :meth:`~txmirror.interfaces.IZooKeeperClient.add_auth`.
        """

        def added(_: None) -> None:
            for mirror in list(self._mirrors_of_client):
                mirror.retry()

        return self.client.add_auth(scheme, credentials).addCallback(added)

    def addStateWatcher(self, key: Hashable, function: Callable[[MirrorState], object]) -> None:
        """Call ``function`` with each new state of the connection from now on.

        After each (re)connection, :attr:`MirrorState.CONNECTED` is followed by :attr:`MirrorState.SETTLED` as soon as all
        nodes show the server's state. The same two states follow, without a reconnection, when a server could not answer a
        read. A watcher that raises is logged, and stays.

        :param key: removes the watcher again; a watcher with the same key is replaced.
        """
        self._state_watchers.add(key, function)

    def delStateWatcher(self, key: Hashable) -> None:
        """Remove the state watcher with this key; silent if there is none."""
        self._state_watchers.remove(key)

    @property
    def recovered(self) -> bool:
        """True if all nodes that changed before this connection are known to have changed. They may still be read."""
        return self._recovered

    def watch_recovery(self, key: Hashable, function: Callable[[], object]) -> None:
        """Call ``function`` each time that :attr:`recovered` becomes true."""
        self._recovery_watchers.add(key, lambda _: function())

    def unwatch_recovery(self, key: Hashable) -> None:
        """Remove the function with this key."""
        self._recovery_watchers.remove(key)

    # For nodes and trees.

    def absence(self, path: str, zxid: int) -> NoNodeException:
        """Return the error for a node that does not exist. The root always does, but for a chroot that is missing.

        :param zxid: the transaction as of which it does not exist.
        """
        if path == "/" and "/" in self.connstr():
            return NoChrootException(self.connstr(), zxid=zxid)
        return NoNodeException(path=path, zxid=zxid)

    def may_read(self) -> bool:
        """Return whether nodes can be read now: there is a connection, and the mirror is not being closed."""
        return self.disconnected_since is None and not self._session_ends

    def is_lost(self, error: BaseException | None) -> bool:
        """Return whether a request has failed with its connection, and has to wait for the next one.

        A server may answer with the same codes while the connection stands.
        """
        return isinstance(error, ClosingException) or (isinstance(error, LOST) and not self.is_connected())

    def note_trouble(self, path: str, error: ZooKeeperException) -> None:
        """Note that a read has failed for a reason that has nothing to do with the node. The mirror is settled only when it
        has succeeded.

        The reason is logged once, until the mirror is settled.
        """
        if self.state is MirrorState.SETTLED:
            self._enter(MirrorState.CONNECTED)
        if type(error) not in self._troubles:
            self._troubles.add(type(error))
            self._log.warn(
                "Could not read {path}: {reason}. Retrying this and similar reads, with growing pauses.",
                path=path,
                reason=str(error),
            )

    def check_settled(self) -> None:
        """Notify the state watchers, if this was the last read after a reconnection."""
        if self.state is not MirrorState.CONNECTED or not self._recovered or self._unsettled:
            return
        # Each tree that settles calls this. First check those that were not settled the last time, and only then all.
        while self._unsettled_trees:
            tree = next(reversed(self._unsettled_trees))
            if tree in self._trees and not tree.settled:
                return
            del self._unsettled_trees[tree]
        self._unsettled_trees = {tree: None for tree in self._trees if not tree.settled}
        if not self._unsettled_trees:
            self._troubles.clear()
            self._enter(MirrorState.SETTLED)

    def parent_shows(self, path: str) -> Deferred[None] | None:
        """Wait until the parent of a node that was written shows it; None if there is nothing to wait for."""
        parent = self._cached_nodes.get(paths.parent_of(path) or "")
        return None if parent is None else parent.children_shown()

    def retry(self) -> None:
        """Read also what could not be read the last time."""
        for cached in list(self._cached_nodes.values()):
            cached.retry()
        for tree in list(self._trees):
            tree.retry()

    def batches_for(self, path: str) -> IBatchedReads | None:
        """Return the object that reads a node without a watch, if a tree's persistent watch reports its changes; else None."""
        if self._batches is not None:
            for tree in self._trees_above(path):
                if tree.has_watch_on(path):
                    return self._batches
        return None

    def tree_watch_removed(self) -> None:
        """Uncover nodes that relied on a tree's watch that was removed: they get watches of their own."""
        for cached in list(self._cached_nodes.values()):
            if cached.covered and self.batches_for(cached.path) is None:
                cached.uncover()

    def when_closed(self) -> Deferred[None]:
        """Wait until the mirror is closed. Cancelling ends the wait."""
        if self._closed is not None:
            return succeed(None)
        return self._close_waiters.wait()

    def tree_closed(self, tree: Tree) -> None:
        """Notify a tree of nothing more."""
        if tree in self._trees:
            del self._trees[tree]
            self._unsettled_trees.pop(tree, None)
            self._trees_at[tree.path].remove(tree)
            if not self._trees_at[tree.path]:
                del self._trees_at[tree.path]
        again, self._release_later = self._release_later, {}
        for path in again:
            if path not in self._cached_nodes:
                self.release_watches(path)
        self.tree_watch_removed()
        self.check_settled()

    def release_watches(self, path: str) -> None:
        """Remove the watches on a path at the server, unless they are still needed. A tree may need them until it is closed."""
        if any(tree.covers(path) for tree in self._trees_above(path)):
            self._release_later[path] = None
        else:
            self._watch_removal.add(path)

    def _create(self, node: Node, value: bytes, flags: int, *, makepath: bool) -> Deferred[Node]:
        if flags not in (0, 1, 2, 3):
            raise ValueError(f"the flags of a new node are a sum of 1 (ephemeral) and 2 (sequence), not {flags!r}")
        return node.create(value, ephemeral=bool(flags & 1), sequence=bool(flags & 2), makepath=makepath)

    def _evict(self, path: str) -> None:
        cached = self._cached_nodes.get(path)
        if cached is not None and not cached.needed:
            del self._cached_nodes[path]
            cached.evict()
            self.refreshes.discard(cached)
            if cached.may_have_watches:
                self.release_watches(path)
            self.check_settled()
            if not self._cached_nodes:
                self._eviction.stop()

    def _needs_watches(self, path: str) -> bool:
        return path in self._cached_nodes or any(tree.covers(path) for tree in self._trees_above(path))

    def _can_remove_watches(self) -> bool | None:
        abilities: IServerAbilities | None = IServerAbilities(self.client, None)
        return None if abilities is None else abilities.server_can("remove_watches")

    async def delete_urgently(self, path: str, version: int) -> None:
        """Delete a node ahead of all waiting requests, and show that."""
        node = self.get(path)
        zxid = await self._urgent_feed.write_delete(node.path, version)
        node._cached.was_deleted(zxid)

    async def delete_below(self, path: str) -> None:
        """Delete everything below a node, even if others create or delete nodes there meanwhile."""
        waiting: list[tuple[str, list[str] | None]] = [(path, None)]
        while waiting:
            parent, children = waiting.pop()
            if children is None:
                children = [paths.join(parent, name) for name in await self._names_below(parent)]
            full = await self._delete_many(children)
            if full:
                # Delete their children first, and then them.
                waiting.append((parent, full))
                waiting += [(child, None) for child in full]

    async def _delete_many(self, nodes: list[str]) -> list[str]:
        """Delete nodes, many at a time.

        :returns: those that have children, and still exist.
        """
        full: list[str] = []
        for start in range(0, len(nodes), _DELETIONS):
            children = nodes[start : start + _DELETIONS]
            deletions: list[Deferred[Any]] = [
                self.client.delete(child).addErrback(lambda failure: failure.value) for child in children
            ]
            for child, error in zip(children, await gatherResults(deletions), strict=True):
                if isinstance(error, NotEmptyException):
                    full.append(child)
                elif error is not None and not isinstance(error, NoNodeException):
                    raise error
        return full

    async def _names_below(self, path: str) -> list[str]:
        """Return the names of a node's children; none if the node is gone."""
        try:
            return list(await self.client.get_children(path))
        except NoNodeException:
            return []

    # Events from the feed.

    def _start(self) -> None:
        if not self._started and self._closed is None:
            # The client logs a failure, and retries. A program that waits for the connection calls connect.
            self.connect().addErrback(lambda _: None)

    def _dispatch(self, event: SessionEvent | WatchedEvent) -> None:
        if self._session_ends:
            # A client that is being closed may connect once more, to close its session.
            if isinstance(event, SessionEvent) and event.state is not SessionState.CONNECTED:
                self._disconnected()
        elif isinstance(event, WatchedEvent):
            cached = self._cached_nodes.get(event.path)
            if cached is not None:
                cached.watch_fired(event.type)
                if event.type is EventType.CHANGED and event.path in self._child_watches_set:
                    # ClickHouse Keeper reports a changed list of children as changed data.
                    cached.watch_fired(EventType.CHILD)
            self._dispatch_to_parent(event)
            for tree in self._trees_above(event.path):
                if tree.covers(event.path):
                    tree.watch_fired(event)
        elif event.state is SessionState.CONNECTED:
            self._connected(event)
        else:
            self._disconnected()
            if event.state is SessionState.CLOSED and self._closed is None:
                # The client was an argument, and its owner has closed it.
                self._closed = Deferred()
                self._close_nodes(None)

    def _trees_above(self, path: str) -> list[Tree]:
        """Return the trees that have their roots at a path or above it."""
        trees: list[Tree] = []
        root: str | None = path if self._trees_at else None
        while root is not None:
            trees += self._trees_at.get(root, ())
            root = paths.parent_of(root)
        return trees

    def _dispatch_to_parent(self, event: WatchedEvent) -> None:
        """Notify a covered node of a change of its children: a persistent watch reports only the children themselves."""
        if event.type in (EventType.CREATED, EventType.DELETED):
            parent = self._cached_nodes.get(paths.parent_of(event.path) or "")
            if parent is not None and parent.covered:
                parent.watch_fired(EventType.CHILD)

    def _connected(self, event: SessionEvent) -> None:
        before, self._session = self._session, event
        self.disconnected_since = None
        self._recovered = False
        self._note_session(event, before)
        for cached in self._cached_nodes.values():
            cached.update_state()
        self._enter(MirrorState.CONNECTED)
        if self._session is event and self.may_read():
            self._restore_watches(event)
            for cached in list(self._cached_nodes.values()):
                cached.retry()
            for tree in list(self._trees):
                tree.connected(event)
            self._watch_removal.start()

    def _note_session(self, event: SessionEvent, before: SessionEvent) -> None:
        """Note what the connected session means for the cached state, and for watches."""
        if event.data_generation != before.data_generation:
            self._restore_zxid = None
            for cached in list(self._cached_nodes.values()):
                cached.data_generation_changed()
        elif event.session_number != before.session_number and before.session_number:
            # Watches of an older session that could not be restored yet are still to be restored as of that zxid.
            if self._restore_zxid is None:
                self._restore_zxid = event.zxid
            for cached in self._cached_nodes.values():
                cached.session_changed()
            self._watch_removal.forget()
            self._release_later.clear()
        else:
            were_covered = [cached.reconnected() for cached in self._cached_nodes.values()]
            if any(were_covered) and self._restore_zxid is None:
                self._restore_zxid = event.zxid
        if event.session_number != before.session_number:
            for tree in self._trees:
                tree.session_changed()

    def _restore_watches(self, event: SessionEvent) -> None:
        """Set the watches that the session lacks, as of the zxid of the lost connection. The server then fires those of
        changed nodes.

        The reply is awaited even without any watch to set: by then the server has sent all events that were due.
        """
        groups: tuple[list[str], list[str], list[str]] = ([], [], [])
        lacking: list[CachedNode] = []
        if self._restore_zxid is not None:
            for path, cached in self._cached_nodes.items():
                needs = cached.missing_watches()
                if any(needs):
                    lacking.append(cached)
                    for needed, group in zip(needs, groups, strict=True):
                        if needed:
                            group.append(path)
        zxid = event.zxid if self._restore_zxid is None else self._restore_zxid
        self._child_watches_set = frozenset(groups[2])
        restored = self.feed.set_watches(zxid, *groups)
        restored.addCallbacks(lambda _: self._watches_restored(lacking), self._watches_not_restored)
        restored.addErrback(lambda failure: self._log.failure("Recovery failed.", failure=failure))

    def _watches_restored(self, lacking: list[CachedNode]) -> None:
        self._restore_zxid = None
        self._child_watches_set = frozenset()
        for cached in lacking:
            cached.watches_set()
        self._enter_recovered()

    def _enter_recovered(self) -> None:
        self._recovered = True
        self._recovery_watchers.notify(None)
        self.check_settled()

    def _watches_not_restored(self, failure: Failure) -> None:
        if self.is_lost(failure.value):
            return
        self._child_watches_set = frozenset()
        self._log.info("Watches cannot be restored ({reason}): reading everything again.", reason=str(failure.value))
        self._restore_zxid = None
        for cached in list(self._cached_nodes.values()):
            cached.invalidate()
        self._enter_recovered()

    def _disconnected(self) -> None:
        if self.disconnected_since is None:
            self.disconnected_since = self.reactor.seconds()
            for cached in list(self._cached_nodes.values()):
                cached.disconnected()
            for tree in list(self._trees):
                tree.disconnected()
            self._watch_removal.stop()
            self.refreshes.clear()
            self._troubles.clear()
            self._recovered = False
            self._enter(MirrorState.DISCONNECTED)

    def _enter(self, state: MirrorState) -> None:
        self.state = state
        self._state_watchers.notify(state)

    def _prepare_end(self) -> None:
        """Send no more requests: the session is about to be closed."""
        self._session_ends = True
        for tree in list(self._trees):
            tree.stop_reading()
        self._watch_removal.stop()
        self._watch_removal.forget()

    def _close_nodes(self, _: object) -> None:
        self.feed.remove_listener(self._dispatch)
        self._disconnected()
        for cached in list(self._cached_nodes.values()):
            cached.close()
        trees, self._trees, self._trees_at = self._trees, {}, {}
        self._unsettled_trees = {}
        for tree in trees:
            tree.end()
        if not (self._owns_client or self._session_ends):
            # The session goes on: remove our watches from it.
            self._watch_removal.start()
            for path, cached in self._cached_nodes.items():
                if cached.may_have_watches:
                    self.release_watches(path)
            for tree in trees:
                tree.release_watches()
            for path in self._release_later:
                self.release_watches(path)
        self._eviction.stop()
        self._mirrors_of_client.remove(self)
        self._enter(MirrorState.CLOSED)
        self._close_waiters.fire(None)
        assert self._closed is not None
        self._closed.callback(None)
