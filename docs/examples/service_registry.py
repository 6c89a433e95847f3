"""A service registry: register, find, and be told, as programs for nd_service_registry do it, with Deferreds.

Run it with the address of a ZooKeeper as its argument; without one it takes localhost:2181.
"""

import sys

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import react

from txmirror.registry import ServiceRegistry


async def main(reactor: IReactorTime, server: str = "localhost:2181") -> None:
    registry = ServiceRegistry(server)

    # As long as this program runs and wants it, this server is registered.
    await registry.set_node("/services/ssh/server1:22", data={"foo": "bar"})

    found = await registry.get("/services/ssh")
    print("found:", sorted(found))
    print("path:", found["path"])
    print("children:", list(found["children"]))
    said, stat = found["children"]["server1:22"], found["stat"]
    assert isinstance(said, dict) and stat is not None  # others may say anything, and the node be missing
    print("what server1 says:", sorted(said))
    print("stat:", type(stat).__name__, "with", stat.numChildren, "child")

    # The callback is called at once, and at each change.
    told = []
    await registry.get("/services/ssh", callback=lambda found: told.append(list(found["children"])))
    await registry.set_node("/services/ssh/server2:22")
    await registry.set_node("/services/ssh/server1:22", state=False)
    print("told:", told)

    # A persistent node, written once; everybody who follows the path is told.
    await registry.set_data("/services/ssh", data="come in")
    data = (await registry.get("/services/ssh"))["data"]
    assert isinstance(data, dict)
    print("data:", data["string_value"])

    # One at a time, anywhere.
    lock = await registry.get_lock("/locks/sweep", wait=10)
    async with lock as status:
        print("got the lock:", status)

    await registry.stop()


if __name__ == "__main__":
    react(lambda reactor, *arguments: Deferred.fromCoroutine(main(reactor, *arguments)), sys.argv[1:])
