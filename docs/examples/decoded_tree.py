"""The instances of services, decoded once for each change, and found by their zone.

Its argument is the address of a ZooKeeper server; the default is localhost:2181.
"""

import sys
from collections.abc import Iterable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import react

from txmirror import Mirror
from txmirror.mirror import DecodedChange, decode_json


def zone(path: str, instance: Any) -> Iterable[str]:
    """Return the keys of an instance: one, or none for the node above the instances, which is empty."""
    return [instance["zone"]] if instance else []


def changed(change: DecodedChange[Any]) -> None:
    print("changed:", change.path, "from", change.old, "to", change.new)


async def main(reactor: IReactorTime, servers: str = "localhost:2181") -> None:
    mirror = Mirror(servers)
    for name, data in (("a", b'{"zone": "x"}'), ("b", b'{"zone": "y"}'), ("c", b'{"zone": "y"}'), ("d", b"zone x")):
        await mirror.create_r(f"/services/web/{name}", data)

    tree = mirror.tree("/services")
    instances = tree.decoded(decode_json)
    by_zone = instances.index("zone", zone)
    await instances.ready()
    print("in zone y:", sorted(by_zone["y"]))
    for path, error in instances.errors.items():
        print("not decoded:", path, "because", error)

    instances.watch(changed)
    await mirror.get("/services/web/c").set(b'{"zone": "z"}')
    await tree.caught_up()
    print("zones:", sorted(by_zone))

    tree.close()
    await mirror.close()


if __name__ == "__main__":
    react(lambda reactor, *arguments: Deferred.fromCoroutine(main(reactor, *arguments)), sys.argv[1:])
