"""Write and delete persistent nodes, with retries over as many connections as that takes."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from txmirror import paths
from txmirror.creating_paths import create_path
from txmirror.errors import (
    BadVersionException,
    ClosingException,
    NodeExistsException,
    NoNodeException,
    ZooServerProblem,
)
from txmirror.interfaces import IPayloadCodec
from txmirror.mirror import Mirror
from txmirror.printable import session_name
from txmirror.registry.rates import TokenBucket
from txmirror.registry.reachability import when_connected
from txmirror.retrying import Backoff
from txmirror.types import ACL, ZnodeStat

#: The shortest and the longest pause before a request that has failed is sent again, in seconds.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 60.0


class Writer:
    """Writes and deletes persistent nodes.

    After a lost connection the node is read, and written again unless it already has the wanted data.

    :param mirror: the mirror.
    :param codec: decodes the data of nodes.
    :param acl: returns the access control list of new nodes, and of their parents.
    :param writes: limits the rate of writes; None sets no limit.
    """

    def __init__(
        self, mirror: Mirror, codec: IPayloadCodec, acl: Callable[[], Sequence[ACL]], writes: TokenBucket | None
    ) -> None:
        self._mirror = mirror
        self._codec = codec
        self._acl = acl
        self._writes = writes

    def put(self, path: str, data: Mapping[str, object] | str | None, payload: bytes) -> Deferred[None]:
        """Create a persistent node, or replace its data.

        :param data: the data.
        :param payload: the data, encoded.
        :returns: fires when the node has the data. Fails with :exc:`~txmirror.errors.NodeExistsException` if an ephemeral node is
            there, with any other refusal of the server's, and with :exc:`~txmirror.errors.ClosingException` when the mirror
            is closed. Cancelling abandons the wait, not a request that was sent.
        """
        return Deferred.fromCoroutine(self._retry_until_done(lambda: self._put(path, data, payload)))

    def remove(self, path: str) -> Deferred[None]:
        """Delete a persistent node.

        :returns: fires when there is no node; fails as :meth:`put` does, and with
            :exc:`~txmirror.errors.NotEmptyException` if the node has children.
        """
        return Deferred.fromCoroutine(self._retry_until_done(lambda: self._remove(path)))

    async def _retry_until_done(self, step: Callable[[], Coroutine[Deferred[Any], Any, None]]) -> None:
        backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
        while True:
            await when_connected(self._mirror)
            try:
                return await step()
            except ClosingException:
                raise
            except ZooServerProblem:
                # Without a connection no pause is needed: the loop waits for the next one.
                if self._mirror.is_connected():
                    await deferLater(self._mirror.reactor, backoff.next_pause())

    async def _put(self, path: str, data: Mapping[str, object] | str | None, payload: bytes) -> None:
        node = self._mirror.get(path)
        await self._wait_for_permit()
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
                await create_path(self._mirror.client, paths.parent_of(path) or "/", self._acl())

    async def _remove(self, path: str) -> None:
        node = self._mirror.get(path)
        await self._wait_for_permit()
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

    async def _wait_for_permit(self) -> None:
        if self._writes is not None:
            await self._writes.take()


def _ephemeral(path: str, stat: ZnodeStat) -> str:
    session = session_name(stat.ephemeralOwner)
    return (
        f"{path!r} is an ephemeral node of session {session}: it goes away with that session, and is not ours to change"
    )
