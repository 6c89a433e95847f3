"""Queues. The two clients stand for two programs."""

import sys
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import react

from txmirror import ZooKeeperClient
from txmirror.recipes import LockingQueue, Queue


async def main(reactor: IReactorTime, servers: str = "localhost:2181") -> None:
    here, there = ZooKeeperClient(servers, reactor=reactor), ZooKeeperClient(servers, reactor=reactor)
    await here.connect()
    await there.connect()

    # Each entry is taken once. It is gone when it is taken.
    letters, box = Queue(here, "/letters", reactor=reactor), Queue(there, "/letters", reactor=reactor)
    waiting = box.get()
    await letters.put(b"to Ada")
    print("taken there:", (await waiting).decode())
    await letters.put_all([b"to Bob", b"to Cyd"])
    await letters.put(b"to Dan, urgent", priority=1)
    print("in the box:", await box.length())
    while (letter := await box.get(wait=0)) is not None:
        print("taken there:", letter.decode())

    # An entry stays until it is consumed. After an exception, or when the session ends, others can take it.
    jobs, worker = LockingQueue(here, "/jobs", reactor=reactor), LockingQueue(there, "/jobs", reactor=reactor)
    await jobs.put(b"resize 17")
    for folder in (Path("/no/such/folder"), Path("/")):
        try:
            async with await worker.get() as entry:
                folder.stat()
                print("resized:", entry.data.decode())
        except OSError as error:
            print("given back:", error.strerror)
    print("jobs:", await jobs.length())

    await here.close()
    await there.close()


if __name__ == "__main__":
    react(lambda reactor, *arguments: Deferred.fromCoroutine(main(reactor, *arguments)), sys.argv[1:])
