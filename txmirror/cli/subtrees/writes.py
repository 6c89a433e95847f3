"""Write nodes in transactions of bounded size, several of them in flight."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txmirror.client import ZooKeeperClient
from txmirror.errors import NodeExistsException, NoNodeException, UnimplementedException, ZooKeeperException
from txmirror.recipes.retry_policy import RetryPolicy
from txmirror.types import ACL

#: The most writes and bytes in a transaction, and the most transactions in flight.
_WRITES = 100
_BYTES = 256 * 1024
_TRANSACTIONS = 8


@attrs.frozen
class Write:
    """One change of a node."""

    action: str
    """``create``, ``set``, ``set-acl`` or ``delete``."""
    path: str
    data: bytes = b""
    acl: tuple[ACL, ...] | None = None
    container: bool = False
    ttl: float | None = None

    @property
    def size(self) -> int:
        """About how many bytes it takes on the wire."""
        acl = sum(len(entry.scheme) + len(entry.identity) + 12 for entry in self.acl or ())
        return len(self.data) + len(self.path.encode()) + acl + 64

    @property
    def alone(self) -> bool:
        """True if transactions do not have this kind of write."""
        return self.action == "set-acl" or self.container or self.ttl is not None


class ChangedMeanwhile(ZooKeeperException):
    """Another client has created the node, with other data."""

    meaning = "another client has created the znode meanwhile, with other data"


@attrs.define
class _Batch:
    writes: list[Write]
    answer: Deferred[Any]
    failed: bool = False


class Writer:
    """Sends writes in order. A write that a transaction could not do is done again alone, so that its own failure is known.

    All writes are safe to repeat: they are repeated after a lost connection, also in a new session.

    :param client: writes.
    :param policy: repeats writes.
    :param acl: the access control list of new nodes for which the export has none.
    :param overwrite: whether to replace the data of a node that another client has created meanwhile.
    :param failed: called with each write that is impossible, and the reason.
    """

    def __init__(
        self,
        client: ZooKeeperClient,
        policy: RetryPolicy,
        *,
        acl: Sequence[ACL],
        overwrite: bool,
        failed: Callable[[Write, ZooKeeperException], None],
    ) -> None:
        self._client = client.waiting()
        self._policy = policy
        self._acl = tuple(acl)
        self._overwrite = overwrite
        self._failed = failed
        self._next: list[Write] = []
        self._size = 0
        self._in_flight: deque[_Batch] = deque()

    async def add(self, write: Write) -> None:
        """Add a write. Wait while many are in flight."""
        if write.alone or self._size + write.size > _BYTES or len(self._next) >= _WRITES:
            await self._send()
        self._next.append(write)
        self._size += write.size
        if write.alone:
            await self._send()

    async def finish(self) -> None:
        """Send the rest, and wait for all answers."""
        await self._send()
        while self._in_flight:
            await self._take()

    def close(self) -> None:
        """Abandon the answers."""
        for batch in self._in_flight:
            batch.answer.addErrback(lambda _: None)
            batch.answer.cancel()

    async def _send(self) -> None:
        if not self._next:
            return
        writes, self._next, self._size = self._next, [], 0
        while len(self._in_flight) >= _TRANSACTIONS:
            await self._take()
        batch = _Batch(writes, self._commit(writes))
        batch.answer.addErrback(self._note, batch)
        self._in_flight.append(batch)

    def _commit(self, writes: list[Write]) -> Deferred[Any]:
        if len(writes) == 1:
            return Deferred.fromCoroutine(self._do(writes[0]))
        transaction = self._client.transaction()
        for write in writes:
            if write.action == "create":
                transaction.create(write.path, write.data, self._acl if write.acl is None else write.acl)
            elif write.action == "set":
                transaction.set(write.path, write.data)
            else:
                transaction.delete(write.path)
        answer: Deferred[Any] = transaction.commit()
        return answer

    def _note(self, failure: Failure, batch: _Batch) -> None:
        # Everything else ends the work: it was cancelled, or there is a bug.
        if not isinstance(failure.value, ZooKeeperException):
            failure.raiseException()
        batch.failed = True

    async def _take(self) -> None:
        """Wait for the oldest transaction. If it failed, wait for the others, and then do the writes of those that failed alone."""
        await self._in_flight[0].answer
        if not self._in_flight[0].failed:
            self._in_flight.popleft()
            return
        for batch in self._in_flight:
            await batch.answer
        while self._in_flight:
            batch = self._in_flight[0]
            if batch.failed:
                for write in batch.writes:
                    await self._do_alone(write)
            self._in_flight.popleft()

    async def _do_alone(self, write: Write) -> None:
        try:
            await self._policy.send(lambda: Deferred.fromCoroutine(self._do(write)))
        except ZooKeeperException as error:
            self._failed(write, error)

    async def _do(self, write: Write) -> None:
        """Do one write. It has the same effect if it was done before."""
        client, acl = self._client, self._acl if write.acl is None else write.acl
        if write.action == "set":
            await client.set(write.path, write.data)
        elif write.action == "set-acl":
            await client.set_acl(write.path, acl)
        elif write.action == "delete":
            # It may have been deleted before the connection was lost, or by another client.
            with suppress(NoNodeException):
                await client.delete(write.path)
        else:
            await self._create(write, acl)

    async def _create(self, write: Write, acl: tuple[ACL, ...]) -> None:
        try:
            if write.ttl is not None:
                await self._client.create_with_ttl(write.path, write.data, acl, ttl=write.ttl)
            elif write.container:
                await self._client.create_container(write.path, write.data, acl)
            else:
                await self._client.create(write.path, write.data, acl)
        except UnimplementedException as error:
            if write.ttl is None:
                raise
            text = "the server has TTL nodes disabled: zookeeper.extendedTypesEnabled=true enables them"
            raise UnimplementedException(f"{text}: {write.path!r:.200}", path=error.path, applied=False) from None
        except NodeExistsException:
            data, _ = await self._client.get(write.path)
            if data == write.data:
                return
            if not self._overwrite:
                raise ChangedMeanwhile(path=write.path) from None
            await self._client.set(write.path, write.data)
