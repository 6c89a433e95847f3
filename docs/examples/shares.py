"""Feeds that members of a group share, and a limit that they change. The two clients stand for two programs."""

import sys

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import react

from txmirror import ZooKeeperClient
from txmirror.recipes import Partitioner, Share, SharedValue

FEEDS = ["arts", "business", "news", "science", "sports", "weather"]


class Follower:
    """Follows the feeds that are its own at this moment."""

    def __init__(self, client: ZooKeeperClient, name: str, reactor: IReactorTime) -> None:
        self.following: set[str] = set()
        self.partitioner = Partitioner(client, "/feeds", FEEDS, self.follow, name=name, delay=0.1, reactor=reactor)

    async def follow(self, share: Share) -> None:
        self.following.add(share.item)
        try:
            await Deferred()  # until it is cancelled
        finally:
            self.following.remove(share.item)

    async def until(self, number: int) -> None:
        """Wait until it has so many feeds."""
        async for feeds in self.partitioner.changes():
            if len(feeds) == number:
                break


async def main(reactor: IReactorTime, servers: str = "localhost:2181") -> None:
    clients = [ZooKeeperClient(servers, reactor=reactor) for _ in range(2)]
    here, there = (Follower(client, name, reactor) for client, name in zip(clients, ("here", "there"), strict=True))

    await here.partitioner.start()
    await here.until(6)
    print("one follows all:", sorted(here.following))
    await there.partitioner.start()
    await there.until(3)
    print("here:", sorted(here.following))
    print("there:", sorted(there.following))
    await here.partitioner.stop()
    await there.until(6)
    print("left here:", sorted(here.following))
    await there.partitioner.stop()

    limits = [SharedValue(client, "/limit", default=b"10", reactor=reactor) for client in clients]
    print("raised to", int(await limits[0].update(lambda value: b"%d" % (int(value) + 1))))
    print("replaced:", await limits[1].try_set(b"20", expected=b"10"), await limits[1].try_set(b"20", expected=b"11"))

    for client in clients:
        await client.close()


if __name__ == "__main__":
    react(lambda reactor, *arguments: Deferred.fromCoroutine(main(reactor, *arguments)), sys.argv[1:])
