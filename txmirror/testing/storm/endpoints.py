"""The third program of the command line: endpoints that listen, register, and connect."""

from __future__ import annotations

from collections import Counter
from random import Random

from twisted.internet.defer import Deferred, gatherResults

from txmirror.testing.storm.calling import CallerPart
from txmirror.testing.storm.everything import Everything, Kinds
from txmirror.testing.storm.journal import Journal
from txmirror.testing.storm.listening import SITE, WEB
from txmirror.testing.storm.registries import RegistryPart
from txmirror.testing.storm.requesting import RequesterPart
from txmirror.testing.storm.serving import ServerPart
from txmirror.testing.storm.web_servers import make_web_server
from txmirror.testing.world import World

ENDPOINTS: Kinds = {
    "server": (ServerPart, 3),
    "caller": (CallerPart, 4),
    "registry": (RegistryPart, 1),
    "site": (make_web_server, 2),
    "requester": (RequesterPart, 2),
}


class EndpointProgram(Everything):
    """Programs whose endpoints share sessions, and others with a provider of their own registry.

    :param world: the world.
    :param journal: the log.
    :param random: chooses the parts.
    """

    def __init__(self, world: World, journal: Journal, random: Random) -> None:
        super().__init__(world, journal, random, ENDPOINTS)

    def check_settled(self) -> Deferred[None]:
        """Check all that must hold when everything has settled, and that clients can connect."""
        callers = [part for part in self.parts if isinstance(part, CallerPart)]
        requesters = [part for part in self.parts if isinstance(part, RequesterPart)]
        listening, check = self._scene.listening, self._scene.check
        there, known = len(listening.links(WEB)), sum(caller.connections for caller in callers)
        check(there == known, f"{there} connections are open, and {known} are known")
        wanted, most = listening.wanted_of(SITE), sum(requester.idle_connections for requester in requesters)
        idle = Counter((link.server_address.host, link.server_address.port) for link in listening.links(SITE))
        for address, count in idle.items():
            allowed = most if address in wanted else 0
            check(count <= allowed, f"agents have {count} connections to {address}, and may have {allowed}")
        super().check_settled()
        settled = [caller.connect_settled() for caller in callers]
        settled += [requester.request_settled() for requester in requesters]
        return gatherResults(settled).addCallback(lambda _: self._scene.raise_complaints())

    def close(self) -> Deferred[None]:
        """End all programs, the clients first, so that no port waits for connections."""
        parts = sorted(self.parts, key=lambda part: isinstance(part, ServerPart))
        return gatherResults([part.close() for part in parts]).addCallback(lambda _: self._scene.raise_complaints())
