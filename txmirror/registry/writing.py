"""Persistent nodes: written once, or deleted, however many connections that takes."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from twisted.application.internet import backoffPolicy
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from txmirror import paths
from txmirror.errors import (
    BadVersionException,
    ClosingException,
    NodeExistsException,
    NoNodeException,
    ZooServerProblem,
)
from txmirror.interfaces import IPayloadCodec
from txmirror.mirror import Mirror
from txmirror.registry.rates import TokenBucket
from txmirror.registry.reach import when_connected
from txmirror.types import ACL, ZnodeStat

#: The pauses before what the server could not do is tried again, in seconds.
_PAUSE = backoffPolicy(initialDelay=0.5, maxDelay=60.0, factor=2.0, jitter=lambda: 0.0)


class Writer:
    """Writes and deletes persistent nodes.

    What is cut off is looked at, and done again if it was not done: that a node says what it is to say is enough.

    :param mirror: where.
    :param codec: how data is stored.
    :param acl: gives the access control list of nodes that are made, and of their parents.
    :param writes: how often may be written; without limit if None.
    """

    def __init__(
        self, mirror: Mirror, codec: IPayloadCodec, acl: Callable[[], Sequence[ACL]], writes: TokenBucket | None
    ) -> None:
        self._mirror = mirror
        self._codec = codec
        self._acl = acl
        self._writes = writes

    def put(self, path: str, data: Mapping[str, object] | str | None, payload: bytes) -> Deferred[None]:
        """Let a persistent node say something.

        :param data: what it is to say.
        :param payload: the same as it is stored.
        :returns: fires when it does. Fails with :exc:`~txmirror.errors.NodeExistsException` if an ephemeral node is there,
            and with what else the server refuses it with; with :exc:`~txmirror.errors.ClosingException` when the mirror is
            closed. Cancelling it abandons the answer.
        """
        return Deferred.fromCoroutine(self._until_done(lambda: self._put(path, data, payload)))

    def remove(self, path: str) -> Deferred[None]:
        """Let there be no persistent node.

        :returns: fires when there is none; fails as :meth:`put` does, and with
            :exc:`~txmirror.errors.NotEmptyException` if it has children.
        """
        return Deferred.fromCoroutine(self._until_done(lambda: self._remove(path)))

    async def _until_done(self, step: Callable[[], Coroutine[Deferred[Any], Any, None]]) -> None:
        failures = 0
        while True:
            await when_connected(self._mirror)
            try:
                return await step()
            except ClosingException:
                raise
            except ZooServerProblem:
                # Without a connection there is nothing to pause for: the next one is awaited.
                if self._mirror.is_connected():
                    await deferLater(self._mirror.reactor, _PAUSE(failures))
                    failures += 1

    async def _put(self, path: str, data: Mapping[str, object] | str | None, payload: bytes) -> None:
        node = self._mirror.get(path)
        await self._turn()
        while True:
            try:
                value, stat = await self._mirror.client.get(path)
                if stat.ephemeralOwner:
                    raise NodeExistsException(_ephemeral(path, stat), path=path)
                if not self._codec.says(value, data):
                    await node.set(payload, stat.version)
                return
            except BadVersionException:
                continue
            except NoNodeException:
                pass
            try:
                await node.create(payload, acl=self._acl())
                return
            except NodeExistsException:
                continue
            except NoNodeException:
                await self._mirror.make_path(paths.parent_of(path), self._acl())

    async def _remove(self, path: str) -> None:
        node = self._mirror.get(path)
        await self._turn()
        while True:
            stat = await self._mirror.client.exists(path)
            if stat is None:
                return
            if stat.ephemeralOwner:
                raise NodeExistsException(_ephemeral(path, stat), path=path)
            try:
                await node.delete(stat.version)
            except NoNodeException:
                return
            except BadVersionException:
                continue
            return

    async def _turn(self) -> None:
        if self._writes is not None:
            await self._writes.take()


def _ephemeral(path: str, stat: ZnodeStat) -> str:
    session = f"{stat.ephemeralOwner & 0xFFFFFFFFFFFFFFFF:#x}"
    return f"{path!r} is registered by session {session}: its node goes away with that, and is not ours to change"
