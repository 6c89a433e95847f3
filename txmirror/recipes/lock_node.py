"""A node of one's own, with a name by which it is known whatever became of an answer, and which leaves no orphan."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from functools import partial

from txmirror import paths
from txmirror.errors import (
    NoAuthException,
    NoChrootException,
    NodeExistsException,
    NoNodeException,
    ZooServerProblem,
)
from txmirror.interfaces import IZooKeeperClient, urgent_form
from txmirror.recipes.retry_policy import SESSION_OVER, RetryPolicy
from txmirror.types import ACL, OPEN_ACL


class LockNode:
    """An ephemeral node, made at most once: its name begins with 32 hexadecimal digits that nobody else has.

    :param client: who makes it.
    :param patience: asks it what may be asked twice.
    :param parent: the node that it is made below, which is made too where it is missing.
    :param data: what it holds.
    :param acl: its access control list, and its parent's if that is made.
    :param kind: what follows the digits in its name, and is followed by a sequence number; None for neither.
    :ivar path: where it is; empty until that is known.
    """

    def __init__(
        self,
        client: IZooKeeperClient,
        policy: RetryPolicy,
        parent: str,
        data: bytes,
        acl: Sequence[ACL],
        kind: str | None = None,
    ) -> None:
        self.path = ""
        self._client = client
        self._retry_policy = policy
        self._parent = parent
        self._data = data
        self._acl = acl
        self._sequence = kind is not None
        self._name = uuid.uuid4().hex + (kind or "")
        self._sent = False

    async def make(self) -> None:
        """Make it, and know where it is, however many connections that takes.

        :raises SessionExpiredException: it was not made, or has gone with the session.
        """
        doubtful, failures = False, 0
        while not self.path:
            try:
                if doubtful:
                    self.path = await self._find(self._client)
                    doubtful = False
                if not self.path:
                    self._sent = True
                    self.path = await self._client.create(
                        paths.join(self._parent, self._name),
                        self._data,
                        self._acl,
                        ephemeral=True,
                        sequence=self._sequence,
                    )
            except NoNodeException:
                await ensure(self._client, self._retry_policy, self._parent, self._acl)
            except ZooServerProblem as error:
                doubtful = doubtful or error.applied is not False
                failures += 1
                await self._retry_policy.retry(error, failures)

    async def remove(self) -> None:
        """Delete it if it was made, and try until that is done or the session is over.

        :raises ZooKeeperException: a server refuses that.
        """
        try:
            client = urgent_form(self._client)
            if self._sent and not self.path:
                self.path = await self._find(client)
            if self.path:
                await self._retry_policy.send(lambda: client.delete(self.path))
        except (NoNodeException, *SESSION_OVER):
            pass

    async def _find(self, client: IZooKeeperClient) -> str:
        """Look for it among what the leader has, and the server may not have yet.

        :returns: where it is; empty if it was not made, and never will be by what was asked so far.
        """
        await self._retry_policy.send(lambda: client.sync(self._parent))
        try:
            names = await self._retry_policy.send(lambda: client.get_children(self._parent))
        except NoNodeException:
            return ""
        return next((paths.join(self._parent, name) for name in names if name.startswith(self._name)), "")


async def ensure(
    client: IZooKeeperClient, policy: RetryPolicy, path: str, acl: Sequence[ACL] = OPEN_ACL, data: bytes = b""
) -> None:
    """Make a persistent node, and those above it, unless they are there.

    :param acl: the node's own access control list. Those above it are open to everybody.
    :raises NoChrootException: the client's chroot is missing.
    """
    # A path may have more levels than Python can nest calls.
    missing = [(path, acl, data)]
    while missing:
        path, acl, data = missing[-1]
        try:
            await policy.send(partial(client.create, path, data, acl))
        except NodeExistsException:
            pass
        except NoAuthException:
            if not await _exists(client, policy, path):
                raise
        except NoNodeException:
            parent = paths.parent_of(path)
            if parent is None or parent == "/":
                raise NoChrootException(client.connect_string) from None
            missing.append((parent, OPEN_ACL, b""))
            continue
        missing.pop()


async def _exists(client: IZooKeeperClient, policy: RetryPolicy, path: str) -> bool:
    """Return whether a node exists whose creation was refused. A server checks the parent's ACL before it looks for the node,
    so that the refusal says nothing of the node.
    """
    # The leader has refused, and the server that is asked now may lag behind it.
    await policy.send(lambda: client.sync(path))
    try:
        return await policy.send(lambda: client.exists(path)) is not None
    except NoAuthException:
        # Servers from 3.9 on ask for the right to read, of a node that exists.
        return True
