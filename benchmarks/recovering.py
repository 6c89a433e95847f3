"""Recovers a tree, in one of two ways: ``recovering.py side 127.0.0.1:2181 10000``; see ``recovery.py``.

It prints a line when the tree is warm, one when it is settled after the connection was lost, and one at each signal.
"""

from __future__ import annotations

import json
import signal
import sys
from typing import Any

from clock import Clock
from mirrored import ROOT
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater, react
from zope.interface import implementer

from txmirror.client import ZooKeeperClient
from txmirror.interfaces import IMetrics
from txmirror.mirror import Mirror, MirrorState, recovery
from txmirror.types import SessionEvent


@implementer(IMetrics)
class Traffic:
    """Counts requests and bytes, without pings and handshakes."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.requests = self.bytes_sent = self.bytes_received = 0

    def sent(self, operation: str, size: int) -> None:
        self.requests += 1
        self.bytes_sent += size

    def received(self, size: int) -> None:
        self.bytes_received += size

    def answered(self, operation: str, seconds: float, error: int, size: int) -> None:
        pass

    def lost(self, operation: str, seconds: float) -> None:
        pass

    def connected(self, event: SessionEvent) -> None:
        pass

    def disconnected(self, event: SessionEvent) -> None:
        pass


async def main(reactor: Any, way: str, servers: str, count: int) -> None:
    """Make the tree warm, and print the figures of each recovery until standard input ends."""
    recovery.SIDE_SESSION_FROM = 0 if way == "side" else 10**9
    traffic, clock, over = Traffic(), Clock(), Deferred[None]()
    client = ZooKeeperClient(servers, metrics=traffic)
    mirror = Mirror(client=client)
    await mirror.connect()
    session_id = client.session_id
    tree = mirror.tree(ROOT)
    await tree.ready()

    def say(**figures: object) -> None:
        print(
            json.dumps(
                {
                    "requests": traffic.requests,
                    "sent": traffic.bytes_sent,
                    "received": traffic.bytes_received,
                    **figures,
                }
            ),
            flush=True,
        )

    def changed(state: MirrorState) -> None:
        if state is MirrorState.CONNECTED:
            traffic.reset()
            clock.start()
        elif state is MirrorState.SETTLED:
            clock.stop()
            assert client.session_id == session_id, "the session has ended"
            say(**clock.figures)

    def signalled() -> None:
        clock.stop()
        say(**clock.figures)

    while mirror.state is not MirrorState.SETTLED:
        await deferLater(reactor, 0.01)
    mirror.addStateWatcher("benchmark", changed)
    signal.signal(signal.SIGUSR1, lambda *_: reactor.callFromThread(signalled))
    signal.signal(signal.SIGTERM, lambda *_: reactor.callFromThread(over.callback, None))
    say()
    await over
    await mirror.close()
    await client.close()


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, sys.argv[1], sys.argv[2], int(sys.argv[3]))))
