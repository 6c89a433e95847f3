"""The client without a mirror: a transaction, a watch on a whole subtree, and a session that moves to another client."""

import sys

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import react

from txmirror import ZooKeeperClient
from txmirror.errors import TransactionFailedException
from txmirror.types import News, WatchedEvent


def print_event(event: News) -> None:
    # A persistent watch also reports session events: after a reconnection, read the nodes again.
    if isinstance(event, WatchedEvent):
        print(f"{event.type.name.lower()}: {event.path}")


async def main(reactor: IReactorTime, server: str = "localhost:2181") -> None:
    client = ZooKeeperClient(server, reactor=reactor)
    await client.connect()
    await client.add_watch("/", print_event, recursive=True)

    transaction = client.transaction()
    transaction.create("/jobs", b"")
    transaction.create("/jobs/first", b"sweep")
    print("committed:", await transaction.commit())

    transaction = client.transaction()
    transaction.set("/jobs/first", b"mop")
    transaction.delete("/jobs/second")
    try:
        await transaction.commit()
    except TransactionFailedException as error:
        print(f"nothing was written, because of operation {error.index}: {error.error}")
    print("unchanged:", (await client.get("/jobs/first"))[0])

    # If the reply is lost, the client searches for the GUID in the name, to know whether the node was created.
    worker = await client.create("/jobs/worker-", ephemeral=True, sequence=True, protect=True)

    # Another client, also in another process, can continue the session; its ephemeral nodes stay.
    ticket = await client.leave()
    successor = ZooKeeperClient(server, session=ticket, reactor=reactor)
    await successor.connect()
    print("still exists:", await successor.exists(worker) is not None)
    await successor.close()


if __name__ == "__main__":
    react(lambda reactor, *arguments: Deferred.fromCoroutine(main(reactor, *arguments)), sys.argv[1:])
