"""A job that runs every few seconds, on one of several machines: on the leader. Two candidates stand for two machines.

Its argument is the address of a ZooKeeper server; the default is localhost:2181.
"""

import sys
from collections.abc import Callable
from functools import partial

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall, react

from txmirror import Mirror
from txmirror.recipes import Election


class PeriodicJob:
    """Calls a function at an interval while this process is the leader."""

    def __init__(
        self,
        reactor: IReactorTime,
        mirror: Mirror,
        path: str,
        name: str,
        interval: float,
        function: Callable[[], object],
    ) -> None:
        self._election = Election(mirror, path, name=name, reactor=reactor)
        self._loop = LoopingCall(function)
        self._loop.clock = reactor
        self._interval = interval

    async def run(self) -> None:
        """Stand for election until :meth:`stop`."""
        await self._election.run(self._lead)

    async def _lead(self) -> None:
        done = self._loop.start(self._interval)
        try:
            await done
        finally:  # leadership is lost, or we stop
            if self._loop.running:
                self._loop.stop()

    async def stop(self) -> None:
        await self._election.stop()


async def main(reactor: IReactorTime, servers: str = "localhost:2181") -> None:
    mirrors = [Mirror(servers), Mirror(servers)]
    lines: list[str] = []
    third: Deferred[None] = Deferred()

    def sweep(name: str) -> None:
        lines.append(name)
        if len(lines) == 3:
            third.callback(None)

    here, there = (
        PeriodicJob(reactor, mirror, "/election/sweeper", name, 0.01, partial(sweep, name))
        for mirror, name in zip(mirrors, ("here", "there"), strict=True)
    )
    running = [Deferred.fromCoroutine(each.run()).addErrback(lambda _: None) for each in (here, there)]
    await third
    print("swept three times by one machine:", len(set(lines)) == 1)

    leader, other = (here, "there") if lines[0] == "here" else (there, "here")
    await leader.stop()
    lines.clear()
    third = Deferred()
    await third
    print("after its stop, the other one sweeps:", set(lines) == {other})

    for job in (here, there):
        await job.stop()
    for each in running:
        await each
    for mirror in mirrors:
        await mirror.close()


if __name__ == "__main__":
    react(lambda reactor, *arguments: Deferred.fromCoroutine(main(reactor, *arguments)), sys.argv[1:])
