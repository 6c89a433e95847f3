"""The node that a recipe works at, and the client that it works with."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from txmirror import paths
from txmirror.creating_paths import create_path
from txmirror.errors import NoNodeException, PathError
from txmirror.interfaces import ITransaction, ITransactions, IZooKeeperClient
from txmirror.mirror import Mirror
from txmirror.recipes.clients import checked_acl, client_of, connecting, place_and_name
from txmirror.recipes.meter import Meter, make_meter
from txmirror.recipes.retry_policy import RetryPolicy
from txmirror.timers import reactor_or_global
from txmirror.types import ACL

_T = TypeVar("_T")


class Place:
    """The node of a recipe, its client, and requests that survive lost connections and expired sessions.

    :param client: the client, or a mirror with one.
    :param path: the node.
    :param acl: the access control list of the nodes that are created, but for those above ``path``; None opens them to
        everybody.
    :param reactor: the reactor; the global one if None.
    :param kind: the recipe, for metrics.
    :ivar acl: the access control list of the nodes that are created from now on.
    :ivar meter: reports the recipe's work to the program's metrics.
    :ivar retry_policy: sends requests that may be sent twice, in the next session too.
    :raises PathError: ``path`` is no znode path, or the root.
    :raises TypeError: ``client`` or ``acl`` is of a wrong type.
    """

    def __init__(
        self,
        client: IZooKeeperClient | Mirror,
        path: str,
        acl: Sequence[ACL] | None,
        reactor: IReactorTime | None,
        kind: str,
    ) -> None:
        self.path: str = paths.validate(path)
        if path == "/":
            raise PathError("'/' cannot be used by a recipe: use a node of its own")
        self.acl: Sequence[ACL] = checked_acl(acl)
        self.reactor: IReactorTime = reactor_or_global(reactor)
        self.client: IZooKeeperClient = client_of(client)
        self.retry_policy: RetryPolicy = RetryPolicy(self.client, self.reactor, through_sessions=True)
        self.meter: Meter = make_meter(self.client, kind, path, self.reactor)

    def describe(self, name: str = "") -> str:
        """Return where we work, and our name, for a ``repr``.

        :param name: our name.
        """
        return place_and_name(self.client, self.path, name)

    def run(self, work: Callable[[], Coroutine[Deferred[Any], Any, _T]], *, limit: float | None = None) -> Deferred[_T]:
        """Connect the client, unless that was begun before, and run a coroutine.

        :param limit: the time after which it is cancelled, in seconds; then the result is None.
        """
        running = connecting(self.client, lambda: Deferred.fromCoroutine(work()))
        if limit is not None:
            # mypy: the callers' results may be None.
            timed_out: Any = None
            running.addTimeout(limit, self.reactor, lambda _result, _limit: timed_out)
        return running

    async def create(self, path: str | None = None, data: bytes = b"") -> None:
        """Create the node, or another one of the recipe, and the missing ones above it, unless it exists."""
        await create_path(self.client, path or self.path, self.acl, data, send=self.retry_policy.send)

    async def sync(self) -> None:
        """Wait until the server has caught up with the leader, so that a read shows every write that has ended."""
        await self.retry_policy.send(lambda: self.client.sync(self.path))

    async def children(self, path: str) -> list[str]:
        """Return the names of a node's children; none if the node does not exist."""
        try:
            return await self.retry_policy.send(lambda: self.client.get_children(path))
        except NoNodeException:
            return []


def transaction(client: IZooKeeperClient) -> ITransaction:
    """Return a new transaction of a client that has them: see :func:`check_transactions`."""
    return ITransactions(client).transaction()


def check_transactions(recipe: object, client: IZooKeeperClient) -> None:
    """Check that a client has transactions.

    :raises TypeError: it does not.
    """
    if not ITransactions.providedBy(client):
        raise TypeError(
            f"a {type(recipe).__name__} needs a client with transactions (ITransactions), not {client!r:.80}"
        )
