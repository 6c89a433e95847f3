"""Endpoints as objects, piece by piece, and an AMP server that says when it has answered everything.

Its argument is the address of a ZooKeeper server; the default is localhost:2181.
"""

import sys
from typing import Any

from treq.client import HTTPClient
from twisted.application import strports
from twisted.application.internet import ClientService
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.endpoints import TCP4ServerEndpoint, clientFromString, quoteStringArgument
from twisted.internet.protocol import Factory
from twisted.internet.task import react
from twisted.protocols.amp import AMP, AmpBox, Command, Integer
from twisted.web.resource import Resource
from twisted.web.server import Site
from twisted.web.static import Data
from zope.interface import implementer

from txmirror import ServiceRegistry
from txmirror.endpoints import RegisteringEndpoint, RegistryAgent, RegistryClientEndpoint, bind, close_sessions
from txmirror.interfaces import IDraining


class Double(Command):
    arguments = [(b"number", Integer())]
    response = [(b"result", Integer())]


@implementer(IDraining)
class Calculator(AMP):
    running = 0
    idle: Deferred[None] | None = None

    @Double.responder
    def double(self, number: int) -> dict[str, int]:
        return {"result": 2 * number}

    def dispatchCommand(self, box: AmpBox) -> Deferred[AmpBox]:
        self.running += 1
        return maybeDeferred(super().dispatchCommand, box).addBoth(self._answered)

    def _answered(self, answer: AmpBox) -> AmpBox:
        self.running -= 1
        if self.idle is not None and not self.running:
            self.idle.callback(None)
        return answer

    def drain(self) -> Deferred[None]:
        if not self.running:
            return succeed(None)
        self.idle = Deferred()
        return self.idle


async def main(reactor: Any, servers: str = "localhost:2181") -> None:
    root = Resource()
    root.putChild(b"orders", Data(b"no orders", "text/plain"))

    # server
    registry = ServiceRegistry(servers, lazy=True)
    listening = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
    endpoint = RegisteringEndpoint(registry, "/services/math", listening, data={"version": 2})
    port: Any = await endpoint.listen(Factory.forProtocol(Calculator))
    # end

    # bind
    service = bind(strports.service("tcp:0:interface=127.0.0.1", Site(root)), registry, "/services/web")
    # end
    service.startService()

    # string
    client = clientFromString(reactor, f"mirror:/services/math:hosts={quoteStringArgument(servers)}")
    connection = ClientService(client, Factory.forProtocol(AMP))
    # end
    connection.startService()
    calculator: Any = await connection.whenConnected()
    print("2 * 21 =", (await calculator.callRemote(Double, number=21))["result"])
    await connection.stopService()

    # client
    math = RegistryClientEndpoint(registry, "/services/math", pick="least-pending", where={"version": 2})
    protocol: Any = await math.connect(Factory.forProtocol(AMP))
    # end
    print("2 * 4 =", (await protocol.callRemote(Double, number=4))["result"])
    protocol.transport.loseConnection()

    # treq
    agent = RegistryAgent(registry)
    http = HTTPClient(agent)
    response = await http.get("http+mirror://web/orders", params={"state": "new"})
    # end
    print(await response.text())
    await agent.close()

    await service.stopService()
    await port.stopListening()
    await registry.stop()
    await close_sessions(reactor)


if __name__ == "__main__":
    react(lambda reactor, *arguments: Deferred.fromCoroutine(main(reactor, *arguments)), sys.argv[1:])
