"""A service registry: register services, find them and follow changes. The API is nd_service_registry's, with Deferreds.

Its argument is the address of a ZooKeeper server; the default is localhost:2181.
"""

import sys

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import react

from txmirror import ServiceRegistry


async def main(reactor: IReactorTime, server: str = "localhost:2181") -> None:
    registry = ServiceRegistry(server)

    # The server stays registered until this program stops or removes it.
    await registry.set_node("/services/ssh/server1:22", data={"foo": "bar"})

    found = await registry.get("/services/ssh")
    print("found:", sorted(found))
    print("path:", found["path"])
    print("children:", list(found["children"]))
    server1, stat = found["children"]["server1:22"], found["stat"]
    assert isinstance(server1, dict) and stat is not None  # other programs may write any data, or delete the node
    print("keys of server1:", sorted(server1))
    print("stat:", type(stat).__name__, "with", stat.numChildren, "child")

    # The registry calls the callback at once, and after each change.
    answers = []
    await registry.get("/services/ssh", callback=lambda found: answers.append(list(found["children"])))
    await registry.set_node("/services/ssh/server2:22")
    await registry.set_node("/services/ssh/server1:22", state=False)
    print("the callback got:", answers)

    # A persistent node, written once; every registry that follows the path gets the change.
    await registry.set_data("/services/ssh", data="come in")
    data = (await registry.get("/services/ssh"))["data"]
    assert isinstance(data, dict)
    print("data:", data["string_value"])

    # A lock: one holder at a time, on any machine.
    lock = await registry.get_lock("/locks/sweep", wait=10)
    async with lock as status:
        print("got the lock:", status)

    await registry.stop()


if __name__ == "__main__":
    react(lambda reactor, *arguments: Deferred.fromCoroutine(main(reactor, *arguments)), sys.argv[1:])
