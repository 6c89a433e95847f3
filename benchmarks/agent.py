"""The cost of a request by a RegistryAgent beside one by Twisted's Agent, on a kept connection.

    .venv/bin/python benchmarks/agent.py

All is in one process, with the web servers and ZooKeeper in memory. CPU time in microseconds, of the client and the server; the
best of several runs.
"""

from __future__ import annotations

from io import BytesIO
from time import process_time
from typing import Any

from twisted.internet.task import Cooperator
from twisted.web.client import Agent, FileBodyProducer, HTTPConnectionPool, readBody
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from txmirror.endpoints import RegistryAgent
from txmirror.testing import World

#: The number of requests in a run, and of runs.
REQUESTS, RUNS = 1000, 5


class Answer(Resource):
    """A page with one word."""

    isLeaf = True

    def render(self, request: Request) -> bytes:
        return b"answer"


def microseconds(world: World, agent: Any, method: bytes, uri: bytes) -> float:
    """Return the CPU time of a request."""
    cooperator = Cooperator(scheduler=lambda function: world.reactor.callLater(0, function))
    times = []
    for _ in range(RUNS):
        start = process_time()
        for _ in range(REQUESTS):
            body = FileBodyProducer(BytesIO(b"body"), cooperator) if method == b"PUT" else None
            response = world.result(agent.request(method, uri, bodyProducer=body))
            world.result(readBody(response))
        times.append((process_time() - start) / REQUESTS * 1e6)
    return min(times)


def main() -> None:
    world = World()
    client = world.client(session_timeout=4000.0)
    world.result(client.create("/services"))
    world.result(client.create("/services/web"))
    ports = []
    for number in range(3):
        address = f"10.0.0.{number}"
        site: Any = Site(Answer(), reactor=world.reactor)
        ports.append(world.reactor.listenTCP(80, site, interface=address))
        world.result(client.create(f"/services/web/{address}:80"))
    pool = HTTPConnectionPool(world.reactor)
    registry_agent = RegistryAgent(world.registry())
    for method in (b"GET", b"PUT"):
        own = microseconds(world, Agent(world.reactor, pool=pool), method, b"http://10.0.0.1/")
        ours = microseconds(world, registry_agent, method, b"http+mirror://web/")
        print(f"{method.decode()}: Agent {own:.0f}, RegistryAgent {ours:.0f}")
    registry_agent.close()
    pool.closeCachedConnections()
    for port in ports:
        port.stopListening()
    world.close()


if __name__ == "__main__":
    main()
