"""Compares the two ways in which a tree finds out what has changed while it had no connection, at an ensemble of three.

*own*: setWatches on the client's own session, and then a removeWatches for each node. *side*: setWatches in a side session. The
client is connected to a follower through a proxy, which cuts its connection, and holds the new one until some nodes are changed.
Each figure is a median. Times begin when the connection is established again; ``settled`` ends when the tree is settled, and
``clean`` when the server has no more watches than before. CPU time of servers is that of all three, until then.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

from charts import Conditions, write
from mirrored import CHANGED, Nodes
from proxy import Proxy

from txmirror.test.ensemble import ZooKeeperEnsemble

HERE = Path(__file__).parent
WAYS = ("side", "own")
#: How long the new connection is held, in seconds, and how long a recovery may take.
HELD, LIMIT = 0.3, 120.0
#: The fewest leaves whose recovery costs the servers enough to be drawn.
_FEWEST_DRAWN = 1_000
#: Waits.
PAUSE = threading.Event()


class Ensemble:
    """Three servers, and what they say about themselves."""

    def __init__(self) -> None:
        self.servers = ZooKeeperEnsemble()
        self.servers.start()
        self.leader = self.servers.leader()
        self.follower = self.servers.followers()[0]

    def zxid(self) -> int:
        """Return the leader's last transaction."""
        found = re.search(r"^Zxid: 0x([0-9a-f]+)$", self.leader.four_letter("srvr"), re.MULTILINE)
        assert found is not None
        return int(found[1], 16)

    def watches(self) -> int:
        """Return the number of watches at the follower."""
        found = re.search(r"^Total watches:(\d+)$", self.follower.four_letter("wchs"), re.MULTILINE)
        assert found is not None
        return int(found[1])

    def cpu(self) -> float:
        """Return the CPU time of all servers, in seconds."""
        ticks = 0
        for member in self.servers.members:
            assert member._process is not None
            fields = Path(f"/proc/{member._process.pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")


def measure(ensemble: Ensemble, way: str, count: int, nodes: Nodes | None, rounds: int) -> dict[str, float]:
    """Return the medians of several recoveries of one process.

    :param nodes: changes 100 nodes while the process has no connection; None changes nothing.
    """
    proxy = Proxy(ensemble.follower.port)
    command = [sys.executable, str(HERE / "recovering.py"), way, proxy.address, str(count)]
    results: list[dict[str, float]] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            process.stdout.readline()
            for _ in range(rounds + 1):
                before = ensemble.watches()
                proxy.cut()
                if nodes is not None:
                    nodes.change()
                proxy.came.wait()
                PAUSE.wait(HELD)
                zxid, cpu = ensemble.zxid(), ensemble.cpu()
                proxy.open()
                settled = json.loads(process.stdout.readline())
                deadline = time.monotonic() + LIMIT
                while ensemble.watches() > before and time.monotonic() < deadline:
                    PAUSE.wait(0.02)
                process.send_signal(signal.SIGUSR1)
                clean = json.loads(process.stdout.readline())
                PAUSE.wait(0.3)
                results.append(
                    {
                        "settled (s)": settled["wall"],
                        "clean (s)": clean["wall"],
                        "client CPU (s)": clean["cpu"],
                        "servers CPU (s)": ensemble.cpu() - cpu,
                        "requests": clean["requests"],
                        "sent (KiB)": clean["sent"] / 1024,
                        "received (KiB)": clean["received"] / 1024,
                        "transactions": ensemble.zxid() - zxid,
                        "watches left": ensemble.watches() - before,
                    }
                )
        finally:
            process.terminate()
            proxy.close()
    # The first recovery of a process warms the servers up.
    return {key: statistics.median(each[key] for each in results[1:]) for key in results[0]}


def main() -> None:
    """Read the command line, run, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", type=int, nargs="*", default=[10_000, 100_000], help="how many leaves (10000 100000)")
    parser.add_argument("--rounds", type=int, default=3, help="how many recoveries each (3)")
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=WAYS, help="which ways (both)")
    parser.add_argument("--to", type=Path, help="the folder for the table that the documentation draws (docs/speed)")
    options = parser.parse_args()
    ensemble = Ensemble()
    rows: list[tuple[str, str, float]] = []
    try:
        conditions = Conditions(server=ensemble.leader)
        for count in sorted(options.sizes):
            nodes = Nodes(ensemble.leader.address, count)
            for changes in (0, CHANGED):
                for way in options.ways:
                    figures = measure(ensemble, way, count, nodes if changes else None, options.rounds)
                    print(f"{count:,} leaves, {changes} changed, {way}:", flush=True)
                    print("    " + ", ".join(f"{name} {value:.4g}" for name, value in figures.items()), flush=True)
                    # The kernel counts CPU time in hundredths of a second.
                    if changes and count >= _FEWEST_DRAWN:
                        rows.append((f"{count:,} nodes", f"{way} session", figures["servers CPU (s)"]))
            conditions.look()
            nodes.remove()
    finally:
        ensemble.servers.cleanup()
    if options.to:
        write(
            options.to / "ensemble.csv",
            ("nodes", "way", "servers CPU (s)"),
            rows,
            title="The cost of a recovery at the ensemble: CPU time of all three servers",
            measured=conditions.described(f"Medians of {options.rounds} recoveries of one process"),
            command=f"benchmarks/recovery.py {' '.join(map(str, sorted(options.sizes)))}",
            ratios=True,
        )


if __name__ == "__main__":
    main()
