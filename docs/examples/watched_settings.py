"""Follow a node with settings, and change it."""

import sys

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import react

from txmirror import Mirror


async def main(reactor: IReactorTime, servers: str = "localhost:2181") -> None:
    mirror = Mirror(servers)
    settings = mirror.get_json("/app/settings")  # returns at once, also if no server can be reached
    settings.addValueWatcher("me", lambda found: print("settings:", found and found[0]))
    await settings.update(lambda old: {**(old or {}), "debug": True}, makepath=True)  # compare and set
    value, stat = await settings.value()  # from memory
    print("at version", stat.version, "debug is", value["debug"])
    await mirror.close()


if __name__ == "__main__":
    react(main, sys.argv[1:])
