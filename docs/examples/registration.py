"""A program that registers what it listens on, and keeps it registered for as long as it runs.

Run it with the address of a ZooKeeper as its argument; without one it takes localhost:2181.
"""

import sys

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from txmirror import Mirror
from txmirror.registry import NDCodec, Registration


async def main(reactor, servers="localhost:2181"):
    mirror = Mirror(servers)
    registration = Registration(mirror, "/services/ssh/server1:22", {"foo": "bar"})
    registration.start()
    await registration.when_registered()

    # Anybody finds it, and is told of every change.
    print("servers:", await mirror.get("/services/ssh").children())
    data, stat = await mirror.get("/services/ssh/server1:22").value()
    print("foo is", NDCodec().decode(data)["foo"])
    print("it goes away with our session:", stat.ephemeralOwner == mirror.client.session_id)

    await registration.stop()
    print("servers:", await mirror.get("/services/ssh").children())
    await mirror.close()


if __name__ == "__main__":
    react(lambda reactor, *arguments: Deferred.fromCoroutine(main(reactor, *arguments)), sys.argv[1:])
