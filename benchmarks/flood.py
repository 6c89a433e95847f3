"""Flood txmirror and kazoo with work that one program requests at once, and show time, memory and failures.

Each run is a fresh process, on one server that this script starts; the order of the peers is rotated from round to
round. It prints medians: wall time and the client's CPU time, the peak of memory above that of the process after its
imports and its connection, the time of making the requests, and the longest time for which the reactor made no due call
after that.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cutting import HERE
from flooded import BELOW, REGISTERED, ROOT, paths
from raw import Server, create, encoded
from registry import ephemerals
from run import JVM_OPTIONS, OURS

from txmirror.test.integration.servers import end_session
from txmirror.test.zookeeper import ZooKeeperProcess
from txmirror.wire import Cursor, DeleteRequest, ExistsRequest, GetChildrenRequest, GetChildrenResponse

#: The floods, and how much of the count each has.
FLOODS = {
    "F1": ("{:,} nodes are got at once; until all are known", 1.0),
    "F2": ("{:,} nodes are created at once", 1.0),
    "F3": ("{:,} nodes are registered at once; and then all are withdrawn", 0.5),
    "F4": ("{:,} nodes are written at once through a registry", 0.5),
    "F5": ("a mirror of {:,} nodes and a registration; the server is killed, and starts without any data", 1.0),
    "F6": ("a mirror of {:,} nodes and a registration; the server ends the session", 1.0),
}
#: kazoo keeps no nodes over the end of a session.
NOT_DONE = {("kazoo", "F5"), ("kazoo", "F6")}
PEERS = (OURS, "kazoo")
COUNT, MOST = 100_000, 200_000
#: How long one run may take, in seconds.
LIMIT = 300.0
#: What is printed of each phase, and how it is called.
COLUMNS = {
    "wall": "{:8.2f} s",
    "cpu": "{:8.2f} s of CPU",
    "peak": "peak {:7.1f} MiB",
    "asking": "asking {:6.2f} s",
    "still": "stood still {:6.3f} s",
    "there": "there {:,.0f}",
    "since connected": "of it {:.2f} s since it had connected",
}
_Phases = dict[str, dict[str, Any]]


class Nodes:
    """The nodes at the server.

    :param count: how many.
    """

    def __init__(self, servers: str, count: int) -> None:
        self._servers, self._count = servers, count

    def make(self, *, all_of_them: bool) -> None:
        """Create the parent, and all nodes if they are to be there."""
        connection = Server(self._servers)
        for needed in ([ROOT], [BELOW], paths(self._count) if all_of_them else []):
            connection.outstanding(500, [create(path) for path in needed])
        connection.close()

    def names(self) -> int:
        """Return how many there are."""
        connection = Server(self._servers)
        names = self._children(connection, BELOW)
        connection.close()
        return len(names)

    def remove(self) -> None:
        """Delete those that there are."""
        connection = Server(self._servers)
        for parent in (BELOW, ROOT, REGISTERED.rpartition("/")[0]):
            below = [f"{parent}/{name}" for name in self._children(connection, parent)]
            for deleted in (below, [parent]):
                if self._exists(connection, parent):
                    connection.outstanding(500, [encoded(DeleteRequest(path, -1)) for path in deleted])
        connection.close()

    def _exists(self, connection: Server, path: str) -> bool:
        # A reply to what does not exist is a header alone: length, xid, zxid and the code.
        return len(connection.ask(encoded(ExistsRequest(path, False)))) > 16

    def _children(self, connection: Server, path: str) -> list[str]:
        if not self._exists(connection, path):
            return []
        reply = connection.ask(encoded(GetChildrenRequest(path, False)))
        return list(GetChildrenResponse.decode(Cursor(reply, 16)).children)


class Run:
    """One flood, in a process of its own."""

    def __init__(self, peer: str, flood: str, server: ZooKeeperProcess, count: int) -> None:
        self._flood, self._server, self._count = flood, server, count
        self._nodes = Nodes(server.address, count)
        self._command = [sys.executable, str(HERE / f"{peer}_floods.py"), flood, server.address, str(count)]

    def figures(self) -> _Phases | None:
        """Run it, and return its figures; None if it took too long.

        :raises SystemExit: the process has failed, or the server lacks written data.
        """
        self._nodes.make(all_of_them=self._flood in {"F1", "F5", "F6"})
        with subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            late = threading.Event()

            def end() -> None:
                late.set()
                process.kill()

            killer = threading.Timer(LIMIT, end)
            killer.start()
            try:
                phases = self._phases(process)
            except EOFError:
                if not late.is_set():
                    raise SystemExit(f"it has failed, with status {process.wait()}: {self._command!r}") from None
                phases = None
            finally:
                killer.cancel()
                process.kill()
        # A process that was killed leaves a session behind for some time.
        _until(lambda: ephemerals(self._server) == 0)
        self._nodes.remove()
        return phases

    def _phases(self, process: subprocess.Popen[str]) -> _Phases:
        first = self._read(process)
        phases = {"": first}
        if self._flood in {"F2", "F3", "F4"}:
            # What is there is looked at from outside.
            first["there"] = self._nodes.names()
            if self._flood == "F3":
                first["there"] = min(first["there"], ephemerals(self._server))
        if self._flood in {"F5", "F6"}:
            phases["again"] = self._lose(process, first.pop("session"))
        assert process.stdin is not None
        process.stdin.close()
        if self._flood == "F3":
            phases["stop"] = self._read(process)
        if process.wait():
            raise EOFError
        return phases

    def _lose(self, process: subprocess.Popen[str], session: tuple[int, str]) -> dict[str, Any]:
        if self._flood == "F5":
            self._server.kill()
            self._server.wipe()
            self._server.start()
            begun = time.monotonic()
        else:
            begun = time.monotonic()
            end_session(self._server.address, (session[0], bytes.fromhex(session[1])))
        figures = self._read(process)
        expected = {"unknown": 0, "absent": 0, "present": 0}
        expected["absent" if self._flood == "F5" else "present"] = self._count
        if (shown := figures.pop("shown")) != expected:
            raise SystemExit(f"the mirror shows {shown}, where there is {expected}")
        settled, connected = figures.pop("settled"), figures.pop("connected")
        return {**figures, "wall": settled - begun, "since connected": settled - connected}

    def _read(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise EOFError
        figures: dict[str, Any] = json.loads(line)
        return figures


def _until(look: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT
    while not look():
        if time.monotonic() > deadline:
            raise SystemExit(f"not so within {LIMIT:g} s")
        threading.Event().wait(0.1)


def show(peer: str, results: list[_Phases | None]) -> None:
    """Print the medians of one peer, phase by phase."""
    done = [result for result in results if result is not None]
    if len(done) < len(results):
        print(f"  {peer:15} {len(results) - len(done)} of {len(results)} not done within {LIMIT:g} s", flush=True)
    for phase in done[0] if done else ():
        each = [result[phase] for result in done]
        medians = {key: statistics.median(figures[key] for figures in each) for key in each[0] if key != "failed"}
        failed = sum((Counter(figures["failed"]) for figures in each), Counter[str]())
        said = [form.format(medians[key]) for key, form in COLUMNS.items() if key in medians]
        said += [f"{count:,} {what} in all rounds" for what, count in sorted(failed.items())] or ["nothing failed"]
        print(f"  {f'{peer} {phase}':15}", "   ".join(said), flush=True)


def main() -> None:
    """Read the command line, run, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("floods", nargs="*", default=list(FLOODS), help="which to run (all)")
    parser.add_argument(
        "--count", type=int, default=COUNT, help=f"how many nodes ({COUNT:,}); F3 and F4 have half of it"
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often (3)")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    for flood in options.floods:
        if flood not in FLOODS:
            parser.error(f"there is no flood {flood!r}; there are {', '.join(FLOODS)}")
    if not 2 <= options.count <= MOST:
        parser.error(f"--count is {options.count}: not a number from 2 to {MOST:,}")
    server = ZooKeeperProcess(JVM_OPTIONS)
    figures: dict[str, dict[str, list[_Phases | None]]] = {}
    try:
        server.start()
        # What Java compiles as it runs is slow at first.
        Run(OURS, "F2", server, 20_000).figures()
        for flood in options.floods:
            what, share = FLOODS[flood]
            count = int(options.count * share)
            peers = [peer for peer in PEERS if (peer, flood) not in NOT_DONE]
            results: dict[str, list[_Phases | None]] = {peer: [] for peer in peers}
            figures[flood] = results
            for number in range(options.rounds):
                for place in range(len(peers)):
                    peer = peers[(number + place) % len(peers)]
                    results[peer].append(Run(peer, flood, server, count).figures())
            print(f"{flood}: {what.format(count)}")
            for peer in peers:
                show(peer, results[peer])
            if options.json:
                options.json.write_text(json.dumps(figures, indent=1))
    finally:
        server.cleanup()


if __name__ == "__main__":
    main()
