"""The registration that keeps each path of a session: one at a time.

ZooKeeper tells sessions apart by ``ephemeralOwner``, but not two registrations of one session: each would take the other's
node for its own, and write its own data over it. A path counts as the server has it, with the chroot of the client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, WeakValueDictionary

from txmirror.interfaces import IChroot, IZooKeeperClient

if TYPE_CHECKING:
    from txmirror.registry.registration import Registration

#: By what the clients of one session share. A registration that is in use is held by its mirror.
_owners: WeakKeyDictionary[object, WeakValueDictionary[str, Registration]] = WeakKeyDictionary()


def owner(client: IZooKeeperClient, path: str) -> Registration | None:
    """Return the registration that keeps a path in a client's session, or is withdrawing from it."""
    paths = _owners.get(_shared(client))
    return None if paths is None else paths.get(_full(client, path))


def take(client: IZooKeeperClient, path: str, registration: Registration) -> None:
    """Note that a registration keeps a path from now on."""
    _owners.setdefault(_shared(client), WeakValueDictionary())[_full(client, path)] = registration


def release(client: IZooKeeperClient, path: str, registration: Registration) -> None:
    """Note that a registration keeps a path no longer; silent if it does not."""
    if owner(client, path) is registration:
        del _owners[_shared(client)][_full(client, path)]


def _shared(client: IZooKeeperClient) -> object:
    views: IChroot | None = IChroot(client, None)
    return client if views is None else views.session_key


def _full(client: IZooKeeperClient, path: str) -> str:
    _, slash, chroot = client.connect_string.partition("/")
    return slash + chroot + path
