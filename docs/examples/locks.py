"""Locks, a semaphore, and an election: two programs, which here are two clients of one."""

import sys

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import react

from txmirror.client import ZooKeeperClient
from txmirror.recipes import Election, Lock, Semaphore


async def main(reactor: IReactorTime, servers: str = "localhost:2181") -> None:
    here, there = ZooKeeperClient(servers, reactor=reactor), ZooKeeperClient(servers, reactor=reactor)
    await here.connect()
    await there.connect()

    # One at a time.
    mine = Lock(here, "/locks/report", name="here", reactor=reactor)
    theirs = Lock(there, "/locks/report", name="there", reactor=reactor)
    async with mine:
        mine.lost.addCallback(lambda _: print("stop!"))  # when it cannot be relied upon any more
        token = mine.token  # who writes under a smaller one than was seen is too late
        print("tried there:", await theirs.acquire(wait=0))
        waiting = theirs.acquire(wait=10.0)
        while len(line := await mine.contenders()) < 2:
            pass
        print("in line:", line)
    print("held there:", await waiting, "with a larger token:", theirs.token > token)
    await theirs.release()

    # So many at a time.
    desks = [Semaphore(client, "/desks", leases=2, reactor=reactor) for client in (here, there, there)]
    print("desks:", [await desk.acquire(wait=0) for desk in desks])
    for desk in desks:
        await desk.release()

    # One leads, until it is done, or has lost leadership: then what it does is cancelled.
    async def sweep() -> str:
        return "swept"

    print("the leader has", await Election(here, "/election/sweeper", name="here", reactor=reactor).lead(sweep))

    await here.close()
    await there.close()


if __name__ == "__main__":
    react(lambda reactor, *arguments: Deferred.fromCoroutine(main(reactor, *arguments)), sys.argv[1:])
