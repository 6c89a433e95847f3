"""The program under test: a number in ZooKeeper, to which several programs can add at the same time."""

import sys

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import react

from txmirror import ZooKeeperClient
from txmirror.errors import BadVersionException


class Counter:
    def __init__(self, client: ZooKeeperClient, path: str) -> None:
        self.client = client
        self.path = path

    async def add(self, number: int) -> int:
        """Add to the stored number, and return the sum."""
        while True:
            data, stat = await self.client.get(self.path)
            total = int(data) + number
            try:
                await self.client.set(self.path, str(total).encode(), stat.version)
            except BadVersionException:
                continue  # another client has written in between
            return total


async def main(reactor: IReactorTime, servers: str = "localhost:2181") -> None:
    client = ZooKeeperClient(servers, reactor=reactor)
    await client.connect()
    await client.create("/counter", b"40")
    print("the sum:", await Counter(client, "/counter").add(2))
    await client.close()


if __name__ == "__main__":
    react(lambda reactor, *arguments: Deferred.fromCoroutine(main(reactor, *arguments)), sys.argv[1:])
