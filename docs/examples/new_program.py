"""The same program as ``old_program.py``, on the native client."""

import sys
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import react

from txmirror import ZooKeeperClient
from txmirror.errors import BadVersionException, NodeExistsException, NoNodeException


async def change(client: ZooKeeperClient, path: str, function: Callable[[bytes], bytes]) -> object:
    """Change a node's data, and retry if another client changes it first; like txzookeeper's ``retry_change``."""
    while True:
        try:
            data, stat = await client.get(path)
            return await client.set(path, function(data), stat.version)
        except NoNodeException:
            try:
                return await client.create(path, function(b""))
            except NodeExistsException:
                pass
        except BadVersionException:
            pass


async def main(reactor: IReactorTime, servers: str) -> None:
    client = ZooKeeperClient(servers, session_timeout=5, reactor=reactor)
    await client.connect()
    for path in ("/workers", "/workers"):
        try:
            await client.create(path)
        except NodeExistsException as error:
            print("nothing to create:", error)
    names, joined = client.get_children_and_watch("/workers")
    print("workers:", await names)
    path = await client.create("/workers/w-", b"10.0.0.1", ephemeral=True, sequence=True)
    print("joined as", path)
    event = await joined
    print(event.type.name.lower(), "at", event.path)
    for _ in range(2):
        await change(client, "/joined", lambda data: b"%d" % (int(data or b"0") + 1))
    data, stat = await client.get("/joined")
    print(f"joined {data.decode()} times, version {stat.version}")
    await client.close()


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, sys.argv[1])))
