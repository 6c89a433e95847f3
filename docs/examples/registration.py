"""A program that registers what it listens on, and keeps it registered for as long as it runs.

Run it with the address of a ZooKeeper as its argument; without one it takes localhost:2181.
"""

import sys

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import react

from txmirror import Mirror
from txmirror.registry import NDCodec, Registration


async def main(reactor: IReactorTime, servers: str = "localhost:2181") -> None:
    mirror = Mirror(servers)
    registration = Registration(mirror, "/services/ssh/server1:22", {"foo": "bar"})
    registration.start()
    await registration.when_registered()

    # Anybody finds it, and is told of every change.
    print("servers:", await mirror.get("/services/ssh").children())
    data, stat = await mirror.get("/services/ssh/server1:22").value()
    said = NDCodec().decode(data)
    assert isinstance(said, dict)  # it may be anybody's, in any form
    print("foo is", said["foo"])
    print("it goes away with our session:", stat.ephemeralOwner == mirror.client.session_id)

    await registration.stop()
    print("servers:", await mirror.get("/services/ssh").children())
    await mirror.close()


if __name__ == "__main__":
    react(lambda reactor, *arguments: Deferred.fromCoroutine(main(reactor, *arguments)), sys.argv[1:])
