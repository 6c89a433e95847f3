"""Programs in a storm that send HTTP requests to a service by an agent."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from twisted.internet.defer import Deferred, gatherResults

from txmirror.testing.storm.agents import UsedAgent
from txmirror.testing.storm.listening import SITE
from txmirror.testing.storm.parts import Scene

_METHODS = (b"GET", b"GET", b"HEAD", b"PUT", b"DELETE", b"POST", b"POST", b"PATCH")
_WITH_BODIES = (b"PUT", b"POST", b"PATCH")
_TAKES = ("read", "read", "read", "late", "dropped")
#: The most requests at once.
_MOST = 6


class RequesterPart:
    """A program that sends requests, cancels some, and uses a new agent now and then.

    :param scene: the world.
    :param name: its name in the log.
    :param random: chooses its settings.
    """

    def __init__(self, scene: Scene, name: str, random: Random) -> None:
        self.name = name
        self._scene = scene
        self._random = Random(f"agents of {name} {random.random()}")
        self._agents = 0
        self._closing: dict[Deferred[None], None] = {}
        self._used = self._make()

    def _make(self) -> UsedAgent:
        self._agents += 1
        return UsedAgent(self._scene, f"{self.name}.{self._agents}", self._random)

    def act(self, random: Random) -> None:
        """Begin one action."""
        random.choices([self._request, self._cancel, self._renew], [6, 2, 0.3])[0](random)

    def _request(self, random: Random) -> None:
        for _ in range(random.choice((1, 1, 2, 4))):
            if self._used.requests < _MOST:
                self._begin(random)

    def _begin(self, random: Random) -> None:
        method, body = random.choice(_METHODS), None
        if method in _WITH_BODIES:
            body = bytes([random.randrange(97, 123)]) * random.choice((0, 1, 50, 5000))
        self._used.request(method, body, known=random.random() < 0.8, take=random.choice(_TAKES), calm=False)

    def _cancel(self, random: Random) -> None:
        self._used.cancel(random)

    def _renew(self, random: Random) -> None:
        """Close the agent, and use another one."""
        self._begin_close()
        self._used = self._make()

    def _begin_close(self) -> Deferred[None]:
        closing = self._used.close()
        self._closing[closing] = None

        def closed(result: object) -> None:
            self._closing.pop(closing, None)
            self._scene.check(result is None, f"{self.name}: the agent's close() has fired with {result}")

        return closing.addBoth(closed)

    def check(self) -> None:
        """Use another agent if the shared session of this one was closed with all others."""
        if self._used.abandoned:
            self._renew(self._random)

    def check_settled(self) -> None:
        """Check that nothing waits."""
        self._scene.check(not self._closing, f"{self.name}: {len(self._closing)} agents are not closed")
        self._used.check_settled()

    def request_settled(self) -> Deferred[None]:
        """Send requests, and check that they succeed if there is a server."""
        there = bool(self._scene.listening.wanted_of(SITE))
        sent = [
            self._used.request(b"GET", None, known=True, take="read", calm=True),
            self._used.request(b"POST", b"calm", known=True, take="read", calm=True),
        ]
        return gatherResults(sent).addCallback(self._check_settled_requests, there)

    def _check_settled_requests(self, succeeded: list[bool], there: bool) -> None:
        holds = succeeded == [there] * len(succeeded)
        self._scene.check(holds, f"{self.name}: {succeeded} of requests when all is well; there are servers: {there}")

    @property
    def idle_connections(self) -> int:
        """The most idle connections to each server."""
        return self._used.idle_connections

    def close(self) -> Deferred[None]:
        """Close all agents."""
        self._begin_close()
        return gatherResults(list(self._closing)).addCallback(lambda _: None)

    def check_closed(self) -> None:
        """Check that all agents are closed. They check the rest."""
        self._scene.check(not self._closing, f"{self.name}: {len(self._closing)} agents are not closed")

    def spared(self) -> Sequence[int]:
        """Return nothing: the session may expire at any time."""
        return ()
