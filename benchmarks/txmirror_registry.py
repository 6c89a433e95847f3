"""A registry of ours: ``txmirror_registry.py register 127.0.0.1:2181 1000``, or ``find``; see ``registry.py``."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from typing import Any

from clock import Clock, memory
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.stdio import StandardIO
from twisted.internet.task import react
from twisted.python.failure import Failure

from txmirror.mirror import Mirror
from txmirror.registry import ServiceRegistry
from txmirror.types import Answer

ROOT = "/txmirror-found"
#: Below which services are registered.
REGISTERED = "/txmirror-registered"
#: The session timeout, in seconds.
TIMEOUT = 10.0


class Nobody(Protocol):
    """Fires when nobody speaks to us any more."""

    def __init__(self) -> None:
        self.gone: Deferred[None] = Deferred()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.gone.callback(None)


def say(what: object) -> None:
    """Answer."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def register(registry: ServiceRegistry, mirror: Mirror, count: int) -> None:
    """Register so many."""
    clock = Clock()
    clock.start()
    await gatherResults(
        [registry.set_node(f"{REGISTERED}/s{number % 100}/host{number}:22", {"foo": "bar"}) for number in range(count)]
    )
    clock.stop()
    say(clock.figures)
    ticket: Any = mirror.client
    say([ticket.session_ticket.session_id, ticket.session_ticket.password.hex()])


async def find(registry: ServiceRegistry, mirror: Mirror, count: int) -> None:
    """Follow so many, and say what changes."""
    clock, bare = Clock(), memory("VmRSS")
    known: dict[str, Answer] = {}

    def told(answer: Answer) -> None:
        before = known.get(answer["path"])
        known[answer["path"]] = answer
        if before is not None:
            for name, data in answer["children"].items():
                if before["children"].get(name) != data:
                    say([answer["path"], name, data])

    clock.start()
    answers = await gatherResults([registry.get(f"{ROOT}/s{number}") for number in range(count)])
    clock.stop()
    say(
        {
            **clock.figures,
            "peak": memory("VmHWM") - bare,
            "nodes": sum(len(answer["children"]) for answer in answers),
        }
    )
    del answers
    for number in range(count):
        await registry.add_callback(f"{ROOT}/s{number}", told)
    client: Any = mirror.client
    say(client.session_id)


async def main(reactor: Any, what: str, servers: str, count: str) -> None:
    """Do it, and stay until nobody speaks to us any more."""
    nobody = Nobody()
    StandardIO(nobody, reactor=reactor)
    mirror = Mirror(servers, session_timeout=TIMEOUT, reactor=reactor)
    registry = ServiceRegistry(mirror=mirror, reactor=reactor)
    await registry.start()
    await {"register": register, "find": find}[what](registry, mirror, int(count))
    await nobody.gone
    await registry.stop()
    await mirror.close()


if __name__ == "__main__":
    import_module("twisted.internet.reactor")
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, *sys.argv[1:])))
