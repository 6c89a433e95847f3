"""Read the nodes of a subtree from ZooKeeper in order, many at a time."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import TypeVar

import attrs
from twisted.internet.defer import CancelledError, Deferred

from txmirror.cli.statuses import message_of
from txmirror.cli.subtrees.records import Item, Place, Record, Unreadable, path_of
from txmirror.client import ZooKeeperClient
from txmirror.errors import NoNodeException, ZooKeeperException, ZooServerProblem
from txmirror.printable import session_name
from txmirror.recipes.retry_policy import RetryPolicy
from txmirror.types import ACL

_T = TypeVar("_T")

#: The most nodes that are read at a time.
_READS = 128
#: The most bytes of nodes that were read, and are not taken yet. The nodes that are being read at that moment add to them.
_BUFFER = 8 * 2**20
#: The name of the node with the servers' own nodes, below the ensemble's root.
SYSTEM = "zookeeper"


@attrs.define(order=False)
class _Level:
    """The children of a node that are not read yet."""

    parent: Place
    names: Sequence[str]
    """Sorted."""
    index: int = 0

    @property
    def place(self) -> Place:
        """The next child."""
        return (*self.parent, self.names[self.index])


@attrs.define(order=False)
class _Reading:
    """A node that is being read, or was read and not taken yet."""

    work: Deferred[None] | None = None
    done: bool = False
    item: Item | None = None
    """None if the node is gone, or is left out."""
    size: int = 0


class NodeReader:
    """Reads single nodes of a subtree. For the arguments see :class:`Walk`.

    :ivar left_out: the number of ephemeral nodes that were left out.
    :ivar hidden_acls: the paths whose ACL has a digest that the server shows only to users with the permission ``a``.
    """

    def __init__(
        self, client: ZooKeeperClient, root: str, policy: RetryPolicy, *, acls: bool, ephemerals: bool
    ) -> None:
        self._client = client.waiting()
        self._root = root
        self._policy = policy
        self._acls = acls
        self._ephemerals = ephemerals
        self._skips_system = "/" not in client.connect_string
        self.left_out: int = 0
        self.hidden_acls: list[str] = []

    async def read(self, place: Place) -> tuple[Record | None, list[str]]:
        """Return a node, or None if it is left out, and the names of its children, sorted.

        :raises ZooKeeperException: it cannot be read.
        """
        path = path_of(self._root, place)
        data, stat = await self._send(self._client.get, path)
        if stat.ephemeralOwner and not self._ephemerals:
            self.left_out += 1
            return None, []
        names = await self.names(place) if stat.numChildren else []
        acl = await self._read_acl(path) if self._acls else None
        owner = session_name(stat.ephemeralOwner) if stat.ephemeralOwner else None
        return Record(place, data, acl, owner, children=names), names

    async def names(self, place: Place) -> list[str]:
        """Return the names of a node's children, sorted, without the servers' own node.

        :raises ZooKeeperException: it cannot be read.
        """
        path = path_of(self._root, place)
        names: list[str] = await self._send(self._client.get_children, path)
        if path == "/" and self._skips_system and SYSTEM in names:
            names.remove(SYSTEM)
        return sorted(names)

    async def _read_acl(self, path: str) -> tuple[ACL, ...] | None:
        entries, _ = await self._send(self._client.get_acl, path)
        if any(entry.scheme == "digest" and entry.identity.endswith(":x") for entry in entries):
            self.hidden_acls.append(path)
            return None
        return tuple(entries)

    def _send(self, request: Callable[[str], Deferred[_T]], path: str) -> Deferred[_T]:
        return Deferred.fromCoroutine(self._policy.send(lambda: request(path)))


class Walk:
    """The nodes of a subtree, in order. A node that is deleted before it is read is left out.

    Reads are sent again after a lost connection, and in a new session. Only the nodes ahead of the reader are in memory: a few
    megabytes of them, and the names of the siblings of their parents.

    :param client: reads. The servers' own nodes at ``/zookeeper`` are left out, if its root is the ensemble's.
    :param root: the path of the subtree.
    :param policy: repeats reads.
    :param acls: whether to read access control lists.
    :param ephemerals: whether to include ephemeral nodes.
    :param after: begin with the node after this one, which an earlier walk returned.
    :ivar reader: reads the nodes.
    """

    # It has 7 parameters: the last three are options of the command.

    def __init__(
        self,
        client: ZooKeeperClient,
        root: str,
        policy: RetryPolicy,
        *,
        acls: bool = False,
        ephemerals: bool = False,
        after: Item | None = None,
    ) -> None:
        self.reader: NodeReader = NodeReader(client, root, policy, acls=acls, ephemerals=ephemerals)
        self._after = after
        #: The levels by their next places, and the readings by theirs.
        self._unread: list[tuple[Place, _Level]] = []
        self._order: list[tuple[Place, _Reading]] = []
        self._in_flight = 0
        self._buffered = 0
        self._begun = False
        self._closed = False
        self._error: Exception | None = None
        self._waiting: Deferred[None] | None = None

    async def next(self) -> Item | None:
        """Return the next node; None at the end.

        :raises NoNodeException: the root does not exist.
        :raises ZooKeeperException: a read failed for a reason that is not about one node.
        """
        if not self._begun:
            self._begun = True
            await self._begin()
        while True:
            if self._error is not None:
                raise self._error
            self._start_reads()
            if not self._order:
                return None
            reading = self._order[0][1]
            if not reading.done:
                self._waiting = Deferred()
                try:
                    await self._waiting
                finally:
                    self._waiting = None
                continue
            heapq.heappop(self._order)
            self._buffered -= reading.size
            if reading.item is not None:
                return reading.item

    def close(self) -> None:
        """Stop reading."""
        self._closed = True
        readings, self._order = self._order, []
        for _, reading in readings:
            if reading.work is not None:
                reading.work.cancel()

    async def _begin(self) -> None:
        if self._after is None:
            self._order_read(())
            return
        # The nodes after a place are those below it, and the later siblings of it and of each node above it.
        after = self._after.place
        # Below a node that could not be read, an export has no nodes.
        depths = len(after) + (not isinstance(self._after, Unreadable))
        for depth in range(depths):
            place = after[:depth]
            try:
                names = await self.reader.names(place)
            except NoNodeException:
                if not place:
                    raise
                break
            except ZooServerProblem:
                raise
            except ZooKeeperException:
                # The node was unreadable before, or is now.
                break
            if depth < len(after):
                names = [name for name in names if name > after[depth]]
            self._add_level(place, names)

    def _start_reads(self) -> None:
        # After an error, further reads fail at once.
        while self._unread and not self._closed and self._error is None:
            place, level = self._unread[0]
            # The next one to be taken is read in any case.
            is_next = not self._order or place < self._order[0][0]
            if not is_next and (self._in_flight >= _READS or self._buffered >= _BUFFER):
                return
            level.index += 1
            if level.index < len(level.names):
                heapq.heapreplace(self._unread, (level.place, level))
            else:
                heapq.heappop(self._unread)
            self._order_read(place)

    def _order_read(self, place: Place) -> None:
        reading = _Reading()
        heapq.heappush(self._order, (place, reading))
        self._in_flight += 1
        reading.work = Deferred.fromCoroutine(self._read(place, reading))

    async def _read(self, place: Place, reading: _Reading) -> None:
        try:
            reading.item, names = await self.reader.read(place)
        except CancelledError:
            return
        except NoNodeException as error:
            self._error, names = (self._error if place else error), []
        except Exception as error:
            if isinstance(error, ZooKeeperException) and not isinstance(error, ZooServerProblem):
                reading.item, names = Unreadable(place, message_of(error), error), []
            else:
                self._error, names = self._error or error, []
        self._in_flight -= 1
        if self._closed:
            return
        reading.done = True
        reading.work = None
        # The names stay in memory longer than this, until the last of them is read; they bound the reads ahead while this node waits.
        reading.size = (reading.item.size if isinstance(reading.item, Record) else 0) + 64 * len(names)
        self._buffered += reading.size
        self._add_level(place, names)
        self._start_reads()
        wakes = self._error is not None or self._order[0][1].done
        if self._waiting is not None and wakes and not self._waiting.called:
            self._waiting.callback(None)

    def _add_level(self, place: Place, names: list[str]) -> None:
        if names:
            level = _Level(place, names)
            heapq.heappush(self._unread, (level.place, level))


async def subtree_size(client: ZooKeeperClient, path: str) -> int | None:
    """Return about how many nodes a subtree has; None if the server cannot say."""
    if client.server_can("count_below") is False or client.may_cost_session("count_below"):
        return None
    try:
        return await client.count_below(path) + 1
    except ZooKeeperException:
        return None
