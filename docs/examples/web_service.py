"""Two web servers that register where they listen, and a client that finds them by the name of their service.

One of the servers is stopped while it answers requests, and none of them is lost. The argument is the address of a ZooKeeper
server; the default is localhost:2181.
"""

import sys
from typing import Any

from treq.client import HTTPClient
from twisted.application.internet import StreamServerEndpointService
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import quoteStringArgument, serverFromString
from twisted.internet.task import react
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from txmirror import ServiceRegistry
from txmirror.endpoints import RegistryAgent, close_sessions


class Slow(Resource):
    isLeaf = True

    def __init__(self, name: str, reactor: Any) -> None:
        super().__init__()
        self.name = name
        self.reactor = reactor

    def render(self, request: Request) -> int:
        self.reactor.callLater(0.2, self.answer, request)
        return NOT_DONE_YET

    def answer(self, request: Request) -> None:
        request.write(self.name.encode())
        request.finish()


def serve(name: str, reactor: Any, servers: str) -> StreamServerEndpointService:
    """Listen at a free port. In a program of your own, the string would be in the configuration."""
    listen = quoteStringArgument("tcp:0:interface=127.0.0.1")
    endpoint = f"mirror:/services/web:listen={listen}:hosts={quoteStringArgument(servers)}:drain=0.5"
    service = StreamServerEndpointService(serverFromString(reactor, endpoint), Site(Slow(name, reactor)))
    service.startService()
    return service


async def main(reactor: Any, servers: str = "localhost:2181") -> None:
    one, two = (serve(name, reactor, servers) for name in ("one", "two"))
    registry = ServiceRegistry(servers)
    agent = RegistryAgent(registry)
    client = HTTPClient(agent)

    async def ask() -> str:
        response = await client.post("http+mirror://web/orders", data=b"a new order")
        return await response.text()

    def ask_at_once(number: int) -> Deferred[list[str]]:
        return gatherResults([Deferred.fromCoroutine(ask()) for _ in range(number)])

    answered: set[str] = set()
    while len(answered) < 2:
        answered.add(await ask())
    print("the client has found", sorted(answered))

    orders = ask_at_once(10)
    stopped = one.stopService()  # it is withdrawn, answers the orders that it has got, and then listens no longer
    answers = await orders
    print("answers during the stop:", sorted(set(answers)), len(answers))
    await stopped
    print("answers after it:", sorted(set(await ask_at_once(10))))

    await agent.close()
    await two.stopService()
    await registry.stop()
    await close_sessions(reactor)  # a program that ends does this by itself


if __name__ == "__main__":
    react(lambda reactor, *arguments: Deferred.fromCoroutine(main(reactor, *arguments)), sys.argv[1:])
