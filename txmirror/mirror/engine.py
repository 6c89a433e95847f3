"""The parts of a mirror that run: a client's feed, the cache behind it, and the nodes and trees that programs hold."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from txmirror import paths
from txmirror.deferreds import Waiters
from txmirror.interfaces import IWatchFeed, IZooKeeperClient
from txmirror.mirror.branch import Branch, Selection
from txmirror.mirror.cache import Cache
from txmirror.mirror.eviction import Eviction
from txmirror.mirror.node import Node
from txmirror.mirror.notifier import Notifier
from txmirror.mirror.record import NodeReference
from txmirror.mirror.state import MirrorState
from txmirror.mirror.status import Status
from txmirror.mirror.store import DATA
from txmirror.mirror.tree import Tree
from txmirror.mirror.writer import Writer
from txmirror.types import SessionEvent, SessionState, WatchedEvent


class Engine:
    """Follows a client's sessions, and keeps nodes and trees equal to the server's state.

    :param client: sends the requests.
    :param feed: the client's feed.
    :param reactor: runs the timers.
    :param linger: how long an unreferenced node stays, in seconds.
    :param random: returns a random number from 0 to 1.
    :ivar status: the state of the connection.
    :ivar writer: writes nodes.
    :ivar closing: whether nothing more is to be followed.
    """

    def __init__(
        self,
        client: IZooKeeperClient,
        feed: IWatchFeed,
        reactor: IReactorTime,
        linger: float,
        random: Callable[[], float],
    ) -> None:
        self.status: Status = Status(feed.session, reactor.seconds())
        self.writer: Writer = Writer(client, feed)
        self._reactor = reactor
        self._feed = feed
        self._cache = Cache(client, feed, self.status, reactor, random)
        self._eviction = eviction = Eviction(reactor, linger, self._evict)
        #: One function for all nodes.
        self._note_unreferenced: Callable[[NodeReference], None] = lambda reference: eviction.note_unreferenced(
            reference.path
        )
        self._close_waiters: Waiters[None] = Waiters()
        self.closing: bool = False

    def start(self) -> None:
        """Begin to listen to the feed."""
        self._feed.add_listener(self._dispatch, self._cache.sessions.needs_watches)
        if self.status.session.state is SessionState.CONNECTED:
            self._connected(self.status.session)

    # Nodes and trees.

    def get(self, path: str) -> Node:
        """Return the node at a path."""
        record = self._cache.record(path)
        node: Node | None = record.node
        if node is None:
            node = Node(self, record)
            record.attach(node, self._note_unreferenced)
            if self.closing:
                record.close()
            else:
                self._eviction.start()
                if not record.value.known:
                    self._cache.invalidate(DATA, path)
        return node

    def tree(self, selection: Selection) -> Tree:
        """Follow a subtree."""
        notifier = Notifier(selection.path, self.status)
        branch = Branch(self._cache, selection, notifier)
        notifier.attach(branch)
        if self.closing:
            branch.end()
        else:
            self._cache.follow(branch)
        return Tree(self._cache, branch, notifier)

    def parent_shows(self, path: str) -> Deferred[None] | None:
        """Wait until the parent of a node that was written shows it; None if there is nothing to wait for."""
        parent = self._cache.records.get(paths.parent_of(path) or "")
        return None if parent is None else parent.children_shown()

    def retry(self) -> None:
        """Read the parts, too, that could not be read the last time."""
        self._cache.retry_all()

    def when_closed(self) -> Deferred[None]:
        """Wait until nothing is followed any more. Cancelling ends the wait."""
        return succeed(None) if self.status.state is MirrorState.CLOSED else self._close_waiters.wait()

    def _evict(self, path: str) -> None:
        self._cache.evict(path)
        if not self._cache.records:
            self._eviction.stop()

    # Session events.

    def _dispatch(self, event: SessionEvent | WatchedEvent) -> None:
        if self.status.session_ends:
            # A client that is being closed may connect once more, to close its session.
            if isinstance(event, SessionEvent) and event.state is not SessionState.CONNECTED:
                self._disconnected()
        elif isinstance(event, WatchedEvent):
            self._cache.watch_fired(event)
        elif event.state is SessionState.CONNECTED:
            self._connected(event)
        else:
            self._disconnected()
            if event.state is SessionState.CLOSED and not self.closing:
                # The client was an argument, and its owner has closed it.
                self.end(session_stays=False)

    def _connected(self, event: SessionEvent) -> None:
        before, self.status.session = self.status.session, event
        self.status.disconnected_since = None
        self.status.recovered = False
        self._cache.sessions.connected(event, before)
        self.status.enter(MirrorState.CONNECTED)
        if self.status.session is event and self.status.may_read and not self.closing:
            self._cache.sessions.resume()

    def _disconnected(self) -> None:
        if self.status.connected:
            self.status.disconnected_since = self._reactor.seconds()
            self._cache.disconnected()
            self.status.enter(MirrorState.DISCONNECTED)

    # The end.

    def prepare_end(self) -> None:
        """Send no more requests: the session is about to be closed."""
        self.status.session_ends = True
        self._cache.sessions.finish()

    def end(self, *, session_stays: bool) -> None:
        """Follow nothing any more. The last known state stays readable.

        :param session_stays: remove all watches from the session.
        """
        self.closing = True
        self._feed.remove_listener(self._dispatch)
        self._disconnected()
        self._cache.close(session_stays=session_stays and not self.status.session_ends)
        self._eviction.stop()
        self.status.enter(MirrorState.CLOSED)
        self._close_waiters.fire(None)
