"""A program that registers a server while its health check passes.

Its argument is the address of a ZooKeeper server; the default is localhost:2181.
"""

import sys
from typing import Any

from twisted.internet.defer import Deferred, DeferredQueue
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import react

from txmirror import Mirror
from txmirror.checks import CheckSettings, ChecksService, ServiceCheck, ServiceHealth, TCPCheck, Transition
from txmirror.registry import Registration


async def main(reactor: Any, servers: str = "localhost:2181") -> None:
    mirror = Mirror(servers)
    port = reactor.listenTCP(0, Factory.forProtocol(Protocol), interface="127.0.0.1")
    check = TCPCheck(f"tcp:127.0.0.1:{port.getHost().port}", reactor=reactor)
    health = ServiceHealth("web", [ServiceCheck("tcp", check, CheckSettings(interval=0.2, rise=2, fall=3))])
    transitions: DeferredQueue[Transition] = DeferredQueue()
    health.watch("main", transitions.put)
    checks = ChecksService([health], reactor=reactor)
    checks.startService()

    transition = await transitions.get()
    print("the service is", transition.after.value, "because", transition.reason)
    registration = Registration(mirror, "/services/web/server1:80", {})
    registration.start()
    await registration.when_registered()
    print("servers:", await mirror.get("/services/web").children())

    await port.stopListening()
    transition = await transitions.get()
    print("the service is", transition.after.value, "because", transition.reason)
    await registration.stop()
    print("servers:", await mirror.get("/services/web").children())

    await checks.stopService()
    await mirror.close()


if __name__ == "__main__":
    react(lambda reactor, *arguments: Deferred.fromCoroutine(main(reactor, *arguments)), sys.argv[1:])
