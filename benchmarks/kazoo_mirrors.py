"""W6 to W8 as kazoo's TreeCache does them: ``kazoo_mirrors.py W6 127.0.0.1:2181 10000 1``; see ``mirrored.py``."""

from __future__ import annotations

import threading
from itertools import repeat

import reads
from kazoo.client import KazooClient
from kazoo.recipe.cache import TreeCache, TreeEvent
from mirrored import ROOT, Measurement, arguments, leaves


def main() -> None:
    """Mirror, and print the figures."""
    workload, servers, count, _ = arguments()
    measurement = Measurement(count)
    client = KazooClient(servers, timeout=10.0)
    client.start()
    warm, over = threading.Event(), threading.Event()

    def told(event: TreeEvent) -> None:
        if event.event_type == TreeEvent.INITIALIZED:
            warm.set()
        elif event.event_data is not None and event.event_data.data is not None:
            measurement.shown(event.event_data.path, event.event_data.data)

    measurement.begin()
    cache = TreeCache(client, ROOT)
    cache.listen(told)
    cache.start()
    warm.wait()
    measurement.warm()
    if workload == "W8":
        path = leaves(count)[0]

        def get_data() -> None:
            for _ in repeat(None, reads.TIMES):
                cache.get_data(path)

        reads.say(reads.nanoseconds({**reads.PLAIN, "cache.get_data(path)": get_data}))
    elif workload != "W6":
        measurement.wait(over.set)
        over.wait()
        measurement.end(lambda path: cache.get_data(path).data)
    cache.close()
    client.stop()


if __name__ == "__main__":
    main()
