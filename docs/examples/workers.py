"""Workers that find one another, and agree which of them has which room.

No configuration lists them: each worker registers itself, and follows the list of all. Here they are in one process. The argument is the
address of a ZooKeeper server; the default is localhost:2181.
"""

import sys
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import TCP4ServerEndpoint, connectProtocol
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater, react
from twisted.protocols import amp

from txmirror import ServiceRegistry
from txmirror.discovery import ServiceProvider
from txmirror.endpoints import ProviderClientEndpoint, RegisteringEndpoint

PATH = "/services/chat"
ROOMS = [f"room {number}" for number in range(12)]


class Enter(amp.Command):
    arguments = [(b"room", amp.Unicode())]
    response = [(b"worker", amp.Unicode())]


class Worker(amp.CommandLocator):
    """A worker. ``sticky`` sends equal keys to the same instance, in every process: so each room has one worker."""

    def __init__(self, name: str, servers: str, reactor: Any) -> None:
        self.name = name
        self.reactor = reactor
        self.registry = ServiceRegistry(servers, lazy=True)
        self.all = ServiceProvider(self.registry, PATH, pick="sticky")

    async def start(self) -> None:
        listen = TCP4ServerEndpoint(self.reactor, 0, interface="127.0.0.1")
        endpoint = RegisteringEndpoint(self.registry, PATH, listen, name=self.name, drain=0.2)
        self.port = await endpoint.listen(Factory.forProtocol(lambda: amp.AMP(locator=self)))

    async def stop(self) -> None:
        await maybeDeferred(self.port.stopListening)
        self.all.close()
        await self.registry.stop()

    @Enter.responder
    def enter(self, room: str) -> dict[str, str]:
        return {"worker": self.name}

    async def ask(self, room: str) -> str:
        """Ask the worker that has the room, which may be this one."""
        endpoint = ProviderClientEndpoint(self.all, key=room)
        connection = await connectProtocol(endpoint, amp.AMP())
        answer = await connection.callRemote(Enter, room=room)
        connection.transport.loseConnection()
        worker: str = answer["worker"]
        return worker

    async def knows(self, number: int) -> None:
        """Wait until this worker knows so many."""
        while len(self.all.instances()) != number:
            await deferLater(self.reactor, 0.01)


async def main(reactor: Any, servers: str = "localhost:2181") -> None:
    workers = [Worker(name, servers, reactor) for name in ("anna", "bert", "cleo")]
    for worker in workers:
        await worker.start()
    for worker in workers:
        await worker.knows(3)
    asked = [{room: await worker.ask(room) for room in ROOMS} for worker in workers]
    print("all agree:", all(each == asked[0] for each in asked))
    print("workers with rooms:", sorted(set(asked[0].values())))

    last = workers.pop()
    await last.stop()
    for worker in workers:
        await worker.knows(2)
    after = {room: await workers[0].ask(room) for room in ROOMS}
    moved = {room for room in ROOMS if after[room] != asked[0][room]}
    print("moved:", "only the rooms of", sorted({asked[0][room] for room in moved}))

    for worker in workers:
        await worker.stop()


if __name__ == "__main__":
    react(lambda reactor, *arguments: Deferred.fromCoroutine(main(reactor, *arguments)), sys.argv[1:])
