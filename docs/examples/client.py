"""The client underneath, used by itself: writes done together, a watch on a whole subtree, a session handed over."""

import sys

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import react

from txmirror.client import ZooKeeperClient
from txmirror.errors import TransactionFailedException
from txmirror.types import News, WatchedEvent


def tell(event: News) -> None:
    # A watch that lasts tells each step of the session too: after a reconnection it is time to look again.
    if isinstance(event, WatchedEvent):
        print(f"{event.type.name.lower()}: {event.path}")


async def main(reactor: IReactorTime, server: str = "localhost:2181") -> None:
    client = ZooKeeperClient(server, reactor=reactor)
    await client.connect()
    await client.add_watch("/", tell, recursive=True)

    together = client.transaction()
    together.create("/jobs", b"")
    together.create("/jobs/first", b"sweep")
    print("made together:", await together.commit())

    together = client.transaction()
    together.set("/jobs/first", b"mop")
    together.delete("/jobs/second")
    try:
        await together.commit()
    except TransactionFailedException as error:
        print(f"nothing done, for operation {error.index}: {error.error}")
    print("still:", (await client.get("/jobs/first"))[0])

    # If the answer were lost, the client would find out by the GUID in the name whether the node is there.
    worker = await client.create("/jobs/worker-", ephemeral=True, sequence=True, protect=True)

    # Another client, in another process too, goes on with the session; its ephemeral nodes stay.
    ticket = await client.leave()
    successor = ZooKeeperClient(server, session=ticket, reactor=reactor)
    await successor.connect()
    print("still there:", await successor.exists(worker) is not None)
    await successor.close()


if __name__ == "__main__":
    react(lambda reactor, *arguments: Deferred.fromCoroutine(main(reactor, *arguments)), sys.argv[1:])
