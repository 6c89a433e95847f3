"""A service registry: register, find, and be told, as programs for nd_service_registry do it, with Deferreds.

Run it with the address of a ZooKeeper as its argument; without one it takes localhost:2181.
"""

import sys

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from txmirror.registry import ServiceRegistry


async def main(reactor, server="localhost:2181"):
    registry = ServiceRegistry(server)

    # As long as this program runs and wants it, this server is registered.
    await registry.set_node("/services/ssh/server1:22", data={"foo": "bar"})

    found = await registry.get("/services/ssh")
    print("found:", sorted(found))
    print("path:", found["path"])
    print("children:", list(found["children"]))
    print("what server1 says:", sorted(found["children"]["server1:22"]))
    print("stat:", type(found["stat"]).__name__, "with", found["stat"].numChildren, "child")

    # The callback is called at once, and at each change.
    told = []
    await registry.get("/services/ssh", callback=lambda found: told.append(list(found["children"])))
    await registry.set_node("/services/ssh/server2:22")
    await registry.set_node("/services/ssh/server1:22", state=False)
    print("told:", told)

    # A persistent node, written once; everybody who follows the path is told.
    await registry.set_data("/services/ssh", data="come in")
    print("data:", (await registry.get("/services/ssh"))["data"]["string_value"])

    # One at a time, anywhere.
    lock = await registry.get_lock("/locks/sweep", wait=10)
    async with lock as status:
        print("got the lock:", status)

    await registry.stop()


if __name__ == "__main__":
    react(lambda reactor, *arguments: Deferred.fromCoroutine(main(reactor, *arguments)), sys.argv[1:])
