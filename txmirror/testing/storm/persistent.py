"""The persistent watches of one client in a storm: they report each change before a reply that shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from txmirror.errors import NoWatcherException, ZooKeeperException
from txmirror.testing.storm.parts import PATHS, Scene
from txmirror.testing.storm.replies import Replies
from txmirror.types import EventType, News, SessionState, WatchedEvent
from txmirror.wire import Operation

#: The nodes to watch, each with those that the watch covers. A node alone has events of its children, too.
_ALONE = ("/b", "/a/x")
_RECURSIVE: dict[str, Sequence[str]] = {
    "/a": tuple(path for path in PATHS if path.startswith("/a")),
    "/a/x/y": ("/a/x/y",),
    "/": PATHS,
}
_MOST = 5
_ENDED = (SessionState.EXPIRED, SessionState.CLOSED)


class _Watch:
    """A listener of a persistent watch.

    From the first reply of each connection on, each change must be reported. Before it, the server may not have had the watch.
    """

    def __init__(self, path: str, covered: Sequence[str], *, recursive: bool) -> None:
        self.path = path
        self.covered = covered
        self.recursive = recursive
        self.generation = 0
        self.active = False
        self.over = False
        #: The zxid from which on all is reported; None if it is not known.
        self.since: int | None = None
        #: The events since then, by path; those of children apart.
        self.events: Counter[tuple[str, bool]] = Counter()

    def __str__(self) -> str:
        return f"the persistent watch of {self.path}{' and all below' if self.recursive else ''}"

    def interrupt(self) -> None:
        """Changes may be missed until the next reply."""
        self.since = None

    def begin(self, zxid: int, generation: int) -> None:
        """All later changes must be reported."""
        self.since, self.generation = zxid, generation
        self.events.clear()


class PersistentChecks:
    """The persistent watches of a client.

    :param scene: the world.
    :param replies: the operations of the client.
    """

    def __init__(self, scene: Scene, replies: Replies) -> None:
        self._scene = scene
        self._truth = scene.truth
        self._replies = replies
        self._watches: list[_Watch] = []
        self._supported = Operation.ADD_WATCH in scene.world.server._replica._version.operations
        replies.observers.append(self._replied)

    def act(self, random: Random) -> None:
        """Add or remove one watch."""
        if not self._supported:
            return
        recursive = random.random() < 0.7
        path = random.choice(list(_RECURSIVE) if recursive else _ALONE)
        if random.random() < 0.25:
            self._release(path)
        elif len(self._watches) < _MOST:
            self._add(path, recursive, cancel=random.random() < 0.1)

    def _add(self, path: str, recursive: bool, *, cancel: bool) -> None:
        watch = _Watch(path, _RECURSIVE[path] if recursive else [path], recursive=recursive)
        self._replies.note(f"adds {watch}")
        self._watches.append(watch)
        adding = self._replies.client.add_watch(path, lambda news: self._heard(watch, news), recursive=recursive)

        def added(result: Failure | None) -> None:
            if isinstance(result, Failure):
                result.trap(ZooKeeperException, CancelledError)
                self._over(watch)
                return
            watch.active = True
            watch.begin(self._replies.zxid(), self._truth.generation)

        self._replies.pending.add(adding.addBoth(added), f"add_watch {path}")
        if cancel:
            adding.cancel()

    def _release(self, path: str) -> None:
        """Remove what nobody needs: nothing that is checked."""
        self._replies.note(f"releases {path}")
        releasing: Deferred[None] = self._replies.client.release(path)
        released = releasing.addErrback(
            lambda failure: failure.trap(ZooKeeperException, CancelledError, NoWatcherException)
        )
        self._replies.pending.add(released, f"release {path}")

    def _over(self, watch: _Watch) -> None:
        watch.over = True
        if watch in self._watches:
            self._watches.remove(watch)

    def _heard(self, watch: _Watch, news: News) -> None:
        self._replies.check_that(watch.active and not watch.over, f"{watch} is not there, and has reported {news}")
        if not isinstance(news, WatchedEvent):
            watch.interrupt()
            if news.state in _ENDED:
                self._over(watch)
        elif news.type is EventType.PERSISTENT_WATCH_REMOVED:
            self._replies.note(f"{watch} is removed")
            self._over(watch)
        else:
            covered = news.path == watch.path or (watch.recursive and news.path in watch.covered)
            others = watch.recursive and watch.path == "/"
            self._replies.check_that(covered or others, f"{watch} has reported {news}")
            watch.events[news.path, news.type is EventType.CHILD] += 1

    def _replied(self, zxid: int) -> None:
        """Check that all changes were reported that a reply shows."""
        for watch in self._watches:
            if not watch.active:
                continue
            if watch.since is None or watch.generation != self._truth.generation:
                watch.begin(zxid, self._truth.generation)
                continue
            for path in watch.covered:
                self._check(watch, watch.since, path, zxid)

    def _check(self, watch: _Watch, since: int, path: str, zxid: int) -> None:
        if path in self._scene.hidden:
            # The server does not report what the client may not read.
            return
        due, reported = self._truth.count_changes(path, since, zxid), watch.events[path, False]
        self._replies.check_that(
            reported >= due,
            lambda: f"{watch} has reported {reported} of {due} changes of {path} from {since:#x} to {zxid:#x}",
        )
        if not watch.recursive:
            children, heard = self._truth.count_changes_of_children(path, since, zxid), watch.events[path, True]
            self._replies.check_that(
                heard >= children,
                lambda: f"{watch} has reported {heard} of {children} changes of children from {since:#x} to {zxid:#x}",
            )

    def check_closed(self) -> None:
        """Check that all watches have ended."""
        left = [str(watch) for watch in self._watches]
        self._replies.check_that(not left, f"the client is closed, and {left[:3]} have not ended")
