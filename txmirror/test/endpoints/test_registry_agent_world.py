"""The agent with a real provider, on a ZooKeeper in memory."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import readBody
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from txmirror.endpoints import RegisteringEndpoint, RegistryAgent, SharedSession
from txmirror.errors import NoInstanceException
from txmirror.test.endpoints.agent_case import WEB, Server
from txmirror.testing import MemoryReactor, World


class WorldTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()
        self.addCleanup(self.world.close)
        self.reactor = self.world.reactor
        self.other = self.world.client(session_timeout=40.0)
        self.registry: Any = self.world.registry()
        for path in ("/services", "/services/web"):
            self.world.result(self.other.create(path))
        self.servers = [Server(f"{number}", f"10.0.0.{number}", 80, self.reactor) for number in (1, 2, 3)]
        for server in self.servers:
            self.addCleanup(server.stop)
            self.register(server)

    def register(self, server: Server) -> None:
        self.world.result(self.other.create(self.path(server)))

    def withdraw(self, server: Server) -> None:
        self.world.result(self.other.delete(self.path(server)))

    def path(self, server: Server) -> str:
        return f"/services/web/{server.instance.address}:80"

    def agent(self, **options: Any) -> RegistryAgent:
        return self.agent_of(self.registry, **options)

    def agent_of(self, registry: Any, **options: Any) -> RegistryAgent:
        agent = RegistryAgent(registry, **options)
        self.addCleanup(self.end, agent)
        return agent

    def end(self, agent: RegistryAgent) -> None:
        agent.close()
        self.world.settle()

    def get(self, agent: RegistryAgent, method: bytes = b"GET") -> str:
        response = self.world.result(agent.request(method, WEB))
        return bytes(self.world.result(readBody(response))).decode()

    def test_requests(self) -> None:
        """All instances get requests. One that is withdrawn gets no more, and has no idle connection; a new one gets some."""
        one, two, three = self.servers
        agent = self.agent()
        self.assertEqual(sorted(self.get(agent) for _ in range(3)), ["1", "2", "3"])
        self.withdraw(three)
        self.assertEqual({self.get(agent, b"POST") for _ in range(6)}, {"1", "2"})
        hosts = {each.server_address.host for each in self.reactor.links}
        self.assertTrue({"10.0.0.1", "10.0.0.2"} <= hosts)
        self.assertNotIn("10.0.0.3", hosts)
        self.register(three)
        self.assertEqual({self.get(agent) for _ in range(6)}, {"1", "2", "3"})
        self.assertEqual([len(each.requests) for each in (one, two)], [6, 6])

    def test_killed(self) -> None:
        """An instance that refuses connections gets no requests for some time after two of them, and none fails."""
        agent = self.agent()
        for _ in range(3):
            self.get(agent)
        dead = self.servers[0]
        dead.stop()
        dead.drop()
        self.world.settle()
        self.assertEqual({self.get(agent, b"POST") for _ in range(9)}, {"2", "3"})
        (provider,) = [each.provider for each in agent._providers._used.values()]
        self.assertEqual([each.address for each in provider.instances()], ["10.0.0.2", "10.0.0.3"])

    def test_least_pending(self) -> None:
        """With this strategy, the instance with the fewest unfinished responses gets the request."""
        agent = self.agent(pick="least-pending")
        for server in self.servers:
            server.held = True
        requested = [agent.request(b"GET", WEB).addCallback(readBody) for _ in range(6)]
        self.world.settle()
        self.assertEqual([len(each.requests) for each in self.servers], [2, 2, 2])
        for each in self.servers[1].requests:
            each.finish()
        self.world.settle()
        self.servers[1].held = False
        self.assertEqual({self.get(agent) for _ in range(3)}, {"2"})
        for each in self.servers[0].requests + self.servers[2].requests:
            each.finish()
        for received in requested:
            self.world.result(received)

    def test_sticky(self) -> None:
        """With this strategy, equal keys lead to the same instance."""
        agent = self.agent(pick="sticky", key=lambda target, headers: target)
        self.assertEqual(len({self.get(agent) for _ in range(5)}), 1)

    def test_shared_session(self) -> None:
        """A shared session is opened for the first request, and closed with the agent."""
        agent = RegistryAgent(SharedSession(self.world.connect_string, reactor=self.reactor))
        before = len(self.world.server.sessions)
        self.assertEqual({self.get(agent) for _ in range(3)}, {"1", "2", "3"})
        self.assertEqual(len(self.world.server.sessions), before + 1)
        self.world.result(agent.close())
        self.assertEqual(len(self.world.server.sessions), before)

    def test_unusable_credentials(self) -> None:
        """If its credentials cannot be read, the request fails."""
        session = SharedSession(self.world.connect_string, "/no/such/file", reactor=self.reactor)
        agent = self.agent_of(session)
        for _ in range(2):
            requested = agent.request(b"GET", WEB)
            self.world.settle()
            self.assertIn("/no/such/file", str(self.failureResultOf(requested, ValueError).value))

    def test_none(self) -> None:
        """Without an instance in time, the failure says why."""
        agent = self.agent(timeout=2.0)
        requested = agent.request(b"GET", b"http+mirror://missing/")
        self.world.pass_time(3)
        failure = self.failureResultOf(requested, NoInstanceException)
        self.assertIn("/services/missing", str(failure.value))

    def test_malformed(self) -> None:
        self.assertRaises(ValueError, RegistryAgent, self.registry, pick="bogus")
        self.assertRaises(TypeError, RegistryAgent, self.registry, pick=5)


class Slow(Resource):
    """A page that takes some random time."""

    isLeaf = True

    def __init__(self, reactor: MemoryReactor, random: Random) -> None:
        super().__init__()
        self.answered = self.pending = 0
        self._reactor = reactor
        self._random = random

    def render(self, request: Request) -> int:
        self.pending += 1
        self._reactor.callLater(self._random.uniform(0.0, 0.8), self._answer, request)
        return NOT_DONE_YET

    def _answer(self, request: Request) -> None:
        self.answered += 1
        self.pending -= 1
        request.finish()


class StopTests(SynchronousTestCase):
    def test_stop(self) -> None:
        """The stop of a server loses no request, whatever the moment, and even if the client does not learn of it."""
        for seed in range(4):
            for zookeeper in (True, False):
                self.check(Random(seed), zookeeper)

    def check(self, random: Random, zookeeper: bool) -> None:
        with World() as world:
            registry: Any = world.registry(session_timeout=1000.0)
            pages = [Slow(world.reactor, random) for _ in range(2)]
            ports: list[Any] = []
            for page in pages:
                endpoint = RegisteringEndpoint(
                    registry, "/services/web", TCP4ServerEndpoint(world.reactor, 0, interface="127.0.0.1"), drain=3.0
                )
                site: Any = Site(page, reactor=world.reactor)
                ports.append(world.result(endpoint.listen(site)))
            world.settle()
            agent = RegistryAgent(world.registry(session_timeout=1000.0))
            requested = []
            stopped = None
            lost: list[int] = []
            moment = random.randrange(50, 150)
            for number in range(300):
                requested.append(agent.request(b"POST", WEB).addCallback(readBody))
                world.pass_time(0.02)
                if number == moment:
                    if not zookeeper:
                        world.server.stop()
                    before = pages[0].answered
                    # Then the process ends, with all that is pending.
                    stopped = ports[0].stopListening().addCallback(lambda _: lost.append(pages[0].pending))
            world.pass_time(12.0)
            for each in requested:
                self.successResultOf(each)
            assert stopped is not None
            self.successResultOf(stopped)
            self.assertEqual(lost, [0])
            self.assertGreater(pages[0].answered, before)
            self.assertEqual(sum(page.answered for page in pages), 300)
            ports[1].stopListening()
            agent.close()
            world.pass_time(12.0)
