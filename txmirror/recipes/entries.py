"""The entries of a queue: sequential nodes with a priority in their names, as kazoo's queues name them."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence

from twisted.internet.defer import Deferred

from txmirror import paths
from txmirror.deferreds import Waiters
from txmirror.errors import NoNodeException, TransactionFailedException
from txmirror.interfaces import ITransaction
from txmirror.recipes.marked_writes import MarkedWrites, OutcomeUnknown
from txmirror.recipes.place import Place
from txmirror.recipes.retry_policy import discard, first_of
from txmirror.recipes.sequences import DIGITS, distance, is_number
from txmirror.types import WatchedEvent

#: The priority of an entry that has none of its own.
PRIORITY = 100
_ENTRY = re.compile(rf"entry-(\d{{3}})-({DIGITS})\Z")
#: A list of names serves for one entry, and in a long queue for this share of them.
_SHARE = 100
#: After so many entries that others have taken, the list is read again.
_MISSES = 10


def check_entry(value: object, priority: object) -> None:
    """Check the value and the priority of an entry.

    :raises TypeError: the value is not bytes, or the priority is not an int.
    :raises ValueError: the priority is not from 0 to 999.
    """
    if not isinstance(value, bytes):
        raise TypeError(f"an entry is bytes, not {value!r:.60}")
    if type(priority) is not int:
        raise TypeError(f"a priority is a whole number, not {priority!r:.60}")
    if not 0 <= priority <= 999:
        raise ValueError(f"a priority is a number from 0 to 999, not {priority!r:.60}")


def check_entries(values: object, priority: int) -> list[bytes]:
    """Check the values of several entries, and return them.

    :raises TypeError, ValueError: as :func:`check_entry`.
    """
    if isinstance(values, (bytes, str)) or not isinstance(values, Iterable):
        raise TypeError(f"entries are a list of bytes, not {values!r:.60}")
    entries = list(values)
    for value in entries or [b""]:
        check_entry(value, priority)
    return entries


def in_order(names: Iterable[str]) -> list[str]:
    """Return the names of entries: by priority, and then in the order in which they were put. Other names are left out."""
    places = {name: (int(match[1]), int(match[2])) for name in names if (match := _ENTRY.match(name)) is not None}
    places = {name: place for name, place in places.items() if is_number(place[1])}
    _, reference = next(iter(places.values()), (0, 0))
    return sorted(places, key=lambda name: (places[name][0], distance(reference, places[name][1])))


class Entries:
    """The entries below a node.

    :param place: the recipe's client.
    :param path: the parent of the entries.
    :param marks: does the transactions that put entries.
    """

    def __init__(self, place: Place, path: str, marks: MarkedWrites) -> None:
        self.path = path
        self._place = place
        self._client = place.client
        self._marks = marks
        #: The first names of the latest list that nobody has tried to take.
        self._listed: deque[str] = deque()
        self._misses = 0
        #: How many of the names may still be used when nobody else asks.
        self._share = 0
        #: The calls that look for an entry now; one of them reads the list.
        self._asking = 0
        self._listing = False
        self._list_waiters: Waiters[None] = Waiters()

    async def put(self, values: Sequence[bytes], priority: int) -> None:
        """Create entries, all or none, in this order.

        :raises ConnectionLossException: nobody can know whether they were created.
        :raises ZooKeeperException: a server refuses that, or there will be no session any more.
        """

        def fill(transaction: ITransaction) -> None:
            for value in values:
                path = paths.join(self.path, f"entry-{priority:03d}-")
                transaction.create(path, value, self._place.acl, sequence=True)

        while values:
            try:
                await self._marks.commit(fill)
                return
            except TransactionFailedException as error:
                if error.index and isinstance(error.error, NoNodeException):
                    await self._place.create(self.path)
                else:
                    await self._marks.create_parent(error)
            except OutcomeUnknown as error:
                raise error.to_error("the entry may have been put, or not", self.path) from None

    async def names(self) -> list[str]:
        """Return the names of all entries, in order. Entries whose put has ended are among them."""
        await self._place.sync()
        return in_order(await self._place.children(self.path))

    async def count(self) -> int:
        """Return the number of the node's children."""
        await self._place.sync()
        stat = await self._place.retry_policy.send(lambda: self._client.exists(self.path))
        return 0 if stat is None else stat.numChildren

    async def next(
        self,
        blocking: bool,
        available: Callable[[list[str]], Awaitable[list[str]]],
        changed: Callable[[], Awaitable[tuple[list[str], list[Deferred[WatchedEvent]]]]],
    ) -> str | None:
        """Return the name of the next entry to try to take.

        :param blocking: whether to wait for one; otherwise the result is None if there is none.
        :param available: leaves out entries that cannot be taken.
        :param changed: returns the names of all that can be taken, and watches that fire when there are others. The caller
            cancels the watches.
        """
        self._asking += 1
        try:
            return await self._next(blocking, available, changed)
        finally:
            self._asking -= 1
            if not self._asking:
                # Names beyond the share were for others who asked at the same time.
                while len(self._listed) > max(0, self._share):
                    self._listed.pop()

    async def _next(
        self,
        blocking: bool,
        available: Callable[[list[str]], Awaitable[list[str]]],
        changed: Callable[[], Awaitable[tuple[list[str], list[Deferred[WatchedEvent]]]]],
    ) -> str | None:
        while not self._listed:
            if self._listing:
                # Another call of the same object reads the list, for us too.
                await self._list_waiters.wait()
                continue
            self._listing = True
            try:
                names = await available(await self.names() if not blocking else await self._listed_now())
                if names:
                    self._use(names)
                    return self._pop()
            finally:
                self._listing = False
                self._list_waiters.fire(None)
            if not blocking:
                return None
            names, watches = await changed()
            try:
                if not names:
                    await first_of(watches)
                elif not self._listed:
                    self._use(names)
            finally:
                discard(*watches)
        return self._pop()

    def _pop(self) -> str:
        self._share -= 1
        return self._listed.popleft()

    def _use(self, names: list[str]) -> None:
        self._share = max(1, len(names) // _SHARE)
        self._listed.extend(names[: max(self._share, self._asking)])
        self._misses = 0

    def missed(self) -> None:
        """Note that another has taken the entry that :meth:`next` has returned."""
        self._misses += 1
        if self._misses == _MISSES:
            self._listed.clear()

    async def _listed_now(self) -> list[str]:
        return in_order(await self._place.children(self.path))

    async def watch(self, path: str | None = None) -> tuple[list[str], Deferred[WatchedEvent]]:
        """Return the names of a node's children, in no order, and a watch for the next change. Create the node if it is missing.

        :param path: the node; None is the parent of the entries.
        """
        where = path or self.path
        while True:
            try:
                return await self._place.retry_policy.send_and_watch(lambda: self._client.get_children_and_watch(where))
            except NoNodeException:
                await self._place.create(where)
