"""A provider: pick an instance of a service for each request, and say which ones fail.

Its argument is the address of a ZooKeeper server; the default is localhost:2181.
"""

import sys

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import react

from txmirror import ServiceRegistry
from txmirror.discovery import ServiceProvider
from txmirror.errors import NoInstanceException


async def main(reactor: IReactorTime, server: str = "localhost:2181") -> None:
    registry = ServiceRegistry(server)
    await registry.set_node("/services/web/web1:80", data={"version": 1})
    await registry.set_node("/services/web/web2:80", data={"version": 2})
    await registry.set_node("/services/web/web3:80", data={"version": 2})

    # It picks in turn, and only instances of this version.
    provider = ServiceProvider(registry, "/services/web", where={"version": 2})
    instance = await provider.instance()
    print("one of two:", instance.address in ("web2", "web3"), "at port", instance.port)
    print("all of them:", [each.name for each in provider.instances()])

    # Two failures in a row mark an instance down for some time: another one is picked.
    provider.failed(instance)
    provider.failed(instance)
    other = await provider.instance()
    print("another one:", other != instance)

    # A caller that tries several leaves out those that it has tried. If there is no other in time, the message says why.
    try:
        await provider.instance(avoid=[other], wait=0)
    except NoInstanceException as error:
        print("avoided:", "1 down after failures" in str(error), "1 filtered out by {'version': 2}" in str(error))
    provider.close()

    # Equal keys get the same instance.
    sticky = ServiceProvider(registry, "/services/web", pick="sticky")
    first, second = await sticky.instance("user17"), await sticky.instance("user17")
    print("the same:", first == second)
    sticky.close()

    await registry.stop()


if __name__ == "__main__":
    react(lambda reactor, *arguments: Deferred.fromCoroutine(main(reactor, *arguments)), sys.argv[1:])
