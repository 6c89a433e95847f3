"""A program that registers its address, and keeps it registered while the program runs.

Its argument is the address of a ZooKeeper server; the default is localhost:2181.
"""

import sys

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import react

from txmirror import Mirror
from txmirror.registry import CODECS, Registration


async def main(reactor: IReactorTime, servers: str = "localhost:2181") -> None:
    mirror = Mirror(servers)
    registration = Registration(mirror, "/services/ssh/server1:22", {"foo": "bar"})
    registration.start()
    await registration.when_registered()

    # Any client can find it, and watch it for changes.
    print("servers:", await mirror.get("/services/ssh").children())
    data, stat = await mirror.get("/services/ssh/server1:22").value()
    decoded = CODECS["ndsr"].decode(data)
    assert isinstance(decoded, dict)  # another program may have written data in another format
    print("foo is", decoded["foo"])
    print("it belongs to our session:", stat.ephemeralOwner == mirror.client.session_id)

    await registration.stop()
    print("servers:", await mirror.get("/services/ssh").children())
    await mirror.close()


if __name__ == "__main__":
    react(lambda reactor, *arguments: Deferred.fromCoroutine(main(reactor, *arguments)), sys.argv[1:])
