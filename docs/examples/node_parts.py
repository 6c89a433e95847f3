"""Methods of Mirror and Node, piece by piece, as the guides show them.

Its argument is the address of a ZooKeeper server; the default is localhost:2181.
"""

import sys

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import react

from txmirror import Mirror


async def main(reactor: IReactorTime, servers: str = "localhost:2181") -> None:
    mirror = Mirror(servers)
    node = mirror.get("/app")
    await node.create(b"old")

    # more
    value, stat = await node.value(fresh=True)  # sends a sync first: the newest state
    async for state in node.values():  # the current state, then each change
        print(state and state[0])
        break
    settings = mirror.get_json("/app/settings")
    await settings.update(lambda old: {**(old or {}), "debug": True})
    lock = await mirror.get("/app/lock-").create(
        ephemeral=True, sequence=True, protect=True
    )  # also container=True, ttl=60.0
    app = mirror.chroot("/app")  # all paths are relative to /app, in the same session
    print(await app.get("/settings").exists() is not None)
    # end

    print(value, stat.version, lock.path.startswith("/app/_c_"), await settings.value() is not None)
    await mirror.close()


if __name__ == "__main__":
    react(lambda reactor, *arguments: Deferred.fromCoroutine(main(reactor, *arguments)), sys.argv[1:])
