"""The embedded server as a process of its own, on a free port of loopback, which it prints; it ends with its input."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol
from twisted.internet.stdio import StandardIO
from twisted.internet.task import react

from txmirror.embedded import EmbeddedServer


class Until(Protocol):
    """Fires when the input has ended."""

    def __init__(self) -> None:
        self.ended: Deferred[None] = Deferred()

    def connectionLost(self, reason: object = None) -> None:
        self.ended.callback(None)


async def main(reactor: Any) -> None:
    """Serve."""
    server = EmbeddedServer(reactor, tick_time=2.0)
    server.listen()
    print(server.address, flush=True)
    until = Until()
    StandardIO(until)
    await until.ended
    await server.stop()


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
