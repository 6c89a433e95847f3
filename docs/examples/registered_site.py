"""A web server of twisted.web that registers itself, with facts about it.

Its argument is the address of a ZooKeeper server; the default is localhost:2181.
"""

import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.task import react
from twisted.web.resource import Resource
from twisted.web.server import Site

from txmirror import ServiceRegistry
from txmirror.discovery import ServiceProvider
from txmirror.endpoints import RegisteringEndpoint


async def main(reactor: Any, servers: str = "localhost:2181") -> None:
    registry = ServiceRegistry(servers, lazy=True)  # lazy: ZooKeeper may be down when we start
    listening = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
    endpoint = RegisteringEndpoint(registry, "/services/web", listening, data={"zone": "b"}, weight=100)
    port: Any = await endpoint.listen(Site(Resource()))

    # Any other program finds it.
    provider = ServiceProvider(registry, "/services/web")
    instance = await provider.instance()
    print("found:", instance.address, instance.data, "with weight", instance.weight)
    provider.close()

    await port.stopListening()  # withdraws, and then stops
    await registry.stop()


if __name__ == "__main__":
    react(lambda reactor, *arguments: Deferred.fromCoroutine(main(reactor, *arguments)), sys.argv[1:])
