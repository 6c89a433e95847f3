"""A node that is always up to date: a tour of Mirror and Node.

Its argument is the address of a ZooKeeper server; the default is localhost:2181.
"""

import sys
import uuid

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import react

from txmirror import Mirror
from txmirror.errors import NoNodeException


async def main(reactor: IReactorTime, servers: str = "localhost:2181") -> None:
    mirror = Mirror(servers)
    await mirror.connect()

    root = mirror.get("/")
    value, meta = await root.value()
    print("the root's value:", value, "at version", meta.version)
    print("its children:", await root.children())

    missing = mirror.get("/missing")
    for read in (missing.value, missing.children):
        try:
            await read()
        except NoNodeException as error:
            print(error)

    await missing.create(b"value")
    value, meta = await missing.value()
    print("created:", value, "at version", meta.version)
    print("its children:", await missing.children())

    new_meta = await missing.set(b"new_value", meta.version)
    print("set:", (await missing.value())[0], "at version", new_meta.version)
    await missing.delete(new_meta.version)

    x = []
    root.addValueWatcher(uuid.uuid4(), lambda v: x.append(v and v[0]))
    await root.set(b"stuff")
    print("the watcher saw:", x)

    await mirror.close()


if __name__ == "__main__":
    react(lambda reactor, *arguments: Deferred.fromCoroutine(main(reactor, *arguments)), sys.argv[1:])
