"""Records histories of txmirror and its peers at an ensemble of three under faults from a seed, and judges them.

Each client is three processes, each with its own proxies to the three servers. ``history_workloads.py`` has the workloads, and
``nemesis.py`` the faults. The files of a run stay in its folder; ``judging.py FOLDER`` judges them again.
"""

from __future__ import annotations

import argparse
import atexit
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from random import randrange
from typing import Any

from history_workloads import (
    BARRIER,
    CANARY,
    COUNTER,
    EPHEMERALS,
    GATE,
    LOCK,
    PAIR,
    PASSED,
    PROCESSES,
    QUEUE,
    REGISTERS,
    ROOT,
    SEQUENCE,
    SERVICES,
    UNTIL,
    WATCHED,
    WORKLOADS,
    Run,
)
from lagging import LaggingEnsemble
from nemesis import Nemesis, plan
from observing import Observer
from recording import Log
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater, react
from twisted.internet.threads import deferToThread
from txmirror_histories import Adapter

from txmirror.client import ZooKeeperClient
from txmirror.testing import FaultProxy

HERE = Path(__file__).parent
COMMON = ["registers", "nodes", "sequence", "watches", "counter", "locks", "ephemerals"]
SHARED = ["gate", "party", "shares"]
#: The clients, with the workloads for which each has the means.
PEERS = {
    "txmirror": [*COMMON, "queue", "locking-queue", "barrier", "transactions", "services", *SHARED, "value"],
    "kazoo": [*COMMON, "queue", "locking-queue", "barrier", "transactions", "services", *SHARED],
    "aiozk": [*COMMON, "barrier", "transactions"],
    "txzookeeper": COMMON,
}
#: How long operations may take that have begun before the end of a run, after all faults were healed, in seconds.
GRACE = 40.0


class Processes:
    """The processes of a client.

    :param command: the arguments between the name of the process and its file.
    """

    def __init__(self, peer: str, folder: Path, servers: list[str], command: list[str]) -> None:
        self._peer = peer
        self._folder = folder
        self._servers = servers
        self._command = command
        self._generations = [0] * len(servers)
        self._running: list[subprocess.Popen[bytes]] = []
        for number in range(len(servers)):
            self._running.append(self._launch(number))

    def _launch(self, number: int) -> subprocess.Popen[bytes]:
        self._generations[number] += 1
        name = f"{self._peer}-{number + 1}.{self._generations[number]}"
        script = str(HERE / f"{self._peer}_histories.py")
        command = [sys.executable, script, self._servers[number], name, *self._command]
        with (self._folder / f"{name}.log").open("wb") as output:
            return subprocess.Popen([*command, str(self._folder / f"{name}.jsonl")], stdout=output, stderr=output)

    def signal(self, number: int, what: signal.Signals) -> None:
        """Send a signal to the process of a client."""
        if self._running[number].poll() is None:
            self._running[number].send_signal(what)

    def start(self, number: int) -> None:
        """Start a client again that was killed, with a new name."""
        self._running[number].wait(10)
        self._running[number] = self._launch(number)

    def loaded(self) -> bool:
        """Return whether all processes wait for the begin.

        :raises RuntimeError: one has ended.
        """
        for each in self._running:
            if each.poll() is not None:
                raise RuntimeError(f"a process of {self._peer} has ended: see the log files in {self._folder}")
        return len(list(self._folder.glob(f"{self._peer}-*.jsonl"))) >= len(self._running)

    def ended(self) -> bool:
        """Return whether all processes have ended."""
        return all(each.poll() is not None for each in self._running)

    def kill(self) -> None:
        """Kill the processes that still run."""
        for each in self._running:
            if each.poll() is None:
                each.kill()
                each.wait(10)


async def prepare(reactor: Any, servers: str, log: Log) -> ZooKeeperClient:
    """Create the nodes of the workloads. Return the client."""
    client = ZooKeeperClient(servers, session_timeout=10, reactor=reactor)
    await client.connect()
    run = Run(Adapter(reactor, client), log, "", time.monotonic() + 60)
    for path in (ROOT, LOCK, QUEUE, BARRIER, GATE, EPHEMERALS, SERVICES, CANARY):
        await client.create(path)
    await client.create(COUNTER, b"0")
    for path in (*REGISTERS, *WATCHED, *PAIR, SEQUENCE, PASSED):
        await run.create(path)
    return client


def folder_of(peer: str, options: argparse.Namespace) -> Path:
    """Return the folder of a run."""
    folder: Path = options.folder / f"{peer}-{options.seed}"
    return folder


async def record(reactor: Any, peer: str, options: argparse.Namespace, ensemble: LaggingEnsemble) -> Path:
    """Record one run, and return its folder."""
    folder = folder_of(peer, options)
    folder.mkdir(parents=True)
    log = Log("harness", folder / "harness.jsonl")
    client = await prepare(reactor, ensemble.address, log)
    observer = Observer(reactor, client, log)
    workloads = [each for each in PEERS[peer] if each in options.workloads]
    proxies = [[FaultProxy(each.port, reactor=reactor) for each in ensemble.members] for _ in range(PROCESSES)]
    servers = [",".join(each.address for each in row) for row in proxies]
    clients = Processes(peer, folder, servers, [str(options.seed), ",".join(workloads)])
    atexit.register(clients.kill)
    try:
        while not clients.loaded():
            await deferLater(reactor, 0.1)
        begin = time.monotonic()
        until = begin + options.seconds
        (folder / "until.new").write_text(str(until))
        (folder / "until.new").rename(folder / UNTIL)
        plans = plan(options.seed, options.seconds, PROCESSES) if options.faults else []
        nemesis = Nemesis(reactor, log, ensemble, proxies, clients)
        observed = [observer.observe_ensemble(until)]
        if "services" in workloads:
            observed.append(observer.observe_services(until))
        if "party" in workloads:
            observed.append(observer.observe_party(until))
        observing = gatherResults(map(Deferred.fromCoroutine, observed))
        await nemesis.execute(plans, begin, until)
        await observer.open_gates()
        while not clients.ended() and time.monotonic() < until + GRACE:
            await deferLater(reactor, 0.2)
        clients.kill()
        await observing
        await observer.observe_the_end()
    finally:
        clients.kill()
        await client.close()
        await gatherResults([each.close() for row in proxies for each in row])
    return folder


async def main(reactor: Any, options: argparse.Namespace) -> None:
    """Record a run of each client, on an ensemble of its own, and judge it. Exit with status 1 if ours has broken a rule."""
    status = 0
    for peer in options.clients:
        ensemble = LaggingEnsemble()
        # A signal ends the process without the end of this coroutine.
        atexit.register(ensemble.cleanup)
        try:
            await deferToThread(ensemble.start)
            folder = await record(reactor, peer, options, ensemble)
        finally:
            await deferToThread(ensemble.cleanup)
        release = "" if peer == "txmirror" else f" {version(peer)}"
        print(f"{peer}{release}, seed {options.seed}, {options.seconds:g} s:", flush=True)
        judge = [sys.executable, str(HERE / "judging.py"), str(folder)]
        judged = await deferToThread(subprocess.run, judge, check=False, timeout=300)
        if peer == "txmirror":
            status = judged.returncode
    if status:
        raise SystemExit(status)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clients", nargs="*", default=list(PEERS), help=f"of {', '.join(PEERS)} (all)")
    parser.add_argument("--seed", type=int, default=randrange(10**6), help="the faults and the operations (a new one)")
    parser.add_argument("--seconds", type=float, default=60, help="the length of each run (60)")
    parser.add_argument("--workloads", default=",".join(WORKLOADS), help="some of them (all that a client has)")
    parser.add_argument("--no-faults", dest="faults", action="store_false", help="inject no faults")
    parser.add_argument("--folder", type=Path, default=Path("histories"), help="where the runs are written (histories)")
    options = parser.parse_args()
    options.workloads = options.workloads.split(",")
    for each in options.clients:
        if each not in PEERS:
            parser.error(f"there is no client {each!r}; there are {', '.join(PEERS)}")
        if folder_of(each, options).exists():
            parser.error(f"the run exists already: {str(folder_of(each, options))!r}")
    for each in options.workloads:
        if each not in WORKLOADS:
            parser.error(f"there is no workload {each!r}; there are {', '.join(WORKLOADS)}")
    return options


if __name__ == "__main__":
    chosen = parse()
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, chosen)))
