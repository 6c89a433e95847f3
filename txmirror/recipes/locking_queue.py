"""A queue whose entries stay until they are consumed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror import paths
from txmirror.durations import check_seconds
from txmirror.errors import NoNodeException, SessionExpiredException, ZooKeeperException
from txmirror.interfaces import IZooKeeperClient
from txmirror.mirror import Mirror
from txmirror.recipes.contender import Contender, LockNodeGone
from txmirror.recipes.entries import PRIORITY, Entries, check_entries, check_entry, in_order
from txmirror.recipes.marked_writes import MarkedWrites
from txmirror.recipes.place import Place, check_transactions
from txmirror.recipes.retry_policy import discard
from txmirror.recipes.taken_entry import TakenEntry, TakenNode
from txmirror.types import ACL, WatchedEvent


class LockingQueue:
    """A queue whose entries stay until they are consumed. The order is that of :class:`Queue`.

    A program that takes an entry has an ephemeral node for it, which keeps it from others. If the program consumes the entry, both
    nodes are deleted in one transaction. If it releases the entry, or its session ends, the entry is there again, at its
    place. So each entry is processed once or more often, and consumed once. The nodes are named as kazoo's
    ``LockingQueue`` names them (``<path>/entries/entry-<priority>-<10 digits>`` and ``<path>/taken/...``), so that both can use one
    path::

        queue = LockingQueue(client, "/jobs", name="host1")
        await queue.put(b"resize 17")
        async with await queue.get() as entry:
            await resize(entry.data)            # without an exception, the entry is consumed then

    One object can take several entries at the same time.

    :param client: its session takes the entries: a client with transactions, or a :class:`~txmirror.mirror.Mirror` with one. It is
        connected when it is first needed, unless that was begun before.
    :param path: the queue's node. If it, those above it and the two below it are missing, they are created, persistent.
    :param name: our name, which others see in the nodes that keep entries.
    :param acl: the access control list of the nodes that are created here, but for those above ``path``; None opens them to
        everybody. Programs that use the queue need permission to read, create and delete.
    :param reactor: the reactor; the global one if None.
    :raises PathError: ``path`` is no znode path, or the root.
    :raises TypeError: ``client`` is neither, or has no transactions, or ``acl`` holds anything else than
        :class:`~txmirror.types.ACL`.
    """

    _log = Logger()

    def __init__(
        self,
        client: IZooKeeperClient | Mirror,
        path: str,
        *,
        name: str = "",
        acl: Sequence[ACL] | None = None,
        reactor: IReactorTime | None = None,
    ) -> None:
        self._place = Place(client, path, acl, reactor, type(self).__name__)
        self._client = self._place.client
        check_transactions(self, self._client)
        self._contender = Contender(client, path, name, acl, reactor, type(self).__name__)
        self._taken_path = f"{path}/taken"
        self._entries = Entries(self._place, f"{path}/entries", MarkedWrites(self._place, path, reuse=True))

    def __repr__(self) -> str:
        return f"<LockingQueue {self._contender.describe()}>"

    @property
    def path(self) -> str:
        """The queue's node."""
        return self._place.path

    @property
    def name(self) -> str:
        """Our name, which others see."""
        return self._contender.name

    def put(self, value: bytes, priority: int = PRIORITY) -> Deferred[None]:
        """Put an entry into the queue, once. See :meth:`Queue.put`."""
        check_entry(value, priority)
        return self._place.meter.measure("put", self._place.run(lambda: self._entries.put([value], priority)))

    def put_all(self, values: Sequence[bytes], priority: int = PRIORITY) -> Deferred[None]:
        """Put several entries into the queue, all or none, in their order. See :meth:`Queue.put_all`."""
        entries = check_entries(values, priority)
        return self._place.meter.measure("put_all", self._place.run(lambda: self._entries.put(entries, priority)))

    @overload
    def get(self, *, wait: None = None) -> Deferred[TakenEntry]: ...

    @overload
    def get(self, *, wait: float | None) -> Deferred[TakenEntry | None]: ...

    def get(self, *, wait: float | None = None) -> Deferred[Any]:
        """Take the first entry that nobody else has taken, and wait until there is one.

        It survives lost connections and expired sessions.

        :param wait: the limit for all of that, in seconds; None sets no limit. With 0 it does not wait for entries, only for the
            servers' replies, for a session timeout at most.
        :returns: fires with the entry, or with None if there was none in time. Fails with
            :exc:`~txmirror.errors.ClosingException` or :exc:`~txmirror.errors.AuthFailedException`, where there will be no session
            any more, and with a server's refusal, such as :exc:`~txmirror.errors.NoAuthException`. Cancelling gives up; an entry that
            was taken meanwhile is released. So does the end of the time.
        :raises TypeError, ValueError: ``wait`` is not a finite number of seconds from 0, or None.
        """
        check_seconds("the time to wait", wait, optional=True)
        limit = self._client.session_timeout if wait == 0 else wait
        taking = self._place.run(lambda: self._take_first(blocking=wait != 0), limit=limit)
        return self._place.meter.measure("get", taking, not_done=(None,))

    def length(self) -> Deferred[int]:
        """Return the number of entries, also of those that are taken, and not consumed.

        :returns: fires with it; 0 if the queue's node does not exist. Fails as :meth:`get` does. Cancelling ends the wait.
        """
        return self._place.run(self._entries.count)

    # Taking.

    async def _take_first(self, blocking: bool) -> TakenEntry | None:
        sessions = 0
        while (name := await self._entries.next(blocking, self._free, self._changed)) is not None:
            try:
                entry = await self._take(name)
            except SessionExpiredException:
                sessions += 1
                await self._place.retry_policy.pause(sessions)
                continue
            if entry is not None:
                return entry
            self._entries.missed()
        return None

    async def _free(self, names: list[str]) -> list[str]:
        taken = set(await self._place.children(self._taken_path)) if names else set()
        return [name for name in names if name not in taken]

    async def _changed(self) -> tuple[list[str], list[Deferred[WatchedEvent]]]:
        names, entries_watch = await self._entries.watch()
        try:
            taken, taken_watch = await self._entries.watch(self._taken_path)
        except BaseException:
            discard(entries_watch)
            raise
        gone = set(taken)
        return [name for name in in_order(names) if name not in gone], [entries_watch, taken_watch]

    async def _take(self, name: str) -> TakenEntry | None:
        """Take an entry.

        :returns: None if it is not there any more, or another has taken it.
        :raises SessionExpiredException: the session has expired.
        """
        path = paths.join(self._entries.path, name)
        node = TakenNode(self._place, self._contender, path, paths.join(self._taken_path, name))
        kept = False
        try:
            found = await self._place.retry_policy.send(lambda: self._client.get(path))
            if not await node.make(found[1].version):
                return None
            held = await self._contender.hold(node)
            kept = True
            return TakenEntry(self._place, self._contender, node, path, found, held)
        except (NoNodeException, LockNodeGone):
            return None
        finally:
            if not kept and node.session:
                Deferred.fromCoroutine(node.remove()).addErrback(self._left_behind, node.path)

    def _left_behind(self, failure: Failure, path: str) -> None:
        if isinstance(failure.value, ZooKeeperException):
            self._log.warn(
                "{path} could not be deleted: {reason}. It stays until the session ends.",
                path=path,
                reason=str(failure.value),
            )
        else:
            self._log.failure("{path} could not be deleted because of a bug.", failure, path=path)
