"""The agent with a real provider, on a ZooKeeper in memory."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import readBody

from txmirror.endpoints import RegistryAgent, SharedSession
from txmirror.errors import NoInstanceException
from txmirror.test.endpoints.agent_case import WEB, Server
from txmirror.testing import World


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
        agent = RegistryAgent(SharedSession(self.world.connection_string, reactor=self.reactor))
        before = len(self.world.server.sessions)
        self.assertEqual({self.get(agent) for _ in range(3)}, {"1", "2", "3"})
        self.assertEqual(len(self.world.server.sessions), before + 1)
        self.world.result(agent.close())
        self.assertEqual(len(self.world.server.sessions), before)

    def test_unusable_credentials(self) -> None:
        """If its credentials cannot be read, the request fails."""
        session = SharedSession(self.world.connection_string, "/no/such/file", reactor=self.reactor)
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
