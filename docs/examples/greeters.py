"""Print the list of the greeters, at the start and after each change."""

import os

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import react

from txmirror import ServiceRegistry
from txmirror.types import Answer

SERVERS = os.environ.get("TXMIRROR_SERVERS", "127.0.0.1:2181")


def changed(found: Answer) -> None:
    print("greeters:", *sorted(found["children"]))


async def main(reactor: IReactorTime) -> None:
    registry = ServiceRegistry(SERVERS)
    await registry.get("/services/greeter", callback=changed)
    await Deferred()  # print changes until Ctrl-C


if __name__ == "__main__":
    react(main)
