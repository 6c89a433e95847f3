"""A program in asyncio. ``aio.run`` is ``asyncio.run`` with Twisted's reactor on the event loop."""

import asyncio
import sys

from txmirror import aio
from txmirror.errors import NoNodeException


async def main(servers: str = "localhost:2181") -> None:
    async with aio.Mirror(servers) as mirror:
        node = mirror.get("/settings")
        try:
            await node.value()
        except NoNodeException as error:
            print(error)

        # A call begins at once, in the order of the calls; awaiting it is for its result.
        node.create(b"first")
        print("version:", (await node.set(b"second")).version)

        async def follow() -> None:
            async for state in node.values():
                print("value:", None if state is None else state[0].decode())
                if state is None:
                    break

        following = asyncio.create_task(follow())
        await asyncio.gather(node.children(), mirror.get("/").children())
        await node.delete()
        await following

        # Cancelling a task cancels the call that it waits for: here our node in the lock's queue is deleted.
        async with aio.Lock(mirror, "/locks/report", name="here") as lock:
            try:
                await asyncio.wait_for(aio.Lock(mirror, "/locks/report", name="there").acquire(), 0.1)
            except asyncio.TimeoutError:
                print("taken by:", await lock.contenders())

        async def sweep() -> str:
            await asyncio.sleep(0.01)  # the leader's function is a coroutine of asyncio too
            return "swept"

        print("the leader has", await aio.Election(mirror, "/election/sweeper").run(sweep))

        async with aio.ServiceRegistry(mirror=mirror) as registry:
            await registry.set_node("/services/web/a:80", {"zone": "b"})
            found = await registry.get("/services/web")
            print("found:", list(found["children"]))


if __name__ == "__main__":
    aio.run(main(*sys.argv[1:]))
