"""Measures the embedded server, beside the real one where it is installed: requests, the time to start, and memory.

The client is ours for both, in a process of its own but for the world in memory; from round to round the order of the
servers is rotated. It prints medians, and writes all of it as JSON where asked.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import SkipTest

from cutting import HERE
from run import JVM_OPTIONS

from txmirror.test.zookeeper import ZooKeeperProcess
from txmirror.testing import ServerProcess

MEMORY, EMBEDDED, REAL = "in memory", "embedded", "ZooKeeper"
#: How long one process may take, in seconds.
PATIENCE = 120


def work(*arguments: str) -> Any:
    """Run a workload of our client, in a process of its own; return its figures."""
    command = [sys.executable, str(HERE / "embedded_workloads.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    if done.returncode:
        raise SystemExit(f"{arguments} failed:\n{done.stderr}")
    return json.loads(done.stdout)


@contextmanager
def embedded() -> Iterator[tuple[str, str, float]]:
    """Run the embedded server as a process: where it listens, its process' id, and how long it took to start."""
    start = time.perf_counter()
    with ServerProcess(tick_time=2.0) as server:
        yield server.connect_string, str(server.pid), time.perf_counter() - start


@contextmanager
def real() -> Iterator[tuple[str, str, float]]:
    """Run the real server likewise.

    :raises SkipTest: it is not installed.
    """
    server = ZooKeeperProcess(JVM_OPTIONS)
    try:
        start = time.perf_counter()
        server.start()
        assert server._process is not None
        yield server.address, str(server._process.pid), time.perf_counter() - start
    finally:
        server.cleanup()


def measure(rounds: int) -> dict[str, Any]:
    """Measure all, so often."""
    figures: dict[str, Any] = {"requests": {}, "start": {MEMORY: [work("start")["world"]]}, "memory": {}}
    servers = {EMBEDDED: embedded, REAL: real}
    try:
        with real() as (address, pid, _):
            figures["memory"][REAL] = work("fill", address, pid)
    except SkipTest as missing:
        print(missing, file=sys.stderr)
        del servers[REAL]
    with embedded() as (address, pid, _):
        figures["memory"][EMBEDDED] = work("fill", address, pid)
    places = [MEMORY, *servers]
    for number in range(rounds):
        for name in places[number % len(places) :] + places[: number % len(places)]:
            results = figures["requests"].setdefault(name, [])
            if name == MEMORY:
                results.append(work("requests", "memory"))
                continue
            with servers[name]() as (address, pid, started):
                figures["start"].setdefault(name, []).append(started)
                if name == REAL:
                    # What Java compiles as it runs is slow at first.
                    work("requests", address, pid)
                results.append(work("requests", address, pid))
    return figures


def show(figures: dict[str, Any]) -> None:
    """Print the medians."""
    places = [place for place in (MEMORY, EMBEDDED, REAL) if place in figures["requests"]]
    print(f"{'requests a second; us of CPU, the client and the server':56}" + "".join(f"{name:>24}" for name in places))
    for name in figures["requests"][MEMORY][0]:
        line = f"  {name:54}"
        for place in places:
            rounds = [each[name] for each in figures["requests"][place]]
            rate, client, server = (
                statistics.median(each[key] for each in rounds) for key in ("rate", "cpu", "server")
            )
            both = f"{client * 1e6:.0f}" if place == MEMORY else f"{client * 1e6:.0f}, {server * 1e6:.0f}"
            line += f"{rate:14,.0f} {'(' + both + ')':>9}"
        print(line)
    for place, taken in figures["start"].items():
        print(f"to start, {place}: {statistics.median(taken) * 1000:,.1f} ms")
    for place, memory in figures["memory"].items():
        grown = memory["after"] - memory["before"]
        print(
            f"100,000 nodes, {place}: {memory['before']:.0f} MiB before, {grown:.0f} MiB more,"
            f" made in {memory['wall']:.1f} s"
        )


def main() -> None:
    """Read the command line, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often (3)")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    figures = measure(options.rounds)
    show(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
