"""The third program of the command line: endpoints that listen, register, and connect."""

from __future__ import annotations

from random import Random

from twisted.internet.defer import Deferred, gatherResults

from txmirror.testing.storm.calling import CallerPart
from txmirror.testing.storm.everything import Everything, Kinds
from txmirror.testing.storm.journal import Journal
from txmirror.testing.storm.listening import WEB
from txmirror.testing.storm.registries import RegistryPart
from txmirror.testing.storm.serving import ServerPart
from txmirror.testing.world import World

ENDPOINTS: Kinds = {"server": (ServerPart, 3), "caller": (CallerPart, 4), "registry": (RegistryPart, 1)}


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
        there, known = len(self._scene.listening.links(WEB)), sum(caller.connections for caller in callers)
        self._scene.check(there == known, f"{there} connections are open, and {known} are known")
        super().check_settled()
        return gatherResults([caller.connect_settled() for caller in callers]).addCallback(
            lambda _: self._scene.raise_complaints()
        )

    def close(self) -> Deferred[None]:
        """End all programs, the clients first, so that no port waits for connections."""
        parts = sorted(self.parts, key=lambda part: isinstance(part, ServerPart))
        return gatherResults([part.close() for part in parts]).addCallback(lambda _: self._scene.raise_complaints())
