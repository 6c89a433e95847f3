"""Descriptions of other contenders' nodes, for error messages."""

from __future__ import annotations

from txmirror.errors import NoAuthException, NoNodeException, ReplyTooLargeException
from txmirror.interfaces import IZooKeeperClient
from txmirror.printable import session_name
from txmirror.recipes.retry_policy import RetryPolicy


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
