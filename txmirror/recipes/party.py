"""A party: the names of the programs that have joined."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from txmirror.interfaces import IZooKeeperClient
from txmirror.mirror import Mirror
from txmirror.recipes.kept_node import KeptNode
from txmirror.recipes.membership import Membership, data_of_children
from txmirror.recipes.place import Place
from txmirror.types import ACL

_MARK = "__party__"


class Party(Membership):
    """The programs that have joined, with a name for each, which need not be unique.

    Each has an ephemeral node, named as kazoo's ``Party`` names it (``<32 hex>__party__``), with the name as its data, so that both
    see each other::

        party = Party(client, "/parties/web", name="host1")
        async with party:
            print(await party.members())

    A member stays one through lost connections and expired sessions, until it leaves. (kazoo's is no member any more after an
    expired session, and does not notice that.)

    :param client: its session holds our node: a client, or a :class:`~txmirror.mirror.Mirror` with one. It is connected when it is
        first needed, unless that was begun before.
    :param path: the party's node. If it and those above it are missing, they are created, persistent.
    :param name: our name, which others see.
    :param acl: the access control list of our node, and of the party's if that is created here; nodes above it are open to everybody,
        and so are all if it is None.
    :param reactor: the reactor; the global one if None.
    :ivar name: our name.
    :raises PathError: ``path`` is no znode path, or the root.
    :raises TypeError: ``client`` is neither, ``name`` is no ``str``, or ``acl`` holds anything else than
        :class:`~txmirror.types.ACL`.
    """

    def __init__(
        self,
        client: IZooKeeperClient | Mirror,
        path: str,
        *,
        name: str = "",
        acl: Sequence[ACL] | None = None,
        reactor: IReactorTime | None = None,
    ) -> None:
        place = Place(client, path, acl, reactor, type(self).__name__)
        if not isinstance(name, str):
            raise TypeError(f"a name is a str, not {name!r:.60}")
        self.name = name
        super().__init__(place, name, lambda: KeptNode(place, f"{uuid.uuid4().hex}{_MARK}", name.encode()))

    def members(self) -> Deferred[list[str]]:
        """Return the names of all members, in no order.

        :returns: fires with them. Fails as :meth:`~txmirror.interfaces.IZooKeeperClient.get`, but not for nodes that do not exist,
            and not for lost connections. Cancelling ends the wait.
        """
        return self._place.run(self._names)

    def length(self) -> Deferred[int]:
        """Return the number of members. See :meth:`members`."""
        return self.members().addCallback(len)

    async def _names(self) -> list[str]:
        found = await data_of_children(self._place, lambda name: _MARK in name)
        return [data.decode(errors="replace") for data in found.values()]
