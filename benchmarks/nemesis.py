"""The faults of a run: a plan from a seed, and its execution on links, servers and clients."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from random import Random
from typing import Any, Protocol

import attrs
from lagging import LaggingEnsemble
from recording import Log
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from txmirror.test.ensemble import ZooKeeperMember
from txmirror.test.zookeeper import ServerFailed
from txmirror.testing import FaultProxy
from txmirror.wire import Operation

#: Seconds of a fault: below a third of the session timeout of 10 s, above two thirds of it, and above it.
SHORT, LONG, EXPIRING = (0.5, 2.0), (7.0, 9.0), (11.0, 13.0)
#: The faults of a client's links, and those of processes, each with the durations that it may have.
LINKS: dict[str, Sequence[tuple[float, float]]] = {
    "cut": [SHORT],
    "refuse": [SHORT, LONG, EXPIRING],
    "half-close to client": [SHORT],
    "half-close to server": [SHORT],
    "stall": [SHORT, LONG, EXPIRING],
    "stall replies": [SHORT, LONG, EXPIRING],
    "stall requests": [SHORT, LONG],
    "swallow set": [SHORT],
    "swallow create": [SHORT],
    "swallow delete": [SHORT],
    "swallow transaction": [SHORT],
}
PROCESSES: dict[str, Sequence[tuple[float, float]]] = {
    "kill leader": [SHORT, LONG],
    "kill follower": [SHORT, LONG],
    "pause leader": [SHORT, LONG],
    "pause follower": [SHORT, LONG],
    "wipe follower": [SHORT],
    "lag follower": [SHORT],
    "pause client": [SHORT, LONG, EXPIRING],
    "kill client": [SHORT],
}
#: Seconds to wait for a follower.
_ELECTION = 15.0
_SWALLOWED = {
    "swallow set": [Operation.SET_DATA],
    "swallow create": [Operation.CREATE, Operation.CREATE2],
    "swallow delete": [Operation.DELETE],
    "swallow transaction": [Operation.MULTI],
}


@attrs.frozen
class Fault:
    """One fault."""

    at: float
    """Seconds after the begin of the run."""
    kind: str
    seconds: float
    client: int
    server: int
    """The number of a follower: the one that is hit if the kind says so."""


def plan(seed: int, seconds: float, clients: int) -> list[list[Fault]]:
    """Return the faults of a run: those of links and those of processes. In each list one begins after the former has ended."""
    plans = []
    for name, kinds in (("links", LINKS), ("processes", PROCESSES)):
        random = Random(f"{seed} {name}")
        faults, at, order = [], random.uniform(1, 3), list[str]()
        while at < seconds:
            if not order:
                order = random.sample(list(kinds), len(kinds))
            kind = order.pop()
            duration = random.uniform(*random.choice(kinds[kind]))
            faults.append(Fault(at, kind, duration, random.randrange(clients), random.randrange(2)))
            at += duration + random.uniform(0.5, 2.5)
        plans.append(faults)
    return plans


class Clients(Protocol):
    """The clients' processes. See ``histories.py``."""

    def signal(self, number: int, what: signal.Signals) -> None:
        """Send a signal to the process of a client."""

    def start(self, number: int) -> None:
        """Start a client again that was killed."""


class Nemesis:
    """Executes a plan.

    :param proxies: for each client, a proxy to each server.
    """

    def __init__(
        self, reactor: Any, log: Log, ensemble: LaggingEnsemble, proxies: list[list[FaultProxy]], clients: Clients
    ) -> None:
        self._reactor = reactor
        self._log = log
        self._ensemble = ensemble
        self._proxies = proxies
        self._clients = clients

    async def execute(self, plans: list[list[Fault]], begin: float, until: float) -> None:
        """Execute all faults, each at its moment, and heal all at the end.

        :param begin: the begin of the run, and ``until`` its end, as moments of ``time.monotonic``.
        """
        await gatherResults([Deferred.fromCoroutine(self._execute(each, begin, until)) for each in plans])
        await deferToThread(self._ensemble.heal)
        self._log.note("fault", kind="all healed")

    async def _execute(self, faults: list[Fault], begin: float, until: float) -> None:
        for fault in faults:
            await self._sleep(begin + fault.at - time.monotonic())
            if time.monotonic() > until:
                return
            target = {"number": fault.client, "server": fault.server, "seconds": fault.seconds}
            self._log.note("fault", event="begin", kind=fault.kind, **target)
            try:
                heal = await (self._links(fault) if fault.kind in LINKS else self._process(fault))
                await self._sleep(min(fault.seconds, until - time.monotonic()))
                await heal()
            except ServerFailed as error:
                # It was too slow. The end of the run heals it.
                self._log.note("error", error=str(error).partition(";")[0])
            self._log.note("fault", event="end", kind=fault.kind, number=fault.client)

    async def _sleep(self, seconds: float) -> None:
        await deferLater(self._reactor, max(0, seconds))

    # Links.

    async def _links(self, fault: Fault) -> Callable[[], Awaitable[None]]:
        proxies = self._proxies[fault.client]
        armed: list[Deferred[None]] = []
        for each in proxies:
            if fault.kind == "cut":
                each.drop()
            elif fault.kind == "refuse":
                each.cut()
            elif fault.kind.startswith("half-close"):
                to_client = fault.kind == "half-close to client"
                each.half_close(to_client=to_client, to_server=not to_client)
            elif fault.kind.startswith("stall"):
                each.stall(to_client=fault.kind != "stall requests", to_server=fault.kind != "stall replies")
            else:
                armed += [each.swallow_reply_to(operation) for operation in _SWALLOWED[fault.kind]]

        async def heal() -> None:
            for reply in armed:
                reply.addErrback(lambda _: None)
                reply.cancel()
            for each in proxies:
                each.open()
                each.resume()

        return heal

    # Processes.

    async def _process(self, fault: Fault) -> Callable[[], Awaitable[None]]:
        if fault.kind == "pause client":
            return self._pause_client(fault.client)
        if fault.kind == "kill client":
            return self._kill_client(fault.client)
        return await deferToThread(self._server, fault)

    def _pause_client(self, number: int) -> Callable[[], Awaitable[None]]:
        self._clients.signal(number, signal.SIGSTOP)

        async def heal() -> None:
            self._clients.signal(number, signal.SIGCONT)

        return heal

    def _kill_client(self, number: int) -> Callable[[], Awaitable[None]]:
        self._clients.signal(number, signal.SIGKILL)

        async def heal() -> None:
            self._clients.start(number)

        return heal

    def _server(self, fault: Fault) -> Callable[[], Awaitable[None]]:
        member = self._find(fault)
        if fault.kind.startswith("pause"):
            member.pause()
            action = member.resume
        elif fault.kind.startswith("lag"):
            self._ensemble.lag(member)
            action = partial(self._ensemble.catch_up, member)
        else:
            self._ensemble.crash(member)
            if fault.kind.startswith("wipe") and self._ensemble.agrees():
                member.wipe()
            action = partial(self._ensemble.recover, member)

        async def heal() -> None:
            await deferToThread(action)

        return heal

    def _find(self, fault: Fault) -> ZooKeeperMember:
        if fault.kind.endswith("leader"):
            return self._ensemble.leader()
        deadline = time.monotonic() + _ELECTION
        while not (followers := self._ensemble.followers()):
            if time.monotonic() > deadline:
                raise ServerFailed("the ensemble has no follower")
            threading.Event().wait(0.1)
        return followers[fault.server % len(followers)]
