"""Recipes, piece by piece, as the guides show them.

Its argument is the address of a ZooKeeper server; the default is localhost:2181.
"""

import sys

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import react

from txmirror import ZooKeeperClient
from txmirror.recipes import (
    Barrier,
    Counter,
    DoubleBarrier,
    Election,
    Lock,
    LockingQueue,
    Members,
    MultiLock,
    Partitioner,
    Party,
    Queue,
    ReadLock,
    Share,
    SharedValue,
)


async def locks(client: ZooKeeperClient, other: ZooKeeperClient) -> None:
    async def write_report() -> None:
        print("the report is written")

    # lock
    lock = Lock(client, "/locks/report", name="host1")
    async with lock:
        lock.lost.addCallback(lambda _: print("stop writing"))
        await write_report()
    # end

    # wait
    if await lock.acquire(wait=5.0):  # 0 does not wait
        await lock.release()
    # end

    # styles
    Lock(client, "/locks/report", style="curator-mutex")
    ReadLock(client, "/locks/index", style="curator-read-write")
    Election(client, "/leader", style="curator-latch")
    # end

    # several
    async with MultiLock([Lock(client, "/locks/a"), Lock(client, "/locks/b")]) as both:
        print("both are held:", len(both.tokens))
    # end

    # give up: the holder
    held = Lock(client, "/locks/report")
    await held.acquire()
    held.revocation.addCallback(lambda _: held.release())
    # end
    # give up: another program
    await Lock(other, "/locks/report").revoke()
    # end
    print("given up:", await Lock(other, "/locks/report").acquire(wait=5.0))


async def leader(client: ZooKeeperClient) -> None:
    election = Election(client, "/election/sweeper")

    async def sweep() -> None:
        print("sweeping")
        await election.stop()

    # leading
    async for leads in election.leading:
        if leads:
            await sweep()
        else:
            print("no longer the leader")  # we stand for election again after this
    # end


async def queues(client: ZooKeeperClient, other: ZooKeeperClient) -> None:
    # queue
    queue = Queue(client, "/jobs")
    await queue.put(b"resize 17", priority=50)  # 0 to 999; lower numbers are taken first
    await queue.put_all([b"resize 18", b"resize 19"])  # all or none
    first = await queue.get()  # waits; get(wait=5.0) returns None if there is none in time
    print(first, await queue.peek(), await queue.length())
    # end

    # consume
    jobs = LockingQueue(client, "/jobs-to-consume")
    await jobs.put(b"resize 20")
    async with await jobs.get() as entry:  # consumed at the end; given back after an exception
        print(entry.data)
    # end

    # counter
    counter = Counter(client, "/done")
    print(await counter.add(1), await counter.value())
    # end

    # barriers
    await Barrier(client, "/maintenance").wait()  # while the node exists; create() and remove() it
    async with DoubleBarrier(client, "/jobs/17", count=1):  # waits until ``count`` participants have entered
        print("all are inside")  # and at the end until all have left
    # end

    # members
    async with Party(client, "/party", name="host1") as party, Members(client, "/group", "host1", b"10.0.0.1") as group:
        print(await party.members(), await group.members())
    # end


async def values(client: ZooKeeperClient) -> None:
    # value
    limits = SharedValue(client, "/app/limits", default=b"10")
    await limits.update(lambda value: b"%d" % (int(value) + 1))
    print(await limits.try_set(b"20", expected=b"11"))  # False if it is another value
    # end


async def shares(client: ZooKeeperClient) -> None:
    # shares
    async def follow(share: Share) -> None:
        try:
            await Deferred()  # work on share.item until it is not ours any more
        finally:
            print("left", share.item)

    async with Partitioner(client, "/feeds", ["news", "sports"], follow, name="host1") as partitioner:
        async for items in partitioner.changes():
            if len(items) == 2:
                print("ours:", sorted(items))
                break
    # end


async def main(reactor: IReactorTime, servers: str = "localhost:2181") -> None:
    client, other = ZooKeeperClient(servers), ZooKeeperClient(servers)
    await client.connect()
    await other.connect()
    await locks(client, other)
    try:
        await leader(client)
    except CancelledError:
        print("stopped")
    await queues(client, other)
    await values(client)
    await shares(client)
    await client.close()
    await other.close()


if __name__ == "__main__":
    react(lambda reactor, *arguments: Deferred.fromCoroutine(main(reactor, *arguments)), sys.argv[1:])
