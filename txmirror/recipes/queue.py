"""A queue: each entry is taken once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror import paths
from txmirror.deferreds import shield
from txmirror.durations import check_seconds
from txmirror.errors import (
    BadVersionException,
    NoNodeException,
    TransactionFailedException,
    ZooKeeperException,
)
from txmirror.interfaces import IZooKeeperClient
from txmirror.mirror import Mirror
from txmirror.recipes.entries import PRIORITY, Entries, check_entries, check_entry, in_order
from txmirror.recipes.marked_writes import MarkedWrites, OutcomeUnknown
from txmirror.recipes.place import Place, check_transactions
from txmirror.types import ACL, WatchedEvent, ZnodeStat


@attrs.define(eq=False)
class Taking:
    """An entry that is being taken.

    :ivar abandoned: whether the caller has stopped waiting for it.
    """

    name: str
    data: bytes
    stat: ZnodeStat
    abandoned: bool = False


class Queue:
    """A queue that processes anywhere share. Entries with a lower priority number come first; those of one priority in the order in
    which they were put.

    Entries are nodes below the queue's, named as kazoo's ``Queue`` names them (``entry-<priority>-<10 digits>``), so that both can
    put and take at one path::

        queue = Queue(client, "/jobs")
        await queue.put(b"resize 17", priority=50)
        job = await queue.get()

    An entry is put once and taken once, also if replies are lost: each put or take is a transaction that creates or changes a node in
    ``<path>-__taken__`` too, which shows that it was done, and is deleted soon. (kazoo puts an entry twice, or loses one, then.) It
    is taken *before* it is processed, so it is lost with a program that ends meanwhile; :class:`LockingQueue` keeps it.

    In a queue of more than 200 entries, a new one of a higher priority may have to wait until as many as a hundredth of all are
    taken, because not every ``get`` lists them all.

    :param client: a client with transactions, or a :class:`~txmirror.mirror.Mirror` with one. It is connected when it is first
        needed, unless that was begun before.
    :param path: the queue's node. If it and those above it are missing, they are created, persistent.
    :param acl: the access control list of the entries, and of the two parents if they are created here; nodes above
        them are open to everybody, and so are all if it is None. Programs that use the queue need permission to read, create
        and delete.
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
        acl: Sequence[ACL] | None = None,
        reactor: IReactorTime | None = None,
    ) -> None:
        self._place = Place(client, path, acl, reactor, type(self).__name__)
        self._client = self._place.client
        check_transactions(self, self._client)
        self._marks = MarkedWrites(self._place, f"{path}-__taken__", reuse=True)
        self._entries = Entries(self._place, path, self._marks)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._place.describe()}>"

    @property
    def path(self) -> str:
        """The queue's node."""
        return self._place.path

    def put(self, value: bytes, priority: int = PRIORITY) -> Deferred[None]:
        """Put an entry into the queue, once.

        It survives lost connections, and expired sessions if the entry was certainly not put before.

        :param value: at most ``client.max_request`` bytes.
        :param priority: from 0 to 999; lower numbers are taken first.
        :returns: fires when the entry is in the queue. Fails with :exc:`~txmirror.errors.ConnectionLossException` (``applied``
            None) if the reply was lost and the session expired before it was known whether the entry was put;
            with :exc:`~txmirror.errors.RequestTooLargeException` (nothing was sent), with
            :exc:`~txmirror.errors.ClosingException` or :exc:`~txmirror.errors.AuthFailedException`, where there will be no session
            any more, and with a server's refusal, such as :exc:`~txmirror.errors.NoAuthException`. Cancelling ends the wait; the
            entry may have been put.
        :raises TypeError, ValueError: the value is not bytes, or the priority is out of range.
        """
        check_entry(value, priority)
        return self._place.meter.measure("put", self._place.run(lambda: self._entries.put([value], priority)))

    def put_all(self, values: Sequence[bytes], priority: int = PRIORITY) -> Deferred[None]:
        """Put several entries into the queue, all or none, in their order.

        :param values: the values, which must fit into one request together.
        :returns: fires and fails as :meth:`put`.
        :raises TypeError, ValueError: a value is not bytes, or the priority is out of range.
        """
        entries = check_entries(values, priority)
        return self._place.meter.measure("put_all", self._place.run(lambda: self._entries.put(entries, priority)))

    @overload
    def get(self, *, wait: None = None) -> Deferred[bytes]: ...

    @overload
    def get(self, *, wait: float | None) -> Deferred[bytes | None]: ...

    def get(self, *, wait: float | None = None) -> Deferred[Any]:
        """Take the first entry, and wait until there is one.

        Waiting survives lost connections and expired sessions.

        :param wait: the limit for all of that, in seconds; None sets no limit. With 0 it does not wait for entries, only for the
            servers' replies, for a session timeout at most.
        :returns: fires with the entry's value, or with None if there was none in time. Fails with
            :exc:`~txmirror.errors.ConnectionLossException` (``applied`` None) if the reply was lost and the session expired before it
            was known whether we or another took the entry: then it may be lost; otherwise as :meth:`put`. Cancelling
            gives up; an entry that was taken meanwhile is put back, at its place. So does the end of the time. (If the reply was lost and the
            session expires just then, the entry may be lost: the log says so.)
        :raises TypeError, ValueError: ``wait`` is not a finite number of seconds from 0, or None.
        """
        return self._get(wait).addCallback(lambda taken: None if taken is None else taken.data)

    def peek(self) -> Deferred[bytes | None]:
        """Return the value of the first entry, and leave it in the queue.

        :returns: fires with it, or with None if the queue is empty. Fails as :meth:`put`, but never with an unknown outcome. Cancelling
            ends the wait.
        """
        return self._place.run(self._peek)

    def length(self) -> Deferred[int]:
        """Return the number of entries.

        :returns: fires with it; 0 if the queue's node does not exist. Fails as :meth:`peek`. Cancelling ends the wait.
        """
        return self._place.run(self._entries.count)

    # Taking.

    def _get(self, wait: float | None) -> Deferred[Taking | None]:
        check_seconds("the time to wait", wait, optional=True)
        limit = self._client.session_timeout if wait == 0 else wait
        taking = self._place.run(lambda: self._take_first(blocking=wait != 0), limit=limit)
        return self._place.meter.measure("get", taking, not_done=(None,))

    async def _take_first(self, blocking: bool) -> Taking | None:
        while (name := await self._entries.next(blocking, self._all, self._changed)) is not None:
            path = paths.join(self.path, name)
            try:
                data, stat = await self._place.retry_policy.send(lambda: self._client.get(path))  # noqa: B023
            except NoNodeException:
                # Another has taken it.
                self._entries.missed()
                continue
            taking = Taking(name, data, stat)
            if await self._take(taking):
                return taking
            self._entries.missed()
        return None

    async def _all(self, names: list[str]) -> list[str]:
        return names

    async def _changed(self) -> tuple[list[str], list[Deferred[WatchedEvent]]]:
        names, watch = await self._entries.watch()
        return in_order(names), [watch]

    async def _take(self, taking: Taking) -> bool:
        """Take an entry. If that is cancelled, its outcome is awaited all the same, and the entry put back."""

        def abandoned(outcome: bool | Failure) -> None:
            if outcome is True:
                self._put_back(taking)
            elif isinstance(outcome, Failure):
                error = outcome.value
                if not isinstance(error, ZooKeeperException):
                    self._log.failure("Taking an entry for an abandoned call failed because of a bug.", outcome)
                elif error.applied is None:
                    self._log_lost(taking, error)

        work = Deferred.fromCoroutine(self._delete(taking))
        done = False
        try:
            outcome = await shield(work, abandoned)
            done = True
            return outcome
        finally:
            taking.abandoned = not done

    async def _delete(self, taking: Taking) -> bool:
        """Delete an entry, and return whether we have.

        :raises ConnectionLossException: nobody can know whether we have.
        """
        path = paths.join(self.path, taking.name)
        unknown: OutcomeUnknown | None = None
        while True:
            try:
                return await self._marks.commit(
                    lambda transaction: transaction.delete(path, taking.stat.version),
                    abandoned=lambda: taking.abandoned,
                )
            except TransactionFailedException as error:
                if not error.index:
                    await self._marks.create_parent(error)
                elif not isinstance(error.error, (NoNodeException, BadVersionException)):
                    raise error.error from None
                elif unknown is None:
                    # Another was faster; our server may lag behind the leader.
                    await self._place.sync()
                    return False
                else:
                    raise unknown.to_error("the entry may have been taken, or not", path) from None
            except OutcomeUnknown as error:
                unknown = error
                await self._place.sync()
                stat = await self._place.retry_policy.send(lambda: self._client.exists(path))
                if stat is None or stat.czxid != taking.stat.czxid:
                    raise unknown.to_error("the entry may have been taken, or not", path) from None
                # In the former session it was not taken.

    def _put_back(self, taking: Taking) -> None:
        """Create an entry again, at its place."""

        async def create() -> None:
            path = paths.join(self.path, taking.name)
            try:
                await self._marks.commit(lambda transaction: transaction.create(path, taking.data, self._place.acl))
            except (ZooKeeperException, OutcomeUnknown) as error:
                self._log_lost(taking, error)

        Deferred.fromCoroutine(create()).addErrback(
            lambda failure: self._log.failure("An entry could not be put back because of a bug.", failure)
        )

    def _log_lost(self, taking: Taking, error: Exception) -> None:
        self._log.error(
            "{path}: the entry {name} was taken by a call that was abandoned, and may be lost: {reason}.",
            path=self.path,
            name=taking.name,
            reason=str(error),
        )

    async def _peek(self) -> bytes | None:
        while names := await self._entries.names():
            # Another may take the first ones meanwhile.
            for name in names[:10]:
                path = paths.join(self.path, name)
                try:
                    data, _ = await self._place.retry_policy.send(lambda: self._client.get(path))  # noqa: B023
                except NoNodeException:
                    continue
                return data
        return None
