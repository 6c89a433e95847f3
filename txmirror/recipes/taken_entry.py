"""An entry of a :class:`~txmirror.recipes.LockingQueue` that we have taken, and the ephemeral node that keeps it for us."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror import paths
from txmirror.deferreds import Waiters
from txmirror.errors import (
    BadVersionException,
    NodeExistsException,
    NoNodeException,
    SessionExpiredException,
    TransactionFailedException,
    ZooServerProblem,
)
from txmirror.interfaces import urgent_client
from txmirror.recipes.contender import Contender, Held
from txmirror.recipes.marked_writes import OutcomeUnknown
from txmirror.recipes.place import Place, transaction
from txmirror.types import ZnodeStat


class TakenNode:
    """The ephemeral node that keeps an entry for us. It is created at most once, and only its session deletes it.

    :param place: the queue, with its client.
    :param contender: our name, and requests that fail when the session expires.
    :param entry: the path of the entry.
    :param path: the path of this node.
    """

    def __init__(self, place: Place, contender: Contender, entry: str, path: str) -> None:
        self.path = path
        self.session: int = 0
        self._place = place
        self._client = place.client
        self._retry_policy = contender.retry_policy
        self._entry = entry
        self._data = f"{contender.name} {uuid.uuid4().hex}".strip().encode()
        self._in_doubt = False

    async def make(self, version: int) -> bool:
        """Create it, if the entry is there and free.

        :param version: the version of the entry's node.
        :returns: whether it is there.
        :raises SessionExpiredException: it was not created, or was deleted with the session.
        """
        failures = 0
        while True:
            try:
                if self._in_doubt:
                    await self._client.sync(self.path)
                    if await self._is_ours():
                        return True
                    self._in_doubt = False
                self.session = self._client.session_id
                taking = transaction(self._client)
                taking.check(self._entry, version)
                taking.create(self.path, self._data, self._place.acl, ephemeral=True)
                self._in_doubt = True
                await taking.commit()
                self._in_doubt = False
                return True
            except TransactionFailedException as error:
                self._in_doubt = False
                if error.index == 1 and isinstance(error.error, NoNodeException):
                    await self._place.create(paths.parent_of(self.path))
                elif isinstance(error.error, (NoNodeException, BadVersionException, NodeExistsException)):
                    # Another was faster; our server may lag behind the leader.
                    await self._place.sync()
                    return False
                else:
                    raise error.error from None
            except ZooServerProblem as error:
                failures += 1
                await self._retry_policy.retry(error, failures)

    async def remove(self) -> None:
        """Delete it, if it was created. Retry until that is done or the session is over.

        :raises ZooKeeperException: a server refuses that.
        """
        client = urgent_client(self._client)

        def send(request: Callable[[str], Deferred[Any]]) -> Callable[[], Deferred[Any]]:
            def sending() -> Deferred[Any]:
                # In another session, the node may be that of another who has taken the entry.
                if self._client.session_id != self.session:
                    raise SessionExpiredException(path=self.path)
                return request(self.path)

            return sending

        try:
            if self._in_doubt:
                await self._retry_policy.send(send(client.sync))
            data, _ = await self._retry_policy.send(send(client.get))
            if data == self._data:
                await self._retry_policy.send(send(client.delete))
        except NoNodeException:
            pass
        except ZooServerProblem as error:
            if not error.session_over:
                raise

    async def _is_ours(self) -> bool:
        try:
            data, _ = await self._client.get(self.path)
        except NoNodeException:
            return False
        return data == self._data


class TakenEntry:
    """An entry of a :class:`LockingQueue` that we have taken. Others can take it when it is released, or our session ends.

    As a context manager, it consumes the entry at the end, or releases it after an exception::

        entry = await queue.get()
        async with entry:
            await process(entry.data)

    :ivar data: its value.
    :ivar consumed: whether it was certainly consumed by us.
    """

    _log = Logger()

    # More than 7 parameters would be fields of a value that nothing else needs.
    def __init__(
        self,
        place: Place,
        contender: Contender,
        node: TakenNode,
        entry: str,
        found: tuple[bytes, ZnodeStat],
        held: Held,
    ) -> None:
        self.data: bytes
        self.data, self._stat = found
        self.consumed: bool = False
        self._place = place
        self._contender = contender
        self._client = place.client
        self._node = node
        self._entry = entry
        self._period = held
        #: The present or last attempt to end it, and its result.
        self._work: Deferred[bool] | None = None
        self._outcome: bool | None = None
        self._waiters: Waiters[Any] = Waiters()

    def __repr__(self) -> str:
        if self.consumed:
            state = "consumed"
        elif self._work is not None or self._outcome is not None:
            state = "given back" if self._outcome is not None else "being consumed or released"
        else:
            state = "held" if self.held else "lost"
        return f"<TakenEntry {self._entry!r} {state}>"

    @property
    def name(self) -> str:
        """The name of its node."""
        return paths.name_of(self._entry)

    @property
    def held(self) -> bool:
        """True if nobody else can take it at this moment, and that is safe to rely on. False when :meth:`consume` was called."""
        return self._contender.relies_on(self._period)

    @property
    def lost(self) -> Deferred[None]:
        """Fires when another can soon take it: as :attr:`Lock.lost`. It never fires after :meth:`consume` or :meth:`release`."""
        return self._period.when_lost()

    @property
    def token(self) -> int:
        """A fencing token: each program that takes this entry has a larger one. See :attr:`Lock.token`."""
        return self._period.token

    def consume(self) -> Deferred[bool]:
        """Delete the entry, if we have not lost it.

        It survives lost connections. A lost entry can still be consumed, as long as the session lives and nobody else has
        taken it.

        :returns: fires with True when it is deleted; with False if we have lost it, and others take it, or it was released. Fails with
            :exc:`~txmirror.errors.ConnectionLossException` (``applied`` None) if the reply was lost and the session expired before it was
            known whether it was consumed; with :exc:`~txmirror.errors.ClosingException` or
            :exc:`~txmirror.errors.AuthFailedException`, where there will be no session any more, and with a server's refusal: then it
            can be called again. Cancelling ends the wait, and nothing else. A second call waits for the first.
        """
        return self._place.meter.measure("consume", self._end(self._consume), not_done=(False,))

    def release(self) -> Deferred[None]:
        """Release the entry, if it is not consumed: it is at its place in the queue again.

        :returns: fires when our node is deleted, or its session has expired; at once if it was consumed or released before. If it is
            being consumed, it waits for that. Fails with a server's refusal; our node is then deleted with the session.
            Cancelling ends the wait, and nothing else.
        """
        return self._end(self._release).addCallback(lambda _: None)

    def __aenter__(self) -> Deferred[TakenEntry]:
        return succeed(self)

    def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Deferred[None]:
        ended: Deferred[Any] = self.consume() if kind is None else self.release()
        return ended.addCallback(lambda _: None)

    def _end(self, end: Callable[[], Coroutine[Deferred[Any], Any, bool]]) -> Deferred[bool]:
        if self._outcome is not None:
            return succeed(self._outcome)
        waiter: Deferred[bool] = self._waiters.wait()
        if self._work is None:
            self._period.end()
            self._work = work = Deferred.fromCoroutine(end())
            work.addBoth(self._ended)
        return waiter

    def _ended(self, outcome: bool | Failure) -> None:
        self._work = None
        if not isinstance(outcome, Failure):
            self._outcome = self.consumed = outcome
        elif not self._waiters:
            self._log.warn(
                "{entry!r} could not be consumed or released: {reason}. If it still exists, it is released when the session ends.",
                entry=self,
                reason=str(outcome.value),
            )
        self._waiters.fire(outcome)

    async def _release(self) -> bool:
        await self._node.remove()
        return False

    async def _consume(self) -> bool:
        lost: ZooServerProblem | None = None
        failures = 0
        while True:
            if self._client.session_id != self._node.session:
                return await self._judge(lost)
            try:
                if lost is not None:
                    await self._client.sync(self._entry)
                    if await self._client.exists(self._node.path) is None:
                        if self._client.session_id == self._node.session:
                            # Only we can have deleted both; an operator may have deleted one.
                            return await self._client.exists(self._entry) is None
                        continue
                    lost = None
                    continue
                consuming = transaction(self._client)
                consuming.delete(self._entry)
                consuming.delete(self._node.path)
                await consuming.commit()
                return True
            except TransactionFailedException as error:
                if not isinstance(error.error, NoNodeException):
                    raise error.error from None
                await self._node.remove()
                return False
            except SessionExpiredException:
                return await self._judge(lost)
            except ZooServerProblem as error:
                if lost is None and error.applied is not False:
                    if error.session_over:
                        raise
                    lost = error
                failures += 1
                await self._contender.retry_policy.retry(error, failures)

    async def _judge(self, lost: ZooServerProblem | None) -> bool:
        """Return False, now that the session is over, if we have certainly not consumed the entry.

        :raises ConnectionLossException: nobody can know.
        """
        if lost is not None:
            await self._place.sync()
            stat = await self._place.retry_policy.send(lambda: self._client.exists(self._entry))
            if stat is None or stat.czxid != self._stat.czxid:
                raise OutcomeUnknown(lost).to_error("the entry may have been consumed, or not", self._entry)
        return False
