"""The persistent watches of a session, by path, and the observers of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from twisted.logger import Logger

from txmirror import paths
from txmirror.observers import Observers
from txmirror.types import EventType, News, SessionEvent, WatchedEvent


class PersistentWatch:
    """The persistent watch on one path, shared by all its observers.

    :param path: the path.
    :param recursive: whether it covers the whole subtree.
    :ivar pending: the number of unanswered requests for it.
    :ivar expected: the number of those with a listener.
    :ivar abandoned: the number of those that were cancelled after they were sent.
    :ivar established: whether the server has it, or had it when the connection was lost.
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
        """Remove all observers."""
        self.observers: Observers[News] = Observers(
            lambda listener, news: self._log.failure(
                "The listener {listener} of the watch on {path} failed on {news}.",
                listener=listener,
                path=self.path,
                news=news,
            )
        )


class PersistentWatches:
    """The persistent watches of one session, established and pending."""

    def __init__(self) -> None:
        self._watches: dict[str, PersistentWatch] = {}

    def __contains__(self, path: object) -> bool:
        return path in self._watches

    def __iter__(self) -> Iterator[PersistentWatch]:
        return iter([watch for watch in self._watches.values() if watch.established])

    def request(self, path: str, recursive: bool) -> PersistentWatch:
        """Return the watch on a path, and count a pending request for it.

        :raises ValueError: there is one of the other kind.
        """
        watch = self._watches.setdefault(path, PersistentWatch(path, recursive))
        if watch.recursive is not recursive:
            kinds = ("for the node alone", "for the whole subtree")
            raise ValueError(f"{path!r} has a persistent watch {kinds[watch.recursive]}, and servers keep only one")
        watch.pending += 1
        return watch

    def answered(self, watch: PersistentWatch) -> None:
        """Note that a request for a watch was answered or has failed."""
        watch.pending -= 1
        self._drop_if_over(watch)

    def disconnected(self) -> None:
        """Note that the server will not answer the requests that were cancelled after they were sent."""
        for watch in list(self._watches.values()):
            watch.pending -= watch.abandoned
            watch.abandoned = 0
            self._drop_if_over(watch)

    def remove(self, path: str) -> PersistentWatch | None:
        """Remove the established watch on a path, and return it, if there was one. Pending requests for it stay."""
        watch = self._watches.get(path)
        if watch is not None:
            watch.established = False
            self._drop_if_over(watch)
        return watch

    def _drop_if_over(self, watch: PersistentWatch) -> None:
        if not watch.established and not watch.pending and self._watches.get(watch.path) is watch:
            del self._watches[watch.path]

    def subset(self, *tables: Mapping[str, object]) -> PersistentWatches:
        """Return the watches on some paths only, pending or established, for setting them again."""
        some = PersistentWatches()
        # Either may be very many, and then the other is few.
        for path in sorted({path for each in tables for path in self._watches.keys() & each.keys()}):
            some.request(path, self._watches[path].recursive).established = True
        return some

    def has_observers(self, path: str) -> bool:
        """Return whether the watch on a path has a listener besides the feed, or a pending request with one."""
        watch = self._watches.get(path)
        return watch is not None and (watch.expected > 0 or bool(watch.observers))

    def is_recursive(self, path: str) -> bool:
        """Return whether there is a recursive watch on exactly this path."""
        watch = self._watches.get(path)
        return watch is not None and watch.recursive

    def fire(self, event: WatchedEvent) -> None:
        """Notify the observers of every watch that covers the path of an event."""
        if self._watches:
            for watch in list(self._concerned(event)):
                watch.observers.notify(event)

    def notify(self, event: SessionEvent) -> None:
        """Notify all observers of a session event."""
        for watch in list(self._watches.values()):
            watch.observers.notify(event)

    def _concerned(self, event: WatchedEvent) -> Iterator[PersistentWatch]:
        exact = self._watches.get(event.path)
        if exact is not None and exact.established and not exact.recursive:
            yield exact
        if event.type is EventType.CHILD:
            # It comes from a non-recursive watch on this path. A recursive watch has events of the children themselves.
            return
        path: str | None = event.path
        while path is not None:
            watch = self._watches.get(path)
            if watch is not None and watch.established and watch.recursive:
                yield watch
            path = paths.parent_of(path)
