"""W6 to W8 as aiozk's TreeCache does them: ``aiozk_mirrors.py W6 127.0.0.1:2181 10000 1``; see ``mirrored.py``."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import repeat

import reads
from aiozk import ZKClient
from aiozk.recipes.tree_cache import ZNodeCache
from mirrored import ROOT, Measurement, arguments, leaves, parents


async def main(workload: str, servers: str, measurement: Measurement) -> None:
    """Mirror, and print the figures."""
    client = ZKClient(servers, session_timeout=10)
    await client.start()
    # It tells nobody of anything: where its watchers tell it is where one can listen.
    takes = ZNodeCache.data_callback
    watched = set(parents(measurement.count)) | set(leaves(measurement.count)) | {ROOT}
    warm, over = asyncio.Event(), asyncio.Event()

    async def told(node: ZNodeCache, data: bytes) -> None:
        await takes(node, data)
        if watched:
            watched.discard(node.path)
            if not watched:
                warm.set()
        else:
            measurement.shown(node.path, node.data)

    ZNodeCache.data_callback = told
    measurement.begin()
    cache = client.recipes.TreeCache(ROOT)
    await cache.start()
    # Its start reads everything without watches, and then everything again with them.
    await warm.wait()
    measurement.warm()
    if workload == "W8":

        def value() -> None:
            for _ in repeat(None, reads.TIMES):
                cache.p0.n0.value

        reads.say(reads.nanoseconds({**reads.PLAIN, "cache.p0.n0.value": value}))
    elif workload != "W6":
        measurement.wait(over.set)
        await over.wait()

        def look_up(path: str) -> bytes:
            parent, name = path.split("/")[-2:]
            data: bytes = cache.root.children[parent].children[name].data
            return data

        measurement.end(look_up)
    await cache.stop()
    # Its tasks swallow a cancellation, and the last answer does not always come.
    with suppress(asyncio.TimeoutError):
        await client.close()


if __name__ == "__main__":
    workload, servers, count, _ = arguments()
    asyncio.run(main(workload, servers, Measurement(count)))
