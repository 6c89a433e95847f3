"""Changes of a node's data that depend on the data, each of which is done at most once, although replies can be lost."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from txmirror.errors import BadVersionException, NoNodeException, TransactionFailedException
from txmirror.recipes.marked_writes import MarkedWrites, OutcomeUnknown
from txmirror.recipes.place import Place
from txmirror.types import ZnodeStat


@attrs.frozen
class _Write:
    """A conditional write of new data."""

    stat: ZnodeStat
    data: bytes

    def may_come(self, stat: ZnodeStat) -> bool:
        """Return whether the node is still as the write expects it."""
        return (stat.czxid, stat.version) == (self.stat.czxid, self.stat.version)

    def was_another(self, stat: ZnodeStat, data: bytes) -> bool:
        """Return whether the node certainly shows the write of another in place of this one."""
        return (stat.czxid, stat.version) == (self.stat.czxid, self.stat.version + 1) and data != self.data


class ConditionalWrites:
    """Changes the data of a recipe's node.

    :param place: the node. Its client has transactions.
    :param seed: the node's data, if it is created here.
    :param unknown: says in the exception which effect is unknown.
    """

    def __init__(self, place: Place, seed: bytes, unknown: str) -> None:
        self._place = place
        self._client = place.client
        self._seed = seed
        self._unknown = unknown
        self._marks = MarkedWrites(place, place.path)

    async def read(self) -> tuple[bytes, ZnodeStat] | None:
        """Read the data, with every write that has ended before; None if the node does not exist."""
        await self._place.sync()
        try:
            return await self._get()
        except NoNodeException:
            return None

    async def update(self, change: Callable[[bytes, ZnodeStat], bytes | None]) -> bytes | None:
        """Change the data, once.

        :param change: returns the new data, or None to leave them as they are; it may be called again with newer data.
        :returns: the new data; None if ``change`` has returned None for data that were current.
        :raises ConnectionLossException: (``applied`` None) the reply was lost, the session has expired, and nothing shows whether
            it was done.
        :raises BadVersionException: the node is at version -1, and a write cannot depend on that.
        :raises ZooKeeperException: a server refuses it, or there will be no session any more.
        """
        doubtful: tuple[_Write, OutcomeUnknown] | None = None
        # Whether the next read shows all writes that have ended before this began.
        current = False
        while True:
            try:
                data, stat = await self._get()
            except NoNodeException:
                if doubtful is not None:
                    raise self._to_error(doubtful[1]) from None
                await self._place.create(data=self._seed)
                continue
            if doubtful is not None and not doubtful[0].may_come(stat):
                if not doubtful[0].was_another(stat, data):
                    raise self._to_error(doubtful[1])
                doubtful = None
            path = self._place.path
            if stat.version == -1:
                raise BadVersionException(
                    f"{path!r} is at version -1, and a write cannot depend on that: set the node once",
                    path=path,
                )
            # As long as the node is as it was, the same write can be sent again: of all of them, one at most is done.
            changed = change(data, stat) if doubtful is None else doubtful[0].data
            if changed is None:
                if current:
                    return None
                await self._place.sync()
                current = True
                continue
            write = _Write(stat, changed)
            try:
                await self._marks.commit(lambda transaction: transaction.set(path, write.data, write.stat.version))  # noqa: B023
                return changed
            except TransactionFailedException as error:
                if not isinstance(error.error, (BadVersionException, NoNodeException)):
                    raise error.error from None
                # Another was faster; our server may lag behind the leader.
                await self._place.sync()
                current = True
            except OutcomeUnknown as error:
                doubtful = (write, error)
                await self._place.sync()
                current = True

    async def _get(self) -> tuple[bytes, ZnodeStat]:
        return await self._place.retry_policy.send(lambda: self._client.get(self._place.path))

    def _to_error(self, error: OutcomeUnknown) -> Exception:
        return error.to_error(self._unknown, self._place.path)
