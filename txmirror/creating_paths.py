"""Create a persistent node and the missing ones above it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

from txmirror import paths
from txmirror.errors import (
    NoAuthException,
    NoChrootException,
    NodeExistsException,
    NoNodeException,
    UnimplementedException,
)
from txmirror.interfaces import ICreateModes, IZooKeeperClient
from txmirror.types import ACL, OPEN_ACL

_T = TypeVar("_T")
#: Sends a request, and may send it again if it fails.
Send = Callable[[Callable[[], "Deferred[Any]"]], Awaitable[Any]]


async def _send_once(request: Callable[[], Deferred[_T]]) -> _T:
    return await request()


async def create_path(
    client: IZooKeeperClient,
    path: str,
    acl: Sequence[ACL] = OPEN_ACL,
    data: bytes = b"",
    *,
    container: bool = False,
    send: Send = _send_once,
) -> None:
    """Create a persistent node, and the missing ones above it, unless it exists.

    It begins with the node itself, because a client that may use a node need not have any permission further up.

    :param client: creates the nodes.
    :param acl: the node's own access control list. The nodes above it are empty, and open to everybody.
    :param data: the node's data, if it is created.
    :param container: whether the node is created as a container, which the server deletes some time after its last child. Servers
        and clients that do not support that create a persistent one.
    :param send: sends each request; may retry it.
    :raises NoChrootException: the client's chroot does not exist. It is never created unasked.
    :raises NoAuthException: we may not create a node that is missing.
    :raises ZooKeeperException: as ``send`` does.
    """
    # A path may have more levels than Python can nest calls.
    missing = [(path, acl, data)]
    modes: ICreateModes | None = ICreateModes(client, None) if container else None
    while missing:
        path, acl, data = missing[-1]
        if path == "/":
            raise NoChrootException(client.connect_string)
        try:
            if modes is not None and len(missing) == 1:
                await send(partial(modes.create_container, path, data, acl))
            else:
                await send(partial(client.create, path, data, acl))
        except NodeExistsException:
            pass
        except UnimplementedException:
            modes = None
            continue
        except NoAuthException:
            if not await exists_although_refused(client, path, send=send):
                raise
        except NoNodeException:
            missing.append((paths.parent_of(path) or "/", OPEN_ACL, b""))
            continue
        missing.pop()


async def exists_although_refused(client: IZooKeeperClient, path: str, *, send: Send = _send_once) -> bool:
    """Return whether a node exists after a server has refused to create it.

    A server checks the parent's ACL before it looks for the node, so the refusal does not say whether the node exists.

    :param send: sends each request; may retry it.
    :raises ZooKeeperException: as ``send`` does.
    """
    # The leader has refused, and our server may lag behind it.
    await send(partial(client.sync, path))
    try:
        return await send(partial(client.exists, path)) is not None
    except NoAuthException:
        # From 3.9 on a server requires READ, but only if the node exists.
        return True
