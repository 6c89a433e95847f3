"""The persistent watches of a session: established ones, those that are being added, and those that are being removed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from twisted.logger import Logger

from txmirror import paths
from txmirror.client.connection.calls import Call
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
    :ivar removal: the unanswered request that removes it, if it is the latest one for it.
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
        self.removal: Call[None] | None = None
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

    def stands(self, path: str) -> bool:
        """Return whether the server has a watch on a path when it processes the next request, as far as that is known.

        While its removal is on the way, it has none: it processes the requests in their order.
        """
        watch = self._watches.get(path)
        return watch is not None and not (watch.removal is not None and watch.removal.xid)

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
        watch.removal = None
        return watch

    def removing(self, path: str, call: Call[None]) -> None:
        """Note a request that removes the watch on a path, if there is one."""
        watch = self._watches.get(path)
        if watch is not None:
            watch.removal = call

    def removal_answered(self, path: str, call: Call[None]) -> None:
        """Note that such a request was answered."""
        watch = self._watches.get(path)
        if watch is not None and watch.removal is call:
            watch.removal = None

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

    def forget_removals(self) -> None:
        """Note that the connection was lost: the watches that were being removed are set again on the next one."""
        for watch in self._watches.values():
            watch.removal = None

    def _drop_if_over(self, watch: PersistentWatch) -> None:
        if not watch.established and not watch.pending and self._watches.get(watch.path) is watch:
            del self._watches[watch.path]

    def subset(self, *tables: Mapping[str, object]) -> PersistentWatches:
        """Return the watches on some paths only, pending or established, for setting them again; not those that are being removed."""
        some = PersistentWatches()
        # There may be very many of either kind. The intersection takes the time of the smaller one.
        for path in sorted(
            {path for each in tables for path in self._watches.keys() & each.keys() if self.stands(path)}
        ):
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
