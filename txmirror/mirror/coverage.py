"""The recursive persistent watches on the roots of trees. A path below one needs no watch of its own.

A server before 3.6 has no such watches. There each node is read with one-shot watches.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Final, Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror import paths
from txmirror.errors import UnimplementedException, ZooKeeperException, ZooServerProblem
from txmirror.interfaces import IPersistentWatches, IServerAbilities, IZooKeeperClient
from txmirror.retrying import RetryTimer

#: The pauses before a request is retried that a server could not answer, in seconds.
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 60.0
_NO_WATCH: Final = "Could not set a persistent watch on {path}: {reason}. Watching each node instead."


class CoverageSink(Protocol):
    """Receives what is decided about the watches on roots."""

    def root_decided(self, path: str) -> None:
        """Note that a root has its persistent watch, or that the server does not support one."""

    def watch_lost(self, path: str) -> None:
        """Note that the server does not support a root's watch any more."""

    def root_delayed(self, path: str, error: ZooKeeperException) -> None:
        """Note that a server could not set the watch on a root. The request is repeated later."""

    def is_lost(self, error: BaseException | None) -> bool:
        """Return whether a request has failed with its connection."""


class _State(enum.Enum):
    WANTED = "wanted"
    """It was not requested in this session, or the request was lost."""
    REQUESTED = "requested"
    """The request is unanswered; or it is repeated later, because the server could not answer it."""
    STANDING = "standing"
    """It reports all changes."""
    UNSUPPORTED = "unsupported"
    """The server does not have such watches."""


class _Root:
    """The watch on the root of one or several trees."""

    __slots__ = ("path", "prefix", "state", "timer", "trees")

    def __init__(self, path: str, timer: Callable[[], RetryTimer]) -> None:
        self.path = path
        self.prefix = path.rstrip("/") + "/"
        self.state = _State.WANTED
        self.trees = 0
        self.timer = timer()


class Coverage:
    """Keeps a persistent watch on each tree's root.

    :param client: sets the watches.
    :param reactor: runs the timers.
    :param sink: receives what is decided.
    """

    _log = Logger()

    def __init__(self, client: IZooKeeperClient, reactor: IReactorTime, sink: CoverageSink) -> None:
        self._watches: IPersistentWatches | None = IPersistentWatches(client, None)
        self._abilities: IServerAbilities | None = IServerAbilities(client, None)
        self._reactor = reactor
        self._sink = sink
        self._roots: dict[str, _Root] = {}
        #: The paths of the roots that are wanted or requested. With many roots, to look at all of them takes too long.
        self._undecided: set[str] = set()
        self._connected = False

    @property
    def any_standing(self) -> bool:
        """True if there is a persistent watch."""
        return any(root.state is _State.STANDING for root in self._roots.values())

    @property
    def decided(self) -> bool:
        """True if no watch is still to be set."""
        return not self._undecided

    def is_root(self, path: str) -> bool:
        """Return whether a path has a persistent watch, or is to have one."""
        return path in self._roots

    def stands(self, path: str) -> bool | None:
        """Return whether a root has its persistent watch; None if that is not known yet."""
        state = self._roots[path].state
        return state is _State.STANDING if state in (_State.STANDING, _State.UNSUPPORTED) else None

    def covers(self, path: str) -> bool | None:
        """Return whether a persistent watch reports all changes at a path; None if that is not known yet."""
        covered: bool | None = False
        for root in self._above(path):
            if root.state is _State.STANDING:
                return True
            if root.state is not _State.UNSUPPORTED:
                covered = None
        return covered

    def _above(self, path: str) -> list[_Root]:
        roots = self._roots
        if len(roots) < 4:
            # Fewer than a path has levels.
            return [root for root in roots.values() if path.startswith(root.prefix) or path == root.path]
        found: list[_Root] = []
        above: str | None = path
        while above is not None:
            if above in roots:
                found.append(roots[above])
            above = paths.parent_of(above)
        return found

    # Trees.

    def follow(self, path: str) -> None:
        """Set a watch on the root of a new tree, unless there is one."""
        root = self._roots.get(path)
        if root is None:
            root = self._roots[path] = _Root(path, lambda: self._timer(path))
            self._undecided.add(path)
        root.trees += 1
        if self._connected:
            if root.state is _State.WANTED:
                self._request(root)
            elif root.state is not _State.REQUESTED:
                self._sink.root_decided(path)

    def leave(self, path: str) -> bool:
        """Note that a tree was closed.

        :returns: whether its root has no other tree.
        """
        root = self._roots[path]
        root.trees -= 1
        if root.trees:
            return False
        root.timer.stop()
        del self._roots[path]
        self._undecided.discard(path)
        return True

    # Session events.

    def session_changed(self) -> None:
        """Note that the new session has no watches."""
        for root in self._roots.values():
            root.state = _State.WANTED
        self._undecided.update(self._roots)

    def connected(self) -> None:
        """Set the watches that are missing."""
        self._connected = True
        for root in list(self._roots.values()):
            if root.state is _State.WANTED and self._connected and self._roots.get(root.path) is root:
                self._request(root)

    def disconnected(self) -> None:
        """Note that pending requests are lost."""
        self._connected = False
        for root in self._roots.values():
            root.timer.stop()
            if root.state is _State.REQUESTED:
                root.state = _State.WANTED

    def removed(self, path: str) -> None:
        """Note that a watch does not stand any more: this server does not support it, and a newer one had set it."""
        root = self._roots.get(path)
        if root is not None and root.state is _State.STANDING:
            root.state = _State.UNSUPPORTED
            self._sink.watch_lost(path)

    def _timer(self, path: str) -> RetryTimer:
        return RetryTimer(self._reactor, lambda: self._retry(path), first=_FIRST_PAUSE, longest=_LONGEST_PAUSE)

    def _retry(self, path: str) -> None:
        root = self._roots.get(path)
        if root is not None and root.state is _State.REQUESTED:
            self._request(root)

    def _request(self, root: _Root) -> None:
        root.state = _State.REQUESTED
        if self._watches is None or (self._abilities is not None and self._abilities.server_can("add_watch") is False):
            self._decide(root, _State.UNSUPPORTED)
            return
        try:
            answer = self._watches.add_watch(root.path, recursive=True)
        except ValueError as error:
            self._log.info(_NO_WATCH, path=root.path, reason=str(error))
            self._decide(root, _State.UNSUPPORTED)
            return
        answer.addCallbacks(lambda _: self._decide(root, _State.STANDING), self._refused, errbackArgs=(root,))
        answer.addErrback(
            lambda failure: self._log.failure(
                "Watching {path} failed because of a bug.", failure=failure, path=root.path
            )
        )

    def _decide(self, root: _Root, state: _State) -> None:
        if self._roots.get(root.path) is root and root.state is _State.REQUESTED and self._connected:
            root.state = state
            self._undecided.discard(root.path)
            root.timer.reset()
            self._sink.root_decided(root.path)

    def _refused(self, failure: Failure, root: _Root) -> None:
        error = failure.value
        if self._roots.get(root.path) is not root or self._sink.is_lost(error):
            return
        if isinstance(error, ZooServerProblem):
            # The server may have set the watch, and another kind of watch on the path could replace it.
            root.timer.start()
            self._sink.root_delayed(root.path, error)
            return
        if not isinstance(error, UnimplementedException):
            self._log.warn(_NO_WATCH, path=root.path, reason=failure.getErrorMessage())
        self._decide(root, _State.UNSUPPORTED)
