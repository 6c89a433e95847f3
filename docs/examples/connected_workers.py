"""Workers that are connected with one another. None of them knows an address: each serves AMP, and connects to the others, by strings.

Its argument is the address of a ZooKeeper server; the default is localhost:2181.
"""

import sys
from typing import Any

from twisted.application.internet import ClientService, StreamServerEndpointService
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import clientFromString, quoteStringArgument, serverFromString
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.task import deferLater, react
from twisted.protocols.amp import AMP, Command, Unicode
from twisted.python.failure import Failure

from txmirror.endpoints import close_sessions

WORKERS = ["anna", "ben", "cleo"]
# Each could stand in a configuration file. A worker registers its name beside its address.
SERVER = r"mirror:/workers:hosts={hosts}:listen=tcp\:0:data.worker={name}:drain=0"
CLIENT = "mirror:/workers:hosts={hosts}:where.worker={name}"


class Greet(Command):
    arguments = [(b"sender", Unicode())]
    response = [(b"answer", Unicode())]


class Worker(MultiService):
    def __init__(self, reactor: Any, hosts: str, name: str) -> None:
        super().__init__()
        self.reactor = reactor
        self.name = name
        self.transports: set[Any] = set()
        server = serverFromString(reactor, SERVER.format(hosts=hosts, name=name))
        StreamServerEndpointService(server, Factory.forProtocol(lambda: Desk(self))).setServiceParent(self)
        self.others: dict[str, ClientService] = {}
        for other in WORKERS:
            if other != name:
                client = clientFromString(reactor, CLIENT.format(hosts=hosts, name=other))
                # It stays connected, whenever and wherever the other worker starts.
                self.others[other] = ClientService(client, Factory.forProtocol(AMP), retryPolicy=lambda _: 0.1)
                self.others[other].setServiceParent(self)

    async def greet(self, other: str) -> str:
        while True:
            connected: Any = await self.others[other].whenConnected()
            try:
                answer = await connected.callRemote(Greet, sender=self.name)
                return str(answer["answer"])
            except (ConnectionDone, ConnectionLost):
                # The other worker has ended, and may be started again. To greet it twice does no harm.
                await deferLater(self.reactor, 0.1)

    async def stop(self) -> None:
        # It withdraws itself, and stops listening.
        await self.stopService()
        for transport in self.transports:
            transport.loseConnection()


class Desk(AMP):
    """The server's side of a connection."""

    def __init__(self, worker: Worker) -> None:
        super().__init__()
        self.worker = worker

    def connectionMade(self) -> None:
        super().connectionMade()
        self.worker.transports.add(self.transport)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.worker.transports.discard(self.transport)
        super().connectionLost(reason)

    @Greet.responder
    def greet(self, sender: str) -> dict[str, str]:
        return {"answer": f"{self.worker.name} greets {sender}"}


async def main(reactor: Any, servers: str = "localhost:2181") -> None:
    hosts = quoteStringArgument(servers)
    workers = {name: Worker(reactor, hosts, name) for name in WORKERS}
    # The order does not matter.
    for worker in reversed(workers.values()):
        worker.startService()
    for name, worker in workers.items():
        for other in worker.others:
            print(f"{name}: {await worker.greet(other)}")

    # A worker is restarted, at another port. The others find it there.
    await workers["ben"].stop()
    workers["ben"] = Worker(reactor, hosts, "ben")
    workers["ben"].startService()
    print("after a restart:", await workers["anna"].greet("ben"))

    await gatherResults([Deferred.fromCoroutine(worker.stop()) for worker in workers.values()])
    await close_sessions(reactor)  # a program that ends does this by itself


if __name__ == "__main__":
    react(lambda reactor, *arguments: Deferred.fromCoroutine(main(reactor, *arguments)), sys.argv[1:])
