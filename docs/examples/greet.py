"""Ask the service "greeter" for greetings. The argument is their number."""

import os
import sys

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import react
from twisted.web.client import readBody

from txmirror import ServiceRegistry
from txmirror.endpoints import RegistryAgent

SERVERS = os.environ.get("TXMIRROR_SERVERS", "127.0.0.1:2181")


async def main(reactor: IReactorTime, number: str = "1") -> None:
    registry = ServiceRegistry(SERVERS)
    agent = RegistryAgent(registry)
    for _ in range(int(number)):
        response = await agent.request(b"GET", b"http+mirror://greeter/")
        print((await readBody(response)).decode())
    await agent.close()
    await registry.stop()


if __name__ == "__main__":
    react(main, sys.argv[1:])
