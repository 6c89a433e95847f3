"""A whole subtree in memory, kept equal to the server's.

On a server with persistent watches, one on the tree's root reports all changes below it. On other servers each node is read
with watches of its own. Either way an event names a path, the tree reads that path again, compares, and notifies its
observers.

The tree is true as of the zxid of its latest reply. After a lost connection, and in a new session, the tree sets watches as
of that zxid on every node, and the server then reports all that has changed since.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror import paths
from txmirror.deferreds import Waiters
from txmirror.errors import ClosingException, UnimplementedException, ZooKeeperException, ZooServerProblem
from txmirror.interfaces import IBatchedReads, IPersistentWatches, IServerAbilities
from txmirror.mirror.changes import Change, ChangeKind, Value
from txmirror.mirror.refresher import Refresher
from txmirror.observers import Observers
from txmirror.retrying import Backoff
from txmirror.timers import Timer
from txmirror.types import EventType, SessionEvent, WatchedEvent, ZnodeStat

if TYPE_CHECKING:
    from txmirror.mirror.mirror import Mirror

#: The pauses before a failed request is retried, in seconds.
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 60.0


class Tree(Mapping[str, Value]):
    """A node and everything below it, as a mapping of paths to ``(data, stat)``. :meth:`Mirror.tree` makes it.

    It is live: it shows the server's state within a round trip or two. Without a connection it shows the last known state,
    and
    :attr:`stale_since` says since when. The root may be missing, and may be created and deleted.

    Its nodes are in no particular order. All reads of it are from memory. A closed tree stays readable, and does not change.

    :ivar path: the root's path.
    :ivar unreadable: the nodes that cannot be read, by path, with the reason. They are retried after a second, and then with
        growing pauses of up to a minute; at once after :meth:`Mirror.add_auth`, and after a reconnection. The nodes below
        them are not known.
    """

    _log = Logger()

    def __init__(self, mirror: Mirror, path: str, depth: int | None, keep: Callable[[str], bool] | None) -> None:
        self.path = path
        self.unreadable: dict[str, ZooKeeperException] = {}
        self._mirror = mirror
        self._feed = mirror.feed
        self._base = "" if path == "/" else path
        self._depth = depth
        self._keep = keep
        self._values: dict[str, Value] = {}
        self._names: dict[str, dict[str, None]] = {}
        self._zxid = 0
        self._observers: Observers[Change] = Observers(
            lambda function, change: self._log.failure(
                "A watcher of the tree {path}, {function}, failed on {change}.",
                path=path,
                function=function,
                change=change,
            )
        )
        self._ready: Waiters[None] = Waiters()
        self._catching_up: Waiters[None] = Waiters()
        self._refresher = Refresher(mirror.feed, IBatchedReads(mirror.client, None), mirror.reactor, self)
        self._retry_timer = Timer(mirror.reactor, self.retry)
        self._watch_retry_timer = Timer(mirror.reactor, self._watch_all)
        self._lagging: set[str] = set()
        self._unlisted: set[str] = set()
        self._backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
        self._persistent: bool | None = None
        self._session: SessionEvent | None = None
        self._recovered = False
        self._restore_zxid: int | None = None
        self._one_shots = False
        self._stat_changed: Callable[[str], object] | None = None
        self._child_watches_set: frozenset[str] = frozenset()
        self._begun = False
        self._settled = False
        self._was_settled = False
        self._notified_settled = False
        self._closed = False

    def __repr__(self) -> str:
        state = "closed" if self._closed else "settled" if self.settled else "not settled"
        return f"<Tree {self.path!r} {len(self)} nodes {state}>"

    # The public API.

    # It is mutable, so it is equal to itself only.
    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def __getitem__(self, path: str) -> Value:
        return self._values[path]

    def __contains__(self, path: object) -> bool:
        return path in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def children(self, path: str) -> list[str]:
        """Return the names of a node's children that are in the tree, sorted.

        :raises KeyError: the node is not in the tree.
        """
        if path not in self._values:
            raise KeyError(path)
        return sorted(self._names.get(path, ()))

    @property
    def settled(self) -> bool:
        """True if it shows the server's state, except for its unreadable nodes, as far as is known."""
        return self._settled and not self._closed

    @property
    def stale_since(self) -> float | None:
        """When the connection was lost (in the reactor's seconds); None if there is one."""
        return self._mirror.disconnected_since

    def ready(self) -> Deferred[None]:
        """Wait until the tree has settled for the first time.

        :returns: fires at once if it has. Fails with :exc:`~txmirror.errors.ClosingException` when the tree or its mirror is
            closed before. Cancelling ends the wait.
        """
        if self._was_settled:
            return succeed(None)
        if self._closed:
            return fail(ClosingException(path=self.path))
        return self._ready.wait()

    def caught_up(self) -> Deferred[None]:
        """Wait until all nodes were read that are known to have changed; only while there is a connection.

        :returns: fires at once if they were, and when the connection is lost or the tree closed. Cancelling ends the wait.
        """
        if self.settled or self.stale_since is not None or self._closed:
            return succeed(None)
        return self._catching_up.wait()

    def watch(self, function: Callable[[Change], object]) -> None:
        """Call ``function`` with each change from now on, in order, each once. Several changes in quick succession may be
        notified as one.

        Adding a function is no change; existing nodes can be looked up at once. No function is called with change N+1 before
        all were called with change N. One that raises is logged, and stays. It may call anything.
        """
        self._observers.add(function, lambda change: None if self._closed else function(change))

    def unwatch(self, function: Callable[[Change], object]) -> None:
        """Remove a function; silent if it was not added."""
        self._observers.remove(function)

    def close(self) -> None:
        """Stop following, and remove the watches at the server. It may be called at any time, and twice."""
        if not self._closed:
            self._mirror.tree_closed(self)
            self.end()
            self.release_watches()

    # For a registry.

    def look_again(self, path: str, *, names: bool = False) -> None:
        """Read a node that is in the tree again, although it is not known to have changed.

        Servers send no event when an ACL was changed, when an ACL hides a change from us, or for a new number of children. A
        change that is found is notified as any other.

        :param names: read the list of its children too.
        """
        if path in self._values and not self._closed:
            self._refresh(path)
            if names:
                self._refresh_names(path)

    def watch_stats(self, function: Callable[[str], object]) -> None:
        """Call ``function`` with the path of a node that was read again with another stat and no change for watchers: another
        number of children, for instance. It replaces the former function.
        """
        self._stat_changed = function

    # Events from the mirror.

    def covers(self, path: str) -> bool:
        """Return whether a node at a path would be in the tree, as far as the path alone can say."""
        return path == self.path or (path.startswith(self._base + "/") and not self._beyond(path))

    def watch_fired(self, event: WatchedEvent) -> None:
        """Read the nodes again that an event concerns. Its path is one that the tree covers."""
        path = event.path
        if event.type is EventType.PERSISTENT_WATCH_REMOVED:
            self._persistent_watch_removed(path)
        elif event.type is EventType.CHILD:
            if path in self._values:
                self._refresh_names(path)
        elif path in self._values or path == self.path or self._may_enter(path):
            self._refresh(path)
            if event.type is EventType.CHANGED and path in self._child_watches_set:
                # ClickHouse Keeper reports a changed list of children as changed data.
                self._refresh_names(path)

    def has_watch_on(self, path: str) -> bool:
        """Return whether the tree's persistent watch reports all changes at a path, even if the tree leaves that path out."""
        return bool(self._persistent) and not self._closed and (path == self.path or path.startswith(self._base + "/"))

    def session_changed(self) -> None:
        """Note that the new session has none of the former watches."""
        self._persistent = None
        self._one_shots = False

    def connected(self, event: SessionEvent) -> None:
        """Restore the watches, and read the nodes that have changed: there is a connection (again)."""
        before, self._session = self._session or event, event
        self._recovered = False
        if event.data_generation != before.data_generation:
            self._forget()
        elif self._begun and self._restore_zxid is None:
            # Watches that could not be restored yet are still to be restored as of that zxid.
            self._restore_zxid = event.zxid
        if event.session_number != before.session_number or self._persistent is None:
            self._persistent = None
            self._one_shots = False
            self._watch_all()
        else:
            self._recover()

    def disconnected(self) -> None:
        """Stop reading: the connection was lost."""
        self._retry_timer.stop()
        self._watch_retry_timer.stop()
        self._refresher.stop()
        self._settled = False
        if self._notified_settled:
            self._notified_settled = False
            self._notify(ChangeKind.STALE, self.path, None, None)
        self._catching_up.fire(None)

    def stop_reading(self) -> None:
        """Read nothing more: the session is about to be closed."""
        self._retry_timer.stop()
        self._watch_retry_timer.stop()
        self._refresher.stop()

    def retry(self) -> None:
        """Read also what could not be read the last time."""
        again = [*self.unreadable, *self._lagging]
        self._lagging.clear()
        for path in again:
            self._refresh(path)
            if path in self._values:
                self._refresh_names(path)

    def end(self) -> None:
        """Fail all waiters. The last known state stays readable."""
        self._closed = True
        self._retry_timer.stop()
        self._watch_retry_timer.stop()
        self._refresher.forget()
        self._ready.fail(lambda: ClosingException(path=self.path))
        self._catching_up.fire(None)

    # Watches.

    def _watch_all(self) -> None:
        """Set a persistent watch on the root, if the server supports it; then recover."""
        client: IPersistentWatches | None = IPersistentWatches(self._mirror.client, None)
        if client is None or IServerAbilities(client).server_can("add_watch") is False:
            self._watched(False)
            return
        try:
            watching = client.add_watch(self.path, recursive=True)
        except ValueError as error:
            self._log.info("Watching each node of {path}: {reason}.", path=self.path, reason=str(error))
            self._watched(False)
            return
        watching.addCallbacks(lambda _: self._watched(True), self._not_watched)
        watching.addErrback(
            lambda failure: self._log.failure("Watching {path} failed.", failure=failure, path=self.path)
        )

    def _not_watched(self, failure: Failure) -> None:
        error = failure.value
        if self._closed or self._mirror.is_lost(error):
            return
        if isinstance(error, ZooServerProblem):
            # The server may have set the watch, and another kind of watch on the path could replace it.
            self._mirror.note_trouble(self.path, error)
            self._watch_retry_timer.start(self._backoff.next_pause())
            return
        if not isinstance(error, UnimplementedException):
            self._log.warn("Watching each node of {path}: {reason}.", path=self.path, reason=failure.getErrorMessage())
        self._watched(False)

    def _watched(self, persistent: bool) -> None:
        if self._closed or not self._mirror.may_read():
            return
        self._persistent = persistent
        self._recover()

    def _recover(self) -> None:
        """Let the server report the changes since the last connection. Read these nodes, and those that were still to be
        read.
        """
        self._refresher.watching = not self._persistent
        if not self._begun:
            self._begun = True
            self._refresher.data(self.path)
        known: Sequence[str] = () if self._restore_zxid is None else tuple(self._values)
        absent = () if self._restore_zxid is None or self.path in self._values else (self.path,)
        zxid = self._zxid if self._restore_zxid is None else self._restore_zxid
        parents = [path for path in known if self._may_have_children(path, self._values[path])]
        self._child_watches_set = frozenset(parents)
        restored = self._feed.set_watches(zxid, known, absent, parents)
        self._one_shots = self._one_shots or bool(known) or not self._persistent
        restored.addCallbacks(lambda _: self._watches_restored(), self._watches_not_restored)
        restored.addErrback(
            lambda failure: self._log.failure("Recovery of {path} failed.", failure=failure, path=self.path)
        )
        self._refresher.start()
        self.retry()

    def _watches_restored(self) -> None:
        self._restore_zxid = None
        self._child_watches_set = frozenset()
        self._recovered = True
        self.read_finished()

    def _watches_not_restored(self, failure: Failure) -> None:
        if self._closed or self._mirror.is_lost(failure.value):
            return
        self._log.info(
            "Watches cannot be restored ({reason}): reading all of {path} again.",
            reason=failure.getErrorMessage(),
            path=self.path,
        )
        self._read_all()
        self._watches_restored()

    def _read_all(self) -> None:
        self._refresher.data(self.path)
        for path in self._values:
            self._refresher.data(path)
            self._refresher.names(path)

    def _persistent_watch_removed(self, path: str) -> None:
        """Read each node with a watch of its own: this server does not support the persistent watch that a newer server
        had set in this session.
        """
        if path == self.path and self._persistent:
            self._persistent = False
            self._refresher.watching = True
            self._read_all()
            self._mirror.tree_watch_removed()

    def release_watches(self) -> None:
        """Remove the watches that are no longer needed, now or after a reconnection. The others go with the session."""
        self._mirror.release_watches(self.path)
        if self._one_shots:
            for path in self._values:
                self._mirror.release_watches(path)

    # Results of reads.

    def data_read(self, path: str, value: Value | None, zxid: int) -> None:
        """Store a node's data and stat, or remove a node that does not exist."""
        if self._closed or self._is_outdated(path, zxid):
            return
        if value is None and path == self.path and self._refresher.watching:
            # A read of a missing node leaves no watch.
            self._refresher.existence(path)
        elif value is None:
            self.absent(path, zxid)
        elif path in self._values:
            self._replace(path, value)
        elif path == self.path or self._may_enter(path):
            self._add(path, value)

    def absent(self, path: str, zxid: int) -> None:
        """Remove a node that does not exist. If it is the root, a watch reports its creation."""
        if not (self._closed or self._is_outdated(path, zxid)):
            self._remove(path)

    def names_read(self, path: str, names: Sequence[str], zxid: int) -> None:
        """Compare a node's children with the known ones: read the new ones, and remove the missing ones."""
        if self._closed or self._is_outdated(path, zxid) or path not in self._values:
            return
        self._unlisted.discard(path)
        was_unreadable = self._note_readable(path)
        known = self._names.get(path, {})
        if known:
            present = set(names)
            for gone in [name for name in known if name not in present]:
                self._remove(paths.join(path, gone))
        children = [paths.join(path, name) for name in names if name not in known]
        if self._depth is not None or self._keep is not None:
            children = [child for child in children if self._keeps(child)]
        if children:
            self._refresher.data_of(children)
        if was_unreadable and path in self._values:
            self._notify(ChangeKind.READABLE, path, self._values[path], self._values[path])

    def data_refused(self, path: str, error: ZooKeeperException) -> None:
        """Note that a node is unreadable, and retry later."""
        if not self._closed:
            self._note_unreadable(path, error)

    def failed(self, path: str, error: ZooKeeperException) -> None:
        """Read a node and its children again later: the server was in trouble."""
        if not self._closed:
            self._mirror.note_trouble(path, error)
            self._lagging.add(path)
            self._retry_later()

    def names_refused(self, path: str, error: ZooKeeperException) -> None:
        """Note that the children of a node are unreadable, and retry later."""
        if not self._closed:
            self._unlisted.add(path)
            self._note_unreadable(path, error)

    def read_finished(self) -> None:
        """Settle, if this was the last read."""
        if self._settled or self._closed or self._lagging or not (self._recovered and self._refresher.idle):
            return
        self._settled = True
        if not self.unreadable:
            self._backoff.reset()
        if not self._notified_settled:
            self._was_settled = self._notified_settled = True
            self._ready.fire(None)
            self._notify(ChangeKind.SETTLED, self.path, None, None)
        self._catching_up.fire(None)
        self._mirror.check_settled()

    def _note_unreadable(self, path: str, error: ZooKeeperException) -> None:
        known = path in self.unreadable
        self.unreadable[path] = error
        self._retry_later()
        if not known:
            self._log.warn("{path} cannot be read: {reason}. Retrying.", path=path, reason=str(error))
            old = self._values.get(path)
            self._notify(ChangeKind.HIDDEN, path, old, old)

    def _note_readable(self, path: str) -> bool:
        """Remove a node from the unreadable ones, unless its children still are.

        :returns: whether it was one.
        """
        return path not in self._unlisted and self.unreadable.pop(path, None) is not None

    def _add(self, path: str, value: Value) -> None:
        was_unreadable = self._note_readable(path)
        self._values[path] = value
        if path != self.path:
            parent, name = paths.split(path)
            siblings = self._names.get(parent)
            if siblings is None:
                siblings = self._names[parent] = {}
            siblings[name] = None
        self._refresh_children(path, value)
        self._notify(ChangeKind.ADDED, path, None, value)
        if was_unreadable:
            self._notify(ChangeKind.READABLE, path, value, value)

    def _replace(self, path: str, value: Value) -> None:
        was_unreadable = self._note_readable(path)
        old, self._values[path] = self._values[path], value
        before, now = old[1], value[1]
        if before.czxid != now.czxid:
            # The node was deleted and created again, and has other children.
            self._refresher.names(path)
        # In a new data generation another node may have the numbers of one of the old.
        if _identity(before) != _identity(now) or old[0] != value[0]:
            self._notify(ChangeKind.CHANGED, path, old, value)
        elif before != now and self._stat_changed is not None:
            self._stat_changed(path)
        if was_unreadable:
            self._notify(ChangeKind.READABLE, path, value, value)

    def _remove(self, path: str) -> None:
        """Remove a node and all below it, the lowest first."""
        gone = [] if self._closed else [path]
        for each in gone:
            gone += [paths.join(each, name) for name in self._names.get(each, ())]
        for each in reversed(gone):
            old = self._values.pop(each, None)
            self._names.pop(each, None)
            self._unlisted.discard(each)
            error = self.unreadable.pop(each, None)
            siblings = self._names.get(paths.parent_of(each) or "")
            if siblings is not None and each != self.path:
                siblings.pop(paths.name_of(each), None)
            if old is not None:
                self._notify(ChangeKind.REMOVED, each, old, None)
            if error is not None:
                self._notify(ChangeKind.READABLE, each, None, None)
            if self._closed:
                return

    def _refresh_children(self, path: str, value: Value) -> None:
        # A persistent watch reports children that are created later.
        if (self._refresher.watching or value[1].numChildren) and self._may_have_children(path, value):
            self._refresher.names(path)

    def _may_have_children(self, path: str, value: Value) -> bool:
        # Ephemeral nodes have none. Containers and nodes with a time to live have a negative ephemeralOwner.
        return value[1].ephemeralOwner <= 0 and not self._at_limit(path)

    def _refresh(self, path: str) -> None:
        self._settled = False
        self._refresher.data(path)

    def _refresh_names(self, path: str) -> None:
        if not self._at_limit(path):
            self._settled = False
            self._refresher.names(path)

    def _may_enter(self, path: str) -> bool:
        """Return whether a node that is not in the tree may be added: its parent is there, or is about to be."""
        parent = paths.parent_of(path)
        assert parent is not None, "the root has no parent, and is the tree's own"
        if parent not in self._values:
            if self._refresher.has_pending(parent):
                # The pending reply may lack this child.
                self._refresher.names(parent)
            return False
        return self._keeps(path)

    def _is_outdated(self, path: str, zxid: int) -> bool:
        """Return whether a server lagged behind the tree. If so, the node is read again later."""
        if zxid >= self._zxid:
            self._zxid = zxid
            return False
        self._lagging.add(path)
        self._retry_later()
        return True

    def _retry_later(self) -> None:
        if not self._retry_timer.running and not self._closed:
            self._retry_timer.start(self._backoff.next_pause())

    def _forget(self) -> None:
        """Read everything again and compare: the known state is of another data generation."""
        self._zxid = 0
        self._restore_zxid = None
        if self._begun:
            self._read_all()

    def _level(self, path: str) -> int:
        return 0 if path == self.path else path.count("/") - self._base.count("/")

    def _beyond(self, path: str) -> bool:
        return self._depth is not None and self._level(path) > self._depth

    def _at_limit(self, path: str) -> bool:
        return self._depth is not None and self._level(path) >= self._depth

    def _keeps(self, path: str) -> bool:
        if self._beyond(path):
            return False
        if self._keep is None:
            return True
        try:
            return bool(self._keep(path))
        except Exception:
            self._log.failure("The function that selects nodes failed on {path}: the node is kept.", path=path)
            return True

    def _notify(self, kind: ChangeKind, path: str, old: Value | None, new: Value | None) -> None:
        if self._observers:
            self._observers.notify(Change(kind, path, old, new))


def _identity(stat: ZnodeStat) -> tuple[int, int, int, int]:
    return stat.czxid, stat.mzxid, stat.ctime, stat.mtime
