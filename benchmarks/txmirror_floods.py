"""F1 to F6 as txmirror does them: ``txmirror_floods.py F1 127.0.0.1:2181 100000``; see ``flood.py``."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from flooded import DATA, REGISTERED, SAID, Measurement, paths, say
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.stdio import StandardIO
from twisted.internet.task import LoopingCall, deferLater, react
from twisted.logger import ILogObserver, LogEvent, LogLevel, globalLogPublisher
from txmirror_registry import Nobody
from zope.interface import provider

from txmirror.mirror import Mirror, MirrorState
from txmirror.mirror.state import Existence
from txmirror.registry import ServiceRegistry

#: The session timeout, and how long a registry waits for a session, in seconds.
TIMEOUT = 10.0
#: How often the reactor is looked at, in seconds.
PERIOD = 0.01


class Standstill:
    """Measure for how long the reactor did nothing that was due.

    :ivar longest: the longest time, in seconds.
    """

    def __init__(self, reactor: Any) -> None:
        self.longest, self._last = 0.0, time.perf_counter()
        self._call = LoopingCall(self._look)
        self._call.clock = reactor
        self._call.start(PERIOD, now=False)

    def _look(self) -> None:
        now = time.perf_counter()
        self.longest = max(self.longest, now - self._last - PERIOD)
        self._last = now

    def end(self) -> None:
        """Stop to look."""
        self._look()
        self._call.stop()


class Flood:
    """One flood of a mirror or a registry.

    :param count: how many.
    :param over: fires when this process is to go on with its second phase.
    """

    def __init__(self, reactor: Any, servers: str, count: int, over: Deferred[None]) -> None:
        self._reactor, self._servers, self._count, self._over = reactor, servers, count, over

    async def gets(self) -> None:
        """Get many nodes, until all are known."""
        mirror = await self._mirror()
        self._begin()
        # A program that mirrors nodes holds them.
        _nodes = await self._get_all(mirror)
        say(self._end())
        await mirror.close()

    async def creates(self) -> None:
        """Create many nodes."""
        mirror = await self._mirror()
        self._begin()
        await self._all([mirror.create(path, DATA) for path in paths(self._count)])
        say(self._end())
        await mirror.close()

    async def registrations(self) -> None:
        """Register many nodes, and then stop."""
        registry = await self._registry()
        self._begin()
        await self._all([registry.set_node(path, SAID) for path in paths(self._count)])
        say(self._end())
        await self._over
        self._begin_again()
        await registry.stop()
        say(self._end())

    async def writes(self) -> None:
        """Write many persistent nodes."""
        registry = await self._registry()
        self._begin()
        await self._all([registry.set_data(path, SAID) for path in paths(self._count)])
        say(self._end())
        await registry.stop()

    async def loss(self) -> None:
        """Hold many nodes and a registration while the session, and perhaps all data, is lost."""
        mirror = await self._mirror()
        registry = ServiceRegistry(mirror=mirror, reactor=self._reactor)
        await registry.start()
        self._begin()
        nodes = await self._get_all(mirror)
        await registry.set_node(REGISTERED, SAID)
        registered = mirror.get(REGISTERED)
        client: Any = mirror.client
        ticket = client.session_ticket
        gone: Deferred[None] = Deferred()

        def changed(state: MirrorState) -> None:
            if state is MirrorState.DISCONNECTED and not gone.called:
                gone.callback(None)

        mirror.addStateWatcher("flood", changed)
        say({**self._end(), "session": [ticket.session_id, ticket.password.hex()]})
        await gone
        self._begin_again()
        connected = 0.0

        def restored() -> bool:
            nonlocal connected
            if client.session_id == ticket.session_id or not mirror.is_connected():
                return False
            connected = connected or time.monotonic()
            stat = registered.state.stat
            return mirror.state is MirrorState.SETTLED and stat is not None and stat.ephemeralOwner == client.session_id

        await self._until(restored)
        figures = self._end()
        shown = {existence.value: 0 for existence in Existence}
        for node in nodes:
            shown[node.state.existence.value] += 1
        say({**figures, "connected": connected, "settled": time.monotonic(), "shown": shown})
        await registry.stop()
        await mirror.close()

    async def _mirror(self) -> Mirror:
        mirror = Mirror(self._servers, session_timeout=TIMEOUT, reactor=self._reactor)
        await mirror.connect()
        return mirror

    async def _registry(self) -> ServiceRegistry:
        registry = ServiceRegistry(self._servers, timeout=TIMEOUT, reactor=self._reactor)
        await registry.start()
        return registry

    def _begin(self) -> None:
        self._measurement = measurement = Measurement()

        @provider(ILogObserver)
        def logged(event: LogEvent) -> None:
            if event.get("log_level", LogLevel.info) >= LogLevel.warn:
                measurement.failed["logged warnings"] += 1

        globalLogPublisher.addObserver(logged)
        self._began = time.perf_counter()

    def _asked(self) -> None:
        self._others = {"asking": time.perf_counter() - self._began}
        self._standstill = Standstill(self._reactor)

    def _begin_again(self) -> None:
        self._measurement.restart()
        self._others = {}
        self._standstill = Standstill(self._reactor)

    def _end(self) -> Mapping[str, Any]:
        self._standstill.end()
        return self._measurement.figures(**self._others, still=self._standstill.longest)

    async def _all(self, asked: list[Deferred[Any]]) -> None:
        self._asked()
        for _, result in await DeferredList([each.addErrback(self._failed) for each in asked]):
            if result is False:
                self._measurement.failed["False"] += 1

    def _failed(self, failure: Any) -> None:
        self._measurement.failed[failure.type.__name__] += 1

    async def _get_all(self, mirror: Mirror) -> list[Any]:
        nodes = [mirror.get(path) for path in paths(self._count)]
        self._asked()
        known = 0

        def all_known() -> bool:
            nonlocal known
            while known < len(nodes) and nodes[known].state.existence is not Existence.UNKNOWN:
                known += 1
            return known == len(nodes) and mirror.state is MirrorState.SETTLED

        await self._until(all_known)
        absent = sum(node.state.existence is Existence.ABSENT for node in nodes)
        if absent:
            self._measurement.failed["absent"] = absent
        return nodes

    async def _until(self, look: Callable[[], bool]) -> None:
        while not look():
            await deferLater(self._reactor, PERIOD)


async def main(reactor: Any, workload: str, servers: str, count: str) -> None:
    """Run one flood, and print its figures."""
    nobody = Nobody()
    StandardIO(nobody, reactor=reactor)
    flood = Flood(reactor, servers, int(count), nobody.gone)
    await {
        "F1": flood.gets,
        "F2": flood.creates,
        "F3": flood.registrations,
        "F4": flood.writes,
        "F5": flood.loss,
        "F6": flood.loss,
    }[workload]()


if __name__ == "__main__":
    import_module("twisted.internet.reactor")
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, *sys.argv[1:])))
