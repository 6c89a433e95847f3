"""The ports that endpoints in a storm keep registered, and the shared sessions in which they do it."""

from __future__ import annotations

from random import Random

import attrs

from txmirror.endpoints import SharedSession
from txmirror.registry import decode_instance
from txmirror.testing.network import Link
from txmirror.testing.storm.truth import Truth
from txmirror.testing.world import World
from txmirror.types import Instance

#: The sessions. Client endpoints keep the last one open.
_TIMEOUTS = (4.0, 6.0)

#: An address at which a program connects to a port, with the number of the port.
Address = tuple[str, int]


@attrs.frozen
class Service:
    """A service that endpoints serve, and connect to."""

    path: str
    """Its path."""
    network: str
    """The beginning of the addresses at which its ports are."""


#: The service whose servers send their address.
WEB = Service("/services/web", "127.4.")
#: The service with HTTP.
SITE = Service("/services/site", "127.6.")


@attrs.frozen
class Registered:
    """A port that must be registered."""

    service: Service
    address: str
    """The address that is registered, which can be a name."""
    port: int


@attrs.define(eq=False)
class Users:
    """The ports in one shared session, from its first use until it is closed.

    :ivar kept: whether a client endpoint keeps it open.
    :ivar agents: the number of agents that use it.
    """

    host: str
    ports: set[Address] = attrs.field(factory=set)
    kept: bool = False
    agents: int = 0

    @property
    def needed(self) -> bool:
        """True if the session is in use."""
        return bool(self.ports) or self.kept or self.agents > 0


class Listening:
    """The registered ports, and the users of the shared sessions.

    :param world: the world.
    :param truth: its data.
    :ivar wanted: the ports that must be registered, by the addresses at which programs connect to them.
    :ivar settings: the shared sessions.
    """

    def __init__(self, world: World, truth: Truth) -> None:
        self.wanted: dict[Address, Registered] = {}
        self.settings: list[SharedSession] = []
        self._world = world
        self._truth = truth
        self._users: list[Users] = []
        self._hosts = 0
        #: The number of times that all sessions are being closed.
        self._closing = 0
        for number, timeout in enumerate(_TIMEOUTS, 1):
            host = f"127.5.0.{number}"
            servers = ",".join(f"{host}:{server.address.rpartition(':')[2]}" for server in world.servers)
            self.settings.append(SharedSession(servers, session_timeout=timeout, reactor=world.reactor))
            self._users.append(Users(host))

    def host(self, service: Service) -> str:
        """Return an address of a service at which nobody else listens."""
        self._hosts += 1
        return f"{service.network}{self._hosts // 250}.{self._hosts % 250 + 1}"

    def wanted_of(self, service: Service) -> list[Address]:
        """Return the ports of a service that must be registered."""
        return [address for address, registered in self.wanted.items() if registered.service is service]

    def is_current(self, users: Users) -> bool:
        """Return whether a shared session was not closed with all others since its first use."""
        return any(each is users for each in self._users)

    def users(self, settings: SharedSession) -> Users:
        """Return the users of a shared session."""
        return self._users[self.settings.index(settings)]

    def choose(self, random: Random) -> SharedSession:
        """Return one of the shared sessions."""
        return random.choice(self.settings)

    def closing(self) -> None:
        """Note that all shared sessions are being closed: nothing that listens is registered any more. Others are used from now on."""
        self._closing += 1
        self._users = [Users(each.host) for each in self._users]
        self.wanted.clear()

    def closed(self) -> list[str]:
        """Note that they are closed. Return complaints about those that are not."""
        self._closing -= 1
        return [each for users in self._users if (each := self.left_open(users)) is not None]

    def left_open(self, users: Users) -> str | None:
        """Return a complaint if there is a connection to the servers of a session that is closed, and not used again."""
        if self._closing or users.needed or any(each.needed for each in self._users if each.host == users.host):
            # A session that is being closed has the same servers.
            return None
        links = [link for link in self._world.reactor.links if link.server_address.host == users.host]
        left = [link for link in links if link.client.connected]
        return f"the shared session of {users.host} is closed, and has {left}" if left else None

    def complaints(self) -> list[str]:
        """Return all that does not hold although it has had the time to settle."""
        found = [*map(self._difference, (WEB, SITE)), *(self._unused(users) for users in self._users)]
        return [each for each in found if each is not None]

    def _difference(self, service: Service) -> str | None:
        there = self._truth.tree.nodes.get(service.path)
        registered: list[tuple[str | None, int | None]] = []
        for name in () if there is None else sorted(there.children):
            found = decode_instance(name, self._truth.tree.nodes[f"{service.path}/{name}"].data or b"")
            if not isinstance(found, Instance):
                return f"{name} cannot be read: {found}"
            registered.append((found.address, found.port))
        wanted = [(each.address, each.port) for each in self.wanted.values() if each.service is service]
        same = sorted(map(str, registered)) == sorted(map(str, wanted))
        return None if same else f"{registered} are registered, and {sorted(wanted)} are to be"

    def _unused(self, users: Users) -> str | None:
        links = [link for link in self._world.reactor.links if link.server_address.host == users.host]
        if users.needed:
            # A client endpoint opens the session when it connects for the first time.
            return None if links or not users.ports else f"the shared session of {users.host} is not connected"
        return f"the shared session of {users.host} has no user, and {links}" if links else None

    def links(self, service: Service) -> list[Link]:
        """Return the connections to the ports of a service."""
        return [link for link in self._world.reactor.links if link.server_address.host.startswith(service.network)]
