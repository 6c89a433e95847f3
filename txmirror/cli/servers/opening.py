"""Open a session within a limited time."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from txmirror.access import Access
from txmirror.client import ZooKeeperClient
from txmirror.errors import ConnectionLossException


def open_session(client: ZooKeeperClient, access: Access, limit: float, reactor: IReactorTime) -> Deferred[None]:
    """Connect a client, and authenticate it.

    :param limit: the timeout, in seconds.
    :returns: fires when there is a session. Fails with :exc:`~txmirror.errors.AuthFailedException` if a server refuses the
        credentials, or with :exc:`~txmirror.errors.ConnectionLossException` after the timeout.
    """

    def fail(_: object, seconds: float) -> None:
        reason = f": {client.loss}" if client.loss else ""
        raise ConnectionLossException(f"no session with {client.connect_string} within {seconds:g} s{reason}")

    async def open_() -> None:
        await client.connect()
        if access.credentials is not None:
            await client.add_auth("digest", access.credentials)

    return Deferred.fromCoroutine(open_()).addTimeout(limit, reactor, fail)
