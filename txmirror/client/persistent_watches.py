"""The watches of a session that last: by path, whether each takes in the whole subtree, and who is told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from twisted.logger import Logger

from txmirror import paths
from txmirror.observers import Observers
from txmirror.types import EventType, News, SessionEvent, WatchedEvent


class PersistentWatch:
    """A persistent watch on one path, for all who asked for it.

    :param path: the node that it was set on.
    :param recursive: whether it takes in everything below.
    :ivar pending: how many requests for it are unanswered.
    :ivar expected: how many of those have a listener.
    :ivar abandoned: how many of those were sent, and are not waited for any more.
    :ivar established: whether the server has it, or had it when the connection went.
    :ivar observers: the callbacks.
    """

    _log = Logger()

    def __init__(self, path: str, recursive: bool) -> None:
        self.path = path
        self.recursive = recursive
        self.pending = 0
        self.expected = 0
        self.abandoned = 0
        self.established = False
        self.forget_observers()

    def forget_observers(self) -> None:
        """Tell nobody any more."""
        self.observers: Observers[News] = Observers(
            lambda listener, news: self._log.failure(
                "The listener {listener} of the watch on {path} failed on {news}.",
                listener=listener,
                path=self.path,
                news=news,
            )
        )


class PersistentWatches:
    """The persistent watches of one session: those that stand, and those that were asked for."""

    def __init__(self) -> None:
        self._watches: dict[str, PersistentWatch] = {}

    def __contains__(self, path: object) -> bool:
        return path in self._watches

    def __iter__(self) -> Iterator[PersistentWatch]:
        return iter([watch for watch in self._watches.values() if watch.established])

    def request(self, path: str, recursive: bool) -> PersistentWatch:
        """Give the watch on a path that is about to be asked for.

        :raises ValueError: there is one of the other kind.
        """
        watch = self._watches.setdefault(path, PersistentWatch(path, recursive))
        if watch.recursive is not recursive:
            kinds = ("for the node alone", "for the whole subtree")
            raise ValueError(f"{path!r} has a persistent watch {kinds[watch.recursive]}, and servers keep only one")
        watch.pending += 1
        return watch

    def answered(self, watch: PersistentWatch) -> None:
        """Note that a request for a watch has come to an end, whichever."""
        watch.pending -= 1
        self._drop_if_over(watch)

    def disconnected(self) -> None:
        """Note that what was abandoned on its way will not be answered."""
        for watch in list(self._watches.values()):
            watch.pending -= watch.abandoned
            watch.abandoned = 0
            self._drop_if_over(watch)

    def remove(self, path: str) -> PersistentWatch | None:
        """Forget the watch on a path, and give it, if there was one. One that was asked for since is still to come."""
        watch = self._watches.get(path)
        if watch is not None:
            watch.established = False
            self._drop_if_over(watch)
        return watch

    def _drop_if_over(self, watch: PersistentWatch) -> None:
        if not watch.established and not watch.pending and self._watches.get(watch.path) is watch:
            del self._watches[watch.path]

    def on(self, *those: Mapping[str, object]) -> PersistentWatches:
        """Give the watches on some paths only, asked for or standing: what a server has to be told of once more."""
        some = PersistentWatches()
        # Of either there may be very many, and then few of the other.
        for path in sorted({path for each in those for path in self._watches.keys() & each.keys()}):
            some.request(path, self._watches[path].recursive).established = True
        return some

    def heard(self, path: str) -> bool:
        """Tell whether somebody besides the feed is told of the watch on a path, or has asked for one."""
        watch = self._watches.get(path)
        return watch is not None and (watch.expected > 0 or bool(watch.observers))

    def takes_in_children(self, path: str) -> bool:
        """Tell whether there is a watch for the whole subtree on this very path."""
        watch = self._watches.get(path)
        return watch is not None and watch.recursive

    def fire(self, event: WatchedEvent) -> None:
        """Tell those whose watch an event is of."""
        if self._watches:
            for watch in list(self._concerned(event)):
                watch.observers.notify(event)

    def notify(self, event: SessionEvent) -> None:
        """Tell everybody a step of the session."""
        for watch in list(self._watches.values()):
            watch.observers.notify(event)

    def _concerned(self, event: WatchedEvent) -> Iterator[PersistentWatch]:
        exact = self._watches.get(event.path)
        if exact is not None and exact.established and not exact.recursive:
            yield exact
        if event.type is EventType.CHILD:
            # That comes of somebody's watch on this very path. A watch for a subtree tells of the children themselves.
            return
        path: str | None = event.path
        while path is not None:
            watch = self._watches.get(path)
            if watch is not None and watch.established and watch.recursive:
                yield watch
            path = paths.parent_of(path)
