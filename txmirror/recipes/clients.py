"""The client that a recipe works on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

from txmirror.interfaces import IZooKeeperClient, waiting_client
from txmirror.mirror import Mirror
from txmirror.printable import session_name
from txmirror.types import ACL, OPEN_ACL

_T = TypeVar("_T")


def client_of(client: IZooKeeperClient | Mirror) -> IZooKeeperClient:
    """Return the client to use: its :meth:`.IBackpressure.waiting`, if it has that.

    :param client: a client, or a mirror, whose client is used.
    :raises TypeError: it is neither.
    """
    if isinstance(client, Mirror):
        return waiting_client(client.client)
    if not IZooKeeperClient.providedBy(client):
        raise TypeError(f"a client provides IZooKeeperClient, or is a Mirror: {client!r:.80} is neither")
    return waiting_client(client)


def connecting(client: IZooKeeperClient, work: Callable[[], Deferred[_T]]) -> Deferred[_T]:
    """Connect a client, unless that was begun before, and begin some work with it.

    :param work: called at once. Its requests wait for the connection, and fail if there will be none. Where no name can be
        resolved, the client logs that, and retries.
    :returns: the Deferred that ``work`` has returned.
    """
    connected = client.connect().addErrback(lambda _: None)

    def over(outcome: _T) -> _T:
        connected.cancel()
        return outcome

    return work().addBoth(over)


def place_and_name(client: IZooKeeperClient, path: str, name: str = "") -> str:
    """Return the path, the session and the name of a recipe, for its ``repr``."""
    session = client.session_id
    where = f"{path!r} of {f'session {session_name(session)}' if session else 'no session'}"
    return f"{where} {name!r}" if name else where


def checked_acl(acl: Sequence[ACL] | None) -> tuple[ACL, ...]:
    """Return an access control list that can be sent; one that is open to everybody for None.

    :raises TypeError: it holds something else than :class:`~txmirror.types.ACL`.
    """
    if acl is None:
        return tuple(OPEN_ACL)
    given: object = acl
    entries: tuple[Any, ...] = tuple(given) if isinstance(given, Iterable) else (given,)
    if not all(isinstance(each, ACL) for each in entries):
        raise TypeError(f"an acl is a sequence of ACL, not {acl!r:.80}")
    return entries
