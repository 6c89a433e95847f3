"""Locks, a semaphore and an election. The two clients stand for two programs."""

import sys

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import react

from txmirror import ZooKeeperClient
from txmirror.recipes import Election, Lock, Semaphore


async def main(reactor: IReactorTime, servers: str = "localhost:2181") -> None:
    here, there = ZooKeeperClient(servers, reactor=reactor), ZooKeeperClient(servers, reactor=reactor)
    await here.connect()
    await there.connect()

    # A lock has one holder at a time.
    mine = Lock(here, "/locks/report", name="here", reactor=reactor)
    theirs = Lock(there, "/locks/report", name="there", reactor=reactor)
    async with mine:
        mine.lost.addCallback(lambda _: print("stop!"))  # called when the lock is no longer safe
        token = mine.token  # reject a write with a smaller token than an earlier one
        print("tried there:", await theirs.acquire(wait=0))
        waiting = theirs.acquire(wait=10.0)
        while len(line := await mine.contenders()) < 2:
            pass
        print("in line:", line)
    print("held there:", await waiting, "with a larger token:", theirs.token > token)
    await theirs.release()

    # A semaphore has up to ``leases`` holders at a time.
    desks = [Semaphore(client, "/desks", leases=2, reactor=reactor) for client in (here, there, there)]
    print("desks:", [await desk.acquire(wait=0) for desk in desks])
    for desk in desks:
        await desk.release()

    # An election has one leader. If the leader loses leadership, its function is cancelled.
    async def sweep() -> str:
        return "swept"

    print("the leader has", await Election(here, "/election/sweeper", name="here", reactor=reactor).run(sweep))

    await here.close()
    await there.close()


if __name__ == "__main__":
    react(lambda reactor, *arguments: Deferred.fromCoroutine(main(reactor, *arguments)), sys.argv[1:])
