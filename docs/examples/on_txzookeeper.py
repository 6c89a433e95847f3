"""A mirror on a client of txzookeeper. It needs the package txzookeeper: pip install 'txmirror[txzookeeper]'.

Its argument is the address of a ZooKeeper server; the default is localhost:2181.
"""

import sys

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import react

# install
import txmirror.compat

txmirror.compat.install()
# end
# ruff: noqa: E402
from txzookeeper.client import ZookeeperClient

from txmirror import Mirror
from txmirror.compat import TxZooKeeperClient


async def main(reactor: IReactorTime, servers: str = "localhost:2181") -> None:
    # mirror
    mirror = Mirror(client=TxZooKeeperClient(ZookeeperClient(servers, 10000)))
    print(await mirror.get("/").children())
    # end
    await mirror.close()


if __name__ == "__main__":
    react(lambda reactor, *arguments: Deferred.fromCoroutine(main(reactor, *arguments)), sys.argv[1:])
