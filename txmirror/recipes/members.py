"""Members: programs with unique names, and data of each."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from txmirror import paths
from txmirror.errors import PathError
from txmirror.interfaces import IZooKeeperClient
from txmirror.mirror import Mirror
from txmirror.recipes.kept_node import KeptNode
from txmirror.recipes.membership import Membership, data_of_children
from txmirror.recipes.place import Place
from txmirror.types import ACL


class Members(Membership):
    """The members of a group. Each has a unique name, which is that of its ephemeral node, and data.

    Curator's ``GroupMember`` names its nodes so too::

        members = Members(client, "/groups/cache", "host1", b"10.0.0.1:7000")
        async with members:
            print(await members.members())      # {'host1': b'10.0.0.1:7000', 'host2': ...}

    A member stays one through lost connections and expired sessions, until it leaves. Its node counts only if our session owns it: a node
    of a former session is replaced, and while another program is the member of this name, :meth:`join` waits, and says so
    in the log. Use a :class:`~txmirror.mirror.Mirror` and its ``tree`` to follow the changes of a group.

    :param client: its session holds our node; as for :class:`Party`.
    :param path: the group's node. If it and those above it are missing, they are created, persistent.
    :param name: our name: the name of a node.
    :param data: our data.
    :param acl: the access control list of our node, and of the group's if that is created here; nodes above it are open to everybody,
        and so are all if it is None.
    :param reactor: the reactor; the global one if None.
    :ivar name: our name.
    :ivar data: our data.
    :raises PathError: ``path`` is no znode path, or the root; or ``name`` cannot be the name of a node.
    :raises TypeError: ``client`` or ``acl`` is of a wrong type, as for :class:`Party`, or ``data`` is not bytes.
    """

    def __init__(
        self,
        client: IZooKeeperClient | Mirror,
        path: str,
        name: str,
        data: bytes = b"",
        *,
        acl: Sequence[ACL] | None = None,
        reactor: IReactorTime | None = None,
    ) -> None:
        place = Place(client, path, acl, reactor, type(self).__name__)
        if not isinstance(name, str):
            raise TypeError(f"a name is a str, not {name!r:.60}")
        if "/" in name:
            raise PathError(f"{name!r} cannot be the name of a member: it contains a slash")
        paths.validate(paths.join(path, name))
        if not isinstance(data, bytes):
            raise TypeError(f"the data of a member is bytes, not {data!r:.60}")
        self.name = name
        self.data = data
        super().__init__(place, name, lambda: KeptNode(place, name, data))

    def members(self) -> Deferred[dict[str, bytes]]:
        """Return the data of all members, by their names.

        :returns: fires with them. Fails as :meth:`Party.members`. Cancelling ends the wait.
        """
        return self._place.run(lambda: data_of_children(self._place, lambda name: True))
