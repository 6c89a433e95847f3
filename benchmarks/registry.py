"""Measures a registry of 1,000 services on a real server that it starts itself, where possible beside kazoo.

Registered: from when 1,000 services are registered in one process, one after the other without a wait, until the last
is in place. Restored: that session is ended at the server; until the server has all 1,000 nodes again, of the next
session. kazoo does the work of a program on it: it creates ephemeral nodes, replaces those of a former session, and
does that again when its listener reports a new session.

Found: one registry follows 1,000 services of 100 nodes each; until it knows them all. Then one node changes, and the
server counts the requests for that; and then, once, nothing happens for a minute, in which nothing may be written.

Each measurement is a fresh process, and the order of the peers is rotated from round to round. It prints medians of
wall time and of the client's CPU seconds, and kazoo's ratios to ours.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from charts import TIMES, Conditions, medians_of_rounds, write
from cutting import HERE
from embedded_workloads import cpu_of
from raw import Server, encoded
from run import JVM_OPTIONS, OURS

from txmirror.test.integration.servers import end_session
from txmirror.test.zookeeper import ZooKeeperProcess
from txmirror.types import OPEN_ACL
from txmirror.wire import CreateRequest, DeleteRequest, SetDataRequest

PEERS = (OURS, "kazoo")
REGISTERED, SERVICES, NODES = 1_000, 1_000, 100
#: Below which services are found.
ROOT = "/txmirror-found"
IDLE = 60.0
#: The groups of the table that the documentation draws.
CHART = {
    "registered": "Registered, until the last node exists",
    "restored": "Restored, after the session expired",
}
#: How long anything may take, in seconds.
PATIENCE = 300.0


class Child:
    """A process that does one thing, and answers in lines of JSON."""

    def __init__(self, script: str, *arguments: object) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / script), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @property
    def cpu(self) -> float:
        """The CPU time that it has used, in seconds."""
        return cpu_of(self._process.pid)

    def read(self) -> Any:
        """Return its next answer."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self._process.args!r} has failed, with status {self._process.wait()}")
        return json.loads(line)

    def end(self) -> None:
        """Let it end, as it does when nobody speaks to it any more."""
        self._process.communicate(timeout=PATIENCE)
        if self._process.returncode:
            raise SystemExit(f"{self._process.args!r} has failed, with status {self._process.returncode}")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


def until(look: Callable[[], bool]) -> float:
    """Poll every few milliseconds until a condition is true; return the time."""
    begun = time.perf_counter()
    while not look():
        if time.perf_counter() > begun + PATIENCE:
            raise SystemExit(f"not so within {PATIENCE:g} s")
        threading.Event().wait(0.005)
    return time.perf_counter()


def ephemerals(server: ZooKeeperProcess) -> int:
    """Return the number of ephemeral nodes."""
    found = re.search(r"^zk_ephemerals_count\s+(\d+)$", server.four_letter("mntr"), re.MULTILINE)
    assert found is not None
    return int(found[1])


def owners(server: ZooKeeperProcess) -> dict[int, int]:
    """Return the number of ephemeral nodes of each session."""
    _, _, listed = server.four_letter("dump").partition("ephemeral nodes dump:")
    if not listed:
        _, _, listed = server.four_letter("dump").partition("Sessions with Ephemerals")
    counts: dict[int, int] = {}
    session = 0
    for line in listed.splitlines():
        if line.startswith("0x"):
            session = int(line.strip().rstrip(":"), 16)
        elif line.startswith("\t/"):
            counts[session] = counts.get(session, 0) + 1
    return counts


def zxid(server: ZooKeeperProcess) -> str:
    """Return the last transaction."""
    found = re.search(r"^Zxid: (\S+)$", server.four_letter("srvr"), re.MULTILINE)
    assert found is not None
    return found[1]


def asked(server: ZooKeeperProcess, session: int) -> int:
    """Return the number of requests on a session's connection."""
    for line in server.four_letter("cons").splitlines():
        if f"sid={session & 0xFFFFFFFFFFFFFFFF:#x}," in line:
            return int(line.partition("recved=")[2].partition(",")[0])
    raise SystemExit(f"the session {session:#x} has no connection")


def register(server: ZooKeeperProcess, peer: str) -> dict[str, dict[str, float]]:
    """Let a peer register, and restore."""
    child = Child(f"{peer}_registry.py", "register", server.address, REGISTERED)
    try:
        registered = child.read()
        session, password = child.read()
        former = session & 0xFFFFFFFFFFFFFFFF
        assert owners(server) == {former: REGISTERED}, owners(server)
        used = child.cpu
        begun = time.perf_counter()
        end_session(server.address, (session, bytes.fromhex(password)))
        wall = until(lambda: ephemerals(server) == REGISTERED and former not in server.sessions()) - begun
        ((owner, count),) = owners(server).items()
        assert owner != former, "they are still the old session's"
        assert count == REGISTERED, count
        # What it still does about it belongs to it.
        threading.Event().wait(1.0)
        restored = {"wall": wall, "cpu": child.cpu - used}
        child.end()
    finally:
        child.kill()
    until(lambda: ephemerals(server) == 0)
    return {"registered": registered, "restored": restored}


def make_services(server: ZooKeeperProcess) -> None:
    """Make all services and their nodes, with the data of a registry's nodes."""
    connection = Server(server.address)
    data = b'{"foo":"bar","pid":4711,"created":"2026-11-23 12:00:00"}'
    services = [f"{ROOT}/s{number}" for number in range(SERVICES)]
    for paths, content in (
        ([ROOT], b""),
        (services, b""),
        ([f"{service}/host{number}:22" for service in services for number in range(NODES)], data),
    ):
        connection.outstanding(500, [encoded(CreateRequest(path, content, OPEN_ACL, 0)) for path in paths])
    connection.close()


def remove_services(server: ZooKeeperProcess) -> None:
    """Remove them."""
    connection = Server(server.address)
    services = [f"{ROOT}/s{number}" for number in range(SERVICES)]
    for paths in ([f"{service}/host{number}:22" for service in services for number in range(NODES)], services, [ROOT]):
        connection.outstanding(500, [encoded(DeleteRequest(path, -1)) for path in paths])
    connection.close()


def find(server: ZooKeeperProcess, number: int, idle: float) -> dict[str, float]:
    """Let our registry follow all services, change one node, and let nothing happen for some seconds.

    :param number: of the round; the new data of the node.
    """
    child = Child(f"{OURS}_registry.py", "find", server.address, SERVICES)
    try:
        figures: dict[str, float] = child.read()
        session: int = child.read()
        # It has a request a service, and answers to all of them; nothing is on its way.
        before = asked(server, session)
        writer = Server(server.address)
        writer.ask(encoded(SetDataRequest(f"{ROOT}/s{SERVICES // 2}/host7:22", b'{"n":%d}' % number, -1)))
        told = child.read()
        assert told == [f"{ROOT}/s{SERVICES // 2}", "host7:22", {"n": number}], told
        figures["asked for a change"] = asked(server, session) - before
        writer.close()
        if idle:
            latest, before, used = zxid(server), asked(server, session), child.cpu
            threading.Event().wait(idle)
            assert zxid(server) == latest, f"something was written in {idle:g} idle seconds"
            figures["asked in idle time"] = asked(server, session) - before
            figures["cpu in idle time"] = child.cpu - used
        child.end()
    finally:
        child.kill()
    return figures


def main() -> None:
    """Read the command line, run, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often (3)")
    parser.add_argument(
        "--idle", type=float, default=IDLE, help="how many seconds nothing happens (60); 0 leaves it out"
    )
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--to", type=Path, help="the folder for the table that the documentation draws (docs/speed)")
    options = parser.parse_args()
    server = ZooKeeperProcess(JVM_OPTIONS)
    results: dict[str, list[dict[str, dict[str, float]]]] = {peer: [] for peer in PEERS}
    found: list[dict[str, float]] = []
    try:
        server.start()
        conditions = Conditions(["kazoo"], server)
        # What Java compiles as it runs is slow at first.
        register(server, OURS)
        for number in range(options.rounds):
            for place in range(len(PEERS)):
                peer = PEERS[(number + place) % len(PEERS)]
                results[peer].append(register(server, peer))
        measured = conditions.described(medians_of_rounds(options.rounds))
        make_services(server)
        found = [find(server, number, 0 if number else options.idle) for number in range(options.rounds)]
        remove_services(server)
    finally:
        server.cleanup()
    medians = {
        peer: {
            what: {key: statistics.median(each[what][key] for each in figures) for key in ("wall", "cpu")}
            for what in ("registered", "restored")
        }
        for peer, figures in results.items()
    }
    for what in ("registered", "restored"):
        print(f"{REGISTERED:,} {what}")
        for peer in PEERS:
            median, ours = medians[peer][what], medians[OURS][what]
            ratios = " ".join(f"{median[key] / ours[key]:6.2f}" for key in ("wall", "cpu"))
            print(f"  {peer:9} {median['wall']:8.3f} s   {median['cpu']:8.3f} s of CPU   to ours: {ratios}")
    print(f"{SERVICES:,} services of {NODES} nodes found")
    for key in found[0]:
        each = [figures[key] for figures in found if key in figures]
        print(f"  {key:20} {statistics.median(each):10.3f}")
    if options.json:
        options.json.write_text(json.dumps({"registered": results, "found": found}, indent=1))
    if options.to:
        write(
            options.to / "registries.csv",
            ("workload", "program", *TIMES),
            [
                (group, peer, medians[peer][what]["wall"], medians[peer][what]["cpu"])
                for what, group in CHART.items()
                for peer in PEERS
            ],
            title=f"{REGISTERED:,} registrations in one process: wall time, and in parentheses CPU time of the client",
            measured=measured,
            command=f"benchmarks/registry.py --rounds {options.rounds}",
            ratios=True,
        )


if __name__ == "__main__":
    main()
