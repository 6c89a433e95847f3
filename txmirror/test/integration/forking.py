"""A program that forks in the middle of its reactor's work: ``test_fork`` runs it, with a server's address.

It prints the results of parent and child, each line by itself, parent and child in turn.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater, react

from txmirror.errors import InvalidStateException
from txmirror.registry import ServiceRegistry
from txmirror.types import Answer

PATH = "/services/ssh"


def say(who: str, *words: object) -> None:
    sys.stdout.write(" ".join(map(str, (who, *words))) + "\n")
    sys.stdout.flush()


async def names(registry: ServiceRegistry[bool]) -> list[str]:
    answer = await registry.get(PATH)
    assert answer is not False
    return list(answer["children"])


async def live_as_child(registry: ServiceRegistry) -> None:
    """Check that all methods but ``rebuild`` are refused; then use a connection of our own."""
    for call in (lambda: registry.get(PATH), lambda: registry.set_node(PATH + "/child"), registry.start, registry.stop):
        try:
            call()
        except InvalidStateException as error:
            say("child:", type(error).__name__, "rebuild()" in str(error), "\n" not in str(error))
    await registry.rebuild()
    say("child: finds", await names(registry))
    await registry.set_node(PATH + "/child", {"pid": "child's"})
    say("child: finds", await names(registry))
    # Its parent says when it has seen it.
    seen: Deferred[None] = Deferred()

    def look(answer: Answer) -> None:
        if answer["data"] is not None and not seen.called:
            seen.callback(None)

    await registry.get(PATH, callback=look)
    await seen
    await registry.stop()


def run_child(registry: ServiceRegistry) -> None:
    child: Any = None

    def ended(outcome: object) -> None:
        if outcome is not None:
            say("child: failed", outcome)
        child.stop()

    def begin() -> None:
        Deferred.fromCoroutine(live_as_child(registry)).addBoth(ended)

    # The first steps go without a reactor; the rest runs on the one that rebuild has made.
    begin()
    child = registry.reactor
    child.run()


async def live_as_parent(reactor: Any, address: str) -> None:
    registry = ServiceRegistry(address, timeout=2.0)
    seen: list[list[str]] = []

    def look(answer: Answer) -> None:
        found = list(answer["children"])
        if seen[-1:] != [found]:
            seen.append(found)
        if "child" in found and answer["data"] is None:
            registry.set_data(PATH, "seen")

    await registry.set_node(PATH + "/parent")
    await registry.get(PATH, callback=look)
    say("parent: finds", await names(registry))
    state: list[bool] = []
    await registry.get_state(state.append)
    pid = os.fork()
    if pid == 0:
        try:
            run_child(registry)
        finally:
            os._exit(0)
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        await deferLater(reactor, 0.02)
    # Longer than a session that nobody hears of would live.
    await deferLater(reactor, 2.5)
    await registry.set_data(PATH, "still here")
    assert await names(registry) == ["parent"]
    say("parent: was told of", seen)
    say("parent: was connected all the time:", state == [True])
    await registry.stop()


def main() -> None:
    react(lambda reactor, address: Deferred.fromCoroutine(live_as_parent(reactor, address)), sys.argv[1:])


if __name__ == "__main__":
    main()
