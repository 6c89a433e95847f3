"""Runs the workloads of txmirror and its peers side by side, on one server that it starts itself.

Each run of a workload is a fresh process; from round to round the order of the peers is rotated. It prints medians of
wall time and of the client's CPU seconds, and each peer's ratio to ours, and writes all of it as JSON, and the tables that the
documentation draws, where asked.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

from charts import NAMES, TIMES, Conditions, medians_of_rounds, write
from cutting import HERE, run_mirrors

from txmirror.test.zookeeper import ZooKeeperProcess

OURS = "txmirror"
#: The limit is no client, but a bare socket: what it takes is what no client can save.
PEERS = (OURS, "txzookeeper", "kazoo", "aiozk", "limit")
WORKLOADS = {
    "W1": "3,000 gets of 100 bytes, one after the other",
    "W2": "20,000 gets, 1,000 outstanding",
    "W3": "10,000 creates of 100 bytes, 1,000 outstanding",
    "W4": "10,000 sets of 100 bytes over 5,000 nodes, 1,000 outstanding",
    "W5": "5,000 watched nodes are set by another; until the last callback",
    "W6": "a mirror of 10,000 leaves under 100 parents is warm",
    "W7h": "that mirror is cut off, 100 nodes are set, its new connection is held for 0.2 s; from then until it shows all",
    "W7r": "the same with connections refused for 2 s; from when they are accepted",
    "W8": "a read of mirrored state, 300,000 times; nanoseconds",
    "Q1": "2,000 puts of 100 bytes on a queue, one after the other",
    "Q2": "10,000 puts of 100 bytes on a queue, 200 outstanding",
}
MIRRORED = 10_000
#: The tables of the documentation: the title, the name of each workload there, and the figures.
CHARTS: dict[str, tuple[str, dict[str, str], dict[str, str]]] = {
    "requests": (
        "Requests to one server: wall time, and in parentheses CPU time of the client",
        {
            "W1": "3,000 reads, one after the other",
            "W2": "20,000 reads, 1,000 at a time",
            "W3": "10,000 creates, 1,000 at a time",
            "W4": "10,000 writes, 1,000 at a time",
        },
        dict(zip(("wall", "cpu"), TIMES, strict=True)),
    ),
    "watched": (
        "5,000 watched nodes change, until the last callback has its new value: wall time, and in parentheses CPU time",
        {"W5": "5,000 changes"},
        dict(zip(("wall", "cpu"), TIMES, strict=True)),
    ),
    "mirrors": (
        "A mirror of 10,000 nodes: wall time, and in parentheses CPU time of the client",
        {
            "W6": "Read and watch all nodes",
            "W7h": "Recover from a broken connection, 100 changes",
            "W7r": "The same, after 2 s of refused connections",
        },
        dict(zip(("wall", "cpu"), TIMES, strict=True)),
    ),
    "memory": (
        "A mirror of 10,000 nodes: the peak of memory above the process after its imports",
        {"W6": "Read and watch all nodes", "W7h": "Recover from a broken connection, 100 changes"},
        {"peak": "memory (MiB)"},
    ),
}
#: There is no limit of watching: what it would leave out is the workload. When a peer tries again is its own matter.
#: txzookeeper has no mirror; ours over it is no peer. Only kazoo has a queue too.
NOT_DONE = (
    {("limit", "W5"), ("limit", "W7r"), ("limit", "W8")}
    | {("txzookeeper", workload) for workload in WORKLOADS if workload > "W5"}
    | {(peer, workload) for peer in ("txzookeeper", "aiozk", "limit") for workload in ("Q1", "Q2")}
)
#: With a server's defaults each request crosses its worker pool, and the server is what is measured.
JVM_OPTIONS = (
    "-Xmx1g",
    "-XX:+UseSerialGC",
    "-Dzookeeper.nio.numWorkerThreads=0",
    "-Dzookeeper.nio.numSelectorThreads=1",
    "-Dzookeeper.forceSync=no",
    "-Dzookeeper.snapCount=5000000",
    "-Dzookeeper.preAllocSize=16384",
)


def run(peer: str, workload: str, servers: str) -> dict[str, float]:
    """Run one workload in a process of its own."""
    if workload >= "W6":
        return run_mirrors(peer, workload, int(servers.rpartition(":")[2]), 1000 if workload == "W8" else MIRRORED)
    command = [sys.executable, str(HERE / f"{peer}_workloads.py"), workload, servers]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    if done.returncode:
        raise SystemExit(f"{peer} failed {workload}:\n{done.stderr}")
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def rounds(workload: str, count: int, servers: str) -> dict[str, list[dict[str, float]]]:
    """Run one workload with every peer, several times; return each peer's figures."""
    peers = [peer for peer in PEERS if (peer, workload) not in NOT_DONE]
    results: dict[str, list[dict[str, float]]] = {peer: [] for peer in peers}
    for number in range(count):
        for place in range(len(peers)):
            peer = peers[(number + place) % len(peers)]
            results[peer].append(run(peer, workload, servers))
    return results


Medians = dict[str, dict[str, float]]


def medians_of(results: dict[str, list[dict[str, float]]]) -> Medians:
    """Return the medians of each peer's figures."""
    return {
        peer: {key: statistics.median(each[key] for each in figures) for key in figures[0]}
        for peer, figures in results.items()
    }


def show(workload: str, medians: Medians) -> None:
    """Print the medians, and the ratio of each peer's time to ours."""
    print(f"{workload}: {WORKLOADS[workload]}")
    for peer, median in medians.items():
        if workload == "W8":
            print(f"  {peer:11}", ", ".join(f"{what}: {time:.0f}" for what, time in median.items()))
            continue
        ratios = " ".join(f"{median[key] / medians[OURS][key]:6.2f}" for key in ("wall", "cpu"))
        peak = f"   peak {median['peak']:6.1f} MiB" if "peak" in median else ""
        print(
            f"  {peer:11} {median['wall']:8.3f} s   {median['cpu']:8.3f} s of CPU   to ours: {ratios}{peak}", flush=True
        )


def write_charts(folder: Path, medians: dict[str, Medians], measured: str, rounds: int) -> None:
    """Write each table whose workloads were all measured."""
    for name, (title, groups, columns) in CHARTS.items():
        if not groups.keys() <= medians.keys():
            continue
        rows: list[tuple[str | float, ...]] = [
            (group, NAMES.get(peer, peer), *(median[key] for key in columns))
            for workload, group in groups.items()
            for peer, median in medians[workload].items()
        ]
        write(
            folder / f"{name}.csv",
            ("workload", "program", *columns.values()),
            rows,
            title=title,
            measured=measured,
            command=f"benchmarks/run.py {' '.join(groups)} --rounds {rounds}",
            ratios=True,
        )


def main() -> None:
    """Read the command line, run, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workloads", nargs="*", default=list(WORKLOADS), help="which to run (all)")
    parser.add_argument("--rounds", type=int, default=3, help="how often (3)")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--to", type=Path, help="the folder for the tables that the documentation draws (docs/speed)")
    options = parser.parse_args()
    for workload in options.workloads:
        if workload not in WORKLOADS:
            parser.error(f"there is no workload {workload!r}; there are {', '.join(WORKLOADS)}")

    server = ZooKeeperProcess(JVM_OPTIONS)
    figures: dict[str, dict[str, list[dict[str, float]]]] = {}
    medians: dict[str, Medians] = {}
    try:
        server.start()
        conditions = Conditions([peer for peer in PEERS if peer not in (OURS, "limit")], server)
        for _ in range(10):
            run(OURS, "W2", server.address)
        for workload in options.workloads:
            figures[workload] = rounds(workload, options.rounds, server.address)
            medians[workload] = medians_of(figures[workload])
            show(workload, medians[workload])
            conditions.look()
    finally:
        server.cleanup()
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))
    if options.to:
        write_charts(options.to, medians, conditions.described(medians_of_rounds(options.rounds)), options.rounds)


if __name__ == "__main__":
    main()
