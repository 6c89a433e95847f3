"""An AMP server and its client, as Twisted's documentation has them. Only the strings of their endpoints mention ZooKeeper.

The argument is the address of a ZooKeeper server; the default is localhost:2181. In programs of your own the strings are in their
configurations, and the environment variable TXMIRROR_SERVERS takes the place of ``hosts``.
"""

import sys
from typing import Any

from twisted.application.internet import ClientService, StreamServerEndpointService
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, quoteStringArgument, serverFromString
from twisted.internet.protocol import Factory
from twisted.internet.task import react
from twisted.protocols import amp

from txmirror.endpoints import close_sessions


class Sum(amp.Command):
    arguments = [(b"a", amp.Integer()), (b"b", amp.Integer())]
    response = [(b"total", amp.Integer())]


class Math(amp.AMP):
    @Sum.responder
    def sum(self, a: int, b: int) -> dict[str, int]:
        return {"total": a + b}


def serve(reactor: Any, listen: str) -> StreamServerEndpointService:
    """Make the server: the string says where it listens, and where it is registered."""
    return StreamServerEndpointService(serverFromString(reactor, listen), Factory.forProtocol(Math))


def connect(reactor: Any, to: str) -> ClientService:
    """Make the client, which stays connected: the string says to which service."""
    return ClientService(clientFromString(reactor, to), Factory.forProtocol(amp.AMP))


async def main(reactor: Any, servers: str = "localhost:2181") -> None:
    hosts = quoteStringArgument(servers)
    server = serve(reactor, rf"mirror:/services/math:listen=tcp\:0\:interface=127.0.0.1:hosts={hosts}")
    client = connect(reactor, f"mirror:/services/math:hosts={hosts}")

    client.startService()  # it waits until there is a server
    server.startService()
    math: Any = await client.whenConnected()
    answer = await math.callRemote(Sum, a=13, b=81)
    print("13 + 81 =", answer["total"])

    await client.stopService()
    await server.stopService()  # withdraws, and then stops
    await close_sessions(reactor)  # a program that ends does this by itself


if __name__ == "__main__":
    react(lambda reactor, *arguments: Deferred.fromCoroutine(main(reactor, *arguments)), sys.argv[1:])
