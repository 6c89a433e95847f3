import sys

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import react

from txmirror import Mirror, ServiceRegistry


async def main(reactor: IReactorTime, servers: str = "localhost:2181") -> None:
    mirror = Mirror(servers)
    settings = mirror.get_json("/app/settings")
    settings.addValueWatcher("me", lambda new: print("settings:", new and new[0]))
    await settings.update(lambda old: {"debug": True}, makepath=True)
    registry = ServiceRegistry(mirror=mirror)
    await registry.set_node("/services/web/host1:8080")
    print("web:", list((await registry.get("/services/web"))["children"]))
    await registry.stop()
    await mirror.close()


if __name__ == "__main__":
    react(main, sys.argv[1:])
