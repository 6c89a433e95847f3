"""An ephemeral node with a unique name: it is found again after a lost reply, and always deleted. And the owners of others' nodes."""

from __future__ import annotations

from collections.abc import Sequence

from txmirror import paths
from txmirror.creating_paths import create_path
from txmirror.errors import (
    NoAuthException,
    NoNodeException,
    ReplyTooLargeException,
    ZooKeeperException,
    ZooServerProblem,
)
from txmirror.interfaces import IZooKeeperClient, urgent_client
from txmirror.printable import session_name
from txmirror.recipes.retry_policy import RetryPolicy
from txmirror.types import ACL


class LockNode:
    """An ephemeral node that is created at most once: its name has a beginning that no other node has.

    :param client: creates it.
    :param policy: sends the requests that may be sent twice.
    :param parent: the node that it is created below; a missing parent is created too.
    :param data: its data.
    :param acl: its access control list, and its parent's if that is created.
    :param beginning: the beginning of its name, which no other node has.
    :param sequence: whether a sequence number follows.
    :ivar path: its path; empty until that is known.
    """

    def __init__(
        self,
        client: IZooKeeperClient,
        policy: RetryPolicy,
        parent: str,
        data: bytes,
        acl: Sequence[ACL],
        beginning: str,
        sequence: bool,
    ) -> None:
        self.path: str = ""
        self._client = client
        self._retry_policy = policy
        self._parent = parent
        self._data = data
        self._acl = acl
        self._sequence = sequence
        self._name = beginning
        self._sent = False

    async def make(self) -> None:
        """Create it, and learn its path, however many connections that takes.

        :raises SessionExpiredException: it was not created, or was deleted with the session.
        """
        doubtful, failures = False, 0
        while not self.path:
            try:
                if doubtful:
                    self.path = await self._find(self._client)
                    doubtful = False
                if not self.path:
                    self.path = await self._create()
            except NoNodeException:
                await create_path(self._client, self._parent, self._acl, send=self._retry_policy.send)
            except ZooServerProblem as error:
                doubtful = doubtful or error.applied is not False
                failures += 1
                await self._retry_policy.retry(error, failures)

    async def _create(self) -> str:
        self._sent = True
        try:
            return await self._client.create(
                paths.join(self._parent, self._name), self._data, self._acl, ephemeral=True, sequence=self._sequence
            )
        except ZooKeeperException as error:
            # After a creation that certainly had no effect, there is nothing to look for.
            self._sent = error.applied is not False
            raise

    async def remove(self) -> None:
        """Delete it if it was created. Retry until that is done or the session is over.

        :raises ZooKeeperException: a server refuses that.
        """
        try:
            client = urgent_client(self._client)
            if self._sent and not self.path:
                self.path = await self._find(client)
            if self.path:
                await self._retry_policy.send(lambda: client.delete(self.path))
        except NoNodeException:
            pass
        except ZooServerProblem as error:
            if not error.session_over:
                raise

    async def _find(self, client: IZooKeeperClient) -> str:
        """Look for it among the parent's children, behind a sync: our server may lag behind the leader.

        :returns: its path; empty if it was not created, and no request sent so far will create it.
        """
        await self._retry_policy.send(lambda: client.sync(self._parent))
        try:
            names = await self._retry_policy.send(lambda: client.get_children(self._parent))
        except NoNodeException:
            return ""
        return next((paths.join(self._parent, name) for name in names if name.startswith(self._name)), "")


async def occupant(client: IZooKeeperClient, policy: RetryPolicy, path: str, *, ephemeral: bool = True) -> str | None:
    """Describe the owner of a node.

    :param ephemeral: whether only an ephemeral node counts.
    :returns: the name that is the node's data, and the session; None if there is no such node.
    """
    data = b""
    try:
        data, stat = await policy.send(lambda: client.get(path))
    except NoNodeException:
        return None
    except (NoAuthException, ReplyTooLargeException):
        # Most servers return its stat all the same.
        try:
            found = await policy.send(lambda: client.exists(path))
        except NoAuthException:
            return "somebody whose node cannot be read"
        if found is None:
            return None
        stat = found
    if stat.ephemeralOwner:
        where = f"session {session_name(stat.ephemeralOwner)}"
    elif ephemeral:
        return None
    else:
        where = f"persistent node {path!r}"
    return f"{data.decode(errors='replace')!r:.80} ({where})" if data else where
