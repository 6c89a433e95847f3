"""The registration that owns each path in a session: one at a time.

``ephemeralOwner`` identifies a session, but not one of two registrations in that session: each would mistake the other's
node for its own, and overwrite its data. Paths are compared as the server has them, with the client's chroot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, WeakValueDictionary

from txmirror.interfaces import IChroot, IZooKeeperClient

if TYPE_CHECKING:
    from txmirror.registry.registration import Registration

#: The key is an object that the clients of one session share. A mirror holds its active registrations.
_owners: WeakKeyDictionary[object, WeakValueDictionary[str, Registration]] = WeakKeyDictionary()


def owner(client: IZooKeeperClient, path: str) -> Registration | None:
    """Return the registration that keeps a path in a client's session, or that is withdrawing from it; None if there is none."""
    paths = _owners.get(_shared(client))
    return None if paths is None else paths.get(_full(client, path))


def take(client: IZooKeeperClient, path: str, registration: Registration) -> None:
    """Record that a registration keeps a path from now on."""
    _owners.setdefault(_shared(client), WeakValueDictionary())[_full(client, path)] = registration


def release(client: IZooKeeperClient, path: str, registration: Registration) -> None:
    """Record that a registration no longer keeps a path; do nothing if it does not keep it."""
    if owner(client, path) is registration:
        del _owners[_shared(client)][_full(client, path)]


def _shared(client: IZooKeeperClient) -> object:
    views: IChroot | None = IChroot(client, None)
    return client if views is None else views.session_key


def _full(client: IZooKeeperClient, path: str) -> str:
    _, slash, chroot = client.connect_string.partition("/")
    return slash + chroot + path
