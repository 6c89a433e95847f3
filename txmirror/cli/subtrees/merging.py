"""Put two streams of nodes side by side."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator

from txmirror.cli.subtrees.records import Item, Place, Source, Unreadable


class Stored:
    """The nodes in a file or folder, as a :class:`~txmirror.cli.subtrees.records.Source`.

    :param items: the nodes.
    :ivar close: stops.
    """

    def __init__(self, items: Iterator[Item], close: Callable[[], None] = lambda: None) -> None:
        self._items = items
        self.close = close

    async def next(self) -> Item | None:
        """Return the next node; None at the end."""
        return next(self._items, None)


class Nothing:
    """A subtree that does not exist, as a :class:`~txmirror.cli.subtrees.records.Source`."""

    async def next(self) -> Item | None:
        """Return None: the end."""
        return None

    def close(self) -> None:
        """Do nothing."""


async def side_by_side(left: Source, right: Source) -> AsyncIterator[tuple[Item | None, Item | None]]:
    """Return pairs of nodes at the same place; None on the side that has no node there.

    Nothing is known below a node that one side could not read, so the other side's nodes there are left out.
    """
    one, other = await left.next(), await right.next()
    unknown: Place | None = None
    while one is not None or other is not None:
        if other is None or (one is not None and one.place < other.place):
            pair: tuple[Item | None, Item | None] = (one, None)
            one = await left.next()
        elif one is None or other.place < one.place:
            pair = (None, other)
            other = await right.next()
        else:
            pair = (one, other)
            one, other = await left.next(), await right.next()
        for item in pair:
            if isinstance(item, Unreadable):
                unknown = item.place
        place = next(item.place for item in pair if item is not None)
        if unknown is not None and len(place) > len(unknown) and place[: len(unknown)] == unknown:
            continue
        yield pair
