"""The observers of a tree, and the waiters for the moment at which it shows the server's state."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger

from txmirror.deferreds import Waiters
from txmirror.errors import ClosingException
from txmirror.mirror.changes import Change, ChangeKind, Value
from txmirror.mirror.interest import FollowedBranch
from txmirror.mirror.status import Status
from txmirror.observers import Observers


class Notifier:
    """Notifies the observers of a branch.

    :param path: the root, for the log and for changes that concern the whole tree.
    :param status: the state of the connection.
    :ivar closed: whether nothing more is notified.
    :ivar observed: whether there are observers.
    :ivar on_stat_changed: called with the path of a node that has another stat and is otherwise as before; None for nobody.
    """

    _log = Logger()

    def __init__(self, path: str, status: Status) -> None:
        self.closed: bool = False
        self.observed: bool = False
        self.on_stat_changed: Callable[[str], object] | None = None
        self._path = path
        self._status = status
        self._branch: FollowedBranch | None = None
        self._observers: Observers[tuple[int, Change]] = Observers(
            lambda function, numbered: self._log.failure(
                "A watcher of the tree {path}, {function}, failed on {change}.",
                path=path,
                function=function,
                change=numbered[1],
            )
        )
        #: The number of changes that observers were notified of, or are about to be.
        self._count = 0
        self._ready: Waiters[None] = Waiters()
        self._catching_up: Waiters[None] = Waiters()
        self._was_settled = False
        self._notified_settled = False

    def attach(self, branch: FollowedBranch) -> None:
        """Observe a branch."""
        self._branch = branch

    @property
    def settled(self) -> bool:
        """True if the branch shows the server's state, except for its unreadable nodes, as far as is known."""
        branch = self._branch
        return (
            branch is not None
            and branch.begun
            and branch.persistent is not None
            and not branch.unsettled
            and self._status.recovered
            and not self.closed
        )

    def ready(self) -> Deferred[None]:
        """Wait until the branch has settled for the first time."""
        if self._was_settled:
            return succeed(None)
        if self.closed:
            return fail(ClosingException(path=self._path))
        return self._ready.wait()

    def caught_up(self) -> Deferred[None]:
        """Wait until all nodes were read that are known to have changed; only while there is a connection."""
        if self.settled or self.closed or not self._status.connected:
            return succeed(None)
        return self._catching_up.wait()

    def watch(self, function: Callable[[Change], object]) -> None:
        """Call a function with each change from now on."""
        # Changes that are being notified when it is added are shown by the tree already.
        since = self._count

        def notify(numbered: tuple[int, Change]) -> None:
            number, change = numbered
            if number > since and not self.closed:
                function(change)

        self._observers.add(function, notify)
        self.observed = True

    def unwatch(self, function: Callable[[Change], object]) -> None:
        """Remove a function; silent if it was not added."""
        self._observers.remove(function)
        self.observed = bool(self._observers)

    # Events of the branch.

    def changed(self, kind: ChangeKind, path: str, old: Value | None, new: Value | None) -> None:
        """Notify the observers of a change."""
        if self.observed:
            self._count += 1
            self._observers.notify((self._count, Change(kind, path, old, new)))

    def stat_changed(self, path: str) -> None:
        """Notify of a node that has another stat and is otherwise as before."""
        if self.on_stat_changed is not None:
            self.on_stat_changed(path)

    def check_settled(self) -> None:
        """Fire the waiters, if the branch shows the server's state."""
        if not self.settled:
            return
        if not self._notified_settled:
            self._was_settled = self._notified_settled = True
            self._ready.fire(None)
            self.changed(ChangeKind.SETTLED, self._path, None, None)
        self._catching_up.fire(None)

    def disconnected(self) -> None:
        """Notify the observers that the branch may be out of date."""
        if self._notified_settled:
            self._notified_settled = False
            self.changed(ChangeKind.STALE, self._path, None, None)
        self._catching_up.fire(None)

    def end(self) -> None:
        """Fail the waiters for the branch, and call no observer any more."""
        self.closed = True
        self._ready.fail(lambda: ClosingException(path=self._path))
        self._catching_up.fire(None)
